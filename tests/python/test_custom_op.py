"""Operations that are NumPy functions: ``tg.custom_op``, and the rules of custom operations."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest
from bits import normal, same
from slopes import check_gradient

import tegula as tg
from tegula._custom_rules import RuleCall


@tg.custom_op(infer="x")
def expm1(x: np.ndarray) -> np.ndarray:
    """exp(x) - 1."""
    return np.expm1(x)


@expm1.vjp
def _(inputs: Any, y: tg.Tensor, upstream: tg.Tensor) -> tg.Tensor:
    return upstream * (y + 1)


@tg.custom_op(infer=lambda a, b, power: tg.TensorSpec((*a.shape, *b.shape), a.dtype))
def outer_power(a: np.ndarray, b: np.ndarray, power: int = 1) -> np.ndarray:
    return np.multiply.outer(a, b) ** power


@outer_power.vjp
def _(inputs: Any, y: tg.Tensor, upstream: tg.Tensor, power: int) -> Any:
    a, b = inputs
    product = a.reshape(-1, 1) * b.reshape(1, -1)
    flat = upstream.reshape(a.size, b.size) * power * product ** (power - 1)
    return (
        (flat * b.reshape(1, -1)).sum(axis=1).reshape(a.shape),
        (flat * a.reshape(-1, 1)).sum(axis=0).reshape(b.shape),
    )


@tg.custom_op(infer=lambda x: (x, tg.TensorSpec(x.shape, "int32")))
def frexp(x):
    return np.frexp(x)


# ---- values ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> None:
    x = rng.normal(size=shape).astype(dtype)
    y = expm1(tg.asarray(x))
    assert (y.shape, y.dtype.name) == (shape, dtype)
    np.testing.assert_array_equal(y.numpy(), np.expm1(x))


def test_inputs_of_any_strides(rng: np.random.Generator) -> None:
    x = tg.asarray(rng.normal(size=(6, 4)))
    tg.eval(x)
    for view in (x.T, x[::-2, 1:], tg.broadcast_to(x[0], (3, 4)), x + 1):
        np.testing.assert_array_equal(expm1(view).numpy(), np.expm1(view.numpy()))


def test_attributes_and_several_outputs(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=3), rng.normal(size=(2, 2))
    for power in (1, 2):
        y = outer_power(tg.asarray(a), b, power=power)
        np.testing.assert_array_equal(y.numpy(), np.multiply.outer(a, b) ** power)
    fraction, exponent = frexp(tg.asarray(a))
    np.testing.assert_array_equal(fraction.numpy(), np.frexp(a)[0])
    assert exponent.dtype == tg.int32
    assert frexp(tg.asarray(4.0))[1].item() == 3


def test_ways_to_say_what_comes_out() -> None:
    def ones(x, n: int = 2):
        return np.ones((n, 2), np.float32)

    example = tg.ones((2, 2))
    for infer in (tg.TensorSpec((2, 2)), example, np.ones((2, 2), np.float32)):
        same(tg.custom_op(ones, infer=infer)(tg.ones(3)), example)
    op = tg.custom_op(ones, infer=lambda x, n: tg.TensorSpec((n, 2)), name="many_ones")
    assert (op(3.0, 4).shape, op.name, op(x=1, n=1).shape) == ((4, 2), "many_ones", (1, 2))
    pair = tg.custom_op(lambda x: (x, x.sum()), infer=("x", tg.TensorSpec(())), name="pair")
    x, total = pair(tg.ones(3))
    assert (x.tolist(), total.item()) == ([1.0] * 3, 3.0)
    single = tg.custom_op(lambda x: (x,), infer=("x",), name="single")
    assert single(tg.ones(2))[0].tolist() == [1.0, 1.0]
    assert "many_ones(x: tegula.Tensor, n: int = 2)" in repr(op)
    assert expm1.__doc__ == "exp(x) - 1."


# ---- in plans --------------------------------------------------------------------------------


def test_explain_and_profile_name_it() -> None:
    x = normal(20)
    assert "custom_call expm1" in str(tg.explain(lambda x: expm1(x * 2) + 1, x))
    with tg.profiler.profile() as profile:
        tg.eval(expm1(x))
    assert "custom_call expm1" in str(profile)


def test_jit_and_plan_cache() -> None:
    f = tg.jit(lambda x: expm1(x * 2) + 1)
    x = normal(30)
    for _ in range(3):
        same(f(x), tg.asarray(np.expm1((x * 2).numpy())) + 1)
    before = tg.plan_cache_stats()["misses"]
    for _ in range(3):
        tg.eval(expm1(x))
    assert tg.plan_cache_stats()["misses"] <= before + 1


def test_left_out_where_nobody_needs_it() -> None:
    calls = []
    op = tg.custom_op(lambda x: calls.append(1) or x, infer="x", name="noting")
    op(tg.ones(2))
    tg.eval(tg.ones(2) + 1)
    assert not calls
    assert op(tg.ones(2)).tolist() == [1.0, 1.0]
    assert calls == [1]


def test_in_control_flow() -> None:
    x = normal(4, 3) * 0.1

    def f(x: tg.Tensor, pred: tg.Tensor) -> Any:
        y = tg.cond(pred, expm1, lambda x: -x, x)
        return tg.scan(lambda c, r: (expm1(c) + r, c.sum()), y[0], x)

    def by_hand(x: tg.Tensor, pred: bool) -> Any:
        carry, rows = (expm1(x) if pred else -x)[0], []
        for row in x:
            rows.append(carry.sum())
            carry = expm1(carry) + row
        return carry, tg.stack(rows)

    for pred in (True, False):
        for g in (f, tg.jit(f), tg.jit(f)):
            for _ in range(2):
                same(g(x, tg.asarray(pred)), by_hand(x, pred))


def test_functions_in_bodies_live_as_long_as_their_runs() -> None:
    def loop(factor: float) -> tg.Tensor:
        op = tg.custom_op(lambda x: x * np.float32(factor), infer="x", name="scaled")
        return tg.scan(lambda c, _: (op(c), None), tg.ones(3), length=3)[0]

    for n in range(1, 20):
        results = [loop(float(n)), loop(2.0)]
        gc.collect()
        assert results[0].tolist() == [float(n) ** 3] * 3
        assert results[1].tolist() == [8.0] * 3


def test_from_several_threads() -> None:
    wrong = []

    def work(n: int) -> None:
        x = tg.full((10,), float(n))
        for _ in range(30):
            if (expm1(x) + 1).numpy()[0] != np.float32(np.expm1(np.float32(n))) + np.float32(1):
                wrong.append(n)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not wrong


def test_operations_are_let_go() -> None:
    op = tg.custom_op(lambda x: x * 2, infer="x", name="short_lived")
    op.vjp(lambda inputs, y, upstream: upstream * 2)
    gone = weakref.ref(op)
    x = tg.ones(3).requires_grad_()
    op(x).sum().backward()
    assert x.grad.tolist() == [2.0] * 3
    del op
    gc.collect()
    assert gone() is None


# ---- rules -----------------------------------------------------------------------------------


def test_gradients(rng: np.random.Generator) -> None:
    x, w = rng.normal(size=(2, 3)), tg.asarray(rng.normal(size=(2, 3)))
    check_gradient(lambda x: (expm1(x) * w).sum(), x)
    check_gradient(lambda x: (tg.grad(lambda x: (expm1(x) ** 2).sum())(x) * w).sum(), x)
    b = tg.asarray(rng.normal(size=(2,)))
    check_gradient(lambda x: (outer_power(x, b, 3) ** 2).sum(), x)
    check_gradient(lambda x: outer_power(b, x, power=2).sum(), x)
    check_gradient(lambda x: expm1(x[0, 0]).sum(), x)
    check_gradient(
        lambda x: tg.scan(lambda c, r: (expm1(c) + r, c.sum()), x[0], x)[1].sum(), x * 0.1
    )
    pred = tg.asarray(True)
    check_gradient(lambda x: tg.cond(pred, expm1, lambda x: x, x).sum(), x)


def test_upstream_of_several_outputs() -> None:
    seen = []
    op = tg.custom_op(lambda x, n: (x * 2, x + n, n), infer=("x", "x", "n"), name="three")

    @op.vjp
    def _(inputs: Any, outputs: Any, upstream: Any) -> Any:
        seen.append(
            ([y.tolist() for y in outputs], [g if g is None else g.tolist() for g in upstream])
        )
        return upstream[0] * 2 + upstream[1], None

    x = tg.asarray([1.0, 2.0])
    n = tg.asarray([3, 4], dtype="int32")
    g = tg.grad(lambda x: op(x, n)[0].sum())(x)
    assert g.tolist() == [2.0, 2.0]
    assert seen == [([[2.0, 4.0], [4.0, 6.0], [3, 4]], [[1.0, 1.0], [0.0, 0.0], None])]


def test_half_precision_and_numbers_as_inputs() -> None:
    x = tg.ones(3, dtype="float16")
    assert expm1(x).dtype == tg.float16
    assert expm1(1.0).dtype == tg.float32
    assert outer_power(tg.asarray(2.0, dtype="float64"), 3.0).dtype == tg.float64
    assert tg.grad(lambda x: expm1(x).sum())(x).dtype == tg.float16


def identity(rule: Any = None, kind: str = "vjp") -> tg.CustomOp:
    op = tg.custom_op(lambda x, n: x.copy(), infer="x", name="identity")
    if rule is not None:
        getattr(op, kind)(rule)
    return op


N = np.arange(3, dtype=np.int32)


@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        (
            None,
            NotImplementedError,
            r"identity: has no rule for reverse mode; attach one to the operation with "
            r"@identity.vjp, a function \(inputs, output, upstream\)",
        ),
        (
            lambda i, y, g: g,
            ValueError,
            "its vjp rule returned 1 values; it must be 2, one for each",
        ),
        (lambda i, y, g: (g, None, None), ValueError, "returned 3 values; it must be 2"),
        (
            lambda i, y, g: (g[:2], None),
            ValueError,
            r"identity: its vjp rule returned shape \(2,\) for argument 'x'; it must be \(3,\)",
        ),
        (
            lambda i, y, g: (g.astype("float64"), None),
            ValueError,
            "returned float64 for argument 'x'; it must be float32",
        ),
        (
            lambda i, y, g: (g, g),
            ValueError,
            "a value for argument 'n', which is int32; it must be None",
        ),
        (
            lambda i, y, g: (1.0, None),
            TypeError,
            "returned float for argument 'x'; it must be a Tensor",
        ),
        (lambda i, y: (y, None), TypeError, "positional arguments"),
    ],
)
def test_vjp_rules_that_are_wrong(rule: Any, error: type[Exception], message: str) -> None:
    op = identity(rule)
    for g in (tg.grad(lambda x: op(x, N).sum()), tg.jit(tg.grad(lambda x: op(x, N).sum()))):
        with pytest.raises(error, match=message) as caught:
            g(tg.ones(3))
        assert "a rule for the call at test_custom_op.py" in caught.value.__notes__[0]
    assert op(tg.ones(3), N).tolist() == [1.0] * 3


def test_rules_are_functions() -> None:
    with pytest.raises(TypeError, match=r"identity\.vjp: needs a function, got int"):
        identity().vjp(3)


def test_what_a_rule_reads_is_kept_for_it() -> None:
    seen = []

    def rule(inputs: Any, y: Any, upstream: Any) -> Any:
        seen.append((inputs[0] is None, inputs[1] is None, y is None))
        return upstream * 2, None

    def held(uses: Any) -> int:
        op = tg.custom_op(lambda x, n: x * 2, infer="x", name="twice")
        op.vjp(rule) if uses is None else op.vjp(uses=uses)(rule)
        x = tg.ones((1000, 250)).requires_grad_()
        n = tg.asarray(N)
        tg.eval(x, n)
        before = tg.memory_stats()["live_bytes"]
        total = (op(x * 3, n) * 2).sum()
        tg.eval(total)
        more = tg.memory_stats()["live_bytes"] - before
        total.backward()
        assert x.grad[0, 0].item() == 12.0
        return round(more / x.nbytes)

    assert [held(uses) for uses in (None, (), "output", ["x"], ("n",))] == [2, 0, 1, 1, 0]
    assert seen == [
        (False, False, False), (True, True, True), (True, True, False), (False, True, True),
        (True, False, True),
    ]  # fmt: skip
    with pytest.raises(
        ValueError, match=r"identity.vjp: uses has 'z'; it must be one of x, n, outp"
    ):
        identity().vjp(uses=("z",))


def test_a_rule_reads_tensors_from_outside() -> None:
    factor = tg.ones(3)
    op = tg.custom_op(lambda x: x * 3, infer="x", name="thrice")
    op.vjp(lambda inputs, y, upstream: upstream * factor)
    pred = tg.asarray(True)
    x = tg.ones(3)
    for f, power in [
        (lambda x: op(x).sum(), 1),
        (lambda x: tg.cond(pred, op, lambda x: x, x).sum(), 1),
        (lambda x: tg.scan(lambda c, _: (op(c), None), x, length=2)[0].sum(), 2),
        (lambda x: tg.while_loop(lambda c: c[0] < 20, op, x, max_iters=5).sum(), 3),
    ]:
        plain = tg.grad(f)
        jitted = tg.jit(plain)
        for value in (2.0, 3.0):  # the jitted function follows what it is bound to
            factor[...] = value
            assert plain(x).tolist() == jitted(x).tolist() == [value**power] * 3


def test_no_gradient_from_a_rule() -> None:
    x = tg.ones(3).requires_grad_()
    op = identity(lambda i, y, g: (None, None))
    (op(x, N) + x).sum().backward()
    assert x.grad.tolist() == [1.0] * 3
    assert op(x.detach(), N).requires_grad is False


# What src/transform calls, by way of CustomRules.
def test_jvp_rules_as_the_engine_calls_them() -> None:
    x, n = tg.asarray([1.0, 2.0, 3.0]), tg.asarray(N)
    op = identity(lambda inputs, y, tangents: tangents[0] * 2, "jvp")
    call = RuleCall(op, {}, [x, n])
    call.outputs = [tg.TensorSpec((3,), tg.float32)]
    assert (call.has("jvp"), call.has("vjp"), call.has("batch")) == (True, False, False)
    (found,) = call.jvp([x, n], [x], [tg.ones(3), None])
    assert found.tolist() == [2.0] * 3
    (found,) = call.jvp([x, n], [x], [None, None])
    assert found.tolist() == [0.0] * 3
    op.jvp(lambda inputs, y, tangents: (tangents[0], None))
    with pytest.raises(ValueError, match="its jvp rule returned 2 values; it must be 1, one for e"):
        call.jvp([x, n], [x], [x, None])
    op.jvp(lambda inputs, y, tangents: tangents[0].sum())
    with pytest.raises(ValueError, match=r"shape \(\) for output '0'; it must be \(3,\)"):
        call.jvp([x, n], [x], [x, None])
    with pytest.raises(NotImplementedError, match=r"has no rule for vmap; .*inputs, axes, size"):
        call.batch([x, n], [0, None], 3)


@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        (
            lambda i, a, n: i[0],
            ValueError,
            r"its batch rule returned shape \(2, 3\) for output '0'; i",
        ),
        (lambda i, a, n: (i[0].T, 1), ValueError, "returned 2 values; it must be 1, one for each"),
        (
            lambda i, a, n: 3,
            TypeError,
            "its batch rule returned int for output '0'; it must be a T",
        ),
        (lambda i, a, n: None, ValueError, "None for output '0'; it must be a Tensor"),
        (
            lambda i, a, n: i[0].T > 0,
            ValueError,
            "returned bool for output '0'; it must be float32",
        ),
    ],
)
def test_batch_rules_as_the_engine_calls_them(
    rule: Any, error: type[Exception], message: str
) -> None:
    x, n = normal(2, 3), tg.asarray(N)
    op = identity(lambda inputs, axes, size: tg.moveaxis(inputs[0], axes[0], 0), "batch")
    call = RuleCall(op, {}, [x, n])
    call.outputs = [tg.TensorSpec((2,), tg.float32)]
    same(call.batch([x, n], [1, None], 3)[0], x.T)
    op.batch(rule)
    with pytest.raises(error, match=message):
        call.batch([x, n], [1, None], 3)


# ---- what goes wrong -------------------------------------------------------------------------


def test_wrong_declarations() -> None:
    for make, error, message in [
        (lambda: tg.custom_op(3, infer="x"), TypeError, "custom_op: needs a function, got int"),
        (lambda: tg.custom_op(lambda x: x, infer="y", name="f"), ValueError, "f: infer names 'y'"),
        (
            lambda: tg.custom_op(lambda x: x, infer=3, name="f"),
            TypeError,
            "f: infer must be a Tenso",
        ),
        (lambda: tg.custom_op(lambda *x: x, infer=3, name="f"), TypeError, r"cannot take \*x"),
        (lambda: tg.custom_op(lambda x=1: x, infer="x", name="f"), TypeError, "'x' has a default"),
        (lambda: tg.custom_op(lambda x: x), TypeError, "infer"),
    ]:
        with pytest.raises(error, match=message):
            make()
    op = tg.custom_op(lambda x: x, infer=lambda x: 3, name="f")
    with pytest.raises(TypeError, match="f: infer must be a TensorSpec"):
        op(tg.ones(3))
    op = tg.custom_op(lambda x: x, infer=lambda x: tg.TensorSpec((3,), "float31"), name="f")
    with pytest.raises(TypeError, match="float31"):
        op(tg.ones(3))
    for call, message in [
        (lambda: outer_power(1.0), "outer_power: argument 'b' is missing"),
        (lambda: outer_power(1.0, 2.0, 1.5), "argument 'power' must be an int, got float"),
        (lambda: outer_power(1.0, None), "outer_power: argument 'b' must be a Tensor"),
        (lambda: outer_power(1.0, 2.0, 3, 4), "outer_power: takes 3 arguments, got 4"),
    ]:
        with pytest.raises(TypeError, match=message):
            call()


@pytest.mark.parametrize(
    ("fn", "error", "message"),
    [
        (lambda x: x[:2], ValueError, r"wrong: the function returned shape \(2,\) where .* \(3,\)"),
        (lambda x: x.astype(complex), TypeError, "returned complex128 where the spec has float32"),
        (lambda x: 1 / 0, ZeroDivisionError, "division by zero"),
        (lambda x: None, (TypeError, ValueError), "wrong"),
    ],
)
def test_functions_that_fail(fn: Any, error: Any, message: str) -> None:
    op = tg.custom_op(fn, infer="x", name="wrong")
    for y in (op(tg.ones(3)) + 1, tg.jit(op)(tg.ones(3))):
        for _ in range(2):
            with pytest.raises(error, match=message) as caught:
                y.numpy()
            assert any("test_custom_op.py" in note for note in caught.value.__notes__)


def test_wrong_number_of_outputs() -> None:
    op = tg.custom_op(lambda x: (x, x, x), infer=("x", "x"), name="wrong")
    with pytest.raises(ValueError, match="wrong: the function returned 3 arrays where there are 2"):
        op(tg.ones(3))[0].numpy()
    op = tg.custom_op(lambda x: x.sum(), infer=("x", "x"), name="wrong")
    with pytest.raises(TypeError, match="wrong: the function returned float32 where there are 2 s"):
        op(tg.ones(3))[0].numpy()
