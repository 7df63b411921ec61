"""How much memory training steps take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import models
from benchmarks.case import Case, Row, Runner, Variant
from benchmarks.networks import NETWORKS

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


def _growth(step: Callable[[int], Any]) -> tuple[float, list[float]]:
    _reset_high_water()
    before = _high_water()
    losses = [step(i) for i in range(STEPS)]
    losses[-1].item()
    growth = (_high_water() - before) / MIB
    return growth, [loss.item() for loss in losses[:2]]


def _demo_step(training: Any, make: Callable[[Any], Any]) -> Callable[[int], Any]:
    training.model.eval()  # dropout draws differently elsewhere
    batches = [tuple(map(make, batch)) for batch in models.demo_batches(STEPS)]
    return lambda i: training.step(*batches[i])


def _tegula(program: str) -> Runner:
    import tegula as tg
    from benchmarks import with_tegula

    if program == "demo":
        step = _demo_step(with_tegula.DemoTraining(), tg.asarray)
    else:
        train = with_tegula.training_step(NETWORKS[program])
        step = lambda _: train()  # noqa: E731
    tg.synchronize()
    tg.reset_peak_memory()
    live = tg.memory_stats()["live_bytes"]
    growth, losses = _growth(step)
    counted = (tg.memory_stats()["peak_bytes"] - live) / MIB
    return Runner(lambda: {"growth": growth, "counted": counted}, losses)


def _torch_step(program: str, channels_last: bool = False) -> Callable[[int], Any]:
    import torch

    from benchmarks import with_torch

    if program == "demo":
        return _demo_step(with_torch.DemoTraining(channels_last), torch.from_numpy)
    train = with_torch.training_step(NETWORKS[program])
    return lambda _: train()


def _torch(program: str, channels_last: bool = False) -> Runner:
    growth, losses = _growth(_torch_step(program, channels_last))
    return Runner(lambda: {"growth": growth}, losses)


def _torch_counted(program: str) -> Runner:
    """Bytes PyTorch's allocator hands out, from its profiler (whose own memory is not counted)."""
    from torch.profiler import ProfilerActivity, profile

    step = _torch_step(program)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        _, losses = _growth(step)
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


def _variants(program: str) -> list[Variant]:
    return [
        Variant(f"Tegula, {program}", "tegula", lambda: _tegula(program), program),
        Variant(f"PyTorch, {program}", "torch", lambda: _torch(program), program),
        Variant(f"counted, {program}", "torch", lambda: _torch_counted(program), program),
    ]


def _rows(program: str, title: str) -> list[Row]:
    ours = f"Tegula, {program}"
    met = lambda a, b: a <= 0.8 * b  # noqa: E731
    return [
        Row(f"memory of {title}", "growth", "MiB", ours=ours, theirs=f"PyTorch, {program}",
            target="at most 0.8 ×", met=met),
        Row("allocator-counted bytes of those steps", "counted", "MiB", ours=ours,
            theirs=f"counted, {program}", target="at most 0.8 ×", met=met),
    ]  # fmt: skip


CASE = Case(
    name="memory",
    needs_data=True,
    method=(
        f"Growth of the process's high-water mark (VmHWM, reset before) over {STEPS} training "
        f"steps of the demo's network (batch {models.DEMO.batch}), ResNet-18 and the transformer "
        "(`benchmarks/networks.py`, AdamW), from after model and data were made; a fresh process "
        "each time, so the libraries' own first-use memory counts. Beside it the bytes the "
        "allocator handed out at most: `tg.memory_stats()`, and for PyTorch its profiler's memory "
        "events."
    ),
    variants=[
        *_variants("demo"),
        Variant("channels last, demo", "torch", lambda: _torch("demo", True), "demo"),
        *_variants("resnet"),
        *_variants("gpt"),
    ],
    rows=[
        *_rows("demo", "the demo's step"),
        Row("memory of the demo's step, PyTorch: channels last", "growth", "MiB",
            ours="Tegula, demo", theirs="channels last, demo",
            target="at most 0.8 ×", met=lambda a, b: a <= 0.8 * b),
        *_rows("resnet", "ResNet-18's step"),
        *_rows("gpt", "the transformer's step"),
    ],
    rounds=3,
    fresh=True,
    tolerance=5e-3,
)  # fmt: skip
