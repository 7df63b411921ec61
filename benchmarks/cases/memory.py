"""How much memory the demo's training step takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import models
from benchmarks.case import Case, Row, Runner, Variant

STEPS = 5
MIB = 2**20


def _high_water() -> float:
    """The most memory this process has ever had resident, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * float(line.split()[1])
    raise RuntimeError("/proc/self/status has no VmHWM")


def _reset_high_water() -> None:
    """Forgets earlier peaks, so that imports and loading do not hide the steps' growth."""
    Path("/proc/self/clear_refs").write_text("5")


def _growth(training: Any, make: Callable[[Any], Any]) -> tuple[float, list[float]]:
    batches = [tuple(map(make, batch)) for batch in models.demo_batches(STEPS)]
    _reset_high_water()
    before = _high_water()
    for images, labels in batches:
        loss = training.step(images, labels)
    last = loss.item()
    return (_high_water() - before) / MIB, [last]


def _tegula() -> Runner:
    import tegula as tg
    from benchmarks import with_tegula

    training = with_tegula.DemoTraining()
    training.model.eval()  # dropout draws differently elsewhere
    tg.eval(list(training.model.parameters()))
    tg.synchronize()
    tg.reset_peak_memory()
    live = tg.memory_stats()["live_bytes"]
    growth, losses = _growth(training, tg.asarray)
    counted = (tg.memory_stats()["peak_bytes"] - live) / MIB
    return Runner(lambda: {"growth": growth, "counted": counted}, losses)


def _torch(channels_last: bool) -> Runner:
    import torch

    from benchmarks import with_torch

    training = with_torch.DemoTraining(channels_last)
    training.model.eval()
    growth, losses = _growth(training, torch.from_numpy)
    return Runner(lambda: {"growth": growth}, losses)


def _torch_nchw() -> Runner:
    return _torch(channels_last=False)


def _torch_last() -> Runner:
    return _torch(channels_last=True)


def _torch_counted() -> Runner:
    """Bytes PyTorch's allocator hands out, from its profiler (whose own memory is not counted)."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from benchmarks import with_torch

    training = with_torch.DemoTraining()
    training.model.eval()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        _, losses = _growth(training, torch.from_numpy)
    result = profiler.profiler.kineto_results
    changes = [
        (event.start_ns(), event.nbytes()) for event in result.events()
        if event.name() == "[memory]"
    ]  # fmt: skip
    held = peak = 0
    for _, change in sorted(changes):
        held += change
        peak = max(peak, held)
    return Runner(lambda: {"counted": peak / MIB}, losses)


CASE = Case(
    name="memory",
    needs_data=True,
    method=(
        f"Growth of the process's high-water mark (VmHWM, reset before) over {STEPS} training "
        "steps of the demo's network at batch "
        f"{models.DEMO.batch}, from after model and batches were made; a fresh process each time, "
        "so the libraries' own first-use memory counts. Beside it the bytes the allocator handed "
        "out at most: `tg.memory_stats()`, and for PyTorch its profiler's memory events."
    ),
    variants=[
        Variant("Tegula", "tegula", _tegula),
        Variant("PyTorch", "torch", _torch_nchw),
        Variant("channels last", "torch", _torch_last),
        Variant("counted", "torch", _torch_counted),
    ],
    rows=[
        Row("memory of the demo's step", "growth", "MiB",
            target="no more than PyTorch", met=lambda ours, theirs: ours <= theirs),
        Row("the same, PyTorch: channels last", "growth", "MiB", theirs="channels last",
            target="no more than PyTorch", met=lambda ours, theirs: ours <= theirs),
        Row("allocator-counted bytes of those steps", "counted", "MiB", theirs="counted"),
    ],
    rounds=5,
    fresh=True,
)  # fmt: skip
