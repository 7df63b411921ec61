"""backward() and its conveniences: inputs=, accumulation, hooks on modules, tg.autograd."""

import gc
import weakref

import numpy as np
import pytest

import tegula as tg
from tegula import nn


def leaf(values, dtype="float64"):
    return tg.asarray(np.asarray(values), dtype=dtype, copy=True).requires_grad_()


def by_differences(f, x, step=1e-6):
    """Central differences of a function of one float64 array that gives a number."""
    gradient = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        high, low = x.copy(), x.copy()
        high[i] += step
        low[i] -= step
        gradient[i] = (f(high) - f(low)) / (2 * step)
    return gradient


# ---- backward --------------------------------------------------------------------------------


def test_gradients_add_up_until_they_are_dropped():
    x = leaf([1.0, 2.0])
    for k in range(1, 4):
        (x * x).sum().backward()
        assert x.grad.tolist() == [2.0 * k, 4.0 * k]
    x.grad = None
    (3 * x).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_retain_graph():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4.0, 8.0]
    with pytest.raises(RuntimeError, match="released it; pass retain_graph=True"):
        y.backward()


def test_create_graph():
    x = leaf([1.0, 2.0])
    (x**3).sum().backward(create_graph=True)
    first = x.grad
    assert first.requires_grad
    x.grad = None
    first.sum().backward()
    assert x.grad.tolist() == [6.0, 12.0]


def test_backward_into_some_inputs_only():
    a, b, c = leaf([1.0, 2.0]), leaf([3.0, 4.0]), leaf(5.0)
    h = a * b
    y = (h * c).sum()
    y.backward(inputs=[a, h], retain_graph=True)
    assert a.grad.tolist() == [15.0, 20.0]
    assert h.grad.tolist() == [5.0, 5.0]
    assert b.grad is None
    assert c.grad is None
    y.backward(inputs=c, retain_graph=True)
    assert c.grad.item() == 11.0
    y.backward(inputs=(a, a), retain_graph=True)
    assert a.grad.tolist() == [30.0, 40.0]
    other = leaf(1.0)
    y.backward(inputs=[other, b])
    assert other.grad is None
    assert b.grad.tolist() == [5.0, 10.0]


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ([], ValueError, "inputs is empty"),
        ([3.0], TypeError, "inputs must be tensors, got float"),
        ([tg.ones(2)], RuntimeError, r"inputs\[0\] does not require grad"),
        (3, TypeError, "int"),
    ],
)
def test_bad_inputs_of_backward(inputs, error, message):
    x = leaf([1.0, 2.0])
    with pytest.raises(error, match=message):
        x.sum().backward(inputs=inputs)


# ---- autograd.grad ---------------------------------------------------------------------------


def test_grad_of_several_outputs_by_several_inputs():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 2)), rng.normal(size=(2,))
    s, t = rng.normal(size=(3,)), rng.normal(size=())

    def outputs(a, b, m):
        return m.tanh(a @ b), (a * a).sum() * b.sum()

    def total(a, b):
        p, q = outputs(a, b, np)
        return float((p * s).sum() + q * t)

    x, y = leaf(a), leaf(b)
    found = tg.autograd.grad(outputs(x, y, tg), [x, y], [tg.asarray(s), tg.asarray(t)])
    assert isinstance(found, tuple)
    np.testing.assert_allclose(
        found[0].numpy(), by_differences(lambda v: total(v, b), a), rtol=1e-6
    )
    np.testing.assert_allclose(
        found[1].numpy(), by_differences(lambda v: total(a, v), b), rtol=1e-6
    )
    assert x.grad is None
    assert y.grad is None


def test_grad_by_values_on_the_way():
    x = leaf([1.0, 2.0])
    h = x * x
    y = (h * 3).sum()
    (gh,) = tg.autograd.grad(y, h, retain_graph=True)
    assert gh.tolist() == [3.0, 3.0]
    (gx,) = tg.autograd.grad(y, x)
    assert gx.tolist() == [6.0, 12.0]


def test_higher_derivatives():
    x = leaf(2.0)
    value = x**4
    for expected in (32.0, 48.0, 48.0, 24.0):
        (value,) = tg.autograd.grad(value, x, create_graph=True)
        assert value.item() == pytest.approx(expected)


def test_unused_inputs():
    x, z = leaf([1.0]), leaf([1.0])
    y = (x * 2).sum()
    assert tg.autograd.grad(y, [x, z], retain_graph=True, allow_unused=True)[1] is None
    with pytest.raises(RuntimeError, match=r"no output depends on inputs\[1\].*allow_unused"):
        tg.autograd.grad(y, [x, z])


def test_only_what_lies_between_is_differentiated():
    calls = []
    x, z = leaf([2.0]), leaf([3.0])
    side = z * z
    side.register_hook(lambda g: calls.append("side"))
    h = x * x
    h.register_hook(lambda g: calls.append("h"))
    assert tg.autograd.grad((h * side).sum(), x)[0].tolist() == [36.0]
    assert calls == ["h"]


def test_grad_in_jit():
    x = leaf([1.0, 2.0])

    @tg.jit
    def f(x):
        return tg.autograd.grad((x**3).sum(), x)[0]

    for _ in range(2):
        assert f(x).tolist() == [3.0, 12.0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, y: tg.autograd.grad(3.0, x), TypeError, "outputs must be a tensor .*float"),
        (lambda x, y: tg.autograd.grad(y, [x, 3]), TypeError, r"inputs\[1\] must be a tensor"),
        (lambda x, y: tg.autograd.grad(y, []), ValueError, "inputs is empty"),
        (lambda x, y: tg.autograd.grad([], x), ValueError, "outputs is empty"),
        (
            lambda x, y: tg.autograd.grad(y, tg.ones(2)),
            RuntimeError,
            r"inputs\[0\] does not require",
        ),
        (lambda x, y: tg.autograd.grad(y.detach(), x), RuntimeError, r"outputs\[0\] does not"),
        (
            lambda x, y: tg.autograd.grad(y, x),
            ValueError,
            r"outputs\[0\] has shape \(2,\) and needs",
        ),
        (
            lambda x, y: tg.autograd.grad(y, x, [None, None]),
            ValueError,
            "1 outputs, but 2 grad_out",
        ),
        (
            lambda x, y: tg.autograd.grad(y, x, tg.ones(3)),
            ValueError,
            r"grad_outputs\[0\] has shape",
        ),
        (
            lambda x, y: tg.autograd.grad(y, x, [1.0]),
            TypeError,
            r"grad_outputs\[0\] must be a tensor",
        ),
    ],
)
def test_bad_arguments_of_grad(call, error, message):
    x = leaf([1.0, 2.0])
    with pytest.raises(error, match="autograd.grad: .*" + message):
        call(x, x * 2)


# ---- hooks on modules ------------------------------------------------------------------------


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(tg.asarray(factor))

    def forward(self, x, y=None):
        return x * self.factor if y is None else (x * self.factor + y, "text", y * 2)


def test_forward_hooks_see_and_replace():
    layer = Scale(2.0)
    seen = []
    first = layer.register_forward_pre_hook(lambda m, args: (args[0] + 1,))
    layer.register_forward_hook(
        lambda m, args, result: seen.append((args[0].item(), result.item()))
    )
    second = layer.register_forward_hook(lambda m, args, result: result * 10)
    assert layer(tg.asarray(1.0)).item() == 40.0
    assert seen == [(2.0, 4.0)]
    first.remove()
    second.remove()
    assert layer(tg.asarray(1.0)).item() == 2.0


def test_a_full_backward_hook_sees_both_sides():
    layer = Scale(3.0)
    seen = []
    handle = layer.register_full_backward_hook(lambda *given: seen.append(given))
    x = leaf([1.0, 2.0], "float32")
    (layer(x) * tg.asarray([5.0, 7.0])).sum().backward()
    ((module, grad_input, grad_output),) = seen
    assert module is layer
    assert [g.tolist() for g in grad_output] == [[5.0, 7.0]]
    assert [g.tolist() for g in grad_input] == [[15.0, 21.0]]
    assert x.grad.tolist() == [15.0, 21.0]
    assert layer.factor.grad.item() == 19.0
    handle.remove()
    handle.remove()
    layer(x).sum().backward()
    assert len(seen) == 1


def test_a_full_backward_hook_replaces_gradients():
    layer = Scale(3.0)
    layer.register_full_backward_hook(lambda m, gi, go: (gi[0] * 10,))
    layer.register_full_backward_hook(lambda m, gi, go: gi[0] + 1)
    x = leaf([1.0, 2.0], "float32")
    layer(x).sum().backward()
    assert x.grad.tolist() == [31.0, 31.0]
    assert layer.factor.grad.item() == 3.0  # comes from within


def test_several_arguments_and_results():
    layer = Scale(3.0)
    seen = []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go)))
    x, y = leaf([1.0], "float32"), leaf([2.0], "float32")
    a, text, b = layer(x, y)
    assert text == "text"
    a.sum().backward(retain_graph=True)
    b.sum().backward(retain_graph=True)
    (a + b).sum().backward()
    lists = [[[g and g.tolist() for g in side] for side in pair] for pair in seen]
    assert lists == [
        [[[3.0], [1.0]], [[1.0], None, None]],
        [[None, [2.0]], [None, None, [1.0]]],
        [[[3.0], [3.0]], [[1.0], None, [1.0]]],
    ]
    assert x.grad.tolist() == [6.0]
    assert y.grad.tolist() == [6.0]
    layer(x, tg.ones(1))[0].sum().backward()
    assert [g and g.tolist() for g in seen[-1][0]] == [[3.0], None]


def test_a_full_backward_hook_without_gradients_of_arguments():
    layer = Scale(3.0)
    seen = []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go)))
    layer(tg.ones(2)).sum().backward()
    ((grad_input, grad_output),) = seen
    assert grad_input == (None,)
    assert grad_output[0].tolist() == [1.0, 1.0]


def test_backward_hooks_of_nested_modules_come_from_the_outside_in():
    order = []
    net = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Tanh(), nn.Linear(3, 2)), nn.ReLU())
    for name, module in net.named_modules():
        module.register_full_backward_hook(lambda m, gi, go, name=name: order.append(name))
    x = leaf(np.ones((2, 3)), "float32")
    net(x).sum().backward()
    assert order == ["2", "1.1", "1.0", "1", "0", ""]


def test_hooks_change_no_gradient_by_themselves():
    tg.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    x = tg.random.normal((5, 3))

    def gradients():
        net.zero_grad()
        net(x).sum().backward()
        return [p.grad.numpy().copy() for p in net.parameters()]

    expected = gradients()
    for module in net.modules():
        module.register_full_backward_hook(lambda *_: None)
    for a, b in zip(gradients(), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    step = tg.jit(lambda: net(x).sum().backward())
    net.zero_grad()
    step()
    for p, b in zip(net.parameters(), expected, strict=True):
        np.testing.assert_array_equal(p.grad.numpy(), b)
    with tg.no_grad():
        assert not net(x).requires_grad


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (
            lambda gi: (gi[0], gi[0]),
            ValueError,
            "hook of Scale returned 2 gradients for 1 arguments",
        ),
        (lambda gi: "text", TypeError, "hook of Scale must return tensors or None.*str"),
        (
            lambda gi: tg.ones(3),
            ValueError,
            r"returned shape \(3,\) for gradient 0 of shape \(2,\)",
        ),
    ],
)
def test_what_a_full_backward_hook_returns_is_checked(result, error, message):
    layer = Scale(3.0)
    layer.register_full_backward_hook(lambda m, gi, go: result(gi))
    with pytest.raises(error, match=message):
        layer(leaf([1.0, 2.0], "float32")).sum().backward()


def test_a_hook_must_be_callable():
    with pytest.raises(TypeError, match="a hook must be callable, not int"):
        Scale(1.0).register_full_backward_hook(3)


def test_hooks_keep_nothing_alive():
    layer = Scale(3.0)
    layer.register_full_backward_hook(lambda *_: None)
    layer.last = layer(leaf([1.0], "float32"))  # a cycle through the hook
    layer.last.sum().backward()
    layer.last.numpy()
    gone = weakref.ref(layer)
    del layer
    gc.collect()
    assert gone() is None


# ---- anomalies -------------------------------------------------------------------------------


def masked_log(x):
    return tg.where(x > 0, tg.log(x), 0.0)  # this line's gradient is 0 / 0


LINE = masked_log.__code__.co_firstlineno + 1


def run(loss):
    with tg.autograd.detect_anomaly():
        loss.backward()


def test_the_forward_line_of_a_nan_is_named():
    x = leaf([0.0, 1.0])
    y = masked_log(x).sum()
    with pytest.raises(FloatingPointError) as error:
        run(y)
    message = str(error.value)
    assert "the first NaN of the backward pass is in the gradient of log" in message
    assert f"test_autograd.py:{LINE} in masked_log" in message
    assert "operand 0 of shape (2,)" in message


def test_infinity_is_named():
    x = leaf([0.0, 1.0])
    with pytest.raises(
        FloatingPointError, match=r"first infinity .* gradient of sqrt, recorded at"
    ):
        run(tg.sqrt(x).sum())


def test_a_sum_that_overflows_is_named():
    x = leaf([1.0], "float32")
    y = x * 1.0
    loss = (y * 3e38).sum() + (y * 2e38).sum()
    with pytest.raises(FloatingPointError, match=r"first infinity .* the sum of what flows into"):
        run(loss)


def test_a_composite_is_named_as_a_whole():
    y = nn.functional.layer_norm(leaf([[2.0, 2.0]], "float32"), (2,), eps=0.0)
    with pytest.raises(FloatingPointError, match=r"gradient of row_norm, recorded at test_auto"):
        run(y.sum())


def test_nothing_is_said_where_all_is_finite():
    x = leaf([1.0, 2.0])
    run(masked_log(x).sum())
    assert x.grad.tolist() == [1.0, 0.5]
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)
    )
    image = tg.random.normal((2, 1, 6, 6))
    run(nn.functional.cross_entropy(net(image), tg.asarray([0, 2])))
    assert all(p.grad is not None for p in net.parameters())


def test_the_mode_ends_and_nests():
    x = leaf([0.0])
    with tg.autograd.detect_anomaly():
        with tg.autograd.detect_anomaly():
            pass
        with pytest.raises(FloatingPointError):
            masked_log(x).sum().backward()
    masked_log(x).sum().backward()
    assert np.isnan(x.grad.numpy()).all()


def test_under_grad_and_with_create_graph():
    x = leaf([0.0, 1.0])
    with tg.autograd.detect_anomaly():
        with pytest.raises(FloatingPointError, match=f":{LINE} in masked_log"):
            tg.grad(lambda x: masked_log(x).sum())(x.detach())
        with pytest.raises(FloatingPointError, match=f":{LINE} in masked_log"):
            tg.autograd.grad(masked_log(x).sum(), x, create_graph=True)


def test_under_jit():
    step = tg.jit(lambda x: tg.grad(lambda x: masked_log(x).sum())(x))
    good, bad = tg.asarray([1.0, 2.0]), tg.asarray([0.0, 2.0])
    assert np.isnan(step(bad).numpy()[0])
    with tg.autograd.detect_anomaly():
        assert step(good).tolist() == [1.0, 0.5]
        with pytest.raises(FloatingPointError, match=f"gradient of log.*:{LINE} in masked_log"):
            step(bad).numpy()
        assert step(good).tolist() == [1.0, 0.5]
    assert np.isnan(step(bad).numpy()[0])


def test_loops_are_looked_at_as_a_whole():
    x = leaf([0.0, 4.0])

    def loss(x):
        return tg.scan(lambda c, _: (tg.sqrt(c), None), x, length=2)[0].sum()

    with pytest.raises(FloatingPointError, match="gradient of scan, recorded at"):
        run(loss(x))
    run(loss(leaf([1.0, 4.0])))


def test_debug_nans_is_apart():
    x = leaf([0.0, 1.0])
    y = tg.sqrt(x).sum()
    assert y.item() == 1.0
    with pytest.raises(FloatingPointError, match="debug_nans: ") as error, tg.debug_nans():
        y.backward()
    assert "in test_debug_nans_is_apart" in str(error.value)  # where backward() is
