"""What one small operation costs the Python program."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.case import Case, Row, Runner, Variant

OPERATIONS = 1000  # below the number of nodes at which Tegula evaluates by itself
REPEATS = 20


def _runner(make: Callable[[np.ndarray], Any]) -> Runner:
    a, b = (make(np.arange(4, dtype=np.float32) + i) for i in (0, 1))
    with_grad = make(np.arange(4, dtype=np.float32)).requires_grad_()

    def microseconds(x: Any, y: Any) -> float:
        best = float("inf")
        for _ in range(REPEATS):
            start = time.perf_counter()
            results = [x + y for _ in range(OPERATIONS)]
            best = min(best, time.perf_counter() - start)
            del results  # what is recorded and not read ends here, outside of the timed part
        return 1e6 * best / OPERATIONS

    def measure() -> dict[str, float]:
        return {"plain": microseconds(a, b), "grad": microseconds(with_grad, b)}

    return Runner(measure, [*(a + b).tolist(), *(with_grad + b).detach().tolist()])


def _tegula() -> Runner:
    import tegula as tg

    return _runner(tg.asarray)


def _torch() -> Runner:
    import torch

    return _runner(torch.from_numpy)


CASE = Case(
    name="recording",
    method=(
        f"`[a + b for _ in range({OPERATIONS})]`, the best of {REPEATS} such loops in each round. "
        "The results are kept until the clock has stopped, so freeing them is not in the time, nor "
        "is Tegula's evaluation, which these loops never ask for; PyTorch computes at the call."
    ),
    variants=[Variant("Tegula", "tegula", _tegula), Variant("PyTorch", "torch", _torch)],
    rows=[
        Row("`a + b`, 4 elements", "plain", "µs",
            target="at most 0.2 µs", met=lambda ours, _: ours <= 0.2),
        Row("`a + b`, 4 elements, recording gradients", "grad", "µs",
            target="at most 0.2 µs", met=lambda ours, _: ours <= 0.2),
    ],
)  # fmt: skip
