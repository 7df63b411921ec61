"""Small steps run at the same time, and nothing about the results changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from bits import normal, same

import tegula as tg
from tegula import nn, optim


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = tg.get_num_threads()
    yield
    tg.set_num_threads(before)


class Branches(nn.Module):
    """Eight small networks side by side."""

    def __init__(self, count: int = 8) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 48)) for _ in range(count)
        )

    def __call__(self, x: tg.Tensor) -> tg.Tensor:
        return tg.stack([branch(x) for branch in self.branches]).sum(axis=0)


def training(
    model: nn.Module, data: list[tuple[tg.Tensor, tg.Tensor]], loss_of: Callable[..., tg.Tensor]
) -> Callable[[int], tg.Tensor]:
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)

    def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return lambda i: step(*data[i % len(data)])


def branches_training() -> tuple[nn.Module, Callable[[int], tg.Tensor]]:
    tg.manual_seed(0)
    model = Branches()
    return model, training(model, [(normal(16, 48), normal(17, 48)[:16])], nn.functional.mse_loss)


def cnn_training() -> tuple[nn.Module, Callable[[int], tg.Tensor]]:
    tg.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2),
        nn.Linear(16 * 8 * 8, 10),
    )  # fmt: skip
    data = [(normal(8 + i, 3, 16, 16)[:8], tg.asarray(np.arange(8) % 10)) for i in range(2)]
    return model, training(model, data, nn.functional.cross_entropy)


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 32)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True) for _ in range(2)
        )
        self.head = nn.Linear(32, 50)

    def __call__(self, tokens: tg.Tensor) -> tg.Tensor:
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(x).reshape((-1, 50))


def transformer_training() -> tuple[nn.Module, Callable[[int], tg.Tensor]]:
    tg.manual_seed(2)
    model = Transformer()
    tokens = tg.asarray(np.random.default_rng(0).integers(0, 50, (4, 13)))
    return model, training(
        model, [(tokens[:, :-1], tokens[:, 1:].reshape((-1,)))], nn.functional.cross_entropy
    )


MODELS = {"branches": branches_training, "cnn": cnn_training, "transformer": transformer_training}


def after(kind: str, steps: int, each: Callable[[Any], Any] = lambda step: step) -> list[Any]:
    """Losses and parameters after some training steps."""
    model, step = MODELS[kind]()
    step = each(step)
    losses = [step(i).item() for i in range(steps)]
    return [losses, model.state_dict()]


@pytest.mark.parametrize("kind", MODELS)
def test_fifty_training_steps_have_the_same_bits_for_any_number_of_threads(kind: str) -> None:
    expected = None
    for count in (1, 2, 3, 8, 2):
        tg.set_num_threads(count)
        got = after(kind, 50)
        if expected is None:
            expected = got
        same(got, expected)


@pytest.mark.parametrize("kind", MODELS)
def test_jit_undecorated_and_one_operation_at_a_time_have_the_same_bits(kind: str) -> None:
    expected = after(kind, 4)

    def jitted(step: Callable[[int], tg.Tensor]) -> Callable[[int], tg.Tensor]:
        compiled = [tg.jit(lambda i=i: step(i)) for i in range(2)]
        return lambda i: compiled[i % 2]()

    same(after(kind, 4, jitted), expected)
    with tg.debug_nans():  # evaluates after every operation
        same(after(kind, 4), expected)


def test_small_steps_share_stages_and_threads() -> None:
    tg.set_num_threads(2)
    tg.manual_seed(0)
    model = Branches()
    x = normal(16, 48)
    explained = tg.explain(model, x)
    (plan,) = explained.plans
    assert max(step.together for step in plan.steps) == 8
    assert len({step.stage for step in plan.steps}) <= 4
    stages = [step.stage for step in plan.steps]
    assert stages == sorted(stages)


def test_the_gradients_of_a_perceptron_share_stages() -> None:
    tg.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8)
    )
    x, y = normal(32, 64), normal(33, 8)[:32]
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()

    step()
    tg.synchronize()
    explained = tg.explain(lambda: (step(), tg.synchronize()))
    plan = explained.plans[0]
    # The gradient of a layer's weights and that of its input do not wait for each other.
    together = [s.stage for s in plan.steps if s.operations.startswith("matmul") and s.together > 1]
    assert len(together) > len(set(together))


def test_many_small_updates_share_a_stage() -> None:
    parameters = [nn.Parameter(normal(40, 50) + k) for k in range(40)]
    optimizer = optim.AdamW(parameters)

    def update() -> None:
        for p in parameters:
            p.grad = p.detach() * 0.5
        optimizer.step()

    update()
    tg.synchronize()
    (plan, *_) = tg.explain(lambda: (update(), tg.synchronize())).plans
    assert max(step.together for step in plan.steps) >= 20


def test_two_threads_train_at_once() -> None:
    """Each its own model, with the bits of one after the other."""
    kinds = ("branches", "branches")
    prepared = [MODELS[kind]() for kind in kinds]
    expected = after("branches", 20)
    results: dict[int, Any] = {}

    def train(which: int) -> None:
        model, step = prepared[which]
        losses = [step(i).item() for i in range(20)]
        results[which] = [losses, model.state_dict()]

    threads = [threading.Thread(target=train, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(2):
        same(results[k], expected)
