"""Wrong input to the transforms: errors that name the function and the argument's path."""

from __future__ import annotations

import numpy as np
import pytest

import tegula as tg
from tegula import nn

X = (1.0, -2.0, 0.5)


def f64(*values):
    return tg.asarray(list(values), dtype="float64")


def cost(x):
    return (x * x).sum()


def alone(x):
    return x * 1


def test_the_function_and_the_argument_are_named():
    x = f64(*X)
    with pytest.raises(
        ValueError, match=r"grad of .*: it must return one element, .*\(3,\).*jacrev"
    ):
        tg.grad(lambda x: x * 2)(x)
    with pytest.raises(TypeError, match=r"grad of cost: argument 0 is int64.*cast"):
        tg.grad(cost)(tg.asarray([1, 2]))
    with pytest.raises(TypeError, match=r"argument 0\['a'\]\[1\] must be a tensor.*not str"):
        tg.grad(cost)({"a": [x, "s"]})
    with pytest.raises(TypeError, match=r"argument 0 must be a tensor.*NoneType"):
        tg.grad(cost)(None)
    with pytest.raises(TypeError, match=r"jvp of .*result\['y'\] is int64.*aux"):
        tg.jvp(lambda x: {"y": x.astype("int64")}, (x,), (x,))
    with pytest.raises(TypeError, match="has_aux it must return a pair, not Tensor"):
        tg.grad(cost, has_aux=True)(x)


@pytest.mark.parametrize(
    ("argnums", "error", "message"),
    [
        (2, ValueError, "argnums has 2, but there are 1 arguments"),
        ("a", TypeError, "argnums must be an int or a sequence of ints, not 'a'"),
        (True, TypeError, "argnums must be an int or a sequence of ints, not True"),
        ((0, 0), ValueError, "argnums names argument 0 twice"),
        ((0, -1), ValueError, "argnums names argument 0 twice"),
    ],
)
def test_argnums_are_checked(argnums, error, message):
    with pytest.raises(error, match=message):
        tg.grad(cost, argnums=argnums)(f64(1))


def test_directions_fit_what_they_belong_to():
    x = f64(*X)
    with pytest.raises(ValueError, match=r"jvp: tangents\[0\]\['a'\] is missing"):
        tg.jvp(lambda p: p["a"], ({"a": x},), ({"b": x},))
    with pytest.raises(ValueError, match=r"tangents\[0\] is float64 of shape \(2,\).*\(3,\)"):
        tg.jvp(cost, (x,), (x[:2],))
    with pytest.raises(ValueError, match="float32"):
        tg.jvp(cost, (x,), (x.astype("float32"),))
    with pytest.raises(TypeError, match="primals must be a tuple or list of arguments, not Tensor"):
        tg.jvp(cost, x, x)
    with pytest.raises(ValueError, match="a tangent for each of 1 primals, got 2"):
        tg.linearize(cost, x)[1](x, x)
    with pytest.raises(ValueError, match="cotangents has 1 item, but 2 in the result"):
        tg.vjp(lambda x: (x, x), x)[1]((x,))


@pytest.mark.parametrize(
    ("kwargs", "args", "message"),
    [
        ({"in_axes": 1}, 1, r"argument 0 of shape \(3,\) has no axis 1"),
        ({"in_axes": (0, 0)}, 1, "in_axes has 2 items, but there are 1 arguments"),
        ({"in_axes": 0.5}, 1, "in_axes must be an int, None, or a tuple of them, not float"),
        ({"in_axes": ({"b": 0},)}, 1, r"in_axes\[0\] does not fit: argument 0 must be a dict"),
        ({"out_axes": {"z": 0}}, 1, "out_axes does not fit: the result "),
        ({"out_axes": 1}, 1, "has no axis 1 for out_axes"),
        ({"out_axes": None}, 1, "out_axes is None for its result, which differs"),
        ({"in_axes": None}, 1, "no argument has an axis of examples; give axis_size"),
        ({"axis_size": 4}, 1, "argument 0 .* has 3 along axis 0, but axis_size is 4"),
    ],
)
def test_axes_are_checked(kwargs, args, message):
    f = tg.vmap(alone, **kwargs)
    with pytest.raises((ValueError, TypeError), match="vmap of alone: .*" + message):
        f(*[f64(*X)] * args)


@pytest.mark.parametrize("wrap", [tg.vmap, tg.checkpoint])
def test_effects_on_what_is_outside_are_refused(wrap):
    x, outside = f64(*X), tg.zeros((), dtype="float64")
    weight = f64(1, 1, 1).requires_grad_()
    kept = []

    def writes(a):
        outside[...] = a.sum()
        return a

    def accumulates(a):
        (a.sum() * weight).sum().backward()
        return a

    def leaks(a):
        kept.append(a * 2)
        return a

    with pytest.raises(tg.TraceError, match=r"writes to a tensor from outside.*running statistics"):
        wrap(writes)(x)
    with pytest.raises(tg.TraceError, match=r"changes the \.grad of a tensor from outside"):
        wrap(accumulates)(x)
    with pytest.raises(
        tg.TraceError, match=r"multiply, computed at .* in leaks.*still referred to"
    ):
        wrap(leaks)(x)
    norm = nn.BatchNorm1d(3)
    images = tg.ones((2, 4, 3)) if wrap is tg.vmap else tg.ones((4, 3))
    with pytest.raises(tg.TraceError, match=r"running statistics.*eval\(\)"):
        wrap(norm)(images)
    norm.eval()
    assert wrap(norm)(images).shape == images.shape
    assert wrap(nn.BatchNorm1d(3, track_running_stats=False))(images).shape == images.shape


@pytest.mark.parametrize("wrap", [tg.vmap, tg.jit, tg.checkpoint])
def test_reading_a_value_offers_what_works(wrap):
    x = tg.reshape(f64(1, 2, 3, 4), (2, 2))
    with pytest.raises(tg.TraceError, match=r"tg.where"):
        wrap(lambda a: a if a.sum() > 0 else -a)(x)
    with pytest.raises(tg.TraceError, match=r"mask.*tg.where"):
        wrap(lambda a: a[a > 0].sum())(x)
    with pytest.raises(tg.TraceError, match=r"mask.*tg.where"):
        wrap(lambda a: tg.nonzero(a))(x)

    def replaced(a):
        y = a * 1
        y[y > 1.5] = 0.0
        return y

    np.testing.assert_array_equal(np.asarray(wrap(replaced)(x)), [[1, 0], [0, 0]])


@pytest.mark.parametrize(
    ("bwd", "error", "message"),
    [
        (lambda k, g: (g, g), ValueError, "the gradients has 2 items, but 1 in the arguments"),
        (lambda k, g: (g.sum(),), ValueError, r"float64 of shape \(\), .*float64 of shape \(3,\)"),
        (lambda k, g: (g.astype("float32"),), ValueError, "is float32"),
        (lambda k, g: (3.0,), TypeError, "must be a Tensor or None, not float"),
        (lambda k, g: g, TypeError, "bwd must return a tuple"),
    ],
)
def test_what_a_rule_gives_is_checked(bwd, error, message):
    @tg.custom_vjp
    def twice(x):
        return x * 2

    twice.defvjp(lambda x: (x * 2, None), bwd)
    with pytest.raises(error, match="custom_vjp of .*twice: .*" + message):
        tg.grad(lambda x: twice(x).sum())(f64(*X))


def test_rules_that_are_missing_or_no_rules():
    with pytest.raises(NotImplementedError, match=r"has no derivative yet; call .*defvjp"):
        tg.custom_vjp(cost)(f64(1))
    with pytest.raises(TypeError, match="policy must be names of operations"):
        tg.checkpoint(cost, policy=3)
    with pytest.raises(NameError, match="no axis is named 'i' here"):
        tg.psum(f64(1), "i")
    with pytest.raises(ValueError, match="'i' is the name of an outer axis"):
        tg.vmap(tg.vmap(lambda a: a, axis_name="i"), axis_name="i")(tg.ones((2, 2)))
