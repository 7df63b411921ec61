"""Training a small stack of transformer blocks, tokens per second."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks import models
from benchmarks.case import Case, Row, Runner, Variant

STEPS = 4
WARM_UP = 2


def _runner(step: Callable[[], Any]) -> Runner:
    losses = [step().item() for _ in range(models.GPT.checked_steps)]
    for _ in range(WARM_UP):
        step().item()

    def measure() -> dict[str, float]:
        start = time.perf_counter()
        for _ in range(STEPS):
            loss = step()
        loss.item()
        tokens = STEPS * models.GPT.batch * models.GPT.length
        return {"tokens": tokens / (time.perf_counter() - start)}

    return Runner(measure, losses)


def _tegula() -> Runner:
    from benchmarks import with_tegula

    return _runner(with_tegula.gpt_step())


def _torch() -> Runner:
    from benchmarks import with_torch

    return _runner(with_torch.gpt_step())


def _compiled() -> Runner:
    from benchmarks import with_torch

    return _runner(with_torch.gpt_step(compiled=True))


def _jax() -> Runner:
    from benchmarks import with_jax

    return _runner(with_jax.gpt_step())


_PEERS = ("PyTorch", "torch.compile", "JAX")

CASE = Case(
    name="gpt",
    method=(
        f"Training steps of {models.GPT.blocks} transformer blocks of width {models.GPT.width} on "
        f"batches of {models.GPT.batch} × {models.GPT.length} tokens, AdamW (fused in PyTorch), "
        f"{STEPS} in a row; the last loss is read. `models.gpt_loss` is the model of every "
        "framework. Tegula and PyTorch run eagerly, `torch.compile` compiles forward and backward "
        f"passes, JAX the whole step. Compared before: the losses of {models.GPT.checked_steps} "
        "steps."
    ),
    variants=[
        Variant("Tegula", "tegula", _tegula),
        Variant("PyTorch", "torch", _torch),
        Variant("torch.compile", "torch", _compiled),
        Variant("JAX", "jax", _jax),
    ],
    rows=[
        Row(f"transformer training, peer: {name}", "tokens", "tokens/s", "higher", theirs=name)
        for name in _PEERS
    ],
    rounds=5,
    tolerance=5e-3,
)  # fmt: skip
