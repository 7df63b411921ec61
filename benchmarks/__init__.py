"""Benchmarks of Tegula beside its peers: ``make bench``, or ``make bench CASE=name`` for a part.

There are two kinds. **Kernel cases** (``kernel.py``; the families in ``cases/``) run in a C++
harness, ``kernels/``, which also measures the machine's limits and hand-fused loops;
``kernel_worker.py`` runs the same work in PyTorch, JAX and ONNX Runtime, ``sitting.py`` lets all
take turns. **Programs** (``case.py``) run from Python: ``models.py`` states what all frameworks
compute, ``with_*.py`` build it, ``worker.py`` runs a variant and ``measure.py`` lets them take
turns. The results go to ``results.json``, ``RESULTS.md`` and ``roofline.png`` (``report.py``,
``kernel_results.py``, ``roofline.py``); ``check.py`` compares with a stored run.
"""
