"""The demo's training, images per second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from benchmarks import models
from benchmarks.case import Case, Row, Runner, Variant

STEPS = 60
WARM_UP = 10


def _runner(training: Any, batches: Iterator[tuple[Any, Any]]) -> Runner:
    losses = training.checked_losses()

    def run(steps: int) -> None:
        for _ in range(steps):
            loss = training.step(*next(batches))
        loss.item()

    def measure() -> dict[str, float]:
        start = time.perf_counter()
        run(STEPS)
        return {"images": STEPS * models.DEMO.batch / (time.perf_counter() - start)}

    run(WARM_UP)
    return Runner(measure, losses)


def _tegula() -> Runner:
    from benchmarks import with_tegula

    return _runner(with_tegula.DemoTraining(), with_tegula.demo_loader())


def _torch_loader() -> Runner:
    from benchmarks import with_torch

    return _runner(with_torch.DemoTraining(), with_torch.demo_loader())


def _torch_loader_last() -> Runner:
    from benchmarks import with_torch

    return _runner(with_torch.DemoTraining(channels_last=True), with_torch.demo_loader())


def _torch_slices() -> Runner:
    from benchmarks import with_torch

    return _runner(with_torch.DemoTraining(), with_torch.demo_slices())


def _torch_slices_last() -> Runner:
    from benchmarks import with_torch

    return _runner(with_torch.DemoTraining(channels_last=True), with_torch.demo_slices())


_TORCH = {
    "DataLoader, NCHW": _torch_loader,
    "DataLoader, channels last": _torch_loader_last,
    "indexed tensors, NCHW": _torch_slices,
    "indexed tensors, channels last": _torch_slices_last,
}

CASE = Case(
    name="demo",
    needs_data=True,
    method=(
        f"Training steps of the demo's network (batch {models.DEMO.batch}, shuffled, AdamW, "
        f"dropout on), {STEPS} in a row, loading included; the last loss is read. PyTorch with its "
        "own `DataLoader` and, since that collates image by image, with batches indexed from "
        "whole tensors; both in its usual memory format and in channels-last. Compared before: "
        f"the losses of {models.DEMO.checked_steps} steps without dropout."
    ),
    variants=[
        Variant("Tegula", "tegula", _tegula),
        *(Variant(name, "torch", make) for name, make in _TORCH.items()),
    ],
    rows=[
        Row(f"demo training, PyTorch: {name}", "images", "images/s", "higher", theirs=name,
            target="1.3 × PyTorch", met=lambda ours, theirs: ours >= 1.3 * theirs)
        for name in _TORCH
    ],
)  # fmt: skip
