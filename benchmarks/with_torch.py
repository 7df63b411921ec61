"""The models of ``models.py`` and ``networks.py`` in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks import models
from benchmarks.networks import Network


def _load(model: nn.Module, weights: models.Weights) -> None:
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})


def _adamw(parameters: Iterable[torch.Tensor]) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        parameters,
        lr=models.LEARNING_RATE,
        betas=models.BETAS,
        eps=models.EPS,
        weight_decay=models.WEIGHT_DECAY,
        fused=True,
    )


def mlp_step() -> Callable[[], torch.Tensor]:
    """A function that does one training step and returns the loss, unread."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in zip(models.MLP.sizes, models.MLP.sizes[1:], strict=False):
        layers += [nn.Linear(fan_in, fan_out), nn.Tanh()]
    model = nn.Sequential(*layers[:-1])
    _load(model, models.mlp_weights())
    optimizer = _adamw(model.parameters())
    loss_function = nn.MSELoss()
    x, y = (torch.from_numpy(array) for array in models.mlp_data())

    def step() -> torch.Tensor:
        loss = loss_function(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


class Net(nn.Module):
    """The ``Net`` of ``examples/fashion_mnist.py``."""

    def __init__(self, memory_format: torch.memory_format) -> None:
        super().__init__()
        first, second = models.DEMO.channels
        self.memory_format = memory_format
        self.features = nn.Sequential(
            nn.Conv2d(1, first, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(first, second, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(second * 7 * 7, models.DEMO.hidden),
            nn.ReLU(),
            nn.Dropout(models.DEMO.dropout),
            nn.Linear(models.DEMO.hidden, models.DEMO.classes),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of a batch of images."""
        x = (images.float() / 255 - models.DEMO.mean) / models.DEMO.deviation
        logits: torch.Tensor = self.classifier(
            self.features(x.contiguous(memory_format=self.memory_format))
        )
        return logits


class DemoTraining:
    """The demo's model and optimizer with the weights both frameworks start from."""

    def __init__(self, channels_last: bool = False) -> None:
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.model = Net(layout)
        _load(self.model, models.demo_weights())
        self.model = self.model.to(memory_format=layout)
        self.optimizer = _adamw(self.model.parameters())
        self.loss_function = nn.CrossEntropyLoss()

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """One training step; returns the loss, unread."""
        loss = self.loss_function(self.model(images), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def checked_losses(self) -> list[float]:
        """The losses of the first steps without dropout, which draws differently elsewhere."""
        self.model.eval()
        batches = models.demo_batches(models.DEMO.checked_steps)
        losses = [self.step(torch.from_numpy(x), torch.from_numpy(y)).item() for x, y in batches]
        self.model.train()
        return losses


def demo_loader() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The demo's batches, epoch after epoch, from PyTorch's own loader."""
    data = TensorDataset(*(torch.from_numpy(array) for array in models.demo_data()))
    loader = DataLoader(data, models.DEMO.batch, shuffle=True, drop_last=True)
    while True:
        yield from loader


def demo_slices() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The same batches by indexing whole tensors: the quickest loader PyTorch can have."""
    images, labels = (torch.from_numpy(array) for array in models.demo_data())
    size = models.DEMO.batch
    while True:
        order = torch.randperm(len(images))
        for i in range(len(images) // size):
            chosen = order[i * size : (i + 1) * size]
            yield images[chosen], labels[chosen]


class Functions:
    """Those of ``networks.py``."""

    relu = staticmethod(nn.functional.relu)
    cross_entropy = staticmethod(nn.functional.cross_entropy)

    def gelu(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.gelu(x, approximate="tanh")

    def embedding(self, weight: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        return nn.functional.embedding(tokens, weight)

    def layer_norm(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return nn.functional.layer_norm(x, weight.shape, weight, bias)

    def causal_attention(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    def conv(self, x: torch.Tensor, weight: torch.Tensor, stride: int) -> torch.Tensor:
        return nn.functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def batch_norm(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return nn.functional.batch_norm(x, None, None, weight, bias, training=True)

    def global_mean(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))

    def lstm(self, x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        state = torch.zeros(1, x.shape[1], weights[1].shape[1])
        return torch.lstm(x, (state, state), weights, True, 1, 0.0, True, False, False)[0]


def _laid_out(array: torch.Tensor) -> torch.Tensor:
    """Images and filters channels-last, which is PyTorch's best on processors."""
    return array.contiguous(memory_format=torch.channels_last) if array.dim() == 4 else array


def training_step(network: Network, compiled: bool = False) -> Callable[..., torch.Tensor]:
    """A function that does one training step on given or else the network's own data and returns
    the loss, unread."""
    arrays = network.weights()
    weights = {
        name: _laid_out(torch.from_numpy(value)).requires_grad_() for name, value in arrays.items()
    }
    optimizer = _adamw(weights.values())
    batch = tuple(_laid_out(torch.from_numpy(array)) for array in network.data())
    functions = Functions()
    forward = lambda *data: network.loss(functions, weights, *data)  # noqa: E731
    if compiled:
        forward = torch.compile(forward)

    def step(*data: torch.Tensor) -> torch.Tensor:
        loss: torch.Tensor = forward(*(data or batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step
