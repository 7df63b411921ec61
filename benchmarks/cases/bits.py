"""The same seed gives the same weights, however it is run."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import numpy as np

from benchmarks import models
from benchmarks.case import Case, Row, Runner, Variant

STEPS = 30


@contextlib.contextmanager
def _after_every_operation(tg: Any) -> Iterator[None]:
    """Evaluates all that is pending before every bytecode instruction of this thread."""

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        tg.eval()
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(None)


def _train(threads: int, observe: bool) -> dict[str, np.ndarray]:
    import tegula as tg
    from benchmarks import with_tegula

    tg.set_num_threads(threads)
    tg.manual_seed(0)
    training = with_tegula.DemoTraining()
    training.model.train()
    batches = models.demo_batches(STEPS)
    with _after_every_operation(tg) if observe else contextlib.nullcontext():
        for images, labels in batches:
            training.step(tg.asarray(images), tg.asarray(labels))
    return training.weights()


def _differing(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> int:
    return sum(
        int(np.count_nonzero(a[name].view(np.uint32) != b[name].view(np.uint32))) for name in a
    )


def _evaluations() -> int:
    import tegula as tg

    stats = tg.plan_cache_stats()
    return stats["hits"] + stats["misses"]


def _tegula() -> Runner:
    def measure() -> dict[str, float]:
        reference = _train(threads=2, observe=False)
        started = models.demo_weights()
        if _differing(reference, started) == 0:
            raise RuntimeError("the weights did not change: nothing was trained")
        threads = _differing(reference, _train(threads=1, observe=False))
        before = _evaluations()
        observed = _differing(reference, _train(threads=2, observe=True))
        evaluations = (_evaluations() - before) / STEPS
        return {
            "threads": threads,
            "observed": observed,
            "both": _differing(reference, _train(threads=1, observe=True)),
            "evaluations": evaluations,
        }

    return Runner(measure)


def _row(title: str, metric: str) -> Row:
    return Row(title, metric, "weights", theirs=None,
               target="0", met=lambda ours, _: ours == 0)  # fmt: skip


CASE = Case(
    name="bits",
    needs_data=True,
    method=(
        f"{STEPS} training steps of the demo's network, dropout on, same seed; how many weights "
        "differ in any bit from those of a run with 2 threads, evaluated at the end of each step. "
        "\"After every operation\" evaluates all that is pending before every bytecode "
        "instruction of the program (`sys.settrace`); `backward` is one."
    ),
    variants=[Variant("Tegula", "tegula", _tegula)],
    rows=[
        _row("weights that differ with 1 thread", "threads"),
        _row("weights that differ when evaluated after every operation", "observed"),
        _row("weights that differ with both", "both"),
        Row("evaluations in a step when evaluated after every operation", "evaluations", "",
            theirs=None),
    ],
    rounds=1,
)  # fmt: skip
