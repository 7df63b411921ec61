"""``tg.jit`` does what the undecorated function does, bit for bit, and says so where it cannot."""

from __future__ import annotations

import gc
import re
import threading
import weakref
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from bits import normal, same

import tegula as tg
from tegula import nn

Pair = namedtuple("Pair", ["left", "right"])


@dataclass
class Batch:
    inputs: Any
    labels: Any


# ---- arguments and results -----------------------------------------------------------------


def test_values_equal_the_undecorated_function() -> None:
    def f(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        return tg.softmax(tg.tanh(x @ y) * 2 - 1, axis=-1)

    jitted = tg.jit(f)
    for shape in ((3, 4), (5, 4), (3, 4)):
        same(jitted(normal(*shape), normal(4, 6)), f(normal(*shape), normal(4, 6)))
    assert jitted.cache_info()["misses"] == 2
    assert jitted.cache_info()["hits"] == 1


def test_structures_go_in_and_out() -> None:
    def f(batch: Any, *, scale: Any, mode: str = "sum") -> Any:
        x = batch["a"][0] * scale
        y = batch["b"].left + 1 if mode == "sum" else batch["b"].right
        return {"x": x, "rest": (y, [x + y, None, "text", 7]), "pair": Pair(x, y)}

    jitted = tg.jit(f)
    for scale in (2.0, 3.0):
        for mode in ("sum", "other"):
            batch = {"a": [normal(3)], "b": Pair(normal(3) * 2, normal(3) * 3)}
            same(jitted(batch, scale=scale, mode=mode), f(batch, scale=scale, mode=mode))
    assert jitted.cache_info()["misses"] == 2


def test_dataclasses_and_numpy_arrays() -> None:
    def f(batch: Batch) -> Batch:
        return Batch(tg.asarray(batch.inputs) * 2, batch.labels + 1)

    result = tg.jit(f)(Batch(np.arange(3.0), normal(2)))
    np.testing.assert_array_equal(result.inputs.numpy(), np.arange(3.0) * 2)
    same(result.labels, normal(2) + 1)


def test_a_method_and_its_object() -> None:
    class Scaler:
        def __init__(self, by: float) -> None:
            self.by = tg.asarray(by)

        @tg.jit
        def scale(self, x: tg.Tensor) -> tg.Tensor:
            return x * self.by

    two, three = Scaler(2.0), Scaler(3.0)
    same(two.scale(normal(3)), normal(3) * 2)
    same(three.scale(normal(3)), normal(3) * 3)
    two.by[...] = 5.0
    same(two.scale(normal(3)), normal(3) * 5)


def test_keyword_arguments() -> None:
    def f(x: tg.Tensor, /, scale: float = 2.0, *, mode: str = "plus", **more: tg.Tensor) -> Any:
        y = x * scale
        for name in sorted(more):
            y = y + more[name] if mode == "plus" else y - more[name]
        return {"y": y, "names": tuple(sorted(more))}

    jitted = tg.jit(f)
    x = normal(3)
    calls: list[dict[str, Any]] = [
        {},
        {"scale": 3.0},
        {"mode": "minus", "b": x, "a": x + 1},
        {"a": x + 1, "b": x, "mode": "minus"},
        {"scale": 0.5, "c": tg.ones(3)},
    ]
    for _ in range(2):
        for given in calls:
            same(jitted(x, **given), f(x, **given))
    misses = jitted.cache_info()["misses"]
    same(jitted(x, scale=5.0), f(x, scale=5.0))  # a number, not another kind of call
    assert jitted.cache_info()["misses"] == misses


def test_python_numbers_may_change() -> None:
    @tg.jit
    def f(x: tg.Tensor, a: float, n: int) -> tg.Tensor:
        return x * a + n

    for a, n in ((2.0, 1), (0.1, 5), (-3.5, -7)):
        same(f(normal(4), a, n), normal(4) * a + n)
    same(f(tg.arange(4), 0.5, 3), tg.arange(4) * 0.5 + 3)
    assert f.cache_info()["misses"] == 2


def test_a_number_that_is_decided_by_is_traced_by_value() -> None:
    @tg.jit
    def f(x: tg.Tensor, n: int, slope: float) -> tg.Tensor:
        x = tg.reshape(x, (n, -1))
        return x if slope > 0 else x * slope

    for n, slope in ((2, 1.0), (3, -0.5), (2, 1.0), (2, 2.0)):
        want = tg.reshape(normal(6), (n, -1))
        same(f(normal(6), n, slope), want if slope > 0 else want * slope)
    assert f.cache_info()["misses"] == 3


def test_a_number_comes_back_as_it_is_at_each_call() -> None:
    @tg.jit
    def f(a: float) -> tg.Tensor:
        return a

    assert f(2.0).item() == 2.0
    assert f(3.5).item() == 3.5


def test_the_same_tensor_twice_is_another_kind_of_call() -> None:
    @tg.jit
    def f(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        x += 1
        return x * y

    x, y = tg.ones(2), tg.full((2,), 3.0)
    same(f(x, y), tg.full((2,), 6.0))
    same(f(x, x), tg.full((2,), 9.0))
    same(x, tg.full((2,), 3.0))


def test_other_dtypes_layouts_and_empty_tensors() -> None:
    f = tg.jit(lambda x: (x + x, x.sum()))
    for x in (
        tg.ones((0, 3)),
        tg.ones(()),
        tg.arange(5),
        normal(3, 4).T,
        normal(6)[::2],
        tg.asarray([True, False]).to(tg.int8),
        tg.asarray(2.5),
    ):
        same(f(x), (x + x, x.sum()))


# ---- state ---------------------------------------------------------------------------------


def test_state_is_read_and_written_at_each_call() -> None:
    total = tg.zeros(3)
    count = tg.asarray(0)

    @tg.jit
    def f(x: tg.Tensor) -> tg.Tensor:
        nonlocal total, count
        total += x
        count += 1
        return total / count

    for i in range(1, 5):
        same(f(tg.full((3,), float(i))), tg.full((3,), (i + 1) / 2))
    total[...] = 0.0
    count -= 4
    same(f(tg.ones(3)), tg.ones(3))
    assert f.cache_info()["misses"] <= 2


def test_an_argument_written_in_place_is_written() -> None:
    @tg.jit
    def f(x: tg.Tensor) -> None:
        x[0] = 7.0

    for _ in range(3):
        x = tg.zeros(2)
        y = x
        assert f(x) is None
        assert y.tolist() == [7.0, 0.0]


def test_values_seen_from_outside_stay_what_they_were() -> None:
    x = tg.zeros(1000)

    @tg.jit
    def f() -> None:
        nonlocal x
        x += 1

    f()
    seen, array = x.detach(), x.numpy()
    for _ in range(3):
        f()
    assert x[0].item() == 4.0
    assert seen[0].item() == 1.0
    assert array[0] == 1.0


def test_a_returned_state_is_the_state() -> None:
    x = tg.zeros(2)

    @tg.jit
    def f() -> tg.Tensor:
        nonlocal x
        x += 1
        return x

    assert f() is x
    assert f() is x
    assert x.tolist() == [2.0, 2.0]


def test_two_states_exchanged() -> None:
    a, b = tg.zeros(2), tg.ones(2)

    @tg.jit
    def f() -> None:
        old = a * 1
        a[...] = b
        b[...] = old

    for i in range(3):
        f()
        assert a[0].item() == (i + 1) % 2
        assert b[0].item() == i % 2


def test_shapes_of_state_are_part_of_the_call() -> None:
    class Holder:
        x = tg.ones(2)

    @tg.jit
    def f() -> tg.Tensor:
        return Holder.x.sum()

    assert f().item() == 2.0
    Holder.x[...] = 3.0
    assert f().item() == 6.0


def test_a_run_that_fails_leaves_the_state_as_it_was() -> None:
    x = tg.zeros(4)
    table = tg.ones((5, 4))

    @tg.jit
    def f(i: tg.Tensor) -> None:
        nonlocal x
        x += tg.take(table, i, axis=0)

    f(tg.asarray(2))
    f(tg.asarray(9))
    with pytest.raises(IndexError):
        tg.synchronize()
    assert x.tolist() == [1.0] * 4
    f(tg.asarray(0))
    assert x.tolist() == [2.0] * 4


def test_memory_does_not_grow() -> None:
    x = tg.zeros(100_000)

    @tg.jit
    def f() -> None:
        nonlocal x
        x += 1

    for _ in range(3):
        f()
    tg.eval(x)
    before = tg.memory_stats()
    for _ in range(50):
        f()
    tg.eval(x)
    assert tg.memory_stats() == before


# ---- gradients, nesting --------------------------------------------------------------------


def test_gradients_of_a_jitted_function() -> None:
    def f(x: tg.Tensor) -> tg.Tensor:
        return (tg.sin(x) * x).sum()

    jitted = tg.jit(f)
    for _ in range(2):
        same(tg.grad(jitted)(normal(5)), tg.grad(f)(normal(5)))
        same(tg.jit(tg.grad(f))(normal(5)), tg.grad(f)(normal(5)))
        same(tg.jit(tg.grad(jitted))(normal(5)), tg.grad(f)(normal(5)))
        same(
            tg.grad(lambda x: tg.grad(jitted)(x).sum())(normal(5)),
            tg.grad(lambda x: tg.grad(f)(x).sum())(normal(5)),
        )


def test_backward_through_a_jitted_model() -> None:
    model = nn.Linear(4, 2)
    forward = tg.jit(lambda x: model(x))
    for _ in range(3):
        model.zero_grad()
        forward(normal(3, 4)).sum().backward()
        want = tg.grad(lambda w: (normal(3, 4) @ w.T).sum())(model.weight.detach())
        same(model.weight.grad, want)


def test_a_jitted_function_within_another() -> None:
    inner = tg.jit(lambda x: x * 2)
    outer = tg.jit(lambda x: inner(x) + inner(x + 1))
    same(outer(normal(3)), normal(3) * 2 + (normal(3) + 1) * 2)
    assert inner.cache_info()["misses"] == 0


def test_no_grad_and_grad_are_two_traces() -> None:
    w = nn.Parameter(tg.ones(2))
    f = tg.jit(lambda x: (x * w).sum())
    with tg.no_grad():
        assert not f(tg.ones(2)).requires_grad
    out = f(tg.ones(2))
    assert out.requires_grad
    out.backward()
    assert w.grad is not None


# ---- what cannot be traced -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("use", "text"),
    [
        (lambda x: x if x.sum() > 0 else -x, "bool"),
        (lambda x: float(x.sum()), "float"),
        (lambda x: int(x.sum()), "int"),
        (lambda x: x.sum().item(), "not known"),
        (lambda x: x.numpy(), "not known"),
        (lambda x: x.tolist(), "not known"),
        (lambda x: str(x), "not known"),
        (lambda x: x[x > 0], "not known"),
        (lambda x: tg.eval(x * 2), "not known"),
    ],
)
def test_reading_a_value_is_an_error_that_names_the_line(use: Any, text: str) -> None:
    state = tg.zeros(2)

    @tg.jit
    def f(x: tg.Tensor) -> Any:
        nonlocal state
        state += 1
        return use(x * 1)

    with pytest.raises(tg.TraceError, match=text) as error:
        f(tg.ones(3))
    assert re.search(r"test_jit\.py:\d+ in <lambda>", str(error.value))
    assert state.tolist() == [0.0, 0.0]
    same(tg.ones(2) + 1, tg.full((2,), 2.0))


def test_a_tensor_that_is_kept_is_an_error() -> None:
    kept = []

    @tg.jit
    def f(x: tg.Tensor) -> tg.Tensor:
        kept.append(x * 2)
        return x

    with pytest.raises(tg.TraceError, match=r"multiply, computed at test_jit\.py"):
        f(tg.ones(2))


def test_an_exception_in_the_function_changes_nothing() -> None:
    x = tg.ones(2)

    @tg.jit
    def f(fail: bool) -> tg.Tensor:
        nonlocal x
        x += 1
        if fail:
            raise KeyError("mine")
        return x * 2

    with pytest.raises(KeyError, match="mine"):
        f(True)
    assert x.tolist() == [1.0, 1.0]
    assert f(False).tolist() == [4.0, 4.0]


def test_manual_seed_inside_is_an_error() -> None:
    with pytest.raises(tg.TraceError, match="manual_seed"):
        tg.jit(lambda: tg.manual_seed(0))()


def test_bad_arguments() -> None:
    with pytest.raises(TypeError, match="jit: needs a function, got int"):
        tg.jit(3)
    with pytest.raises(ValueError, match="limit"):
        tg.jit(limit=0)(abs)
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="nested"):
        tg.jit(lambda x: x)(endless)


# ---- the cache -----------------------------------------------------------------------------


def test_the_cache_is_bounded() -> None:
    f = tg.jit(lambda x: x + 1, limit=3)
    for n in range(10):
        f(tg.ones(n))
    info = f.cache_info()
    assert (info["traces"], info["limit"], info["misses"]) == (3, 3, 10)
    f.cache_clear()
    assert f.cache_info()["traces"] == 0
    same(f(tg.ones(2)), tg.full((2,), 2.0))


def test_a_jitted_function_in_a_cycle_is_collected() -> None:
    class Holder:
        pass

    def make() -> weakref.ref[Holder]:
        holder = Holder()
        holder.x = tg.ones(3)
        holder.step = tg.jit(lambda: holder.x * 2)
        holder.step()
        return weakref.ref(holder)

    seen = make()
    gc.collect()
    assert seen() is None


def test_another_thread_is_told_of_a_trace() -> None:
    x = tg.ones(3)
    tg.eval(x)
    errors: list[BaseException] = []

    def look() -> None:
        for use in (lambda: x + 1, x.numpy, lambda: tg.eval(x), x.tolist):
            try:
                use()
            except tg.TraceError as error:
                errors.append(error)

    @tg.jit
    def f() -> tg.Tensor:
        y = x * 2
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        return y

    assert f().tolist() == [2.0] * 3
    assert len(errors) >= 3
    look()
    assert x.tolist() == [1.0] * 3


def test_several_threads_replay_at_once() -> None:
    f = tg.jit(lambda x: (tg.sin(x) @ x).sum())
    x = normal(64, 64)
    want = f(x).item()
    wrong: list[float] = []

    def run() -> None:
        for i in range(50):
            if f(x).item() != want:
                wrong.append(i)
            if i % 20 == 0:
                f.cache_clear()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
