"""``tg.cond``, ``tg.switch``, ``tg.while_loop``, ``tg.scan`` against Python's control flow."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
from bits import normal, same
from slopes import check_gradient

import tegula as tg
from tegula import nn


def plain_scan(f: Any, carry: Any, xs: Any, reverse: bool = False) -> Any:
    rows = range(len(xs))
    ys: list[Any] = [None] * len(xs)
    for i in reversed(rows) if reverse else rows:
        carry, ys[i] = f(carry, xs[i])
    return carry, tg.stack(ys)


X = np.linspace(-0.9, 1.1, 6).reshape(2, 3)

# ---- cond and switch -------------------------------------------------------------------------


@pytest.mark.parametrize("jitted", [False, True])
def test_cond_takes_one_branch(jitted: bool) -> None:
    def f(pred: Any, x: tg.Tensor) -> Any:
        return tg.cond(pred, lambda x: {"a": x * 2, "b": x}, lambda x: {"a": x - 1, "b": -x}, x)

    g = tg.jit(f) if jitted else f
    x = normal(3, 4)
    for pred in (tg.asarray(True), tg.asarray(False)):
        result = g(pred, x)
        same(result["a"], x * 2 if pred.item() else x - 1)
        same(result["b"], x if pred.item() else -x)


def test_cond_of_python_bools_and_numbers() -> None:
    assert tg.cond(True, lambda: 1.0, lambda: 2.0).item() == 1.0
    assert tg.cond(False, lambda k: k + 1, lambda k: k - 1, 5).item() == 4
    assert tg.cond(True, lambda: None, lambda: None) is None


def test_the_other_branch_does_not_run() -> None:
    index = tg.asarray([7])  # out of bounds
    x = tg.arange(3)
    taken = tg.cond(tg.asarray(False), lambda: tg.take(x, index, axis=0), lambda: x[:1])
    assert taken.tolist() == [0]
    with pytest.raises(IndexError, match="test_control"):
        tg.cond(tg.asarray(True), lambda: tg.take(x, index, axis=0), lambda: x[:1]).numpy()


def test_switch_moves_the_index_into_range() -> None:
    branches = [lambda x: x + 1, lambda x: x * 2, lambda x: x**2]
    for index, expected in ((0, 4), (1, 6), (2, 9), (-5, 4), (7, 9)):
        assert tg.switch(index, branches, tg.asarray(3)).item() == expected
        assert (
            tg.jit(lambda i: tg.switch(i, branches, tg.asarray(3)))(tg.asarray(index)).item()
            == expected
        )


def test_gradients_of_cond() -> None:
    w = tg.asarray(np.array([0.5, -1.0, 2.0]), dtype="float64")

    def f(x: tg.Tensor) -> tg.Tensor:
        return tg.cond(
            x[0, 0] > 0, lambda x: (tg.sin(x) * w).sum(), lambda x: (x**3 - w).sum(), x * 1.5
        )

    check_gradient(f, X)
    check_gradient(f, X + 2)


def test_gradients_reach_captured_parameters() -> None:
    layer = nn.Linear(3, 3)
    x = normal(2, 3)
    for pred in (True, False):
        layer.zero_grad()
        tg.cond(tg.asarray(pred), lambda: layer(x).sum(), lambda: x.sum() * 1.0).backward()
        got = layer.weight.grad.numpy()
        layer.zero_grad()
        (layer(x).sum() if pred else layer(x).sum() * 0).backward()
        np.testing.assert_array_equal(got, layer.weight.grad.numpy())


# ---- scan ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("jitted", [False, True])
def test_scan_is_a_loop(reverse: bool, jitted: bool) -> None:
    w = normal(4, 4)

    def step(c: tg.Tensor, x: tg.Tensor) -> Any:
        c = tg.tanh(c @ w + x)
        return c, c * 2

    xs, init = normal(7, 3, 4), normal(3, 4)

    def run() -> Any:
        return tg.scan(step, init, xs, reverse=reverse)

    got = (tg.jit(run) if jitted else run)()
    for a, b in zip(got, plain_scan(step, init, xs, reverse), strict=True):
        same(a, b)


def test_scan_of_nests_and_views() -> None:
    xs = {"a": normal(4, 5).T, "b": (normal(5), tg.arange(5))}

    def step(carry: Any, x: Any) -> Any:
        total, count = carry
        return (total + x["a"] * x["b"][0], count + x["b"][1]), [total, x["a"], count]

    (total, count), (totals, rows, counts) = tg.scan(step, (tg.zeros(4), 0), xs)
    expected = (xs["a"] * xs["b"][0][:, None]).numpy()
    np.testing.assert_allclose(total.numpy(), expected.sum(0), rtol=1e-5)
    assert count.item() == 10
    assert counts.tolist() == [0, 0, 1, 3, 6]
    same(rows, xs["a"])
    np.testing.assert_allclose(totals.numpy()[1:], np.cumsum(expected, 0)[:-1], rtol=1e-5)


def test_scan_of_nothing() -> None:
    carry, ys = tg.scan(lambda c, x: (c + x, c), tg.ones(2), tg.zeros((0, 2)))
    assert carry.tolist() == [1.0, 1.0]
    assert ys.shape == (0, 2)
    carry, ys = tg.scan(lambda c, _: (c * 2, None), 1.0, length=10)
    assert carry.item() == 1024.0
    assert ys is None
    g = tg.grad(lambda x: tg.scan(lambda c, x: (c + x, c), x, tg.zeros((0, 2)))[0].sum())
    assert g(tg.ones(2)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_of_scan(reverse: bool) -> None:
    def f(x: tg.Tensor) -> tg.Tensor:
        def step(c: Any, row: tg.Tensor) -> Any:
            a, n = c
            a = tg.sin(a) * row + x[0]
            return (a, n + 1), a * a

        (last, _), ys = tg.scan(
            step, (x[1] * 0.5, 0), tg.stack([x[0], x[1], x[0] * x[1]]), reverse=reverse
        )
        return (last * 3).sum() + (ys * tg.arange(3).reshape(3, 1)).sum()

    check_gradient(f, X)


def test_second_derivatives_of_scan() -> None:
    def f(x: tg.Tensor) -> tg.Tensor:
        return tg.scan(lambda c, r: (c * tg.sin(r * c), None), x[0], x)[0].sum()

    def along(x: tg.Tensor) -> tg.Tensor:
        return (tg.grad(f)(x) * tg.asarray(X)).sum()

    check_gradient(along, X + 1)


def test_large_scans_are_flat() -> None:
    count = 10_000
    x = tg.asarray(0.5, dtype="float64", copy=True).requires_grad_()
    last, _ = tg.scan(
        lambda c, _: (c * 0.9999 + x, None), tg.zeros((), dtype="float64"), length=count
    )
    last.backward()
    np.testing.assert_allclose(x.grad.item(), (1 - 0.9999**count) / (1 - 0.9999), rtol=1e-9)


# ---- while_loop ------------------------------------------------------------------------------


@pytest.mark.parametrize("jitted", [False, True])
def test_while_loop(jitted: bool) -> None:
    def collatz(n: Any) -> Any:
        def body(c: Any) -> Any:
            n, steps = c
            return tg.cond(n % 2 == 0, lambda n: n // 2, lambda n: 3 * n + 1, n), steps + 1

        return tg.while_loop(lambda c: c[0] != 1, body, (n, 0))[1]

    f = tg.jit(collatz) if jitted else collatz
    for n, steps in ((1, 0), (6, 8), (27, 111)):
        assert f(tg.asarray(n)).item() == steps


def test_while_loop_stops_at_its_limit() -> None:
    def f(n: int) -> Any:
        return tg.while_loop(lambda c: c < 100, lambda c: c + 1, 0, max_iters=n).item()

    assert [f(n) for n in (0, 1, 7, 8, 200)] == [0, 1, 7, 8, 100]


def test_gradients_of_while_loop() -> None:
    def f(x: tg.Tensor) -> tg.Tensor:
        def body(c: Any) -> Any:
            i, a = c
            return i + 1, tg.sin(a) * x + a

        return tg.while_loop(lambda c: c[0] < 4, body, (0, x * 2), max_iters=9)[1].sum()

    check_gradient(f, X)
    check_gradient(lambda x: (tg.grad(f)(x) ** 2).sum(), X)
    with pytest.raises(NotImplementedError, match="max_iters"):
        tg.grad(lambda x: tg.while_loop(lambda c: c.sum() < 9, lambda c: c * 2, x).sum())(
            tg.ones(2)
        )


def test_zero_iterations_have_gradients() -> None:
    def f(x: tg.Tensor) -> tg.Tensor:
        return tg.while_loop(lambda c: c.sum() > 99, lambda c: c * 2, x, max_iters=3).sum()

    assert tg.grad(f)(tg.ones(2)).tolist() == [1.0, 1.0]


def test_an_endless_loop_is_interrupted() -> None:
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        tg.while_loop(lambda c: True, lambda c: c + 1, tg.zeros(4)).numpy()
    assert time.monotonic() - start < 5
    timer.join()
    assert (tg.ones(2) + 1).tolist() == [2.0, 2.0]


# ---- plans, bits, errors -----------------------------------------------------------------------


def test_equal_programs_share_a_plan() -> None:
    def run(k: float) -> float:
        return tg.scan(lambda c, x: (c * k + x, None), 0.0, tg.ones(5))[0].item()

    run(0.5)
    before = tg.plan_cache_stats()["misses"]
    assert run(2.0) == 31.0
    assert tg.plan_cache_stats()["misses"] == before


def test_bits_do_not_depend_on_threads() -> None:
    w, xs = normal(64, 64), normal(20, 32, 64)

    def run() -> Any:
        def loss(w: tg.Tensor) -> tg.Tensor:
            return (tg.scan(lambda c, x: (tg.tanh(c @ w + x), c), tg.zeros((32, 64)), xs)[1]).sum()

        return tg.grad(loss)(w).numpy()

    threads = tg.get_num_threads()
    try:
        results = []
        for n in (1, 2, 3):
            tg.set_num_threads(n)
            results.append(run())
    finally:
        tg.set_num_threads(threads)
    for r in results[1:]:
        np.testing.assert_array_equal(r, results[0])


def test_a_scan_drives_a_recurrent_layer() -> None:
    tg.manual_seed(0)
    lstm = nn.LSTM(5, 6)
    names = dict(lstm.named_parameters())
    w, u = names["weight_ih_l0"], names["weight_hh_l0"]
    b = names["bias_ih_l0"] + names["bias_hh_l0"]
    xs = normal(9, 3, 5)

    def step(carry: Any, x: tg.Tensor) -> Any:
        h, c = carry
        i, f, g, o = tg.split(x @ w.T + h @ u.T + b, 6, axis=-1)
        c = tg.sigmoid(f) * c + tg.sigmoid(i) * tg.tanh(g)
        h = tg.sigmoid(o) * tg.tanh(c)
        return (h, c), h

    zero = tg.zeros((3, 6))
    (_, c), ys = tg.scan(step, (zero, zero), xs)
    expected, (_, cn) = lstm(xs)
    np.testing.assert_allclose(ys.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(c.numpy(), cn.numpy()[0], rtol=1e-5, atol=1e-6)
    (ys * ys).sum().backward()
    got = w.grad.numpy().copy()
    lstm.zero_grad()
    (expected * expected).sum().backward()
    np.testing.assert_allclose(got, w.grad.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: tg.cond(tg.asarray(1.0), lambda: 1, lambda: 2), TypeError, "pred must be a bool"),
        (lambda: tg.cond(True, lambda: {"a": 1.0}, lambda: {"a": tg.ones(2)}), ValueError, "'a'"),
        (lambda: tg.cond(True, lambda: 1.0, lambda: (1.0,)), TypeError, "structure"),
        (lambda: tg.scan(lambda c, x: (c, x), 0, (tg.ones(2), tg.ones(3))), ValueError, "xs"),
        (lambda: tg.scan(lambda c, x: (c, x), 0), ValueError, "length"),
        (lambda: tg.scan(lambda c, x: c, 0, tg.ones(2)), TypeError, "pair"),
        (lambda: tg.scan(lambda c, x: (c + x, x), 0, tg.ones(2)), TypeError, "carry.*int64"),
        (lambda: tg.while_loop(lambda c: c, lambda c: c, 1.0), TypeError, "0-d bool"),
        (lambda: tg.scan(lambda c, x: (c, tg.random.normal(2)), 0, tg.ones(2)),
         NotImplementedError, "random"),
    ],
)  # fmt: skip
def test_errors(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_writes_to_outside_tensors_are_refused() -> None:
    x = tg.ones(2)

    def body(c: tg.Tensor) -> tg.Tensor:
        x.__iadd__(1)
        return c

    with pytest.raises(tg.TraceError, match="writes to a tensor from outside"):
        tg.while_loop(lambda c: True, body, 0.0)
    assert x.tolist() == [1.0, 1.0]
    kept: list[tg.Tensor] = []
    with pytest.raises(tg.TraceError, match="still referred to"):
        tg.cond(True, lambda: kept.append(x + 1), lambda: None)


def test_the_random_state_is_left_alone_by_a_refusal() -> None:
    tg.manual_seed(3)
    expected = tg.random.normal(4).tolist()
    tg.manual_seed(3)
    with pytest.raises(NotImplementedError, match="random"):
        tg.cond(True, lambda: tg.random.normal(2), lambda: tg.zeros(2))
    assert tg.random.normal(4).tolist() == expected


def test_the_null_device_plans_it() -> None:
    x = tg.zeros((5, 3)).to("null")
    total, ys = tg.scan(lambda c, r: (c + r, c), x[0], x)
    tg.eval(total, ys)


def test_the_profile_shows_steps_inside() -> None:
    xs = normal(4, 3)
    tg.eval(xs)
    with tg.profiler.profile() as p:
        tg.scan(lambda c, x: (tg.tanh(c + x), None), tg.zeros(3), xs)[0].numpy()
    assert any("tanh" in e.name for e in p.events)
