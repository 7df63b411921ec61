"""Operations whose kernels are compiled apart from Tegula: ``tg.load_custom_ops``."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bits import normal, same
from custom_library import HEAD, build_example, compile_library, needs_compiler
from slopes import check_gradient

import tegula as tg

pytestmark = needs_compiler

# Operations that show what they are given, and that go wrong as they are told to.
PROBE = (
    HEAD
    + r"""
#include <atomic>
#include <cstring>
#include <stdexcept>

#include <unistd.h>

namespace {

std::atomic<int64_t> calls{0};

int32_t like_first(const tegula_call* call, tegula_result* results) {
  return tegula_like(&call->inputs[0], &results[0]);
}

// The strides of x, of one axis more than there is memory for if there is none.
int32_t strides_shape(const tegula_call* call, tegula_result* results) {
  results[0].dtype = TEGULA_INT64;
  results[0].rank = 1;
  results[0].shape[0] = call->inputs[0].rank;
  return 0;
}
int32_t strides(const tegula_call* call) {
  const tegula_tensor& x = call->inputs[0];
  for (int32_t i = 0; i < x.rank; ++i)
    static_cast<int64_t*>(call->outputs[0].data)[i] = x.strides[i];
  return 0;
}

// x * scale + shift, negated if told to, for float32 x that lies dense.
int32_t affine(const tegula_call* call) {
  ++calls;
  const float* x = static_cast<const float*>(call->inputs[0].data);
  float* y = static_cast<float*>(call->outputs[0].data);
  const float scale = float(call->attributes[0].real), shift = float(call->attributes[1].integer);
  const float sign = call->attributes[2].integer ? -1.0f : 1.0f;
  const int64_t size = tegula_size(&call->outputs[0]);
  const int64_t block = 1000;
  return tegula_parallel_for(call, (size + block - 1) / block, 1e6, [=](int64_t piece) {
    const int64_t end = (piece + 1) * block < size ? (piece + 1) * block : size;
    for (int64_t i = piece * block; i < end; ++i) y[i] = sign * (x[i] * scale + shift);
  });
}

// The number of the call.
int32_t count(const tegula_call* call) {
  *static_cast<int64_t*>(call->outputs[0].data) = ++calls;
  return 0;
}
int32_t count_shape(const tegula_call*, tegula_result* results) {
  results[0].dtype = TEGULA_INT64;
  results[0].rank = 0;
  return 0;
}

// 100,000 pieces of 1 ms.
int32_t slow(const tegula_call* call) {
  return tegula_parallel_for(call, 100000, 1e8, [](int64_t) { usleep(1000); });
}

int32_t split_shape(const tegula_call* call, tegula_result* results) {
  results[0].dtype = TEGULA_FLOAT32;
  results[1].dtype = TEGULA_INT32;
  for (int k = 0; k < 2; ++k) {
    results[k].rank = 1;
    results[k].shape[0] = call->inputs[0].shape[0];
  }
  return 0;
}
int32_t split(const tegula_call* call) {
  for (int64_t i = 0; i < call->inputs[0].shape[0]; ++i) {
    const float x = static_cast<const float*>(call->inputs[0].data)[i];
    static_cast<float*>(call->outputs[0].data)[i] = x - float(int(x));
    static_cast<int32_t*>(call->outputs[1].data)[i] = int(x);
  }
  return 0;
}

int32_t bad_shape(const tegula_call* call, tegula_result* results) {
  tegula_like(&call->inputs[0], &results[0]);
  const int64_t how = call->attributes[0].integer;
  if (how == 1) results[0].dtype = 99;
  if (how == 2) results[0].rank = 33;
  if (how == 3) results[0].shape[0] = -1;
  if (how == 4) return 7;
  if (how == 5) throw std::runtime_error("thrown by the rule");
  if (how == 6) return tegula_fail(call, TEGULA_INDEX_ERROR, "how must not be %d", int(how));
  return 0;
}
int32_t bad(const tegula_call* call) {
  const int64_t how = call->attributes[0].integer;
  if (how == 10) return tegula_fail(call, TEGULA_VALUE_ERROR, "x[%d] is negative", 3);
  if (how == 11) return 5;
  if (how == 12) throw std::runtime_error("thrown by the kernel");
  if (how == 13) {  // does not look at what it is told
    tegula_parallel_for(call, 100, 1e6, [=](int64_t i) {
      if (i >= 3) tegula_fail(call, TEGULA_RUNTIME_ERROR, "piece %d", int(i));
    });
    return 0;
  }
  if (how == 14)
    return tegula_parallel_for(call, 4, 1e6, [=](int64_t i) {
      tegula_parallel_for(call, 4, 1e6, [=](int64_t j) {
        if (i + j >= 2) tegula_fail(call, TEGULA_VALUE_ERROR, "%d, %d", int(i), int(j));
      });
    });
  std::memcpy(call->outputs[0].data, call->inputs[0].data, size_t(4 * tegula_size(call->inputs)));
  return 0;
}

const tegula_operation operations[] = {
    {"strides", "x: Tensor", nullptr, 1, 0, strides_shape, strides},
    {"dense_strides", "x: Tensor", nullptr, 1, TEGULA_DENSE_INPUTS, strides_shape, strides},
    {"affine", "x: Tensor, scale: float = 1, shift: int = 0, negate: bool = False",
     "x * scale + shift.", 1, TEGULA_PURE | TEGULA_DENSE_INPUTS, like_first, affine},
    {"count", "", "The number of the call.", 1, 0, count_shape, count},
    {"pure_count", "", "The same, said to be pure.", 1, TEGULA_PURE, count_shape, count},
    {"split", "x: Tensor", nullptr, 2, TEGULA_DENSE_INPUTS, split_shape, split},
    {"slow", "x: Tensor", nullptr, 1, 0, like_first, slow},
    {"bad", "x: Tensor, how: int", nullptr, 1, TEGULA_DENSE_INPUTS, bad_shape, bad},
};

}  // namespace

TEGULA_CUSTOM_OPS("probe", operations)
"""
)


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> tg.CustomOps:
    return tg.load_custom_ops(
        compile_library(tmp_path_factory.mktemp("probe"), "probe", PROBE, "-Wno-shadow")
    )


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> tg.CustomOp:
    """The example's operation, from its module."""
    folder = build_example(tmp_path_factory.mktemp("example"))
    spec = importlib.util.spec_from_file_location("recurrence", folder / "recurrence.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.linear


def recurrence(a: np.ndarray, x: np.ndarray, reverse: bool = False) -> np.ndarray:
    h, result = np.zeros(x.shape[:-1], x.dtype), np.empty_like(x)
    steps = range(x.shape[-1])
    for t in reversed(steps) if reverse else steps:
        h = a[..., t] * h + x[..., t]
        result[..., t] = h
    return result


# ---- values ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shape", [(7,), (3, 5), (2, 3, 40), (0,), (3, 0), (0, 4), (1, 1), (1000, 9)]
)
def test_the_example_computes_the_recurrence(
    linear: tg.CustomOp, rng: np.random.Generator, shape: tuple[int, ...], dtype: str
) -> None:
    a, x = rng.uniform(size=shape).astype(dtype), rng.normal(size=shape).astype(dtype)
    for reverse in (False, True):
        y = linear(tg.asarray(a), tg.asarray(x), reverse=reverse)
        assert y.shape == shape
        np.testing.assert_array_equal(y.numpy(), recurrence(a, x, reverse))


def test_inputs_of_any_strides(linear: tg.CustomOp, rng: np.random.Generator) -> None:
    a, x = tg.asarray(rng.uniform(size=(8, 6))), tg.asarray(rng.normal(size=(8, 6)))
    views = [
        (a.T, x.T), (a[::2, ::-1], x[1::2, ::3][:, ::-1].repeat(3, axis=1)), (a[::-1], x[:, ::-1]),
        (tg.broadcast_to(a[0], (8, 6)), x), (tg.broadcast_to(a[:, :1], (8, 6)), x),
    ]  # fmt: skip
    for b, y in views:
        tg.eval(b, y)
        np.testing.assert_array_equal(linear(b, y).numpy(), recurrence(b.numpy(), y.numpy()))


def test_strides_are_as_declared(probe: tg.CustomOps) -> None:
    x = tg.ones((2, 3, 4))
    tg.eval(x)
    view = x.permute_dims((2, 0, 1))[::-1]
    assert probe.strides(view).tolist() == [-1, 12, 4]
    assert probe.dense_strides(view).tolist() == [6, 3, 1]
    assert probe.strides(tg.broadcast_to(x[0, 0], (5, 4))).tolist() == [0, 1]
    assert probe.strides(tg.asarray(2.0)).tolist() == []


def test_attributes_and_defaults(probe: tg.CustomOps) -> None:
    x = tg.asarray([1.0, 2.0])
    assert probe.affine(x).tolist() == [1.0, 2.0]
    assert probe.affine(x, 0.5, 3).tolist() == [3.5, 4.0]
    assert probe.affine(x, negate=True, shift=np.int64(1), scale=2).tolist() == [-3.0, -5.0]
    assert probe.affine(x=3.0, scale=2.0).tolist() == 6.0
    assert str(probe.affine.__signature__).startswith("(x: tegula.Tensor, scale: float = 1.0")
    assert probe.affine.__doc__ == "x * scale + shift."
    for shape in [(), (0,), (3, 0, 2), (1, 1)]:
        same(probe.affine(tg.ones(shape), 2.0), tg.full(shape, 2.0))


def test_several_outputs(probe: tg.CustomOps) -> None:
    fraction, whole = probe.split(tg.asarray([1.5, -2.25]))
    assert (fraction.tolist(), whole.tolist()) == ([0.5, -0.25], [1, -2])
    assert whole.dtype == tg.int32
    assert probe.split(tg.asarray([1.5]))[1].tolist() == [1]


# ---- in plans --------------------------------------------------------------------------------


def test_it_is_a_step_among_others(probe: tg.CustomOps) -> None:
    x = normal(50, 40)

    def f(x: tg.Tensor) -> tg.Tensor:
        return (probe.affine(x * 2 + 1, 0.5) - 1).sum(axis=1)

    text = str(tg.explain(f, x))
    assert "3 steps" in text or "3 nodes" not in text
    assert "custom_kernel probe.affine" in text
    same(f(x), ((x * 2 + 1) * 0.5 - 1).sum(axis=1))
    same(tg.jit(f)(x), f(x))


def test_profile_names_it(probe: tg.CustomOps) -> None:
    x = normal(500, 40)
    with tg.profiler.profile() as profile:
        tg.eval(probe.affine(x, 3.0))
    assert "custom_kernel probe.affine" in str(profile)


def test_graph_names_it(probe: tg.CustomOps) -> None:
    assert "probe.affine" in str(tg.graph(lambda x: probe.affine(x), tg.ones(2)))


def test_equal_calls_of_a_pure_operation_are_one(probe: tg.CustomOps) -> None:
    a, b = probe.pure_count(), probe.pure_count()
    assert a.item() == b.item()
    a, b = probe.count(), probe.count()
    tg.eval(a, b)
    assert abs(a.item() - b.item()) == 1
    x = normal(10)
    x, y = probe.affine(x, 2.0), probe.affine(x, 3.0)
    same(y, x / 2 * 3)


def test_plans_are_found_again(probe: tg.CustomOps) -> None:
    x = normal(30)
    for _ in range(2):
        tg.eval(probe.affine(x, 2.0) + 1)
    before = tg.plan_cache_stats()["misses"]
    tg.eval(probe.affine(x, 2.0) + 1)
    assert tg.plan_cache_stats()["misses"] == before
    same(probe.affine(x, 4.0) + 1, x * 4 + 1)  # another attribute, another plan


def test_threads_change_no_bit(probe: tg.CustomOps, linear: tg.CustomOp) -> None:
    a, x = tg.random.uniform((300, 50)), normal(300, 50)
    threads = tg.get_num_threads()
    found = []
    try:
        for count in (1, 2, 4):
            tg.set_num_threads(count)
            found.append((linear(a, x).numpy(), probe.affine(x, 1.5).numpy()))
    finally:
        tg.set_num_threads(threads)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_python_threads_use_it_at_once(linear: tg.CustomOp) -> None:
    a, x = tg.random.uniform((20, 30)), normal(20, 30)
    expected = recurrence(a.numpy(), x.numpy())
    wrong = []

    def work() -> None:
        for _ in range(50):
            if not np.array_equal(linear(a, x).numpy(), expected):
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not wrong


def test_in_control_flow(linear: tg.CustomOp) -> None:
    a, x = tg.random.uniform((4, 6)), normal(4, 6)

    def f(a: tg.Tensor, x: tg.Tensor, pred: tg.Tensor) -> Any:
        x = tg.cond(pred, lambda x: linear(a, x), lambda x: -x, x)
        carry, rows = tg.scan(lambda c, r: (linear(r, c), c.sum()), x[0], a)
        last = tg.while_loop(lambda c: c[0] < 3, lambda c: linear(a[0], c) + 1, x[1], max_iters=5)
        return carry, rows, last

    def by_hand(a: tg.Tensor, x: tg.Tensor, pred: bool) -> Any:
        x = linear(a, x) if pred else -x
        carry, rows = x[0], []
        for row in a:
            rows.append(carry.sum())
            carry = linear(row, carry)
        last, n = x[1], 0
        while last[0].item() < 3 and n < 5:
            last, n = linear(a[0], last) + 1, n + 1
        return carry, tg.stack(rows), last

    for pred in (True, False):
        expected = by_hand(a, x, pred)
        same(f(a, x, tg.asarray(pred)), expected)
        same(tg.jit(f)(a, x, tg.asarray(pred)), expected)


# ---- gradients -------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
def test_gradient_of_the_example(
    linear: tg.CustomOp, rng: np.random.Generator, reverse: bool
) -> None:
    a, x = rng.uniform(size=(3, 5)), rng.normal(size=(3, 5))
    w = tg.asarray(rng.normal(size=(3, 5)))
    check_gradient(lambda a: (linear(a, tg.asarray(x), reverse) * w).sum(), a, atol=1e-7)
    check_gradient(lambda x: (linear(tg.asarray(a), x, reverse) ** 2 * w).sum(), x, atol=1e-7)
    check_gradient(lambda x: (linear(x, x, reverse) ** 2).sum(), x)  # one tensor, twice
    inner = tg.grad(lambda a: (linear(a, tg.asarray(x), reverse) ** 2).sum())
    check_gradient(lambda a: (inner(a) * w).sum(), a)  # of the gradient


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (1,)])
def test_gradient_of_empty_shapes(linear: tg.CustomOp, shape: tuple[int, ...]) -> None:
    a = tg.full(shape, 0.5)
    g = tg.grad(lambda a: linear(a, a).sum())(a)
    assert (g.shape, g.sum().item()) == (shape, float(np.prod(shape)))


def test_gradient_through_control_flow(linear: tg.CustomOp, rng: np.random.Generator) -> None:
    a, x = rng.uniform(size=(3, 4)), rng.normal(size=(3, 4))

    def f(a: tg.Tensor) -> tg.Tensor:
        start = tg.cond(a.sum() > 0, lambda a: linear(a, tg.asarray(x)), lambda a: a, a)[0]
        carry, rows = tg.scan(lambda c, r: (linear(r, c) * 0.5, (c**2).sum()), start, a)
        last = tg.while_loop(lambda c: c[0] < 9, lambda c: linear(a[0], c) + 1, carry, max_iters=3)
        return last.sum() + rows.sum()

    check_gradient(f, a, atol=1e-7)


def test_backward_and_rules_that_read_from_outside(probe: tg.CustomOps) -> None:
    factor = tg.ones(4) * 2  # pending

    @probe.affine.vjp
    def _(inputs: Any, y: tg.Tensor, upstream: tg.Tensor, scale: float, **rest: Any) -> Any:
        return upstream * scale * factor / 2

    try:
        x = tg.ones(4).requires_grad_()
        probe.affine(x, 3.0).sum().backward()
        assert x.grad.tolist() == [3.0] * 4
        f = tg.grad(
            lambda x: tg.scan(lambda c, _: (probe.affine(c, 3.0), None), x, length=2)[0].sum()
        )
        assert f(tg.ones(4)).tolist() == [9.0] * 4
        assert tg.jit(f)(tg.ones(4)).tolist() == [9.0] * 4
    finally:
        del probe.affine.rules["vjp"]
    with pytest.raises(
        NotImplementedError, match=r"probe.affine: has no rule for reverse mode; .*@affine.vjp"
    ):
        f(tg.ones(4))


def test_jvp_and_batch_rules_of_the_example(linear: tg.CustomOp, rng: np.random.Generator) -> None:
    a, x, da, dx = (tg.asarray(rng.normal(size=(3, 5))) for _ in range(4))
    h = 1e-6
    expected = (linear(a + h * da, x + h * dx) - linear(a - h * da, x - h * dx)) / (2 * h)
    found = linear.rules["jvp"]((a, x), linear(a, x), (da, dx), reverse=False)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6, atol=1e-8)
    many = tg.asarray(rng.normal(size=(3, 4, 5)))
    rows = linear.rules["batch"]((a, many), (None, 1), 4, reverse=False)
    same(rows, tg.stack([linear(a, many[:, i]) for i in range(4)]))


# ---- what goes wrong -------------------------------------------------------------------------


def test_wrong_arguments(probe: tg.CustomOps, linear: tg.CustomOp) -> None:
    x = tg.ones((2, 3))
    for call, error, message in [
        (lambda: linear(x), TypeError, "recurrence.linear: argument 'x' is missing"),
        (lambda: linear(x, x, 1), TypeError, "argument 'reverse' must be a bool, got int"),
        (lambda: linear(x, x, True, 4), TypeError, "takes 3 arguments, got 4"),
        (lambda: linear(x, a=x), TypeError, "argument 'a' is given twice"),
        (
            lambda: linear(x, x, along=3),
            TypeError,
            "no argument 'along'; its arguments are a, x, r",
        ),
        (lambda: linear("x", x), TypeError, "recurrence.linear: argument 'a' must be a Tensor"),
        (lambda: linear(x, x.astype("float64")), TypeError, "a and x must have the same dtype"),
        (lambda: linear(x > 1, x > 1), TypeError, "x must be float32 or float64"),
        (lambda: linear(x, x[0]), ValueError, "linear: a and x must have the same shape"),
        (lambda: linear(1.0, tg.asarray(2.0)), ValueError, "x needs at least one axis"),
        (lambda: probe.affine(x, "2"), TypeError, "'scale' must be a float, got str"),
        (lambda: probe.affine(x, shift=1.5), TypeError, "'shift' must be an int, got float"),
        (lambda: probe.affine(x, shift=2**63), ValueError, "'shift' is too large"),
        (lambda: probe.nothing, AttributeError, "'probe' have no 'nothing'; there are strides"),
    ]:
        with pytest.raises(error, match=message):
            call()


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        (1, RuntimeError, "probe.bad: the shape rule gives output 0 dtype 99, which is none"),
        (2, RuntimeError, "rank 33; it must be from 0 to 32"),
        (3, ValueError, "probe.bad: output 0"),
        (4, RuntimeError, r"the shape rule failed \(it returned 7\) and did not say why"),
        (5, RuntimeError, "the shape rule threw a C.. exception: thrown by the rule"),
        (6, IndexError, "probe.bad: how must not be 6"),
    ],
)
def test_a_shape_rule_that_fails(
    probe: tg.CustomOps, how: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        probe.bad(tg.ones(3), how)
    assert probe.bad(tg.ones(3), 0).tolist() == [1.0] * 3


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        (10, ValueError, r"probe.bad: x\[3\] is negative \(recorded at test_custom_kernels.py:\d+"),
        (11, RuntimeError, r"the kernel failed \(it returned 5\) and did not say why"),
        (12, RuntimeError, "the kernel threw a C.. exception: thrown by the kernel"),
        (13, RuntimeError, "probe.bad: piece 3 "),
        (14, ValueError, "probe.bad: 0, 2 "),
    ],
)
def test_a_kernel_that_fails(
    probe: tg.CustomOps, how: int, error: type[Exception], message: str, threads: int
) -> None:
    before = tg.get_num_threads()
    tg.set_num_threads(threads)
    try:
        state = tg.ones(3)
        tg.eval(state)
        y = probe.bad(state * 2, how) + 1
        for _ in range(2):
            with pytest.raises(error, match=message):
                y.numpy()
        assert state.tolist() == [1.0] * 3
        with pytest.raises(error, match=message):
            tg.jit(lambda x: probe.bad(x, how))(state).numpy()
    finally:
        tg.set_num_threads(before)


INTERRUPTED = """
import tegula as tg
tg.set_num_threads({threads})
slow = tg.load_custom_ops({path!r}).slow
y = slow(tg.ones(3) * 2) + 1
print("ready", flush=True)
try:
    y.numpy()
except KeyboardInterrupt:
    print("interrupted", flush=True)
print((tg.ones(2) + 1).tolist())
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_ends_a_kernel_between_pieces(probe: tg.CustomOps, threads: int) -> None:
    code = INTERRUPTED.format(threads=threads, path=probe.path)
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.3)
        start = time.monotonic()
        os.kill(child.pid, signal.SIGINT)
        rest, _ = child.communicate(timeout=20)
        assert time.monotonic() - start < 10
    finally:
        child.kill()
    assert rest == "interrupted\n[2.0, 2.0]\n"


def test_the_example_runs(tmp_path: Path) -> None:
    folder = build_example(tmp_path)
    site = Path(tg.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "recurrence.py"], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(site)}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("loss ")
