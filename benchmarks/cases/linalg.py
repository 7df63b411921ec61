"""Linear algebra in float64 beside NumPy: single matrices, and batches of small ones."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.case import Case, Row, Runner, Variant

SIZES = (64, 256, 1024)
BATCH = (1000, 8)  # so many matrices, and their order
FUNCTIONS = ("solve", "cholesky", "qr", "eigh", "svd")
SECONDS = 0.2  # of each measurement, at least one call


def _inputs() -> dict[str, np.ndarray]:
    """Symmetric, positive definite and well conditioned: fit for every function."""
    random = np.random.default_rng(0)
    shapes = {str(n): (n, n) for n in SIZES}
    shapes[f"{BATCH[0]}×{BATCH[1]}"] = (*BATCH, BATCH[1])
    inputs = {}
    for name, shape in shapes.items():
        x = random.standard_normal(shape)
        inputs[name] = x @ np.swapaxes(x, -1, -2) / shape[-1] + np.eye(shape[-1])
    return inputs


def _runner(calls: dict[str, Callable[[], Any]]) -> Runner:
    def first(result: Any) -> float:
        values = result[1] if isinstance(result, tuple) and len(result) == 3 else result
        part = values[0] if isinstance(values, tuple) else values
        return float(np.abs(np.asarray(part)).sum())

    outputs = [first(call()) for call in calls.values()]

    def measure() -> dict[str, float]:
        metrics = {}
        for name, call in calls.items():
            count, start = 0, time.perf_counter()
            while (spent := time.perf_counter() - start) < SECONDS or count == 0:
                call()
                count += 1
            metrics[name] = 1e6 * spent / count
        return metrics

    return Runner(measure, outputs)


def _tegula(threads: int) -> Runner:
    import tegula as tg

    tg.set_num_threads(threads)
    inputs = {name: tg.asarray(x) for name, x in _inputs().items()}

    def call(function: str, x: tg.Tensor) -> Any:
        op = getattr(tg.linalg, function)
        result = op(x, x) if function == "solve" else op(x)
        tg.eval(result)
        return result

    return _runner({f"{f} {n}": partial(call, f, x) for n, x in inputs.items() for f in FUNCTIONS})


def _numpy() -> Runner:
    _one_thread()

    def call(function: str, x: np.ndarray) -> Any:
        op = getattr(np.linalg, function)
        return op(x, x) if function == "solve" else op(x)

    inputs = _inputs()
    return _runner({f"{f} {n}": partial(call, f, x) for n, x in inputs.items() for f in FUNCTIONS})


def _one_thread() -> None:
    """Keeps NumPy's OpenBLAS to one thread."""
    folder = Path(np.__file__).parent.parent / "numpy.libs"
    for path in folder.glob("libscipy_openblas*"):
        library = ctypes.CDLL(str(path))
        for suffix in ("64_", ""):
            if limit := getattr(library, f"scipy_openblas_set_num_threads{suffix}", None):
                limit(1)


def _rows() -> list[Row]:
    rows = []
    for name in (*map(str, SIZES), f"{BATCH[0]}×{BATCH[1]}"):
        for function in FUNCTIONS:
            metric = f"{function} {name}"
            size = f"{name}×{BATCH[1]}" if "×" in name else f"{name}×{name}"
            title = f"{function}, {size}"
            rows.append(
                Row(title, metric, "µs", ours="Tegula, 1 thread", theirs="NumPy", target="≥ 1×",
                    met=lambda ours, theirs: ours <= theirs)
            )  # fmt: skip
            if "×" in name:
                rows.append(
                    Row(f"{title}, 2 threads for 1", metric, "µs", theirs="Tegula, 1 thread",
                        target="≥ 1.8×", met=lambda ours, theirs: ours * 1.8 <= theirs)
                )  # fmt: skip
    return rows


CASE = Case(
    name="linalg",
    method=(
        "float64 matrices, symmetric and positive definite; mean of calls in a row, each awaited. "
        "NumPy's own LAPACK, kept to one thread. The results of all are compared."
    ),
    variants=[
        Variant("Tegula", "tegula", partial(_tegula, 2)),
        Variant("Tegula, 1 thread", "tegula", partial(_tegula, 1)),
        Variant("NumPy", "tegula", _numpy),
    ],
    rows=_rows(),
)
