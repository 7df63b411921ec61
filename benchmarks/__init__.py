"""Benchmarks of Tegula beside PyTorch: ``make bench``, or ``make bench CASE=name`` for one.

``models.py`` states what both frameworks compute, ``with_tegula.py`` and ``with_torch.py`` build
it, ``cases/`` says what is measured and how. Every framework runs in a process of its own
(``worker.py``), the rounds of both take turns (``measure.py``), and the results go to
``results.json`` and ``RESULTS.md`` (``report.py``).
"""
