"""What all frameworks compute: models, first weights, data and optimizer.

NumPy alone is imported, so that every framework's process can read it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

DATA_FOLDER = "TEGULA_BENCH_DATA"  # environment variable: where the parent put the arrays

LEARNING_RATE = 2e-3
BETAS = (0.9, 0.999)
EPS = 1e-8
WEIGHT_DECAY = 1e-2

Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class Mlp:
    """The tiny training step: 4–64–64–2, tanh between the layers, mean squared error."""

    sizes: tuple[int, ...] = (4, 64, 64, 2)
    batch: int = 32
    checked_steps: int = 30


@dataclass(frozen=True)
class Demo:
    """The training of ``examples/fashion_mnist.py``: its ``Net``, batches and loss."""

    batch: int = 128
    channels: tuple[int, int] = (16, 32)
    hidden: int = 128
    classes: int = 10
    dropout: float = 0.2
    mean: float = 0.286
    deviation: float = 0.353
    checked_steps: int = 20


@dataclass(frozen=True)
class Gpt:
    """A stack of pre-norm transformer blocks that predicts the next token; no dropout."""

    blocks: int = 4
    width: int = 256
    heads: int = 4
    vocabulary: int = 1024
    length: int = 128
    batch: int = 8
    checked_steps: int = 8


MLP = Mlp()
DEMO = Demo()
GPT = Gpt()


def _uniform(random: np.random.Generator, fan_in: int, *shape: int) -> np.ndarray:
    bound = fan_in**-0.5
    return random.uniform(-bound, bound, shape).astype(np.float32)


def mlp_weights() -> Weights:
    """First weights, named as in a ``Sequential`` of linear layers and activations."""
    random = np.random.default_rng(0)
    weights = {}
    for i, (fan_in, fan_out) in enumerate(zip(MLP.sizes, MLP.sizes[1:], strict=False)):
        weights[f"{2 * i}.weight"] = _uniform(random, fan_in, fan_out, fan_in)
        weights[f"{2 * i}.bias"] = _uniform(random, fan_in, fan_out)
    return weights


def mlp_data() -> tuple[np.ndarray, np.ndarray]:
    """A batch of inputs (32, 4) and targets (32, 2)."""
    random = np.random.default_rng(1)
    x = random.normal(size=(MLP.batch, MLP.sizes[0])).astype(np.float32)
    return x, np.stack([np.sin(x.sum(axis=1)), x[:, 0] * x[:, 1]], axis=1).astype(np.float32)


def demo_weights() -> Weights:
    """First weights, named as in the demo's ``Net``."""
    random = np.random.default_rng(2)
    first, second = DEMO.channels
    flat = second * 7 * 7
    layers = {
        "features.0": (first, 1, 3, 3),
        "features.3": (second, first, 3, 3),
        "classifier.1": (DEMO.hidden, flat),
        "classifier.4": (DEMO.classes, DEMO.hidden),
    }
    weights = {}
    for name, shape in layers.items():
        fan_in = int(np.prod(shape[1:]))
        weights[f"{name}.weight"] = _uniform(random, fan_in, *shape)
        weights[f"{name}.bias"] = _uniform(random, fan_in, shape[0])
    return weights


def write_demo_data(folder: Path) -> None:
    """Puts the training images where ``demo_data`` finds them. Needs Tegula."""
    from tegula.data import fashion_mnist

    images, labels = fashion_mnist().arrays
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels)


def demo_data() -> tuple[np.ndarray, np.ndarray]:
    """Fashion-MNIST's training images (60000, 1, 28, 28) uint8 and labels (60000,) int64."""
    folder = Path(os.environ[DATA_FOLDER])
    return np.load(folder / "images.npy"), np.load(folder / "labels.npy")


def demo_batches(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The first batches in order."""
    images, labels = demo_data()
    size = DEMO.batch
    return [
        (images[i * size : (i + 1) * size], labels[i * size : (i + 1) * size]) for i in range(count)
    ]


def gpt_weights() -> Weights:
    """First weights of ``gpt_loss``; matrices are (in, out)."""
    random = np.random.default_rng(3)
    width = GPT.width

    def norm(name: str) -> Weights:
        ones, zeros = np.ones(width, np.float32), np.zeros(width, np.float32)
        return {f"{name}.weight": ones, f"{name}.bias": zeros}

    def linear(name: str, fan_in: int, fan_out: int) -> Weights:
        return {
            f"{name}.weight": _uniform(random, fan_in, fan_in, fan_out),
            f"{name}.bias": np.zeros(fan_out, np.float32),
        }

    weights: Weights = {
        "tokens": _uniform(random, width, GPT.vocabulary, width),
        "positions": _uniform(random, width, GPT.length, width),
    }
    for i in range(GPT.blocks):
        weights |= norm(f"{i}.norm1") | linear(f"{i}.qkv", width, 3 * width)
        weights |= linear(f"{i}.out", width, width) | norm(f"{i}.norm2")
        weights |= linear(f"{i}.up", width, 4 * width) | linear(f"{i}.down", 4 * width, width)
    return weights | norm("norm") | linear("head", width, GPT.vocabulary)


def gpt_data() -> tuple[np.ndarray, np.ndarray]:
    """Tokens and those that follow them, (batch, length) int64: counting with random steps."""
    random = np.random.default_rng(4)
    steps = random.integers(1, 4, (GPT.batch, GPT.length + 1))
    tokens = steps.cumsum(axis=1) % GPT.vocabulary
    return tokens[:, :-1].copy(), tokens[:, 1:].copy()


class Functions(Protocol):
    """What ``gpt_loss`` needs of a framework beside its tensors' operators and methods."""

    def embedding(self, weight: Any, tokens: Any) -> Any: ...
    def layer_norm(self, x: Any, weight: Any, bias: Any) -> Any: ...
    def causal_attention(self, q: Any, k: Any, v: Any) -> Any: ...
    def gelu(self, x: Any) -> Any: ...
    def cross_entropy(self, logits: Any, labels: Any) -> Any: ...


def gpt_loss(f: Functions, w: Mapping[str, Any], tokens: Any, targets: Any) -> Any:
    """Mean cross-entropy of the next tokens: the model itself, the same for every framework."""
    g = GPT
    rows = (g.batch, g.length, g.width)

    def linear(name: str, x: Any) -> Any:
        return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

    def norm(name: str, x: Any) -> Any:
        return f.layer_norm(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def heads(x: Any) -> Any:
        return x.reshape((g.batch, g.length, g.heads, g.width // g.heads)).swapaxes(1, 2)

    x = f.embedding(w["tokens"], tokens) + w["positions"]
    for i in range(g.blocks):
        qkv = linear(f"{i}.qkv", norm(f"{i}.norm1", x))
        q, k, v = (heads(qkv[..., j * g.width : (j + 1) * g.width]) for j in range(3))
        mixed = f.causal_attention(q, k, v).swapaxes(1, 2).reshape(rows)
        x = x + linear(f"{i}.out", mixed)
        x = x + linear(f"{i}.down", f.gelu(linear(f"{i}.up", norm(f"{i}.norm2", x))))
    logits = linear("head", norm("norm", x)).reshape((g.batch * g.length, g.vocabulary))
    return f.cross_entropy(logits, targets.reshape((g.batch * g.length,)))
