"""Every node says which line of the user's program recorded it: a layer's own file is not it."""

from __future__ import annotations

import contextlib
import inspect

import pytest

import tegula as tg
from tegula import nn, optim


def lines_of(function, *args):
    return {node.line for plan in tg.explain(function, *args).plans for node in plan.nodes}


def here(offset):
    """The line so many lines above the call, as nodes name it."""
    frame = inspect.currentframe().f_back
    return f"test_lines.py:{frame.f_lineno - offset} in {frame.f_code.co_name}"


LAYERS = {
    "linear": (lambda: nn.Linear(8, 4), (2, 8)),
    "sequential": (lambda: nn.Sequential(nn.Linear(8, 4), nn.Sequential(nn.GELU())), (2, 8)),
    "conv": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.MaxPool2d(2)),
             (2, 3, 8, 8)),
    "norm": (lambda: nn.Sequential(nn.LayerNorm(8), nn.Dropout(0.5)), (2, 8)),
    "lstm": (lambda: nn.LSTM(8, 4), (3, 2, 8)),
    "transformer": (lambda: nn.TransformerEncoderLayer(8, 2, 16), (3, 2, 8)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_charged_to_its_call(name):
    make, shape = LAYERS[name]
    layer, x = make(), tg.random.normal(shape)
    tg.eval(x, list(layer.parameters()))

    def call(x):
        return layer(x)

    assert lines_of(call, x) == {here(2).replace("test_a_layer_is_charged_to_its_call", "call")}


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(8, 8)

    def forward(self, x):
        y = self.inner(x)
        return y * 2


def test_a_module_of_the_users_own_has_lines_of_its_own():
    model, x = Model(), tg.random.normal((2, 8))
    tg.eval(x, list(model.parameters()))
    first = inspect.getsourcelines(Model.forward)[1] + 1
    expected = {f"test_lines.py:{first + k} in forward" for k in range(2)}
    assert lines_of(model, x) == expected
    assert lines_of(nn.Sequential(model), x) == expected


OPTIMIZERS = [optim.SGD, optim.Adam, optim.AdamW]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("jit", [False, True])
def test_losses_gradients_and_optimizers(optimizer, jit):
    model = nn.Linear(8, 4)
    opt = optimizer(model.parameters(), lr=0.1)
    schedule = optim.lr_scheduler.StepLR(opt, 1)
    x, y = tg.random.normal((2, 8)), tg.zeros(2, dtype=tg.int64)

    def step():
        opt.zero_grad()
        output = model(x)
        loss = nn.functional.cross_entropy(output, y)
        loss = loss + nn.MSELoss()(output, tg.zeros_like(output))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        schedule.step()
        return loss

    step()
    tg.eval(x, y, list(model.parameters()))
    tg.synchronize()
    first = inspect.getsourcelines(step)[1]
    lines = lines_of(tg.jit(step) if jit else step)
    assert {line.rsplit(" in ", 1)[1] for line in lines} == {"step"}
    numbers = {int(line.split(":")[1].split(" ")[0]) - first for line in lines}
    assert numbers <= set(range(2, 9))
    assert {2, 3, 4, 5, 6, 7} <= numbers


def test_the_profile_and_an_error_name_the_users_line():
    embedding = nn.Embedding(4, 3)
    index = tg.asarray([1, 9])
    tg.eval(index, embedding.weight)
    y = embedding(index)  # out of range: known when it runs
    with pytest.raises(IndexError) as error:
        y.numpy()
    assert here(3) in str(error.value)
    with contextlib.suppress(IndexError):
        tg.synchronize()  # says so once more
    layer, x = nn.Linear(3, 3), tg.ones((2, 3))
    with tg.profiler.profile() as taken:
        layer(x).numpy()
    assert here(1) in {line for step in taken.steps for line in step.lines}


def test_out_of_memory_names_the_users_line():
    layer = nn.Linear(512, 4096)
    x = tg.zeros((2048, 512))
    tg.eval(x, list(layer.parameters()))
    held = tg.memory_stats()["live_bytes"]
    try:
        tg.set_memory_limit(held + (1 << 20))
        with pytest.raises(tg.OutOfMemoryError) as error:
            layer(x).numpy()
    finally:
        tg.set_memory_limit(None)
    assert "test_lines.py:" in str(error.value)
    assert "linear.py" not in str(error.value)
