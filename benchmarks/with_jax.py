"""The models of ``models.py`` and ``networks.py`` in JAX: a whole step is one compiled function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import models
from benchmarks.networks import Network

Weights = dict[str, jax.Array]


class Functions:
    """Those of ``networks.py``."""

    relu = staticmethod(jax.nn.relu)

    def gelu(self, x: jax.Array) -> jax.Array:
        return jax.nn.gelu(x, approximate=True)

    def embedding(self, weight: jax.Array, tokens: jax.Array) -> jax.Array:
        return weight[tokens]

    def layer_norm(self, x: jax.Array, weight: jax.Array, bias: jax.Array) -> jax.Array:
        return _normalized(x, -1) * weight + bias

    def batch_norm(self, x: jax.Array, weight: jax.Array, bias: jax.Array) -> jax.Array:
        return _normalized(x, (0, 1, 2)) * weight + bias

    def causal_attention(self, q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        q, k, v = (x.swapaxes(1, 2) for x in (q, k, v))
        return jax.nn.dot_product_attention(q, k, v, is_causal=True).swapaxes(1, 2)

    def cross_entropy(self, logits: jax.Array, labels: jax.Array) -> jax.Array:
        picked = jnp.take_along_axis(logits, labels[:, None], 1)[:, 0]
        return (jax.nn.logsumexp(logits, 1) - picked).mean()

    def conv(self, x: jax.Array, weight: jax.Array, stride: int) -> jax.Array:
        pad = weight.shape[0] // 2
        return jax.lax.conv_general_dilated(
            x, weight, (stride, stride), [(pad, pad)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip

    def global_mean(self, x: jax.Array) -> jax.Array:
        return x.mean((1, 2))

    def lstm(self, x: jax.Array, *weights: jax.Array) -> jax.Array:
        w_ih, w_hh, b_ih, b_hh = weights
        given = x @ w_ih.T + (b_ih + b_hh)
        zeros = jnp.zeros((x.shape[1], w_hh.shape[1]))

        def cell(state: tuple[jax.Array, jax.Array], now: jax.Array) -> Any:
            h, c = state
            i, f, g, o = jnp.split(now + h @ w_hh.T, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        return jax.lax.scan(cell, (zeros, zeros), given)[1]


def _normalized(x: jax.Array, axes: int | tuple[int, ...]) -> jax.Array:
    apart = x - x.mean(axes, keepdims=True)
    return apart * jax.lax.rsqrt(jnp.square(apart).mean(axes, keepdims=True) + 1e-5)


def _training(
    loss: Callable[..., jax.Array], weights: models.Weights, *data: Any
) -> Callable[[], jax.Array]:
    """A function that does one step with AdamW and returns the loss, unread."""
    beta1, beta2 = models.BETAS

    def update(w: Weights, m: Weights, v: Weights, t: jax.Array) -> Any:
        value, gradient = jax.value_and_grad(loss)(w, *data)
        tree = jax.tree_util.tree_map
        t = t + 1
        m = tree(lambda m, g: beta1 * m + (1 - beta1) * g, m, gradient)
        v = tree(lambda v, g: beta2 * v + (1 - beta2) * g * g, v, gradient)

        def moved(p: jax.Array, m: jax.Array, v: jax.Array) -> jax.Array:
            size = jnp.sqrt(v / (1 - beta2**t)) + models.EPS
            shrunk = p * (1 - models.LEARNING_RATE * models.WEIGHT_DECAY)
            return shrunk - models.LEARNING_RATE * (m / (1 - beta1**t)) / size

        return tree(moved, w, m, v), m, v, t, value

    compiled = jax.jit(update, donate_argnums=(0, 1, 2))
    first = {name: jnp.asarray(value) for name, value in weights.items()}
    zeros = [jax.tree_util.tree_map(jnp.zeros_like, first) for _ in range(2)]
    state: list[Any] = [first, *zeros, jnp.float32(0)]

    def step() -> jax.Array:
        *state[:], value = compiled(*state)
        return value

    return step


def _laid_out(array: Any, axes: tuple[int, ...]) -> jax.Array:
    return jnp.asarray(array.transpose(axes) if array.ndim == 4 else array)


def training_step(network: Network) -> Callable[..., jax.Array]:
    """A function that does one training step on the network's data and returns the loss, unread.

    Images are (N, H, W, C) and filters (H, W, I, O), which is what XLA computes with.
    """
    functions = Functions()
    batch = tuple(_laid_out(array, (0, 2, 3, 1)) for array in network.data())
    loss = lambda w: network.loss(functions, w, *batch)  # noqa: E731
    weights = {name: _laid_out(value, (2, 3, 1, 0)) for name, value in network.weights().items()}
    return _training(loss, weights)


def mlp_step() -> Callable[[], jax.Array]:
    """A function that does one training step and returns the loss, unread."""
    x, y = (jnp.asarray(array) for array in models.mlp_data())
    layers = len(models.MLP.sizes) - 1

    def loss(w: Weights) -> jax.Array:
        h = x
        for i in range(layers):
            h = h @ w[f"{2 * i}.weight"].T + w[f"{2 * i}.bias"]
            h = jnp.tanh(h) if i + 1 < layers else h
        return jnp.square(h - y).mean()

    return _training(loss, models.mlp_weights())
