"""Training under ``tg.jit``: weights, gradients, losses and rates as without it, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
from bits import normal, same

import tegula as tg
from tegula import nn, optim


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 4))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 16, 4),
    )


def transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(5 * 8, 4))


SHAPES = {"mlp": (6, 8), "cnn": (6, 1, 8, 8), "transformer": (6, 5, 8)}
MODELS = {"mlp": mlp, "cnn": cnn, "transformer": transformer}


def train(kind: str, optimizer: Any, wrap: Any, steps: int, every: bool = False) -> Any:
    """Parameters, buffers, losses and rates after some steps with all that goes on in them."""
    tg.manual_seed(3)
    model = MODELS[kind]()
    opt = optimizer(model.parameters())
    schedule = optim.lr_scheduler.StepLR(opt, 4, 0.5)
    seen = tg.zeros(())

    def step(x: tg.Tensor, labels: tg.Tensor) -> tg.Tensor:
        nonlocal seen
        opt.zero_grad()
        loss = nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        if every:
            tg.eval(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        schedule.step()
        seen += loss.detach()
        return loss

    step = wrap(step)
    losses = []
    for i in range(steps):
        x = normal(*SHAPES[kind]) * (1 + i % 3)
        losses.append(step(x, tg.arange(6) % 4).item())
    state = [t.detach() for t in (*model.parameters(), *model.buffers(), seen)]
    grads = [p.grad for p in model.parameters()]
    return state, grads, losses, schedule.get_last_lr()


OPTIMIZERS = {
    "adamw": lambda p: optim.AdamW(p, lr=1e-2),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5),
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_is_the_same_bit_for_bit(kind: str, optimizer: str) -> None:
    plain = train(kind, OPTIMIZERS[optimizer], lambda f: f, 10)
    jitted = train(kind, OPTIMIZERS[optimizer], tg.jit, 10)
    same(plain, jitted)


def test_gradients_add_up_where_they_are_not_cleared() -> None:
    def run(wrap: Any) -> Any:
        w = tg.ones(3, dtype=tg.float32)
        w.requires_grad = True

        def f(x: tg.Tensor) -> None:
            (w * x).sum().backward()

        f = wrap(f)
        grads = []
        for i in range(4):
            f(tg.full((3,), float(i)))
            grads.append(w.grad)
            if i == 2:
                w.grad = None
        return grads

    same(run(lambda f: f), run(tg.jit))


def test_a_buffer_that_is_assigned() -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", tg.zeros(2))

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            self.seen = self.seen + x
            return self.seen * 2

    counter = Counter()
    f = tg.jit(counter)
    for i in range(1, 4):
        same(f(tg.ones(2)), tg.full((2,), 2.0 * i))
    assert counter.seen.tolist() == [3.0, 3.0]


def test_the_mode_of_a_module_is_followed() -> None:
    tg.manual_seed(0)
    model = nn.Dropout(0.5)
    f = tg.jit(lambda x: model(x))
    x = tg.ones(100)
    assert 0 < (f(x) == 0).sum().item() < 100
    model.eval()
    same(f(x), x)
    model.train()
    assert 0 < (f(x) == 0).sum().item() < 100
    assert f.cache_info()["misses"] == 2


def test_a_learning_rate_set_outside_is_followed() -> None:
    w = nn.Parameter(tg.ones(1))
    opt = optim.SGD([w], lr=1.0)

    @tg.jit
    def step() -> None:
        opt.zero_grad()
        w.sum().backward()
        opt.step()

    step()
    assert w.item() == 0.0
    opt.param_groups[0]["lr"] = 0.25
    step()
    assert w.item() == -0.25
    assert step.cache_info()["misses"] == 1


def test_random_numbers_are_those_of_the_undecorated_function() -> None:
    generator = tg.random.Generator(5)

    def f(x: tg.Tensor) -> Any:
        tg.random.normal((3,))  # unused
        return x + tg.random.uniform((4,)), generator.normal((2,))

    def draw(g: Any) -> Any:
        tg.manual_seed(1)
        generator.manual_seed(2)
        drawn = [g(tg.ones(4)) for _ in range(4)]
        return [*drawn, tg.random.uniform((2,))]

    same(draw(f), draw(tg.jit(f)))


def test_a_rule_that_decides_by_the_learning_rate() -> None:
    class Clamped(optim.SGD):
        def update(self, cohort: Any, grads: Any, group: Any) -> Any:
            return super().update(
                cohort, grads, {**group, "lr": 0.5} if group["lr"] > 0.5 else group
            )

    w = nn.Parameter(tg.zeros(1))
    opt = Clamped([w], lr=2)

    @tg.jit
    def step() -> None:
        opt.zero_grad()
        w.sum().backward()
        opt.step()

    for rate, after in ((2, -0.5), (4.0, -1.0), (0.25, -1.25), (0.125, -1.375)):
        opt.param_groups[0]["lr"] = rate
        step()
        assert w.item() == after
