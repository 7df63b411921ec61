"""Training steps of whole networks, undecorated, beside PyTorch eager and compiled and JAX."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.case import Case, Row, Runner, Variant
from benchmarks.networks import NETWORKS

WARM_UP = 2
PEERS = ("PyTorch", "torch.compile", "JAX")


def steps_runner(
    step: Callable[[], Any], steps: int, checked: int, warm_up: int, units: float
) -> Runner:
    """The mean time of ``steps`` in a row, in so many ``units`` a second, after the losses of
    ``checked`` and ``warm_up`` more."""
    losses = [step().item() for _ in range(checked)]
    for _ in range(warm_up):
        step().item()

    def measure() -> dict[str, float]:
        start = time.perf_counter()
        for _ in range(steps):
            loss = step()
        loss.item()
        return {"step": units * (time.perf_counter() - start) / steps}

    return Runner(measure, losses)


def _runner(step: Callable[[], Any], steps: int, checked: int) -> Runner:
    return steps_runner(step, steps, checked, WARM_UP, units=1e3)


def training_case(name: str, what: str, target: float, steps: int, checked: int = 6) -> Case:
    """Training of ``NETWORKS[name]``; a step is to be ``target`` times as fast as any peer's.

    Times are means of ``steps`` in a row; the losses of ``checked`` steps are compared.
    """

    def tegula(jit: bool) -> Runner:
        import tegula as tg
        from benchmarks import with_tegula

        step = with_tegula.training_step(NETWORKS[name])
        return _runner(tg.jit(step) if jit else step, steps, checked)

    def torch(compiled: bool) -> Runner:
        from benchmarks import with_torch

        return _runner(with_torch.training_step(NETWORKS[name], compiled), steps, checked)

    def jax() -> Runner:
        from benchmarks import with_jax

        return _runner(with_jax.training_step(NETWORKS[name]), steps, checked)

    return Case(
        name=name,
        method=(
            f"Mean of {steps} training steps in a row (AdamW, fused in PyTorch) of {what}; the "
            "last loss is read. The network is that of `benchmarks/networks.py` everywhere. "
            "Tegula without `tg.jit` and with it, PyTorch eager and with forward and backward "
            "passes compiled (images channels-last), JAX with the whole step compiled. Compared "
            f"before: the losses of {checked} steps."
        ),
        variants=[
            Variant("Tegula", "tegula", lambda: tegula(jit=False)),
            Variant("Tegula, jit", "tegula", lambda: tegula(jit=True)),
            Variant("PyTorch", "torch", lambda: torch(compiled=False)),
            Variant("torch.compile", "torch", lambda: torch(compiled=True)),
            Variant("JAX", "jax", jax),
        ],
        rows=[
            *(
                Row(f"training step, peer: {peer}", "step", "ms", theirs=peer,
                    target=f"{target} × faster", met=lambda a, b: target * a <= b)
                for peer in PEERS
            ),
            Row("the same under `tg.jit`", "step", "ms", ours="Tegula, jit", theirs=None),
        ],
        rounds=5,
        tolerance=5e-3,
        timeout=600,
    )  # fmt: skip
