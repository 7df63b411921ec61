"""Random stacks of transforms over random programs, beside nested dual numbers in NumPy.

Programs and transforms are functions of one array of shape (2, 3), so they stack in any order. What
they should give is computed with an implementation of derivatives of its own: dual numbers that
nest, one level for each derivative, over NumPy arrays. Gradients are collected direction by
direction, batches are loops, branches and loops of programs are Python's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tegula as tg

SHAPE = (2, 3)
RNG = np.random.default_rng(5)
WEIGHT = RNG.standard_normal((3, 3)) * 0.6
SCALE, SHIFT = RNG.uniform(0.5, 1.5, 3), RNG.standard_normal(3)
FILTER = RNG.standard_normal((2, 2, 3)) * 0.5
ALONG, ACROSS = RNG.standard_normal(SHAPE), RNG.standard_normal(SHAPE)


# ---- dual numbers --------------------------------------------------------------------------------
class Dual:
    """value + tangent * e, e being that of one level; both may be duals of lower levels."""

    def __init__(self, level: int, value: Any, tangent: Any) -> None:
        self.level, self.value, self.tangent = level, value, tangent


def base(x: Any) -> np.ndarray:
    while isinstance(x, Dual):
        x = x.value
    return x


def linear(fn: Callable[[Any], Any], x: Any) -> Any:
    if isinstance(x, Dual):
        return Dual(x.level, linear(fn, x.value), linear(fn, x.tangent))
    return fn(x)


def parts(x: Any, level: int) -> tuple[Any, Any]:
    return (x.value, x.tangent) if isinstance(x, Dual) and x.level == level else (x, None)


def level_of(x: Any) -> int:
    return x.level if isinstance(x, Dual) else 0


def bilinear(fn: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
    level = max(level_of(x), level_of(y))
    if level == 0:
        return fn(x, y)
    (a, da), (b, db) = parts(x, level), parts(y, level)
    terms = [] if da is None else [bilinear(fn, da, b)]
    if db is not None:
        terms.append(bilinear(fn, a, db))
    return Dual(level, bilinear(fn, a, b), terms[0] if len(terms) == 1 else add(*terms))


def add(x: Any, y: Any) -> Any:
    level = max(level_of(x), level_of(y))
    if level == 0:
        return x + y
    (a, da), (b, db) = parts(x, level), parts(y, level)
    zero = np.zeros(np.broadcast_shapes(np.shape(base(x)), np.shape(base(y))))
    return Dual(level, add(a, b), add(zero if da is None else da, zero if db is None else db))


def mul(x: Any, y: Any) -> Any:
    return bilinear(lambda a, b: a * b, x, y)


def unary(fn: Any, slope: Callable[[Any], Any], x: Any) -> Any:
    if not isinstance(x, Dual):
        return fn(x)
    return Dual(x.level, unary(fn, slope, x.value), mul(slope(x.value), x.tangent))


def sin(x: Any) -> Any:
    return unary(np.sin, cos, x)


def cos(x: Any) -> Any:
    return unary(np.cos, lambda a: mul(sin(a), -1.0), x)


def exp(x: Any) -> Any:
    return unary(np.exp, exp, x)


def tanh(x: Any) -> Any:
    return unary(np.tanh, lambda a: add(1.0, mul(mul(tanh(a), tanh(a)), -1.0)), x)


def power(x: Any, p: float) -> Any:
    return unary(lambda a: a**p, lambda a: mul(power(a, p - 1), p), x)


def matmul(x: Any, y: Any) -> Any:
    return bilinear(np.matmul, x, y)


def total(x: Any, axis: int) -> Any:
    return linear(lambda a: a.sum(axis, keepdims=True), x)


def row(x: Any, i: int) -> Any:
    return linear(lambda a: a[i], x)


def joined(rows: list[Any]) -> Any:
    """Rows as one array: each is put into its place, and all are added."""
    result: Any = np.zeros((len(rows), *np.shape(base(rows[0]))))
    for i, x in enumerate(rows):
        unit = np.eye(len(rows))[i].reshape(-1, *[1] * np.ndim(base(x)))
        result = add(result, linear(lambda a, unit=unit: unit * a, x))
    return result


def softmax(x: Any, axis: int) -> Any:
    e = exp(add(x, -base(x).max(axis, keepdims=True)))
    return mul(e, power(total(e, axis), -1.0))


def normalized(x: Any) -> Any:
    apart = add(x, mul(total(x, 1), -1 / 3))
    return mul(apart, power(add(mul(total(mul(apart, apart), 1), 1 / 3), 1e-5), -0.5))


def selected(x: Any, order: np.ndarray) -> Any:
    return linear(lambda a: np.take_along_axis(a, order, 1), x)


def convolved(x: Any) -> Any:
    def fn(a: np.ndarray) -> np.ndarray:
        wide = np.pad(a, ((0, 0), (1, 1)))
        return np.stack([[np.sum(f * wide[:, i : i + 3]) for i in range(3)] for f in FILTER])

    return linear(fn, x)


# ---- operations: Tegula's, and by hand -----------------------------------------------------------
@tg.custom_vjp
def sine(x):
    return tg.sin(x)


sine.defvjp(lambda x: (tg.sin(x), x), lambda x, g: (g * tg.cos(x),))


@tg.custom_jvp
def cube(x):
    return x * x * x


cube.defjvp(lambda p, t: (cube(p[0]), 3 * p[0] * p[0] * t[0]))


def const(x: np.ndarray) -> tg.Tensor:
    return tg.asarray(x)


def scattered(x: tg.Tensor) -> tg.Tensor:
    y = x * 0.5
    y[:, tg.asarray([2, 0])] += tg.sin(x[:, :2])
    return y


def scattered_by_hand(x: Any) -> Any:
    place = np.array([[0.0, 0, 1], [1, 0, 0], [0, 0, 0]])
    return add(mul(x, 0.5), matmul(sin(x), place))


def scanned(x: tg.Tensor) -> tg.Tensor:
    def step(c, r):
        c = tg.tanh(c + r)
        c = tg.cond(c.sum() > 0, lambda c: c * 1.1, lambda c: tg.sin(c), c)
        return c, c * r

    last, rows = tg.scan(step, tg.zeros(3, dtype="float64"), x)
    return rows + last


def scanned_by_hand(x: Any) -> Any:
    c: Any = np.zeros(3)
    rows = []
    for i in range(2):
        r = row(x, i)
        c = tanh(add(c, r))
        c = mul(c, 1.1) if base(c).sum() > 0 else sin(c)
        rows.append(mul(c, r))
    return add(joined(rows), c)


def looped(x: tg.Tensor) -> tg.Tensor:
    def grows(state):
        i, y = state
        return tg.logical_and(i < 4, tg.abs(y).sum() < 6.3)

    def body(state):
        i, y = state
        return i + 1, y * 1.3 + tg.sin(x) * 0.1

    return tg.while_loop(grows, body, (tg.asarray(0), x), max_iters=5)[1]


def looped_by_hand(x: Any) -> Any:
    i, y = 0, x
    while i < 4 and np.abs(base(y)).sum() < 6.3:
        i, y = i + 1, add(mul(y, 1.3), mul(sin(x), 0.1))
    return y


def switched(x: tg.Tensor) -> tg.Tensor:
    index = (x[0, 0] > 0).astype("int64") + (x[1, 1] > 0).astype("int64")
    return tg.switch(index, [tg.sin, lambda a: a * a, lambda a: tg.tanh(a) * a], x)


def switched_by_hand(x: Any) -> Any:
    index = int(base(x)[0, 0] > 0) + int(base(x)[1, 1] > 0)
    return [sin, lambda a: mul(a, a), lambda a: mul(tanh(a), a)][index](x)


def attended(x: tg.Tensor) -> tg.Tensor:
    return tg.scaled_dot_product_attention(x, x @ const(WEIGHT), tg.sin(x), scale=0.7)


def attended_by_hand(x: Any) -> Any:
    keys = linear(np.transpose, matmul(x, WEIGHT))
    return matmul(softmax(mul(matmul(x, keys), 0.7), 1), sin(x))


def branched_by_hand(x: Any) -> Any:
    return mul(x, sin(x)) if base(x).sum() > 0 else mul(tanh(x), 2.0)


IDX = np.array([[2, 0, 0], [1, 1, 2]])
OPS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sin": (tg.sin, sin),
    "tanh": (lambda x: tg.tanh(x) * x, lambda x: mul(tanh(x), x)),
    "exp": (lambda x: tg.exp(x * 0.5), lambda x: exp(mul(x, 0.5))),
    "matmul": (lambda x: x @ const(WEIGHT), lambda x: matmul(x, WEIGHT)),
    "gram": (
        lambda x: x @ x.T @ x * 0.3,
        lambda x: mul(matmul(matmul(x, linear(np.transpose, x)), x), 0.3),
    ),
    "mean": (
        lambda x: x * x.mean(axis=0, keepdims=True),
        lambda x: mul(x, mul(total(x, 0), 0.5)),
    ),
    "max": (
        lambda x: x + tg.max(x, axis=1, keepdims=True),
        lambda x: add(x, selected(x, base(x).argmax(1)[:, None])),
    ),
    "softmax": (lambda x: tg.softmax(x, axis=0) * 2, lambda x: mul(softmax(x, 0), 2.0)),
    "layer_norm": (
        lambda x: tg.layer_norm(x, 1, const(SCALE), const(SHIFT)),
        lambda x: add(mul(normalized(x), SCALE), SHIFT),
    ),
    "attention": (attended, attended_by_hand),
    "conv": (
        lambda x: tg.conv1d(x[None], const(FILTER), padding=1)[0],
        convolved,
    ),
    "gather": (lambda x: tg.take_along_axis(x, const(IDX), 1), lambda x: selected(x, IDX)),
    "scatter": (scattered, scattered_by_hand),
    "reshape": (lambda x: x.reshape((3, 2)).T, lambda x: linear(lambda a: a.reshape(3, 2).T, x)),
    "concat": (
        lambda x: tg.concat([x[:, 1:], tg.sin(x[:, :1])], axis=1),
        lambda x: add(
            linear(lambda a: np.pad(a[:, 1:], ((0, 0), (0, 1))), x),
            linear(lambda a: np.pad(a[:, :1], ((0, 0), (2, 0))), sin(x)),
        ),
    ),
    "sort": (
        lambda x: tg.sort(x, axis=1),
        lambda x: selected(x, np.argsort(base(x), axis=1, kind="stable")),
    ),
    "cumulative": (
        lambda x: tg.cumulative_sum(x, axis=1),
        lambda x: linear(lambda a: np.cumsum(a, 1), x),
    ),
    "where": (
        lambda x: tg.where(x > 0.1, x * x, tg.sin(x)),
        lambda x: add(mul(mul(x, x), (base(x) > 0.1) * 1.0), mul(sin(x), (base(x) <= 0.1) * 1.0)),
    ),
    "stop": (lambda x: tg.stop_gradient(x) * x, lambda x: mul(base(x), x)),
    "custom_vjp": (sine, sin),
    "custom_jvp": (cube, lambda x: mul(mul(x, x), x)),
    "cond": (
        lambda x: tg.cond(x.sum() > 0, lambda a: a * tg.sin(a), lambda a: tg.tanh(a) * 2, x),
        branched_by_hand,
    ),
    "switch": (switched, switched_by_hand),
    "scan": (scanned, scanned_by_hand),
    "while": (looped, looped_by_hand),
}

Function = Callable[[Any], Any]
_levels = iter(range(1, 1 << 60))


# ---- transforms by hand --------------------------------------------------------------------------
def slope(f: Function, x: Any, direction: Any) -> Any:
    """The derivative of f at x along a direction."""
    level = next(_levels)
    tangent = parts(f(Dual(level, x, direction)), level)[1]
    return np.zeros(SHAPE) if tangent is None else tangent


def pulled(f: Function, x: Any, upstream: np.ndarray) -> Any:
    """The gradient of sum(f * upstream), direction by direction."""
    result: Any = np.zeros(SHAPE)
    for i in np.ndindex(SHAPE):
        unit = np.zeros(SHAPE)
        unit[i] = 1
        part = linear(lambda a: np.sum(a * upstream), slope(f, x, unit))
        result = add(result, linear(lambda a, unit=unit: a * unit, part))
    return result


def curved(f: Function, x: Any) -> Any:
    return slope(lambda y: pulled(f, y, ACROSS), x, ALONG)


def spread(f: Function, x: Any) -> Any:
    result: Any = np.zeros(SHAPE)
    for k in range(3):
        result = add(result, mul(f(mul(x, 1 - 0.2 * k)), k + 1.0))
    return result


# ---- transforms in Tegula ------------------------------------------------------------------------
def weighted(f: Function) -> Function:
    return lambda x: (f(x) * const(ACROSS)).sum()


def dotted(jacobian: tg.Tensor) -> tg.Tensor:
    """A Jacobian (2, 3, 2, 3) times ALONG."""
    return (jacobian * const(ALONG)).sum(axis=(-2, -1))


def batched(in_axis: int, out_axis: int) -> Callable[[Function], Function]:
    def transform(f: Function) -> Function:
        def g(x: tg.Tensor) -> tg.Tensor:
            xs = tg.stack([x * (1 - 0.2 * k) for k in range(3)], axis=in_axis)
            ys = tg.vmap(f, in_axes=in_axis, out_axes=out_axis)(xs)
            ways = tg.moveaxis(ys, out_axis, 0)
            return (ways * tg.asarray([[[1.0]], [[2.0]], [[3.0]]], dtype="float64")).sum(axis=0)

        return g

    return transform


def batched_beside(f: Function) -> Function:
    """The examples' factors have the axis, x is the same for all."""

    def g(x: tg.Tensor) -> tg.Tensor:
        factors = tg.asarray([1.0, 0.8, 0.6], dtype="float64")
        weights = tg.asarray([1.0, 2.0, 3.0], dtype="float64")
        name = object()  # vmaps of vmaps have names of their own
        each = lambda a, s, w: tg.psum(f(a * s) * w, name)  # noqa: E731
        return tg.vmap(each, (None, 0, 0), None, axis_name=name)(x, factors, weights)

    return g


TRANSFORMS: dict[
    str, tuple[Callable[[Function], Function], Callable[[Function], Function], int]
] = {
    "jit": (tg.jit, lambda f: f, 0),
    "checkpoint": (tg.checkpoint, lambda f: f, 0),
    "jvp": (
        lambda f: lambda x: tg.jvp(f, (x,), (const(ALONG),))[1],
        lambda f: lambda x: slope(f, x, ALONG),
        0,
    ),
    "jvp along what varies": (
        lambda f: lambda x: tg.jvp(f, (x,), (tg.sin(x),))[1],
        lambda f: lambda x: slope(f, x, sin(x)),
        0,
    ),
    "linearize": (
        lambda f: lambda x: tg.linearize(f, x)[1](const(ALONG)),
        lambda f: lambda x: slope(f, x, ALONG),
        0,
    ),
    "grad": (
        lambda f: tg.grad(weighted(f)),
        lambda f: lambda x: pulled(f, x, ACROSS),
        1,
    ),
    "vjp": (
        lambda f: lambda x: tg.vjp(f, x)[1](const(ACROSS))[0],
        lambda f: lambda x: pulled(f, x, ACROSS),
        1,
    ),
    "jacfwd": (
        lambda f: lambda x: dotted(tg.jacfwd(f)(x)),
        lambda f: lambda x: slope(f, x, ALONG),
        0,
    ),
    "jacrev": (
        lambda f: lambda x: dotted(tg.jacrev(f)(x)),
        lambda f: lambda x: slope(f, x, ALONG),
        0,
    ),
    "hessian": (
        lambda f: lambda x: dotted(tg.hessian(weighted(f))(x)),
        lambda f: lambda x: curved(f, x),
        2,
    ),
    "vmap": (batched(0, 0), lambda f: lambda x: spread(f, x), 0),
    "vmap of other axes": (batched(1, 2), lambda f: lambda x: spread(f, x), 0),
    "vmap of the last axes": (batched(-1, -2), lambda f: lambda x: spread(f, x), 0),
    "vmap beside": (batched_beside, lambda f: lambda x: spread(f, x), 0),
}


def composed(functions: list[Function]) -> Function:
    def f(x: Any) -> Any:
        for function in functions:
            x = function(x)
        return x

    return f


def check(steps: list[str], stack: list[str], x: np.ndarray, ops: Any = OPS) -> bool:
    """Compares; False where the numbers are too large to be compared."""
    got = composed([ops[name][0] for name in steps])
    want = composed([ops[name][1] for name in steps])
    for name in stack:
        got, want = TRANSFORMS[name][0](got), TRANSFORMS[name][1](want)
    expected = base(want(x))
    largest = np.max(np.abs(expected))
    if not largest < 1e6:
        return False
    result = np.asarray(got(tg.asarray(x)))
    tolerance = 1e-8 * max(1.0, largest)
    np.testing.assert_allclose(result, expected, rtol=1e-8, atol=tolerance, err_msg=f"{stack}")
    return True


def cost(stack: list[str]) -> int:
    return sum(TRANSFORMS[name][2] for name in stack)


@given(
    st.lists(st.sampled_from(list(OPS)), min_size=1, max_size=4),
    st.lists(st.sampled_from(list(TRANSFORMS)), min_size=1, max_size=4).filter(
        lambda stack: cost(stack) <= 2
    ),
    st.integers(0, 1000),
)
def test_stacks_give_what_doing_it_by_hand_gives(steps, stack, seed):
    assume(check(steps, stack, np.random.default_rng(seed).standard_normal(SHAPE)))


@pytest.mark.xfail(
    strict=False, reason="known fault: evaluation by itself in the midst of nested transforms"
)
def test_evaluation_by_itself_in_nested_transforms():
    """Where the limit of pending operations trips in the middle of them, an index that is read
    later may be lost. It depends on where earlier evaluations fell."""
    x = np.random.default_rng(0).standard_normal(SHAPE)
    for steps in (["while"], ["while", "while"]):
        for count in range(2600, 5000, 60):
            pending = tg.ones(2)
            for _ in range(count):
                pending = pending * 1.0001
            assert check(steps, ["jacfwd", "grad", "grad", "vmap"], x)
            tg.eval(pending)


@pytest.mark.parametrize("step", list(OPS))
@pytest.mark.parametrize(
    "stack", [["grad", "jvp", "vmap", "jit"], ["vmap beside", "jit", "grad", "jacfwd"]]
)
def test_every_operation_in_stacks_of_four(step, stack):
    assert check([step, "sin"], stack, np.random.default_rng(1).standard_normal(SHAPE))


def test_a_wrong_rule_is_found():
    @tg.custom_jvp
    def wrong(x):
        return tg.sin(x)

    wrong.defjvp(lambda p, t: (tg.sin(p[0]), 1.001 * tg.cos(p[0]) * t[0]))
    x = np.random.default_rng(0).standard_normal(SHAPE)
    assert check(["op"], ["jit", "vmap"], x, {"op": (wrong, sin)})
    for stack in (["jvp"], ["grad"], ["jit", "vmap", "jacrev"], ["checkpoint", "linearize"]):
        with pytest.raises(AssertionError):
            check(["op"], stack, x, {"op": (wrong, sin)})
