"""Derivatives and batches beyond a plain gradient, beside JAX and PyTorch's torch.func."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.case import Case, Row, Runner, Variant
from benchmarks.networks import Gpt, Mlp

GPT = Gpt(width=128, heads=4, vocabulary=1024, length=128)
DEEP = Gpt(blocks=12, width=128, heads=4, vocabulary=1024, batch=8)
MLP = Mlp()
WEIGHTS = sum(a * b + b for a, b in zip(MLP.sizes, MLP.sizes[1:], strict=False))


def _directions(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(8)
    return {k: random.normal(size=x.shape).astype(np.float32) for k, x in weights.items()}


def _norms(gradients: Mapping[str, Any]) -> Any:
    """The squared norm of each example's gradient."""
    return sum((g * g).sum(axis=tuple(range(1, g.ndim))) for g in gradients.values())


def _part(weights: Mapping[str, Any], block: int) -> dict[str, Any]:
    """The weights of one block."""
    return {name: x for name, x in weights.items() if name.startswith(f"{block}.")}


def _timed(call: Callable[[], Any], count: int) -> float:
    """Milliseconds of the fastest call."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def _metrics(calls: Mapping[str, Callable[[], Any]], write: float) -> dict[str, float]:
    ms = {name: _timed(call, 2 if name in ("plain", "checkpointed") else 5)
          for name, call in calls.items()}  # fmt: skip
    ratios = {
        "hvp_ratio": ("hvp", "gradient"),
        "norms_ratio": ("norms", "batch_gradient"),
        "checkpoint_ratio": ("checkpointed", "plain"),
        "jit_ratio": ("jit_grad", "jit_backward"),
    }
    found = {
        name: ms[above] / ms[below]
        for name, (above, below) in ratios.items()
        if above in ms and below in ms
    }
    bandwidth = 4e-6 * WEIGHTS * MLP.batch / ms["per_example"]
    return ms | found | {"per_example_bandwidth": bandwidth, "write_fraction": bandwidth / write}


def _write_bandwidth() -> float:
    """GB/s at which NumPy fills memory that it has touched, on one thread."""
    block = np.ones(WEIGHTS * MLP.batch, np.float32)
    return 1e-6 * block.nbytes / _timed(lambda: block.fill(2), 5)


def _tegula() -> Runner:
    import tegula as tg
    from benchmarks.with_tegula import Functions

    f = Functions()

    def tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, tg.Tensor]:
        return {name: tg.asarray(x) for name, x in arrays.items()}

    def ran(fn: Callable[..., Any], *args: Any) -> Callable[[], Any]:
        def call() -> Any:
            result = fn(*args)
            tg.eval(*tg.tree.leaves(result))
            tg.synchronize()
            return result

        call()
        call()
        return call

    w, v = tensors(GPT.weights()), tensors(_directions(GPT.weights()))
    data = [tg.asarray(x) for x in GPT.data()]
    gradient = tg.grad(lambda w: GPT.loss(f, w, *data))
    hvp = tg.jit(lambda w: tg.jvp(gradient, (w,), (v,))[1])

    m = tensors(MLP.weights())
    x, y = (tg.asarray(a) for a in MLP.data())
    one = tg.grad(lambda w, x, y: MLP.loss(f, w, x[None], y[None]))
    every = tg.vmap(one, in_axes=(None, 0, 0))

    deep = tensors(DEEP.weights())
    tokens = [tg.asarray(a) for a in DEEP.data()]

    def block(f: Any, w: dict[str, tg.Tensor], i: int, x: tg.Tensor) -> tg.Tensor:
        return tg.checkpoint(lambda part, x: DEEP.block(f, part, i, x))(_part(w, i), x)

    def loss_and_gradient(block: Any) -> Callable[..., Any]:
        return tg.jit(tg.value_and_grad(lambda w: DEEP.loss(f, w, *tokens, block=block)))

    def arena(fn: Callable[..., Any]) -> float:
        return float(tg.explain(fn, deep).plans[-1].arena_bytes)

    leaves = {name: value.detach().requires_grad_() for name, value in m.items()}

    @tg.jit
    def backward() -> list[tg.Tensor]:
        for p in leaves.values():
            p.grad = None
        MLP.loss(f, leaves, x, y).backward()
        return [p.grad for p in leaves.values()]

    plain, checkpointed = loss_and_gradient(None), loss_and_gradient(block)
    batch_gradient = tg.jit(tg.grad(lambda w: MLP.loss(f, w, x, y)))
    calls = {
        "gradient": ran(tg.jit(gradient), w),
        "hvp": ran(hvp, w),
        "batch_gradient": ran(batch_gradient, m),
        "per_example": ran(tg.jit(lambda w: every(w, x, y)), m),
        "norms": ran(tg.jit(lambda w: _norms(every(w, x, y))), m),
        "plain": ran(plain, deep),
        "checkpointed": ran(checkpointed, deep),
        "jit_grad": ran(batch_gradient, m),
        "jit_backward": ran(backward),
    }
    memory = arena(checkpointed) / arena(plain)
    outputs = [float((calls["hvp"]()["0.up.weight"] ** 2).sum()), float(calls["norms"]().sum())]
    return Runner(lambda: _metrics(calls, _write_bandwidth()) | {"memory_ratio": memory}, outputs)


def _jax() -> Runner:
    import jax
    import jax.numpy as jnp

    from benchmarks.with_jax import Functions

    f = Functions()

    def ran(fn: Callable[..., Any], *args: Any) -> Callable[[], Any]:
        def call() -> Any:
            return jax.block_until_ready(fn(*args))

        call()
        return call

    def arrays(given: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
        return {name: jnp.asarray(x) for name, x in given.items()}

    w, v = arrays(GPT.weights()), arrays(_directions(GPT.weights()))
    data = [jnp.asarray(x) for x in GPT.data()]
    gradient = jax.grad(lambda w: GPT.loss(f, w, *data))
    m = arrays(MLP.weights())
    x, y = (jnp.asarray(a) for a in MLP.data())
    every = jax.vmap(
        jax.grad(lambda w, x, y: MLP.loss(f, w, x[None], y[None])), in_axes=(None, 0, 0)
    )

    deep = arrays(DEEP.weights())
    tokens = [jnp.asarray(a) for a in DEEP.data()]

    def block(f: Any, w: dict[str, jax.Array], i: int, x: jax.Array) -> jax.Array:
        return jax.checkpoint(lambda part, x: DEEP.block(f, part, i, x))(_part(w, i), x)

    def step(block: Any) -> Callable[..., Any]:
        return jax.jit(jax.value_and_grad(lambda w: DEEP.loss(f, w, *tokens, block=block)))

    calls = {
        "gradient": ran(jax.jit(gradient), w),
        "hvp": ran(jax.jit(lambda w: jax.jvp(gradient, (w,), (v,))[1]), w),
        "batch_gradient": ran(jax.jit(jax.grad(lambda w: MLP.loss(f, w, x, y))), m),
        "per_example": ran(jax.jit(lambda w: every(w, x, y)), m),
        "norms": ran(jax.jit(lambda w: _norms(every(w, x, y))), m),
        "plain": ran(step(None), deep),
        "checkpointed": ran(step(block), deep),
    }
    outputs = [float((calls["hvp"]()["0.up.weight"] ** 2).sum()), float(calls["norms"]().sum())]
    return Runner(lambda: _metrics(calls, _write_bandwidth()), outputs)


CASE = Case(
    name="transforms",
    method=(
        "Fastest of five calls a round (two for the checkpointed network), everything under "
        "`tg.jit` and `jax.jit`. Hessian-vector product (`jvp` of `grad`) of a transformer of 6 "
        "blocks of width 128 (4 heads, 4 × 128 tokens of 1024); gradients of each of 128 examples "
        "of the 784–512–256–10 network by `vmap` of `grad`, written out (274 MB) and as norms "
        "alone; gradient of a transformer of 12 blocks of width 128 (8 × 256 tokens) with each "
        "block in `checkpoint`. Memory is the plan's arena: what lies between arguments and "
        "results. The bandwidth of writing is that of NumPy's `fill` on one thread in the same "
        "round. Compared before: norms of the product and of the gradients."
    ),
    variants=[
        Variant("Tegula", "tegula", _tegula),
        Variant("JAX", "jax", _jax),
    ],
    rows=[
        Row("gradient of the transformer", "gradient", "ms", theirs="JAX"),
        Row("its Hessian-vector product", "hvp", "ms", theirs="JAX"),
        Row("product over gradient", "hvp_ratio", "", theirs="JAX",
            target="at most 4", met=lambda ours, _: ours <= 4),
        Row("gradients of each example, written", "per_example", "ms", theirs="JAX"),
        Row("their bandwidth", "per_example_bandwidth", "GB/s", better="higher", theirs="JAX"),
        Row("as a fraction of that of writing", "write_fraction", "", better="higher",
            theirs="JAX", target="at least 0.7", met=lambda ours, _: ours >= 0.7),
        Row("norms of each example's gradient", "norms", "ms", theirs="JAX"),
        Row("over the gradient of the batch", "norms_ratio", "", theirs="JAX",
            target="at most 2.5", met=lambda ours, _: ours <= 2.5),
        Row("gradient of 12 blocks", "plain", "ms", theirs="JAX"),
        Row("the same, checkpointed", "checkpointed", "ms", theirs="JAX"),
        Row("checkpointed over plain, time", "checkpoint_ratio", "", theirs="JAX",
            target="at most 1.35", met=lambda ours, _: ours <= 1.35),
        Row("checkpointed over plain, memory", "memory_ratio", "", theirs=None,
            target="at most 0.3", met=lambda ours, _: ours <= 0.3),
        Row("`tg.grad` over `.backward()`, under `tg.jit`", "jit_ratio", "", theirs=None,
            target="at most 1.05", met=lambda ours, _: ours <= 1.05),
    ],
    rounds=5,
    tolerance=5e-3,
    timeout=900,
)  # fmt: skip
