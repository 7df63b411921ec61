"""The models of ``models.py`` and ``networks.py`` in Tegula."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

import tegula as tg
from benchmarks import models
from benchmarks.networks import Network
from tegula import nn
from tegula.data import DataLoader, TensorDataset

EXAMPLE = Path(__file__).parents[1] / "examples" / "fashion_mnist.py"


def _load(model: nn.Module, weights: models.Weights) -> None:
    model.load_state_dict({name: tg.asarray(value) for name, value in weights.items()})


def _adamw(parameters: Iterable[tg.Tensor]) -> tg.optim.AdamW:
    return tg.optim.AdamW(
        parameters,
        lr=models.LEARNING_RATE,
        betas=models.BETAS,
        eps=models.EPS,
        weight_decay=models.WEIGHT_DECAY,
    )


def mlp_step() -> Callable[[], tg.Tensor]:
    """A function that does one training step and returns the loss, unread."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in zip(models.MLP.sizes, models.MLP.sizes[1:], strict=False):
        layers += [nn.Linear(fan_in, fan_out), nn.Tanh()]
    model = nn.Sequential(*layers[:-1])
    _load(model, models.mlp_weights())
    optimizer = _adamw(model.parameters())
    loss_function = nn.MSELoss()
    x, y = (tg.asarray(array) for array in models.mlp_data())

    def step() -> tg.Tensor:
        loss: tg.Tensor = loss_function(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def _example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fashion_mnist", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class DemoTraining:
    """The demo's model and optimizer with the weights both frameworks start from."""

    def __init__(self) -> None:
        self.model: nn.Module = _example().Net()
        _load(self.model, models.demo_weights())
        self.optimizer = _adamw(self.model.parameters())
        self.loss_function = nn.CrossEntropyLoss()

    def step(self, images: tg.Tensor, labels: tg.Tensor) -> tg.Tensor:
        """One training step; returns the loss, unread."""
        loss: tg.Tensor = self.loss_function(self.model(images), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def checked_losses(self) -> list[float]:
        """The losses of the first steps without dropout, which draws differently elsewhere."""
        self.model.eval()
        batches = models.demo_batches(models.DEMO.checked_steps)
        losses = [self.step(tg.asarray(x), tg.asarray(y)).item() for x, y in batches]
        self.model.train()
        return losses

    def weights(self) -> dict[str, np.ndarray]:
        """The present weights."""
        return {name: np.array(value) for name, value in self.model.state_dict().items()}


def demo_loader() -> Iterator[tuple[tg.Tensor, tg.Tensor]]:
    """The demo's batches, epoch after epoch."""
    loader = DataLoader(
        TensorDataset(*models.demo_data()), models.DEMO.batch, shuffle=True, drop_last=True
    )
    while True:
        yield from loader


class Functions:
    """Those of ``networks.py``."""

    relu = staticmethod(tg.relu)
    embedding = staticmethod(tg.embedding)
    cross_entropy = staticmethod(tg.cross_entropy)

    def gelu(self, x: tg.Tensor) -> tg.Tensor:
        return tg.gelu(x, approximate="tanh")

    def layer_norm(self, x: tg.Tensor, weight: tg.Tensor, bias: tg.Tensor) -> tg.Tensor:
        return tg.layer_norm(x, 1, weight, bias)

    def causal_attention(self, q: tg.Tensor, k: tg.Tensor, v: tg.Tensor) -> tg.Tensor:
        return tg.scaled_dot_product_attention(q, k, v, is_causal=True)

    def conv(self, x: tg.Tensor, weight: tg.Tensor, stride: int) -> tg.Tensor:
        return tg.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def batch_norm(self, x: tg.Tensor, weight: tg.Tensor, bias: tg.Tensor) -> tg.Tensor:
        mean, deviation = tg.zeros(weight.shape), tg.ones(weight.shape)
        return tg.batch_norm(x, mean, deviation, weight, bias, training=True)[0]

    def global_mean(self, x: tg.Tensor) -> tg.Tensor:
        return x.mean(axis=(2, 3))

    def lstm(self, x: tg.Tensor, *weights: tg.Tensor) -> tg.Tensor:
        state = tg.zeros((x.shape[1], weights[1].shape[1]))
        return tg.lstm(x, state, state, *weights)[0]


def training_step(network: Network) -> Callable[..., tg.Tensor]:
    """A function that does one training step on given or else the network's own data and returns
    the loss, unread."""
    arrays = network.weights()
    weights = {name: tg.asarray(value).requires_grad_() for name, value in arrays.items()}
    optimizer = _adamw(list(weights.values()))
    batch = tuple(tg.asarray(array) for array in network.data())
    functions = Functions()

    def step(*data: tg.Tensor) -> tg.Tensor:
        loss: tg.Tensor = network.loss(functions, weights, *(data or batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step
