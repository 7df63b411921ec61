"""One shape after another through a small transformer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks.case import Case, Row, Runner, Variant
from benchmarks.networks import Arrays, Gpt

NETWORK = Gpt(blocks=2, width=128, heads=4, vocabulary=1024, length=160)
SHAPES = [(1 + i % 5, 16 + 3 * i - i % 2) for i in range(48)] + [(8, 160), (16, 16)]
STEADY = 3


def _batches() -> list[Arrays]:
    return [replace(NETWORK, batch=batch, length=length).data() for batch, length in SHAPES]


def _runner(step: Callable[..., Any], make: Callable[[Any], Any]) -> Runner:
    """Every shape once, in a row, and then again: the first time against the later ones."""
    batches = [tuple(map(make, batch)) for batch in _batches()]
    for _ in range(3):
        step(*map(make, NETWORK.data())).item()  # libraries are loaded, memory is there
    losses, first = [], []
    for batch in batches:
        start = time.perf_counter()
        losses.append(step(*batch).item())
        first.append(time.perf_counter() - start)
    ratios = []
    for batch, once in zip(batches, first, strict=True):
        again = []
        for _ in range(STEADY):
            start = time.perf_counter()
            step(*batch).item()
            again.append(time.perf_counter() - start)
        ratios.append(once / sorted(again)[STEADY // 2])
    ratios.sort()
    result = {
        "worst": ratios[-1],
        "median": ratios[len(ratios) // 2],
        "total": 1e3 * sum(first),
    }
    return Runner(lambda: result, losses)


def _tegula(jit: bool) -> Runner:
    import tegula as tg
    from benchmarks import with_tegula

    step = with_tegula.training_step(NETWORK)
    return _runner(tg.jit(step) if jit else step, tg.asarray)


def _torch() -> Runner:
    import torch

    from benchmarks import with_torch

    return _runner(with_torch.training_step(NETWORK), torch.from_numpy)


CASE = Case(
    name="shapes",
    method=(
        f"Training steps of a small transformer on {len(SHAPES)} shapes of batch and sequence "
        f"never seen before, one after the other, each read; then each shape {STEADY} times "
        "again. The ratio is a shape's first step over the median of its later ones. A fresh "
        "process each time. `torch.compile` and JAX, which compile for each shape, would take "
        "minutes and are left out."
    ),
    variants=[
        Variant("Tegula", "tegula", lambda: _tegula(jit=False)),
        Variant("Tegula, jit", "tegula", lambda: _tegula(jit=True)),
        Variant("PyTorch", "torch", _torch),
    ],
    rows=[
        Row("slowest first step of a shape, in its later ones", "worst", "",
            target="at most 1.5", met=lambda ours, _: ours <= 1.5),
        Row("first step of a shape, in its later ones (median)", "median", ""),
        Row("all first steps", "total", "ms"),
        Row("slowest first step of a shape under `tg.jit`", "worst", "", ours="Tegula, jit",
            theirs=None),
        Row("all first steps under `tg.jit`", "total", "ms", ours="Tegula, jit", theirs=None),
    ],
    rounds=3,
    fresh=True,
    tolerance=5e-3,
)  # fmt: skip
