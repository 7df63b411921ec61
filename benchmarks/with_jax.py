"""The models of ``models.py`` in JAX: a whole training step is one compiled function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import models

Weights = dict[str, jax.Array]


class Functions:
    """Those of ``models.gpt_loss``."""

    def embedding(self, weight: jax.Array, tokens: jax.Array) -> jax.Array:
        return weight[tokens]

    def layer_norm(self, x: jax.Array, weight: jax.Array, bias: jax.Array) -> jax.Array:
        apart = x - x.mean(-1, keepdims=True)
        return (
            apart * jax.lax.rsqrt(jnp.square(apart).mean(-1, keepdims=True) + 1e-5) * weight + bias
        )

    def causal_attention(self, q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        q, k, v = (x.swapaxes(1, 2) for x in (q, k, v))
        return jax.nn.dot_product_attention(q, k, v, is_causal=True).swapaxes(1, 2)

    def gelu(self, x: jax.Array) -> jax.Array:
        return jax.nn.gelu(x, approximate=True)

    def cross_entropy(self, logits: jax.Array, labels: jax.Array) -> jax.Array:
        picked = jnp.take_along_axis(logits, labels[:, None], 1)[:, 0]
        return (jax.nn.logsumexp(logits, 1) - picked).mean()


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


def gpt_step() -> Callable[[], jax.Array]:
    """A function that does one training step and returns the loss, unread."""
    functions = Functions()
    tokens, targets = (jnp.asarray(array) for array in models.gpt_data())
    loss = lambda w: models.gpt_loss(functions, w, tokens, targets)  # noqa: E731
    return _training(loss, models.gpt_weights())


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
