"""``tg.jit(trace_check=True)`` finds Python state that changed behind a trace."""

from __future__ import annotations

import numpy as np
import pytest

import tegula as tg
from tegula import nn, optim


def test_a_number_that_changed_is_named_with_its_line():
    state = {"factor": 2.0}

    @tg.jit(trace_check=True)
    def f(x):
        y = x + 1
        return y * state["factor"]  # the line

    assert f(tg.ones(2)).tolist() == [4.0, 4.0]
    assert f(tg.ones(2)).tolist() == [4.0, 4.0]
    state["factor"] = 3.0
    with pytest.raises(tg.TraceError, match=r"now takes 3 instead of 2\.") as error:
        f(tg.ones(2))
    assert "multiply at test_trace_check.py:18 in f" in str(error.value)
    state["factor"] = 2.0
    assert f(tg.ones(2)).tolist() == [4.0, 4.0]


def test_an_array_that_changed():
    table = np.arange(3.0, dtype="float32")
    f = tg.jit(lambda x: x + table, trace_check=True)
    for _ in range(2):
        assert f(tg.ones(3)).tolist() == [1.0, 2.0, 3.0]
    table[1] = 7.0
    with pytest.raises(tg.TraceError, match=r"add at .* now takes another tensor float32\(3,\)"):
        f(tg.ones(3))


@pytest.mark.parametrize(
    ("flag", "message"),
    [("more", "it now also does negative"), ("less", "no longer does exp"),
     ("other", "now does cos at .* instead of exp"), ("axis", "now"), ("none", "no longer does")],
)  # fmt: skip
def test_another_way_through_the_function(flag, message):
    mode = ["first"]

    @tg.jit(trace_check=True)
    def f(x):
        y = x.sum(axis=0)
        if mode[0] == "other":
            return tg.cos(y)
        if mode[0] == "less":
            return y
        if mode[0] == "axis":
            y = x.sum(axis=1)
        z = tg.exp(y)
        if mode[0] == "more":
            z = -z
        return None if mode[0] == "none" else z

    f(tg.ones((2, 2)))
    f(tg.ones((2, 2)))
    mode[0] = flag
    with pytest.raises(tg.TraceError, match=message):
        f(tg.ones((2, 2)))


def test_another_tensor_and_another_constant_result():
    held = {"w": tg.ones(2), "epoch": 1}

    @tg.jit(trace_check=True)
    def f(x):
        return x * held["w"], held["epoch"]

    f(tg.ones(2))
    f(tg.ones(2))
    held["w"] = tg.zeros(2)
    with pytest.raises(tg.TraceError, match=r"multiply at test_trace_check.py.* another tensor"):
        f(tg.ones(2))
    held["w"] = tg.ones(2)
    g = tg.jit(lambda x: (x + 1, held["epoch"]), trace_check=True)
    g(tg.ones(2))
    held["epoch"] = 5
    with pytest.raises(tg.TraceError, match="it now returns something else"):
        g(tg.ones(2))


def test_every_nth_call():
    calls = []

    @tg.jit(trace_check=3)
    def f(x):
        calls.append(1)
        return x + 1

    for _ in range(10):
        f(tg.ones(2))
    assert len(calls) == 1 + 3
    with pytest.raises(ValueError, match="trace_check"):
        tg.jit(lambda x: x, trace_check=-1)


def training(trace_check):
    tg.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.BatchNorm1d(8), nn.Linear(8, 2))
    optimizer = optim.AdamW(model.parameters(), lr=0.05)
    schedule = optim.lr_scheduler.StepLR(optimizer, step_size=3)
    x, y = tg.random.normal((16, 4)), tg.zeros((16, 2))

    def step(x, y, scale):
        optimizer.zero_grad()
        loss = ((model(x) - y) ** 2).mean() * scale
        loss.backward()
        optimizer.step()
        schedule.step()
        return loss

    jitted = tg.jit(step, trace_check=trace_check)
    losses = [jitted(x, y, 1.0 + i).item() for i in range(10)]
    return losses, optimizer.param_groups[0]["lr"], [p.tolist() for p in model.parameters()]


def test_a_checked_training_step_is_the_same_step():
    assert training(True) == training(False)


def test_effects_happen_once(capsys):
    @tg.jit(trace_check=True)
    def f(x):
        tg.debug.print("x {}", x)
        return tg.host_call(lambda v: v + 1, x, x)

    for i in range(3):
        assert f(tg.full((1,), float(i))).tolist() == [i + 1.0]
    assert capsys.readouterr().out == "x [0.]\nx [1.]\nx [2.]\n"
