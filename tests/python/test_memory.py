"""What holds memory, what happens when it runs out, and that training holds things once."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from bits import normal

import tegula as tg
from tegula import nn, optim

MIB = 1 << 20


@pytest.fixture(autouse=True)
def settled() -> Iterator[None]:
    gc.collect()
    tg.synchronize()
    tg.reset_peak_memory()
    yield
    tg.set_memory_limit(2 << 30)


def live() -> int:
    return tg.memory_stats()["live_bytes"]


def line_of(function: Callable[..., Any], offset: int) -> str:
    """What a report calls a line of a function here, `offset` lines after its first."""
    return f"test_memory.py:{function.__code__.co_firstlineno + offset} in {function.__name__}"


# ---- the report ---------------------------------------------------------------------------------
def held_value() -> tg.Tensor:
    x = tg.zeros((256, 1024), dtype=tg.float32) + 1
    tg.eval(x)
    return x


def test_the_report_names_what_is_held_and_its_line() -> None:
    held = [held_value(), held_value()]
    row = rf"2\.0 MiB  2 x \w+ float32\(256, 1024\)  \({re.escape(line_of(held_value, 1))}\)"
    assert re.search(row, tg.memory_report())
    del held
    assert line_of(held_value, 1) not in tg.memory_report().split("most in use")[0]


def test_the_report_names_what_was_given_and_what_jit_computed() -> None:
    @tg.jit
    def double(x: tg.Tensor) -> tg.Tensor:
        return x @ x

    given = tg.asarray(np.ones((192, 192), np.float32))
    result = double(given)
    tg.eval(result)
    report = tg.memory_report()
    here = "test_the_report_names_what_was_given_and_what_jit_computed"
    assert re.search(rf"given float32\(192, 192\)  \(test_memory.py:\d+ in {here}\)", report)
    assert re.search(r"matmul float32\(192, 192\)  \(test_memory.py:\d+ in double\)", report)


def heavy(x: tg.Tensor) -> tg.Tensor:
    wide = x @ tg.ones((64, 8192))
    return (wide @ tg.ones((8192, 64))).sum()


def test_the_report_names_what_was_alive_at_the_peak() -> None:
    x = tg.ones((64, 64)) + 0
    tg.eval(x)
    heavy(x).item()
    peak = tg.memory_report().split("most in use")[1]
    assert re.search(
        rf"2\.0 MiB  temporary: matmul float32\(64, 8192\)  \({re.escape(line_of(heavy, 1))}\)",
        peak,
    )
    stats = tg.memory_stats()
    assert 2 * MIB < stats["plan_bytes"] <= stats["plan_peak_bytes"] < 32 * MIB
    tg.reset_peak_memory()
    assert "most in use" not in tg.memory_report()
    assert tg.memory_stats()["plan_peak_bytes"] == 0


# ---- when it runs out ---------------------------------------------------------------------------
def too_much(x: tg.Tensor) -> tg.Tensor:
    return tg.tanh(x.reshape((-1, 1)) + tg.ones((1, 4096)))


def test_running_out_says_what_holds_the_memory_and_leaves_everything_as_it_was() -> None:
    held = held_value()
    weights = tg.ones(1024) * 3
    tg.eval(weights)
    before = live()
    tg.set_memory_limit(before + 4 * MIB)
    for _ in range(2):  # each read says so again
        y = too_much(weights)
        with pytest.raises(tg.OutOfMemoryError) as caught:
            y.numpy()
        message = str(caught.value)
        assert "16.0 MiB requested" in message
        assert line_of(held_value, 1) in message
        needed = message.split("needed by the plan: ")[1]
        line = re.escape(line_of(too_much, 1))
        assert re.search(rf"16\.0 MiB  result: tanh float32\(1024, 4096\)  \({line}\)", needed)
        with pytest.raises(tg.OutOfMemoryError):
            y.numpy()
        assert live() - before < MIB  # what failed holds nothing
    with pytest.raises(tg.OutOfMemoryError):
        tg.synchronize()
    assert held.sum().item() == held.size
    np.testing.assert_array_equal((weights + 1).numpy(), np.full(1024, 4, np.float32))
    tg.set_memory_limit(None)
    assert too_much(weights).shape == (1024, 4096)


def test_running_out_in_the_middle_of_training_keeps_the_parameters() -> None:
    model = nn.Linear(256, 256)
    optimizer = optim.AdamW(model.parameters())

    def step(rows: int) -> tg.Tensor:
        optimizer.zero_grad()
        loss = (tg.tanh(model(tg.ones((rows, 256)))) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    step(8).item()
    before = [p.numpy().copy() for p in model.parameters()]
    tg.set_memory_limit(live() + 2 * MIB)
    with pytest.raises(tg.OutOfMemoryError):
        step(1 << 14).item()
    with pytest.raises(tg.OutOfMemoryError):
        tg.synchronize()
    for p, old in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.numpy(), old)
    tg.set_memory_limit(2 << 30)
    assert np.isfinite(step(8).item())


def test_running_out_where_an_array_is_given() -> None:
    held = held_value()
    tg.set_memory_limit(live() + MIB)
    with pytest.raises(tg.OutOfMemoryError, match=re.escape(line_of(held_value, 1))):
        tg.asarray(np.zeros((1024, 1024), np.float32))
    assert held.shape == (256, 1024)


# ---- once, not twice ----------------------------------------------------------------------------
OPTIMIZERS: dict[str, tuple[Callable[[Any], optim.Optimizer], int]] = {
    "sgd": (lambda p: optim.SGD(p, lr=0.01), 1),
    "momentum": (lambda p: optim.SGD(p, lr=0.01, momentum=0.9), 2),
    "adamw": (lambda p: optim.AdamW(p, lr=0.01), 3),
}


@pytest.mark.parametrize("jitted", [False, True], ids=["undecorated", "jit"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_training_step_holds_parameters_and_moments_once(name: str, jitted: bool) -> None:
    make, copies = OPTIMIZERS[name]
    start = live()
    model = nn.Sequential(nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 512))
    optimizer = make(model.parameters())
    parameter_bytes = sum(p.size * 4 for p in model.parameters())
    x, y = tg.ones((4, 1024)), tg.zeros((4, 512))

    def step() -> tg.Tensor:
        optimizer.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    run = tg.jit(step) if jitted else step
    for _ in range(3):
        run().item()
    optimizer.zero_grad()
    gc.collect()
    held = live() - start
    assert held <= copies * parameter_bytes + 2 * parameter_bytes // 10
    tg.reset_peak_memory()
    for _ in range(3):
        run().item()
    # Beside what lasts, a step has the gradients: as `.grad`, or between backward pass and update.
    peak = tg.memory_stats()["peak_bytes"] - start
    assert peak <= (copies + 1) * parameter_bytes + parameter_bytes // 4
    assert tg.memory_stats()["plan_bytes"] <= (copies + 1) * parameter_bytes + parameter_bytes // 4


# ---- bounded ------------------------------------------------------------------------------------
def test_a_million_operations_that_nobody_reads_take_little_memory() -> None:
    x = tg.ones(1024) + 0
    tg.eval(x)
    before = live()
    total = x
    for _ in range(1_000_000):
        total = total + x
    assert float(total[0]) == 1_000_001
    assert tg.memory_stats()["peak_bytes"] - before < 64 * MIB


def mlp_loss() -> tuple[nn.Module, Callable[[], tg.Tensor]]:
    model = nn.Sequential(nn.Linear(256, 256), nn.GELU(), nn.Linear(256, 256), nn.Linear(256, 10))
    x, y = normal(512, 256), tg.asarray(np.arange(512) % 10)
    return model, lambda: nn.functional.cross_entropy(model(x), y)


def cnn_loss() -> tuple[nn.Module, Callable[[], tg.Tensor]]:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 16 * 16, 10),
    )  # fmt: skip
    x, y = normal(16, 3, 32, 32), tg.asarray(np.arange(16) % 10)
    return model, lambda: nn.functional.cross_entropy(model(x), y)


def transformer_loss() -> tuple[nn.Module, Callable[[], tg.Tensor]]:
    layers = [nn.TransformerEncoderLayer(64, 4, 128, batch_first=True) for _ in range(2)]
    model = nn.Sequential(*layers, nn.Linear(64, 100))
    x, y = normal(4, 64, 64), tg.asarray(np.arange(256) % 100)
    return model, lambda: nn.functional.cross_entropy(model(x).reshape((-1, 100)), y)


@pytest.mark.parametrize("make", [mlp_loss, cnn_loss, transformer_loss])
def test_a_training_step_needs_no_more_than_one_operation_at_a_time(
    make: Callable[[], tuple[nn.Module, Callable[[], tg.Tensor]]],
) -> None:
    tg.manual_seed(0)
    model, loss_of = make()
    optimizer = optim.AdamW(model.parameters())

    def peak() -> int:
        optimizer.zero_grad()
        gc.collect()
        tg.synchronize()
        tg.reset_peak_memory()
        before = live()
        loss = loss_of()
        loss.backward()
        optimizer.step()
        loss.item()
        return tg.memory_stats()["peak_bytes"] - before

    peak()  # makes what lasts
    planned = peak()
    with tg.debug_nans():  # evaluates after every operation
        recorded = peak()
    assert planned <= recorded


def test_a_traced_chain_of_many_thousand_operations_forward_and_backward() -> None:
    def end(w: tg.Tensor, x: tg.Tensor) -> tg.Tensor:
        for i in range(10_000):
            x = x @ w if i % 2 else tg.sin(x)
        return x.sum()

    gradient = tg.jit(tg.grad(end))
    x, w = normal(2, 4), tg.eye(4) * 0.999
    first = gradient(w, x)
    assert np.isfinite(first.numpy()).all()
    np.testing.assert_array_equal(gradient(w, x).numpy(), first.numpy())
