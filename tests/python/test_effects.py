"""Ordered effects: prints, checks and callbacks inside a plan, and values that wait for others."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

import tegula as tg


def finish() -> None:
    tg.submit()
    tg.synchronize()


@pytest.fixture(autouse=True)
def nothing_pending():
    yield
    with contextlib.suppress(Exception):
        finish()


def test_effects_keep_the_order_of_the_program(capsys):
    x = tg.asarray([1.0, 2.0])
    for i in range(20):
        tg.debug.print("{} {:.1f}", i, x.sum() + i)
        tg.debug.callback(lambda v: print("callback", v), i)
    assert capsys.readouterr().out == ""  # recorded, not run
    finish()
    lines = capsys.readouterr().out.splitlines()
    expected = []
    for i in range(20):
        expected += [f"{i} {3.0 + i:.1f}", f"callback {i}"]
    assert lines == expected


def test_order_holds_for_any_number_of_threads():
    threads = tg.get_num_threads()
    try:
        for count in (1, 2, 8):
            tg.set_num_threads(count)
            seen: list[int] = []
            xs = [tg.random.normal((n + 1, 50)) for n in range(30)]
            for n, x in enumerate(xs):
                tg.debug.callback(lambda s, n, to: to.append(n), (x @ x.T).sum(), n, seen)
            finish()
            assert seen == list(range(30))
    finally:
        tg.set_num_threads(threads)


def test_an_effect_is_run_once_though_nobody_needs_it():
    seen = []
    y = tg.ones(3) * 2
    tg.debug.callback(lambda x: seen.append(x.tolist()), y)
    del y
    tg.eval(tg.ones(1) + 1)  # anything pending goes along
    finish()
    assert seen == [[2.0, 2.0, 2.0]]
    finish()
    assert len(seen) == 1


def test_arguments_are_nests_of_read_only_copies():
    got = []
    x = tg.arange(6).reshape(2, 3)
    tg.debug.callback(
        lambda a, more, *, key: got.append((a, more, key)),
        x.T,
        {"list": [x[0], "text"], "none": None},
        key=(x.sum(), 3),
    )
    tg.eval(x)
    finish()
    [(a, more, key)] = got
    np.testing.assert_array_equal(a, np.arange(6).reshape(2, 3).T)
    assert a.dtype == np.int64
    assert not a.flags.writeable
    assert more["list"][0].tolist() == [0, 1, 2]
    assert more["list"][1] == "text"
    assert more["none"] is None
    assert key[0] == 15
    assert key[1] == 3
    for _ in range(10):  # the arrays stay what they were
        tg.eval(tg.random.normal((100, 100)) + 1)
    assert a.sum() == 15


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "bfloat16", "float64"])
def test_dtypes(dtype):
    got = []
    tg.debug.callback(got.append, tg.ones((2, 0), dtype=dtype))
    tg.debug.callback(got.append, tg.ones(3, dtype=dtype))
    finish()
    assert got[0].shape == (2, 0)
    assert got[1].astype(float).tolist() == [1.0] * 3


def test_jit_replays_effects_each_call(capsys):
    @tg.jit
    def f(x, n):
        tg.debug.print("n {} x {}", n, x[0])
        y = x * 2
        tg.debug.print("y {}", y.sum())
        return y

    tg.debug.print("before")
    for i in range(3):
        f(tg.asarray([1.0 + i, 0.0]), i + 10)
    tg.debug.print("after")
    finish()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "before"
    assert lines[-1] == "after"
    assert lines[1:-1] == [
        t for i in range(3) for t in (f"n {i + 10} x {1.0 + i}", f"y {2 * (1.0 + i)}")
    ]
    assert f.cache_info()["misses"] == 1


def test_jit_of_effects_alone():
    seen = []

    @tg.jit
    def f(x):
        tg.debug.callback(lambda v: seen.append(float(v)), x.sum())

    for i in range(3):
        f(tg.full((2,), float(i)))
    finish()
    assert seen == [0.0, 2.0, 4.0]


def test_gradients_and_effects(capsys):
    def loss(x):
        y = tg.sin(x)
        tg.debug.print("y {}", y)
        tg.debug.check((y < 2), "too large")
        return (y * y).sum()

    x = tg.asarray([0.5])
    expected = 2 * np.sin(0.5) * np.cos(0.5)
    for f in (tg.grad(loss), tg.jit(tg.grad(loss)), tg.grad(tg.jit(loss))):
        assert f(x).item() == pytest.approx(expected, rel=1e-6)
        assert capsys.readouterr().out.count("y [") == 1


def test_a_hook_prints_the_gradient(capsys):
    x = tg.asarray([1.0, 1.0], requires_grad=True)
    y = x * 3
    y.register_hook(lambda g: tg.debug.print("gradient {}", g))
    (y * y).sum().backward()
    tg.eval(x.grad)
    assert capsys.readouterr().out == "gradient [6. 6.]\n"


# ---- failures --------------------------------------------------------------------------------


def test_a_check_names_its_line():
    x = tg.asarray([1.0, -1.0])
    tg.debug.check(x < 5, "never")
    tg.debug.check(x > 0, "negative: {}", x.min())  # the line
    y = x + 1
    with pytest.raises(AssertionError, match=r"negative: -1\.0") as error:
        y.numpy()
    assert any("test_effects.py:" in note for note in error.value.__notes__)
    assert any("in test_a_check_names_its_line" in note for note in error.value.__notes__)
    with pytest.raises(AssertionError):
        y.numpy()  # again, and the same
    with pytest.raises(AssertionError):
        tg.synchronize()
    tg.synchronize()


def test_a_check_of_a_python_bool_is_immediate():
    tg.debug.check(True, "fine")
    with pytest.raises(AssertionError, match="no 3"):
        tg.debug.check(False, "no {}", 3)


def test_exceptions_arrive_as_they_were_raised():
    class Mine(Exception):
        pass

    raised = Mine("text", 3)

    def fn(x):
        raise raised

    tg.debug.callback(fn, tg.ones(2))
    y = tg.ones(2) + 1
    depths = []
    for _ in range(3):
        with pytest.raises(Mine) as error:
            y.tolist()
        assert error.value is raised
        depths.append(len(error.traceback))
    assert depths[1] == depths[2]
    assert raised.__notes__ == [raised.__notes__[0]]
    assert "test_effects.py:" in raised.__notes__[0]


def test_a_failed_jit_run_leaves_state_as_it_was():
    total = tg.zeros(2)

    @tg.jit
    def step(x):
        nonlocal total
        total += x
        tg.debug.check(x > 0, "not positive")

    step(tg.ones(2))
    step(-tg.ones(2))
    assert total.tolist() == [1.0, 1.0]
    with pytest.raises(AssertionError, match="not positive"):
        tg.synchronize()
    step(tg.ones(2))
    assert total.tolist() == [2.0, 2.0]


def test_wrong_formats_are_refused_at_the_call():
    with pytest.raises(IndexError):
        tg.debug.print("{} {}", tg.ones(1))
    with pytest.raises(KeyError):
        tg.debug.check(tg.ones(1), "{name}", tg.ones(1))
    with pytest.raises(TypeError, match="format must be a str"):
        tg.debug.print(tg.ones(1))
    with pytest.raises(TypeError, match="needs a function"):
        tg.debug.callback(3)
    tg.debug.print("{0.shape} {x[0]:.2f}", tg.ones(1), x=tg.ones(1))


def test_evaluating_inside_a_callback_is_an_error_and_no_deadlock():
    def fn(x):
        return (tg.asarray(x) + 1).item()

    tg.debug.callback(fn, tg.ones(()))
    tg.submit()
    with pytest.raises(RuntimeError, match="same queue"):
        tg.synchronize()


@pytest.mark.parametrize("jit", [False, True])
def test_state_is_not_lost_by_evaluating_it_inside_a_callback(jit):
    x = tg.zeros(3) + 0
    add = tg.jit(lambda: x.__iadd__(1)) if jit else lambda: x.__iadd__(1).numpy()
    add()
    tg.synchronize()
    tg.debug.callback(lambda _: add(), tg.ones(()))
    tg.submit()
    with pytest.raises(RuntimeError, match="same queue"):
        tg.synchronize()
    assert x.tolist() == ([1.0] * 3 if jit else [2.0] * 3)  # recorded, but only now evaluated
    add()
    assert x.tolist() == ([2.0] * 3 if jit else [3.0] * 3)


# ---- values ----------------------------------------------------------------------------------


def test_host_call_gives_values():
    x = tg.asarray([[1.0, 2.0], [3.0, 4.0]])
    inverse = tg.host_call(np.linalg.inv, tg.TensorSpec((2, 2)), x)
    np.testing.assert_allclose((inverse @ x).numpy(), np.eye(2), atol=1e-5)
    low, high = tg.host_call(
        lambda v: (v.min(), v.max()), [tg.TensorSpec(()), tg.TensorSpec((), "float64")], x
    )
    assert (low + high).item() == 5.0
    assert high.dtype == tg.float64
    like = tg.host_call(lambda v: v[::-1], x, x)  # a tensor is a spec too
    assert like.tolist() == [[3.0, 4.0], [1.0, 2.0]]


def test_host_call_is_left_out_where_nobody_needs_it():
    calls = []

    def fn(x):
        calls.append(1)
        return x

    y = tg.host_call(fn, tg.TensorSpec((2,)), tg.ones(2))
    del y
    finish()
    assert not calls
    tg.host_call(fn, tg.TensorSpec((2,)), tg.ones(2), ordered=True)
    finish()
    assert len(calls) == 1


def test_host_call_in_jit_and_with_state():
    count = 0

    def draw():
        nonlocal count
        count += 1
        return np.float32(count)

    @tg.jit
    def f(x):
        return x + tg.host_call(draw, tg.TensorSpec(()), ordered=True)

    assert [f(tg.ones(2)).tolist() for _ in range(3)] == [[2.0] * 2, [3.0] * 2, [4.0] * 2]


def test_host_call_refuses_what_does_not_fit():
    x = tg.ones(3)
    tg.eval(x)
    with pytest.raises(ValueError, match=r"shape \(3,\) where the spec has \(2,\)"):
        tg.host_call(lambda v: v, tg.TensorSpec((2,)), x).numpy()
    with pytest.raises(TypeError, match="does not convert"):
        tg.host_call(lambda v: v, tg.TensorSpec((3,), "int32"), x).numpy()
    with pytest.raises(ValueError, match="1 arrays where there are 2"):
        tg.host_call(lambda v: [v], [tg.TensorSpec((3,))] * 2, x)[0].numpy()
    with pytest.raises(TypeError, match="TensorSpec"):
        tg.host_call(lambda v: v, 3, x)
    with pytest.raises(NotImplementedError, match="host_call: has no derivative"):
        tg.grad(lambda x: tg.host_call(lambda v: v, x, x).sum())(x)


# ---- order between values --------------------------------------------------------------------


def test_after_is_the_value_with_its_gradient():
    x = tg.asarray([1.0, 2.0])
    assert tg.after(x, x.sum(), tg.ones(3)).tolist() == [1.0, 2.0]
    assert tg.after(x.reshape(2, 1).T, 3.0).tolist() == [[1.0, 2.0]]
    assert tg.grad(lambda x: (tg.after(x * x, x.sum()) * 3).sum())(x).tolist() == [6.0, 12.0]
    f = tg.jit(lambda x: tg.after(x * 2, x + 1))
    assert f(x).tolist() == f(x).tolist() == [2.0, 4.0]
    assert (tg.after(x * 2, x.sum()) + x).tolist() == [3.0, 6.0]


@pytest.mark.parametrize("jit", [False, True])
def test_after_orders_pure_calls(jit):
    seen = []

    def note(name):
        def fn(x):
            time.sleep(0.001)
            seen.append(name)
            return x

        return fn

    def f(x):
        first = tg.host_call(note("first"), x, x)
        tg.debug.callback(lambda: seen.append("effect"))
        second = tg.host_call(note("second"), x, tg.after(x, first))
        return second

    for _ in range(5):
        (tg.jit(f) if jit else f)(tg.ones(2)).numpy()
        assert seen.index("first") < seen.index("second")
        assert seen.index("effect") < seen.index("second")
        seen.clear()


# ---- threads, memory, interruption ------------------------------------------------------------


def test_two_threads_with_callbacks_do_not_deadlock():
    counts = [0, 0]

    def work(k):
        def fn(x):
            counts[k] += 1

        for i in range(50):
            x = tg.random.normal((60, 60))
            tg.debug.callback(fn, x @ x)
            if i % 7 == 0:
                tg.eval(x)
            tg.submit()
        tg.synchronize()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
        assert not t.is_alive()
    assert counts == [50, 50]


def test_effects_of_a_thread_that_has_ended():
    seen = []

    def work():
        x = tg.ones(2)
        for i in range(3):
            tg.debug.callback(lambda v, i: seen.append(i), x + i, i)

    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    limit = time.monotonic() + 10  # join() may return shortly before the thread has ended
    while len(seen) < 6 and time.monotonic() < limit:
        finish()
    assert sorted(seen) == [0, 0, 1, 1, 2, 2]


def test_functions_are_let_go():
    class Function:
        def __call__(self, x):
            pass

    fn = Function()
    gone = weakref.ref(fn)
    tg.debug.callback(fn, tg.ones(2) + 1)
    del fn
    finish()
    gc.collect()
    assert gone() is None


def test_effects_hit_the_plan_cache():
    x = tg.ones(4)
    tg.eval(x)

    def step(i):
        tg.debug.callback(lambda v: None, x * i)
        finish()

    step(2.0)
    before = tg.plan_cache_stats()
    for i in range(5):
        step(float(i + 2))  # 0 and 1 have plans of their own
    assert tg.plan_cache_stats()["misses"] == before["misses"]


PROGRAM = """
import tegula as tg, sys
tg.set_num_threads(2)
x = tg.ones(2)
tg.debug.print("first {}", x.sum())
@tg.jit
def f(x):
    tg.debug.print("second {}", x)
f(x)
tg.debug.print("last {}", x + 1)
"""


def test_the_end_of_the_program_runs_what_is_pending():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "first 2.0\nsecond [1. 1.]\nlast [2. 2.]\n"
    assert done.stderr == ""


INTERRUPTED = """
import tegula as tg, time
tg.set_num_threads({threads})
def slow(x):
    print("in", flush=True)
    time.sleep({seconds})
x = tg.ones(2) * 3
tg.debug.callback(slow, x)
y = x + (tg.ones((1000, 1000)) @ tg.ones((1000, 2))).sum()
try:
    if {ahead}:
        tg.submit()
    print(y.tolist())
except KeyboardInterrupt:
    print("interrupted", x.shape, flush=True)
print((tg.ones(2) + 1).tolist())
"""


# On the thread that waits, or on the queue's, where the call may end first.
@pytest.mark.parametrize(
    ("threads", "ahead", "seconds"), [(1, False, 30), (2, False, 30), (2, True, 2)]
)
def test_ctrl_c_reaches_a_callback(threads, ahead, seconds):
    code = INTERRUPTED.format(threads=threads, ahead=ahead, seconds=seconds)
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert child.stdout.readline() == "in\n"
        time.sleep(0.1)
        start = time.monotonic()
        os.kill(child.pid, signal.SIGINT)
        rest, _ = child.communicate(timeout=20)
        assert time.monotonic() - start < 10
    finally:
        child.kill()
    assert rest == "interrupted (2,)\n[2.0, 2.0]\n"
