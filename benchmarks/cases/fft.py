"""Fourier transforms beside SciPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.case import Case, Row, Runner, Variant
from benchmarks.measure import median_microseconds

LENGTHS = [1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20]
LENGTHS += [1000, 3**7, 5**5, 6000, 30030, 1009, 10007, 65537, 1000003]
# Function, shape, dtype.
CALLS: dict[str, tuple[str, tuple[int, ...], str]] = {}
for n in LENGTHS:
    CALLS[f"fft {n:,}"] = ("fft", (n,), "complex128")
    CALLS[f"rfft {n:,}"] = ("rfft", (n,), "float64")
for name, shape in {
    "fft": (64, 1024), "fftn": (256, 256), "rfftn": (1024, 1024), "irfft": (64, 1025),
}.items():  # fmt: skip
    dtype = "float64" if name.startswith("r") else "complex128"
    CALLS[f"{name} {shape[0]}×{shape[1]}"] = (name, shape, dtype)
for n in (1 << 12, 1 << 20):
    CALLS[f"fft {n:,}, complex64"] = ("fft", (n,), "complex64")
    CALLS[f"rfft {n:,}, float32"] = ("rfft", (n,), "float32")
SECONDS = 0.1  # for each call


def _argument(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    random = np.random.default_rng(1)
    x = random.standard_normal(shape)
    return (x + 1j * random.standard_normal(shape) if dtype[0] == "c" else x).astype(dtype)


def _runner(make: Callable[[str, np.ndarray], Callable[[], Any]]) -> Runner:
    calls = {
        title: make(name, _argument(shape, dtype)) for title, (name, shape, dtype) in CALLS.items()
    }
    outputs = [float(np.linalg.norm(np.asarray(call()))) for call in calls.values()]
    return Runner(
        lambda: {title: median_microseconds(call, SECONDS) for title, call in calls.items()},
        outputs,
    )


def _tegula() -> Runner:
    import tegula as tg

    def make(name: str, array: np.ndarray) -> Callable[[], Any]:
        x, function = tg.asarray(array), getattr(tg.fft, name)

        def call() -> Any:
            y = function(x)
            tg.eval(y)
            tg.synchronize()
            return y

        return call

    return _runner(make)


def _scipy() -> Runner:
    import scipy.fft

    def make(name: str, array: np.ndarray) -> Callable[[], Any]:
        function = getattr(scipy.fft, name)
        return lambda: function(array, workers=1)

    return _runner(make)


CASE = Case(
    name="fft",
    method=(
        "One transform after the other, each waited for, of the same arrays; SciPy with one "
        "worker. The median of the calls of a tenth of a second, in complex128 or float64 unless "
        "said."
    ),
    variants=[
        Variant("Tegula", "tegula", _tegula),
        Variant("SciPy", "tegula", _scipy),
    ],
    rows=[
        Row(title, title, "µs", theirs="SciPy", target="SciPy's time",
            met=lambda ours, theirs: ours <= theirs)
        for title in CALLS
    ],
    rounds=3,
    tolerance=1e-5,
)  # fmt: skip
