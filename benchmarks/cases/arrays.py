"""Sorting, searching, distinct values and running sums of ten million elements beside NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.case import Case, Row, Runner, Variant
from benchmarks.measure import median_microseconds

COUNT = 10_000_000
LOOKED_UP = 1_000_000
DTYPES = ("float32", "float64", "int64")
NAMES = ("sort", "argsort", "unique", "searchsorted", "cumulative sum")
TITLES = [f"{name}, {dtype}" for name in NAMES for dtype in DTYPES]
SECONDS = 0.2  # for each call


def _argument(dtype: str) -> np.ndarray:
    random = np.random.default_rng(1)
    if dtype.startswith("float"):
        return random.standard_normal(COUNT).astype(dtype)
    return random.integers(-(2**30), 2**30, COUNT).astype(dtype)


def _runner(calls: Callable[[np.ndarray], dict[str, Callable[[], Any]]]) -> Runner:
    def measure() -> dict[str, float]:
        found = {}
        for dtype in DTYPES:
            for name, call in calls(_argument(dtype)).items():
                found[f"{name}, {dtype}"] = median_microseconds(call, SECONDS) / 1000
        return found

    outputs = [
        float(np.asarray(call()).astype(np.float64).std())
        for dtype in DTYPES
        for call in calls(_argument(dtype)).values()
    ]
    return Runner(measure, outputs)


def _tegula(threads: int) -> Callable[[], Runner]:
    def make() -> Runner:
        import tegula as tg

        tg.set_num_threads(threads)

        def calls(array: np.ndarray) -> dict[str, Callable[[], Any]]:
            x, few = tg.asarray(array), tg.asarray(array[:LOOKED_UP])
            ordered = tg.sort(x)
            tg.eval(ordered)

            def timed(function: Callable[[], Any]) -> Callable[[], Any]:
                def call() -> Any:
                    y = function()
                    tg.eval(y)
                    tg.synchronize()
                    return y

                return call

            return {
                "sort": timed(lambda: tg.sort(x)),
                "argsort": timed(lambda: tg.argsort(x)),
                "unique": timed(lambda: tg.unique_values(x)),
                "searchsorted": timed(lambda: tg.searchsorted(ordered, few)),
                "cumulative sum": timed(lambda: tg.cumulative_sum(x, axis=0)),
            }

        return _runner(calls)

    return make


def _numpy() -> Runner:
    def calls(x: np.ndarray) -> dict[str, Callable[[], Any]]:
        ordered, few = np.sort(x), x[:LOOKED_UP]
        return {
            "sort": lambda: np.sort(x),
            "argsort": lambda: np.argsort(x, stable=True),
            "unique": lambda: np.unique_values(x),
            "searchsorted": lambda: np.searchsorted(ordered, few),
            "cumulative sum": lambda: np.cumsum(x),
        }

    return _runner(calls)


CASE = Case(
    name="arrays",
    method=(
        "Ten million random elements; NumPy sorts with AVX-512 where the processor has it. "
        "`argsort` is stable in both, `searchsorted` looks a million of the unsorted elements up "
        "in the sorted ones. The median of the calls of a fifth of a second, each waited for."
    ),
    variants=[
        Variant("Tegula", "tegula", _tegula(1)),
        Variant("Tegula, 2 threads", "tegula", _tegula(2)),
        Variant("NumPy", "tegula", _numpy),
    ],
    rows=[
        *(Row(f"{title}, 1 thread", title, "ms", theirs="NumPy", target="NumPy's time",
              met=lambda ours, theirs: ours <= theirs) for title in TITLES),
        *(Row(f"{title}, 2 threads over 1", title, "ms", ours="Tegula, 2 threads", theirs="Tegula",
              target="at least 1.5×", met=lambda ours, theirs: theirs >= 1.5 * ours)
          for title in TITLES),
    ],
    rounds=2,
    tolerance=1e-3,
)  # fmt: skip
