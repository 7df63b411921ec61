"""What the first step of a program costs beyond those that follow."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks.case import Case, Row, Runner, Variant
from benchmarks.networks import Gpt, Mlp, Network

STEADY = 5
# Each network, and another one that needs the same memory but another program: trained before, it
# leaves memory in the allocator and the libraries loaded.
NETWORKS: dict[str, tuple[Network, Network]] = {
    "mlp": (Mlp(), replace(Mlp(), activation="gelu")),
    "gpt": (Gpt(), replace(Gpt(), heads=12)),
}


def _measure(name: str, make: Callable[[Network], Callable[[], Any]], warm: bool) -> Runner:
    network, other = NETWORKS[name]
    if warm:
        before = make(other)
        for _ in range(2):
            before().item()
        del before
    step = make(network)
    times, losses = [], []
    for _ in range(1 + STEADY):
        start = time.perf_counter()
        losses.append(step().item())
        times.append(1e3 * (time.perf_counter() - start))
    extra = times[0] - sorted(times[1:])[STEADY // 2]
    return Runner(lambda: {"warm" if warm else "cold": extra}, losses)


def _tegula(name: str, warm: bool, jit: bool) -> Runner:
    import tegula as tg
    from benchmarks import with_tegula

    def make(network: Network) -> Callable[[], Any]:
        step = with_tegula.training_step(network)
        tg.synchronize()
        return tg.jit(step) if jit else step

    return _measure(name, make, warm)


def _torch(name: str, warm: bool, compiled: bool) -> Runner:
    from benchmarks import with_torch

    return _measure(name, lambda network: with_torch.training_step(network, compiled), warm)


def _jax(name: str, warm: bool) -> Runner:
    from benchmarks import with_jax

    return _measure(name, with_jax.training_step, warm)


def _variants(name: str) -> list[Variant]:
    variants = []
    for warm in (True, False):
        end = f", {name}" if warm else f", {name}, cold"
        make = {"name": name, "warm": warm}
        variants += [
            Variant(f"Tegula{end}", "tegula", lambda make=make: _tegula(**make, jit=False), name),
            Variant(f"jit{end}", "tegula", lambda make=make: _tegula(**make, jit=True), name),
        ]
        if warm:
            compile = lambda make=make: _torch(**make, compiled=True)  # noqa: E731
            variants += [
                Variant(f"PyTorch{end}", "torch", lambda make=make: _torch(**make, compiled=False),
                        name),
                Variant(f"torch.compile{end}", "torch", compile, name),
                Variant(f"JAX{end}", "jax", lambda make=make: _jax(**make), name),
            ]  # fmt: skip
    return variants


def _rows(name: str, what: str, target: int) -> list[Row]:
    met = lambda ours, _: ours <= target  # noqa: E731
    within = f"at most {target} ms"
    peers = [
        Row("the same, peer: " + peer, "warm", "ms", ours=f"Tegula, {name}",
            theirs=f"{peer}, {name}")
        for peer in ("torch.compile", "JAX")
    ]  # fmt: skip
    return [
        Row(f"first step of {what} beyond the next", "warm", "ms", ours=f"Tegula, {name}",
            theirs=f"PyTorch, {name}", target=within, met=met),
        *peers,
        Row("the same under `tg.jit`", "warm", "ms", ours=f"jit, {name}", theirs=None,
            target=within, met=met),
        Row("the same in a fresh process", "cold", "ms", ours=f"Tegula, {name}, cold", theirs=None),
        Row("the same in a fresh process under `tg.jit`", "cold", "ms", ours=f"jit, {name}, cold",
            theirs=None),
    ]  # fmt: skip


CASE = Case(
    name="first_call",
    method=(
        f"The first training step less the median of the {STEADY} that follow, each read, of the "
        "networks of `benchmarks/networks.py`; a fresh process each time. Before it another "
        "program that needs the same memory was trained (the MLP with GELU, the transformer with "
        "12 heads), so libraries are loaded and memory is there; without that in the rows of a "
        "fresh process."
    ),
    variants=[*_variants("mlp"), *_variants("gpt")],
    rows=[
        *_rows("mlp", "a 784–512–256–10 network", 20),
        *_rows("gpt", "a transformer of 6 blocks", 100),
    ],
    rounds=3,
    fresh=True,
    tolerance=5e-3,
)
