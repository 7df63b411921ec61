"""Networks that every framework trains: first weights, data and the loss itself, stated once.

A network's ``loss`` is written with a tensor's operators and methods and a few ``Functions``, so
the same lines run in each framework. NumPy alone is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from benchmarks.models import Weights, uniform

Arrays = tuple[np.ndarray, ...]


class Functions(Protocol):
    """What the networks need of a framework beside its tensors' operators and methods."""

    def relu(self, x: Any) -> Any: ...
    def gelu(self, x: Any) -> Any: ...
    def embedding(self, weight: Any, tokens: Any) -> Any: ...
    def layer_norm(self, x: Any, weight: Any, bias: Any) -> Any: ...
    def causal_attention(self, q: Any, k: Any, v: Any) -> Any: ...
    def cross_entropy(self, logits: Any, labels: Any) -> Any: ...

    def conv(self, x: Any, weight: Any, stride: int) -> Any:
        """A square kernel, padded so that stride 1 keeps the image's size."""

    def batch_norm(self, x: Any, weight: Any, bias: Any) -> Any:
        """By the statistics of the batch; running ones are not kept."""

    def global_mean(self, x: Any) -> Any:
        """The mean over an image, (N, C)."""

    def lstm(self, x: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
        """From zero states over x (T, N, I): all outputs (T, N, H)."""


class Network(Protocol):
    """Something to train: its first weights, one batch and the loss."""

    def weights(self) -> Weights: ...
    def data(self) -> Arrays: ...
    def loss(self, f: Functions, w: Mapping[str, Any], *data: Any) -> Any: ...


def _norm(name: str, width: int) -> Weights:
    ones, zeros = np.ones(width, np.float32), np.zeros(width, np.float32)
    return {f"{name}.weight": ones, f"{name}.bias": zeros}


def _linear(random: np.random.Generator, name: str, fan_in: int, fan_out: int) -> Weights:
    return {
        f"{name}.weight": uniform(random, fan_in, fan_in, fan_out),
        f"{name}.bias": np.zeros(fan_out, np.float32),
    }


def linear(w: Mapping[str, Any], name: str, x: Any) -> Any:
    """x times a matrix (in, out) plus a bias."""
    return x @ w[f"{name}.weight"] + w[f"{name}.bias"]


@dataclass(frozen=True)
class Mlp:
    """Linear layers with ReLU or GELU between them, and cross-entropy."""

    sizes: tuple[int, ...] = (784, 512, 256, 10)
    batch: int = 128
    activation: str = "relu"

    def weights(self) -> Weights:
        random = np.random.default_rng(5)
        weights: Weights = {}
        for i, (fan_in, fan_out) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            weights |= _linear(random, str(i), fan_in, fan_out)
        return weights

    def data(self) -> Arrays:
        """Images (batch, 784) float32 and labels (batch,) int64."""
        random = np.random.default_rng(6)
        x = random.normal(size=(self.batch, self.sizes[0])).astype(np.float32)
        return x, random.integers(0, self.sizes[-1], self.batch)

    def loss(self, f: Functions, w: Mapping[str, Any], *data: Any) -> Any:
        x, labels = data
        layers = len(self.sizes) - 1
        for i in range(layers):
            x = linear(w, str(i), x)
            x = getattr(f, self.activation)(x) if i + 1 < layers else x
        return f.cross_entropy(x, labels)


@dataclass(frozen=True)
class Gpt:
    """Pre-norm transformer blocks that predict the next token; no dropout."""

    blocks: int = 6
    width: int = 384
    heads: int = 6
    vocabulary: int = 8192
    length: int = 256
    batch: int = 4

    def weights(self) -> Weights:
        """Matrices are (in, out)."""
        random = np.random.default_rng(3)
        width = self.width
        weights: Weights = {
            "tokens": uniform(random, width, self.vocabulary, width),
            "positions": uniform(random, width, self.length, width),
        }
        for i in range(self.blocks):
            weights |= _norm(f"{i}.norm1", width) | _linear(random, f"{i}.qkv", width, 3 * width)
            weights |= _linear(random, f"{i}.out", width, width) | _norm(f"{i}.norm2", width)
            weights |= _linear(random, f"{i}.up", width, 4 * width)
            weights |= _linear(random, f"{i}.down", 4 * width, width)
        return weights | _norm("norm", width) | _linear(random, "head", width, self.vocabulary)

    def data(self) -> Arrays:
        """Tokens and those that follow, (batch, length) int64: counting with random steps."""
        random = np.random.default_rng(4)
        steps = random.integers(1, 4, (self.batch, self.length + 1))
        tokens = steps.cumsum(axis=1) % self.vocabulary
        return tokens[:, :-1].copy(), tokens[:, 1:].copy()

    def block(self, f: Functions, w: Mapping[str, Any], i: int, x: Any) -> Any:
        """Block i of x (batch, length, width)."""
        batch, length, width = x.shape

        def norm(name: str, x: Any) -> Any:
            return f.layer_norm(x, w[f"{name}.weight"], w[f"{name}.bias"])

        def heads(x: Any) -> Any:
            return x.reshape((batch, length, self.heads, width // self.heads)).swapaxes(1, 2)

        qkv = linear(w, f"{i}.qkv", norm(f"{i}.norm1", x))
        q, k, v = (heads(qkv[..., j * width : (j + 1) * width]) for j in range(3))
        mixed = f.causal_attention(q, k, v).swapaxes(1, 2).reshape((batch, length, width))
        x = x + linear(w, f"{i}.out", mixed)
        up = f.gelu(linear(w, f"{i}.up", norm(f"{i}.norm2", x)))
        return x + linear(w, f"{i}.down", up)

    def loss(self, f: Functions, w: Mapping[str, Any], *data: Any, block: Any = None) -> Any:
        """block: what is called in place of the method."""
        tokens, targets = data
        batch, length = tokens.shape
        x = f.embedding(w["tokens"], tokens) + w["positions"][:length]
        for i in range(self.blocks):
            x = (block or self.block)(f, w, i, x)
        x = f.layer_norm(x, w["norm.weight"], w["norm.bias"])
        logits = linear(w, "head", x).reshape((batch * length, self.vocabulary))
        return f.cross_entropy(logits, targets.reshape((batch * length,)))


@dataclass(frozen=True)
class ResNet:
    """ResNet-18 in its form for small images: a 3×3 stem, no pooling before the blocks."""

    batch: int = 32
    size: int = 32
    classes: int = 10
    widths: tuple[int, ...] = (64, 128, 256, 512)

    def _blocks(self) -> list[tuple[str, int, int, int]]:
        """Name, channels in and out, and stride of each block."""
        blocks, channels = [], self.widths[0]
        for stage, width in enumerate(self.widths):
            for i in range(2):
                blocks.append((f"{stage}.{i}", channels, width, 2 if stage and not i else 1))
                channels = width
        return blocks

    def weights(self) -> Weights:
        """Filters are (out, in, height, width)."""
        random = np.random.default_rng(7)

        def conv(name: str, inputs: int, outputs: int, size: int) -> Weights:
            filters = uniform(random, inputs * size * size, outputs, inputs, size, size)
            return {f"{name}.weight": filters} | _norm(f"{name}.norm", outputs)

        weights = conv("stem", 3, self.widths[0], 3)
        for name, inputs, outputs, stride in self._blocks():
            weights |= conv(f"{name}.1", inputs, outputs, 3)
            weights |= conv(f"{name}.2", outputs, outputs, 3)
            if stride > 1:
                weights |= conv(f"{name}.skip", inputs, outputs, 1)
        return weights | _linear(random, "head", self.widths[-1], self.classes)

    def data(self) -> Arrays:
        """Images (batch, 3, 32, 32) float32 and labels (batch,) int64."""
        random = np.random.default_rng(8)
        images = random.normal(size=(self.batch, 3, self.size, self.size)).astype(np.float32)
        return images, random.integers(0, self.classes, self.batch)

    def loss(self, f: Functions, w: Mapping[str, Any], *data: Any) -> Any:
        x, labels = data

        def conv(name: str, x: Any, stride: int = 1) -> Any:
            norm = f"{name}.norm"
            x = f.conv(x, w[f"{name}.weight"], stride)
            return f.batch_norm(x, w[f"{norm}.weight"], w[f"{norm}.bias"])

        x = f.relu(conv("stem", x))
        for name, _, _, stride in self._blocks():
            skip = conv(f"{name}.skip", x, stride) if stride > 1 else x
            x = conv(f"{name}.2", f.relu(conv(f"{name}.1", x, stride)))
            x = f.relu(x + skip)
        return f.cross_entropy(linear(w, "head", f.global_mean(x)), labels)


@dataclass(frozen=True)
class Lstm:
    """Predicts the next token: embedding, one LSTM layer, a linear layer."""

    vocabulary: int = 1000
    width: int = 128
    hidden: int = 256
    length: int = 64
    batch: int = 32

    def weights(self) -> Weights:
        random = np.random.default_rng(9)
        gates, hidden = 4 * self.hidden, self.hidden
        return {
            "tokens": uniform(random, self.width, self.vocabulary, self.width),
            "w_ih": uniform(random, hidden, gates, self.width),
            "w_hh": uniform(random, hidden, gates, hidden),
            "b_ih": uniform(random, hidden, gates),
            "b_hh": uniform(random, hidden, gates),
        } | _linear(random, "head", hidden, self.vocabulary)

    def data(self) -> Arrays:
        """Tokens and those that follow, (length, batch) int64."""
        random = np.random.default_rng(10)
        steps = random.integers(1, 4, (self.length + 1, self.batch))
        tokens = steps.cumsum(axis=0) % self.vocabulary
        return tokens[:-1].copy(), tokens[1:].copy()

    def loss(self, f: Functions, w: Mapping[str, Any], *data: Any) -> Any:
        tokens, targets = data
        x = f.embedding(w["tokens"], tokens)
        y = f.lstm(x, w["w_ih"], w["w_hh"], w["b_ih"], w["b_hh"])
        count = self.length * self.batch
        logits = linear(w, "head", y).reshape((count, self.vocabulary))
        return f.cross_entropy(logits, targets.reshape((count,)))


NETWORKS: dict[str, Network] = {"gpt": Gpt(), "resnet": ResNet(), "lstm": Lstm(), "mlp": Mlp()}
