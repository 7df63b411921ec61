"""What each transform promises, one promise after the other."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest

import tegula as tg
from tegula import nn


def f64(*values):
    return tg.asarray(list(values), dtype="float64")


def close(got, want, tolerance=1e-10):
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=tolerance, atol=tolerance)


X = (1.0, -2.0, 0.5)


# ---- arguments and results -----------------------------------------------------------------------
@dataclasses.dataclass
class Parameters:
    weight: tg.Tensor
    bias: tg.Tensor


def test_gradients_have_the_form_of_the_argument():
    given = {"a": [f64(1, 2), f64(3)], "b": (f64(4),), "none": None}
    found = tg.grad(lambda p: (p["a"][0] ** 2).sum() + p["b"][0].sum() * 3)(given)
    close(found["a"][0], [2, 4])
    close(found["a"][1], [0])  # nothing flows: zeros
    close(found["b"][0], [3])
    assert found["none"] is None
    of_class = tg.grad(lambda p: (p.weight * p.bias).sum())(Parameters(f64(2, 3), f64(5, 7)))
    assert isinstance(of_class, Parameters)
    close(of_class.weight, [5, 7])


def test_modules_are_arguments():
    layer = nn.Linear(3, 2)
    x = tg.random.normal((4, 3))
    gradient = tg.grad(lambda m, x: m(x).sum())(layer, x)
    assert type(gradient) is nn.Linear
    close(gradient.bias, [4, 4], 1e-6)
    assert layer.weight.grad is None
    each = tg.vmap(lambda m, x: m(x), in_axes=(None, 0))(layer, x)
    close(each, layer(x), 1e-6)


def test_argnums_and_aux():
    def f(a, b, c):
        return (a * b).sum(), {"seen": c, "product": a * b}

    (ga, gb), aux = tg.grad(f, argnums=(0, -2), has_aux=True)(f64(1, 2), f64(3, 4), "c")
    close(ga, [3, 4])
    close(gb, [1, 2])
    assert aux["seen"] == "c"
    (value, aux), _ = tg.value_and_grad(f, has_aux=True)(f64(1, 2), f64(3, 4), 0)
    close(value, 11)
    _, pull, aux = tg.vjp(lambda a: (a * 2, "aux"), f64(1), has_aux=True)
    assert aux == "aux"
    close(pull(f64(3))[0], [6])
    assert tg.jvp(lambda a: (a, 5), (f64(1),), (f64(1),), has_aux=True)[2] == 5
    jacobian, aux = tg.jacfwd(lambda a: (a * a, 7), has_aux=True)(f64(1, 2))
    close(jacobian, np.diag([2, 4]))
    assert aux == 7


def test_python_floats_are_differentiated():
    close(tg.grad(lambda x: x * x)(3.0), 6.0)
    value, slope = tg.jvp(lambda x: x**2, (3.0,), (1.0,))
    close((value, slope), (9, 6))


def test_jacobians_of_trees():
    def f(p):
        return {"y": p["a"] * p["b"], "z": p["a"].sum()}

    given = {"a": f64(1, 2), "b": f64(3, 4)}
    for jacobian in (tg.jacfwd(f)(given), tg.jacrev(f)(given)):
        close(jacobian["y"]["a"], np.diag([3, 4]))
        close(jacobian["y"]["b"], np.diag([1, 2]))
        close(jacobian["z"]["a"], [1, 1])
        close(jacobian["z"]["b"], [0, 0])
    close(tg.hessian(lambda x: (x**3).sum())(f64(1, 2)), np.diag([6, 12]))


def test_linearized_functions_are_called_many_times():
    calls = []

    def f(x):
        calls.append(1)
        return tg.sin(x)

    x = f64(*X)
    value, along = tg.linearize(f, x)
    close(value, np.sin(X))
    for k in range(5):
        close(along(x * k), np.cos(X) * np.array(X) * k)
    assert len(calls) == 1
    _, pull = tg.vjp(f, x)
    for k in range(5):
        close(pull(x * k)[0], np.cos(X) * np.array(X) * k)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (0, 3), (1, 1)])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_every_shape_and_dtype(shape, dtype):
    x = tg.full(shape, 0.5, dtype=dtype)
    gradient = tg.grad(lambda x: (x * x).sum())(x)
    assert (gradient.shape, gradient.dtype.name) == (shape, dtype)
    close(gradient.astype("float64"), np.ones(shape))
    _, slope = tg.jvp(lambda x: x * x, (x,), (tg.ones_like(x),))
    assert (slope.shape, slope.dtype.name) == (shape, dtype)
    assert tg.jacrev(lambda x: x * 2)(x).shape == shape + shape
    assert tg.jacfwd(lambda x: x * 2)(x).shape == shape + shape
    if shape:
        assert tg.vmap(lambda x: tg.sin(x).sum())(x).shape == shape[:1]
        assert tg.vmap(tg.grad(lambda x: (x * x).sum()))(x).shape == shape


# ---- nested derivatives --------------------------------------------------------------------------
def test_perturbations_are_not_confused():
    x = tg.asarray(3.0, dtype="float64")
    # d/dx (x * d/dy (x + y)) = d/dx x = 1, not 2
    close(tg.grad(lambda x: x * tg.grad(lambda y: x + y)(tg.asarray(1.0, dtype="float64")))(x), 1)

    def d(f, x):
        return tg.jvp(f, (x,), (tg.ones_like(x),))[1]

    close(d(lambda x: x * d(lambda y: x + y, x), x), 1)
    close(d(lambda x: x * tg.grad(lambda y: x * y * y)(x), x), 6 * 9)
    close(tg.grad(lambda x: d(lambda y: tg.sin(x * y), x))(x), np.cos(9) - 2 * 9 * np.sin(9) + 0)


def test_gradients_have_gradients_by_what_the_function_reads():
    w = f64(1, 2, 3).requires_grad_()

    def penalty(x):
        return (tg.grad(lambda z: (tg.sin(z) * w).sum())(x) ** 2).sum()

    x = f64(*X)
    want = 2 * np.cos(X) ** 2 * np.array([1, 2, 3])
    for f in (penalty, tg.jit(penalty), tg.jit(penalty)):
        w.grad = None
        f(x).backward()
        close(w.grad, want)
    with tg.no_grad():
        assert not tg.grad(lambda z: (z * w).sum())(x).requires_grad


def keep(f):
    return f


WRAPPED = {
    "plain": keep,
    "jit": tg.jit,
    "checkpoint": tg.checkpoint,
    "jit of checkpoint": lambda f: tg.jit(tg.checkpoint(f)),
    "vmap": lambda f: lambda x: tg.vmap(f)(x[None])[0],
    "cond": lambda f: lambda x: tg.cond(x.sum() > -99, f, f, x),
    "scan": lambda f: lambda x: tg.scan(lambda c, r: (c + f(r), None), f64(0)[0], x[None])[0],
    "while": lambda f: (
        lambda x: tg.while_loop(
            lambda s: s[0] < 1, lambda s: (s[0] + 1, f(x)), (tg.asarray(0), f(x) * 0), max_iters=2
        )[1]
    ),
}


@pytest.mark.parametrize("name", list(WRAPPED))
def test_what_is_stopped_stays_stopped(name):
    def with_no_grad(x):
        with tg.no_grad():
            factor = x * x
        return (factor * x).sum()

    def with_stop(x):
        return (tg.stop_gradient(x) ** 2 * x).sum()

    x = f64(*X)
    for f in (with_no_grad, with_stop):
        g = WRAPPED[name](f)
        close(tg.grad(g)(x), np.array(X) ** 2)
        close(tg.jvp(g, (x,), (tg.ones_like(x),))[1], np.sum(np.array(X) ** 2))


def test_values_are_looked_at_inside_of_derivatives():
    def f(x):
        return x * (2 if x.item() > 0 else 3)

    close(tg.grad(f)(tg.asarray(1.0)), 2)
    close(tg.grad(f)(tg.asarray(-1.0)), 3)
    close(tg.jvp(f, (tg.asarray(-1.0),), (tg.asarray(1.0),))[1], 3)


def test_threads_transform_at_once():
    found = {}

    def work(k):
        f = tg.jit(tg.grad(lambda x: tg.vmap(lambda r: tg.sin(r * k).sum())(x).sum()))
        found[k] = np.asarray(f(tg.reshape(f64(1, 2, 3, 4), (2, 2))))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for k, got in found.items():
        close(got, k * np.cos(k * np.array([[1.0, 2], [3, 4]])))
    assert len(found) == 6


# ---- vmap ----------------------------------------------------------------------------------------
def test_axes_of_trees():
    x, w = tg.random.normal((4, 3, 2)), tg.random.normal((3, 5))
    got = tg.vmap(
        lambda p, w, n: {"y": p["x"] @ w * n, "w": w},
        in_axes=({"x": 1}, None, None),
        out_axes={"y": -1, "w": None},
    )({"x": tg.permute_dims(x, (0, 1, 2))}, tg.ones((2, 5)), 3)
    close(got["y"], np.einsum("abi,ij->ajb", np.asarray(x), np.ones((2, 5))) * 3, 1e-5)
    close(got["w"], np.ones((2, 5)))
    shifted = tg.vmap(lambda a, k: a + k)(w, k=tg.asarray([1.0, 2, 3]))
    close(shifted, np.asarray(w) + np.array([[1], [2], [3]]), 1e-6)
    close(tg.vmap(lambda: tg.axis_index("i"), axis_name="i", axis_size=3)(), [0, 1, 2])


def test_collectives_and_their_gradients():
    x = f64(*X)
    run = lambda f: tg.vmap(f, axis_name="i")(x)  # noqa: E731
    close(run(lambda a: tg.psum(a, "i")), np.full(3, np.sum(X)))
    close(run(lambda a: tg.pmean(a, "i")), np.full(3, np.mean(X)))
    close(run(lambda a: tg.pmax(a, "i")), np.full(3, np.max(X)))
    close(run(lambda a: tg.pmin(a, "i")), np.full(3, np.min(X)))
    close(run(lambda a: tg.all_gather(a, "i")), np.tile(X, (3, 1)))
    close(run(lambda a: a * tg.axis_index("i")), np.array(X) * [0, 1, 2])

    def share(x):
        return tg.vmap(lambda a: a / tg.psum(tg.exp(a), "i"), axis_name="i")(x)

    e = np.exp(X)
    want = np.eye(3) / e.sum() - np.outer(X, e) / e.sum() ** 2
    close(tg.jacrev(share)(x), want)
    close(tg.jacfwd(share)(x), want)
    inside = tg.vmap(tg.grad(lambda a: tg.psum(a * a, "i")), axis_name="i")(x)
    close(inside, 2 * np.array(X) * 3)  # each example's sum has all in it


def test_two_named_axes():
    x = tg.reshape(tg.arange(6, dtype="float64"), (2, 3))

    def f(a):
        return tg.psum(a, "row") * 10 + tg.psum(a, "column") + tg.axis_index("row") * 100

    got = tg.vmap(tg.vmap(f, axis_name="column"), axis_name="row")(x)
    a = np.arange(6.0).reshape(2, 3)
    close(got, a.sum(0) * 10 + a.sum(1, keepdims=True) + [[0], [100]])


def test_examples_draw_for_themselves():
    def f(x):
        return x + tg.random.normal((2000,))

    tg.manual_seed(3)
    first = np.asarray(tg.vmap(f)(tg.zeros(4)))
    tg.manual_seed(3)
    np.testing.assert_array_equal(first, np.asarray(tg.vmap(f)(tg.zeros(4))))
    assert len({row.tobytes() for row in first}) == 4
    assert abs(first.mean()) < 0.05
    assert abs(first.std() - 1) < 0.05
    assert np.abs(np.corrcoef(first) - np.eye(4)).max() < 0.1


@pytest.mark.parametrize("wrap", ["vmap", "checkpoint", "jit"])
def test_dropout_within(wrap):
    x = tg.ones((4, 500))

    def f(x):
        return (nn.functional.dropout(x, 0.5, training=True) * 3).sum()

    g = {"vmap": lambda x: tg.vmap(f)(x).sum(), "checkpoint": tg.checkpoint(f), "jit": tg.jit(f)}
    value, gradient = tg.value_and_grad(g[wrap])(x)
    rows = np.asarray(gradient)
    close(rows.sum(), value, 1e-5)  # the same elements are dropped in both passes
    assert set(np.unique(rows)) == {0.0, 6.0}
    assert len({row.tobytes() for row in rows}) == 4


def test_gather_and_scatter_of_each_example():
    x = tg.reshape(tg.arange(12, dtype="float64"), (3, 4))
    at = tg.asarray([[0, 0], [1, 3], [2, 1]])

    def f(r, i):
        y = r * 1
        y[i] += 10.0
        return y[i].sum()

    want = []
    for r, i in zip(np.asarray(x), np.asarray(at), strict=True):
        y = r.copy()
        y[i] = y[i] + 10
        want.append(y[i].sum())
    close(tg.vmap(f)(x, at), want)
    gradient = tg.vmap(tg.grad(f))(x, at)
    close(gradient, [[2, 0, 0, 0], [0, 1, 0, 1], [0, 1, 1, 0]])


def test_branches_by_example_and_for_all():
    def f(p, x):
        return tg.cond(p, lambda x: x * x, lambda x: tg.sin(x), x)

    x = f64(*X)
    p = tg.asarray([True, False, True])
    close(tg.vmap(f)(p, x), np.where(p.numpy(), np.array(X) ** 2, np.sin(X)))
    close(tg.vmap(f, (None, 0))(tg.asarray(False), x), np.sin(X))
    close(tg.vmap(f, (0, None))(p, x[0]), [1, np.sin(1), 1])
    close(
        tg.grad(lambda x: tg.vmap(f)(p, x).sum())(x),
        np.where(p.numpy(), 2 * np.array(X), np.cos(X)),
    )


def test_loops_of_different_lengths():
    def halved(x, limit=None):
        return tg.while_loop(lambda c: c > 1, lambda c: c * 0.5, x, max_iters=limit)

    x = f64(0.5, 3, 40)
    close(tg.vmap(halved)(x), [0.5, 0.75, 0.625])
    slopes = [1, 0.25, 1 / 64]
    close(tg.vmap(lambda x: tg.jvp(halved, (x,), (tg.ones_like(x),))[1])(x), slopes)
    close(tg.jvp(tg.vmap(halved), (x,), (tg.ones_like(x),))[1], slopes)
    limited = lambda x: halved(x, 8)  # noqa: E731
    close(tg.vmap(tg.grad(limited))(x), slopes)
    close(tg.grad(lambda x: tg.vmap(limited)(x).sum())(x), slopes)
    close(tg.jit(tg.vmap(tg.grad(limited)))(x), slopes)
    with pytest.raises(NotImplementedError, match="max_iters="):
        tg.grad(halved)(x[0])


@pytest.mark.parametrize("jit", [False, True])
def test_scans_of_batches(jit):
    def f(x):
        return tg.scan(lambda c, r: (c * 0.5 + r, c * r), tg.zeros((), dtype="float64"), x)

    def by_hand(row):
        c, out = 0.0, []
        for r in row:
            out.append(c * r)
            c = c * 0.5 + r
        return c, out

    x = tg.random.normal((4, 5), dtype="float64")
    last, rows = (tg.jit if jit else keep)(tg.vmap(f))(x)
    close(last, [by_hand(r)[0] for r in x.numpy()])
    close(rows, [by_hand(r)[1] for r in x.numpy()])
    last, rows = (tg.jit if jit else keep)(tg.vmap(f, in_axes=1, out_axes=-1))(x.T)
    close(rows, np.transpose([by_hand(r)[1] for r in x.numpy()]))


def test_gradients_by_example_of_a_module():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    names = dict(model.named_parameters())
    x, y = tg.random.normal((5, 3)), tg.random.normal((5, 1))

    def loss(parameters, x, y):
        return ((nn.functional_call(model, parameters, (x,)) - y) ** 2).sum()

    each = tg.vmap(tg.grad(loss), in_axes=(None, 0, 0))(names, x, y)
    for b in range(5):
        one = tg.grad(loss)(names, x[b], y[b])
        for name in names:
            close(each[name][b], one[name], 1e-5)


# ---- effects -------------------------------------------------------------------------------------
@pytest.mark.parametrize("wrap", ["vmap", "vmap of jit", "jit of vmap"])
def test_effects_come_once_for_each_example_in_order(wrap):
    seen = []

    def f(x):
        tg.debug.callback(lambda v: seen.append(("a", float(v))), x)
        y = x * 2
        tg.debug.callback(lambda v: seen.append(("b", float(v))), y)
        return y

    g = {
        "vmap": tg.vmap(f),
        "vmap of jit": tg.vmap(tg.jit(f)),
        "jit of vmap": tg.jit(tg.vmap(f)),
    }[wrap]
    close(g(f64(1, 2)), [2, 4])
    tg.synchronize()
    assert [v for k, v in seen if k == "a"] == [1, 2]
    assert [v for k, v in seen if k == "b"] == [2, 4]


@pytest.mark.parametrize("wrap", ["grad", "jvp", "jit of grad"])
def test_effects_of_differentiated_functions(wrap):
    seen = []

    def f(x):
        tg.debug.callback(lambda v: seen.append(float(v)), x)
        y = x * x
        tg.debug.callback(lambda v: seen.append(float(v)), y)
        return y

    g = {
        "grad": tg.grad(f),
        "jvp": lambda x: tg.jvp(f, (x,), (tg.ones_like(x),))[1],
        "jit of grad": tg.jit(tg.grad(f)),
    }[wrap]
    close(g(tg.asarray(3.0)), 6)
    tg.synchronize()
    assert seen == [3, 9]


def test_recomputing_repeats_no_effect():
    seen = []

    def f(x):
        tg.debug.callback(lambda v: seen.append(float(v)), x)
        y = tg.sin(x)
        tg.debug.callback(lambda v: seen.append(float(v)), y)
        return y * y

    x = tg.asarray(0.5, dtype="float64")
    g = tg.checkpoint(f)
    for derivative in (tg.grad(g), lambda x: tg.jvp(g, (x,), (tg.ones_like(x),))[1]):
        seen.clear()
        close(derivative(x), np.sin(1.0))
        tg.synchronize()
        assert seen == [0.5, np.sin(0.5)]


@pytest.mark.parametrize("wrap", [keep, tg.jit])
def test_checks_and_calls_of_the_host_by_example(wrap):
    def small(x):
        tg.debug.check(x < 2.5, "too large: {}", x)
        return x

    with pytest.raises(Exception, match="too large: 3"):
        wrap(tg.vmap(small))(f64(1, 3)).numpy()
        tg.synchronize()
    calls = []

    def doubled(x):
        def on_host(v):
            calls.append(float(v))
            return np.asarray(v) * 2

        y = tg.host_call(on_host, tg.TensorSpec((), "float64"), tg.stop_gradient(x))
        return tg.after(x * y, y)

    x = f64(1, 2)
    close(wrap(tg.vmap(doubled))(x), [2, 8])
    close(wrap(tg.grad(lambda x: tg.vmap(doubled)(x).sum()))(x), [2, 4])
    assert sorted(set(calls)) == [1, 2]


def test_forward_mode_through_checkpoints_needs_no_limit():
    f = tg.checkpoint(lambda x: tg.while_loop(lambda c: c > 1, lambda c: c * 0.5, x))
    x = tg.asarray(40.0, dtype="float64")
    close(tg.jvp(f, (x,), (tg.ones_like(x),))[1], 1 / 64)
    close(tg.jvp(tg.vmap(f), (f64(3, 40),), (f64(1, 1),))[1], [0.25, 1 / 64])


# ---- checkpoint ----------------------------------------------------------------------------------
def deep(x, block):
    for _ in range(12):
        x = block(x)
    return (x * x).sum()


def test_checkpoints_need_less_memory_and_keep_every_bit():
    w = tg.random.normal((64, 64)) * 0.1
    x = tg.random.normal((2048, 64))

    def block(x):
        for _ in range(6):
            x = tg.tanh(tg.cumulative_sum(tg.sin(x @ w), axis=1) * 0.1)
        return x

    peaks, results = {}, {}
    policies = {"checkpoint": None, "kept": tg.checkpoint.CONTRACTIONS}
    blocks = {"plain": block} | {k: tg.checkpoint(block, p) for k, p in policies.items()}
    for name, each in blocks.items():
        f = tg.grad(lambda x, each=each: deep(x, each))
        results[name] = f(x).numpy()
        peaks[name] = tg.explain(f(x))
    arena = {
        name: int(str(text).split("arena ")[1].split(" ")[0].replace(",", ""))
        for name, text in peaks.items()
    }
    for name in policies:
        np.testing.assert_array_equal(results[name], results["plain"])
    assert arena["checkpoint"] < 0.5 * arena["plain"], arena
    assert arena["checkpoint"] < arena["kept"] < arena["plain"], arena


# ---- rules of one's own --------------------------------------------------------------------------
@tg.custom_vjp
def doubled_slope(x):
    return tg.sin(x)


doubled_slope.defvjp(lambda x: (tg.sin(x), {"x": x}), lambda k, g: (2 * g * tg.cos(k["x"]),))


@tg.custom_jvp
def tripled_slope(x):
    return tg.sin(x)


tripled_slope.defjvp(lambda p, t: (tg.sin(p[0]), 3 * tg.cos(p[0]) * t[0]))


@tg.custom_vjp
def outer_rule(x):
    return doubled_slope(x) * 2


outer_rule.defvjp(lambda x: (doubled_slope(x) * 2, x), lambda x, g: (g * doubled_slope(x),))


@pytest.mark.parametrize(("f", "factor"), [(doubled_slope, 2), (tripled_slope, 3)])
def test_rules_under_every_transform(f, factor):
    x, a = f64(*X), np.array(X)
    total = lambda x: f(x).sum()  # noqa: E731
    want = factor * np.cos(a)
    close(f(x), np.sin(a))
    close(tg.grad(total)(x), want)
    close(tg.jit(tg.grad(total))(x), want)
    close(tg.jvp(f, (x,), (tg.ones_like(x),))[1], want)
    close(tg.linearize(f, x)[1](x), want * a)
    close(tg.vmap(tg.grad(f))(x), want)
    close(tg.grad(lambda x: tg.vmap(f)(x).sum())(x), want)
    close(tg.grad(tg.checkpoint(total))(x), want)
    close(tg.jacfwd(f)(x), np.diag(want))
    close(tg.jacrev(f)(x), np.diag(want))
    close(tg.grad(lambda x: tg.grad(total)(x).sum())(x), -factor * np.sin(a))
    close(tg.hessian(total)(x), np.diag(-factor * np.sin(a)))


def test_rules_within_rules():
    x, a = f64(*X), np.array(X)
    close(tg.grad(lambda x: outer_rule(x).sum())(x), np.sin(a))
    twice = tg.grad(lambda x: tg.grad(lambda x: outer_rule(x).sum())(x).sum())
    close(twice(x), 2 * np.cos(a))  # by the rule of what the rule is made of
