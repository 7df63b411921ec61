"""One training step of a network so small that only overheads count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import models
from benchmarks.case import Case, Row, Runner, Variant
from benchmarks.cases.training import steps_runner

STEPS = 300
WARM_UP = 50


def _runner(step: Callable[[], Any]) -> Runner:
    return steps_runner(step, STEPS, models.MLP.checked_steps, WARM_UP, units=1e6)


def _tegula() -> Runner:
    import tegula as tg
    from benchmarks import with_tegula

    step = with_tegula.mlp_step()
    runner = _runner(step)

    def evaluations() -> int:
        stats = tg.plan_cache_stats()
        return stats["hits"] + stats["misses"]

    def measure() -> dict[str, float]:
        metrics = runner.round()
        tg.synchronize()
        before = evaluations()
        step()
        metrics["evaluations"] = evaluations() - before
        metrics["nodes"] = metrics["evaluations"] * tg.plan_cache_stats()["nodes"]
        metrics["steps"] = tg.plan_cache_stats()["steps"]
        return metrics

    return Runner(measure, runner.outputs)


def _tegula_jit() -> Runner:
    import tegula as tg
    from benchmarks import with_tegula

    return _runner(tg.jit(with_tegula.mlp_step()))


def _torch() -> Runner:
    from benchmarks import with_torch

    return _runner(with_torch.mlp_step())


def _jax() -> Runner:
    from benchmarks import with_jax

    return _runner(with_jax.mlp_step())


CASE = Case(
    name="tiny_step",
    method=(
        f"Mean of {STEPS} training steps in a row (forward, `zero_grad`, `backward`, `step`) of a "
        "4–64–64–2 tanh network, batch 32, mean squared error, AdamW; without `tg.jit` and with "
        "it, PyTorch eager with `fused=True`, JAX with the whole step compiled. The last loss is "
        "read, so all work "
        "is in the time. Nodes: those of the step's evaluation, as `tg.plan_cache_stats()` "
        "counts them."
    ),
    variants=[
        Variant("Tegula", "tegula", _tegula),
        Variant("Tegula, jit", "tegula", _tegula_jit),
        Variant("PyTorch", "torch", _torch),
        Variant("JAX", "jax", _jax),
    ],
    rows=[
        Row("training step of a 4–64–64–2 network", "step", "µs",
            target="3 × faster than PyTorch", met=lambda ours, theirs: 3 * ours <= theirs),
        Row("the same, peer: JAX", "step", "µs", theirs="JAX"),
        Row("the same under `tg.jit`, peer: JAX", "step", "µs", ours="Tegula, jit", theirs="JAX",
            target="at most 15 µs", met=lambda ours, _: ours <= 15),
        Row("the same under `tg.jit`, peer: PyTorch", "step", "µs", ours="Tegula, jit"),
        Row("nodes recorded in that step", "nodes", "nodes", theirs=None,
            target="at most 50", met=lambda ours, _: ours <= 50),
        Row("evaluations in that step", "evaluations", "", theirs=None),
        Row("plan steps in that step", "steps", "", theirs=None),
    ],
)  # fmt: skip
