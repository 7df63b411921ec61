"""What all frameworks compute: models, first weights, data and optimizer.

NumPy alone is imported, so that every framework's process can read it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

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


MLP = Mlp()
DEMO = Demo()


def uniform(random: np.random.Generator, fan_in: int, *shape: int) -> np.ndarray:
    """Values within ±1 / sqrt(fan_in)."""
    bound = fan_in**-0.5
    return random.uniform(-bound, bound, shape).astype(np.float32)


def mlp_weights() -> Weights:
    """First weights, named as in a ``Sequential`` of linear layers and activations."""
    random = np.random.default_rng(0)
    weights = {}
    for i, (fan_in, fan_out) in enumerate(zip(MLP.sizes, MLP.sizes[1:], strict=False)):
        weights[f"{2 * i}.weight"] = uniform(random, fan_in, fan_out, fan_in)
        weights[f"{2 * i}.bias"] = uniform(random, fan_in, fan_out)
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
        weights[f"{name}.weight"] = uniform(random, fan_in, *shape)
        weights[f"{name}.bias"] = uniform(random, fan_in, shape[0])
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
