"""Each layer against its formula in NumPy, its derivatives against finite differences."""

import math

import numpy as np
import pytest
import reference
import scipy.signal
import scipy.special

import tegula as tg
from tegula import nn
from tegula.nn import functional as F


def tensor(array, dtype=np.float64):
    return tg.asarray(np.asarray(array, dtype))


def check_gradients(module, x, seed=0):
    """Parameters' and input's gradients of a random weighted sum, in float64."""
    rng = np.random.default_rng(seed)
    module.to(tg.float64)
    weights = None

    def value(array):
        nonlocal weights
        result = module(tg.asarray(array))
        if weights is None:
            weights = rng.standard_normal(result.shape)
        return tg.sum(result * tg.asarray(weights))

    leaf = nn.Parameter(tg.asarray(x))
    result = module(leaf)
    weights = rng.standard_normal(result.shape)
    tg.sum(result * tg.asarray(weights)).backward()
    h = 1e-6
    for name, p in [("input", leaf), *module.named_parameters()]:
        base = p.numpy().copy()
        direction = rng.standard_normal(base.shape)
        slopes = []
        for sign in (1, -1):
            moved = base + sign * h * direction
            if name == "input":
                slopes.append(value(moved).item())
            else:
                with tg.no_grad():
                    p[...] = tg.asarray(moved)
                slopes.append(value(x).item())
        if name != "input":
            with tg.no_grad():
                p[...] = tg.asarray(base)
        numeric = (slopes[0] - slopes[1]) / (2 * h)
        analytic = float(np.sum(p.grad.numpy() * direction))
        assert analytic == pytest.approx(numeric, rel=1e-5, abs=1e-6), name


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 5), (0, 5)])
def test_linear(rng, shape, bias):
    layer = nn.Linear(5, 3, bias=bias)
    x = rng.standard_normal(shape).astype(np.float32)
    expected = x @ layer.weight.numpy().T + (layer.bias.numpy() if bias else 0)
    np.testing.assert_allclose(layer(tg.asarray(x)).numpy(), expected, rtol=1e-5, atol=1e-6)
    if x.size:
        check_gradients(layer, rng.standard_normal(shape))


def test_linear_errors():
    with pytest.raises(ValueError, match="Linear: in_features must be at least 1, got 0"):
        nn.Linear(0, 2)
    with pytest.raises(TypeError, match="out_features must be an int"):
        nn.Linear(2, 2.5)
    with pytest.raises(ValueError, match="linear"):
        nn.Linear(3, 2)(tg.ones((2, 4)))


def test_default_initialisation_is_pytorchs():
    for layer, fan_in in ((nn.Linear(400, 300), 400), (nn.Conv2d(16, 64, 5), 400)):
        bound = 1 / math.sqrt(fan_in)
        for p in layer.parameters():
            values = p.numpy()
            assert np.abs(values).max() <= bound
            assert np.abs(values).max() > 0.9 * bound
        weight = layer.weight.numpy()
        assert weight.std() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert nn.Embedding(500, 40).weight.numpy().std() == pytest.approx(1, rel=0.03)


def conv_reference(x, w, stride, padding, dilation, groups):
    x = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    o, c, kh, kw = w.shape
    spread = np.zeros((o, c, dilation[0] * (kh - 1) + 1, dilation[1] * (kw - 1) + 1))
    spread[:, :, :: dilation[0], :: dilation[1]] = w
    return np.stack(
        [
            np.stack(
                [
                    sum(
                        scipy.signal.correlate(
                            image[k // (o // groups) * c + i], spread[k, i], "valid"
                        )
                        for i in range(c)
                    )[:: stride[0], :: stride[1]]
                    for k in range(o)
                ]
            )
            for image in x
        ]
    )


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "groups"),
    [
        (3, 1, 0, 1, 1),
        (3, 1, "same", 1, 1),
        ((3, 2), (2, 1), (1, 0), 1, 1),
        (3, 1, 2, 2, 2),
        (1, 2, 0, 1, 4),
        ((1, 3), 1, "valid", (1, 2), 2),
    ],
)
def test_conv2d(rng, kernel, stride, padding, dilation, groups):
    layer = nn.Conv2d(4, 8, kernel, stride, padding, dilation, groups).to(tg.float64)
    x = rng.standard_normal((2, 4, 9, 8))
    border = {"same": (1, 1), "valid": (0, 0)}.get(padding, layer.padding)
    settings = layer.stride, border, layer.dilation, groups
    expected = conv_reference(x, layer.weight.numpy(), *settings)
    expected = expected + layer.bias.numpy()[:, None, None]
    np.testing.assert_allclose(layer(tensor(x)).numpy(), expected, rtol=1e-10, atol=1e-10)
    check_gradients(layer, x)


def test_conv2d_errors():
    with pytest.raises(ValueError, match="groups=3 must divide"):
        nn.Conv2d(4, 6, 3, groups=3)
    with pytest.raises(ValueError, match="kernel_size must be at least 1"):
        nn.Conv2d(1, 1, 0)
    with pytest.raises(TypeError, match="stride must be an int or 2 ints"):
        nn.Conv2d(1, 1, 3, stride=(1, 2, 3))
    with pytest.raises(ValueError, match="Conv2d: padding must be ints, 'valid'"):
        nn.Conv2d(1, 1, 2, stride=2, padding="same")
    with pytest.raises(TypeError, match="ConvTranspose1d: padding must be ints"):
        nn.ConvTranspose1d(1, 1, 2, padding="same")
    with pytest.raises(ValueError, match="conv2d"):
        nn.Conv2d(2, 1, 3)(tg.ones((1, 3, 8, 8)))
    assert "padding=(1, 1), bias=False" in repr(nn.Conv2d(1, 2, 3, padding=1, bias=False))


@pytest.mark.parametrize(("make", "axes"), [(nn.Conv1d, 1), (nn.Conv2d, 2), (nn.Conv3d, 3)])
def test_conv_same_padding(rng, make, axes):
    """An even extent has one more zero after the image, as TensorFlow and PyTorch have it."""
    layer = make(2, 3, 4, padding="same", dilation=3).to(tg.float64)
    x = rng.standard_normal((2, 2, *(7, 8, 6)[:axes]))
    borders = (4,) * axes + (5,) * axes
    parameters = layer.weight.numpy(), layer.bias.numpy()
    expected = reference.conv(x, *parameters, padding=borders, dilation=3)
    assert expected.shape == (2, 3, *x.shape[2:])
    np.testing.assert_allclose(layer(tensor(x)).numpy(), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("make", "axes"),
    [(nn.ConvTranspose1d, 1), (nn.ConvTranspose2d, 2), (nn.ConvTranspose3d, 3)],
)
def test_conv_transpose(rng, make, axes):
    layer = make(4, 6, 3, 2, 1, 1, 2, dilation=2).to(tg.float64)
    x = rng.standard_normal((2, 4, *(4, 3, 2)[:axes]))
    parameters = layer.weight.numpy(), layer.bias.numpy()
    expected = reference.conv_transpose(x, *parameters, 2, 1, 1, 2, 2)
    np.testing.assert_allclose(layer(tensor(x)).numpy(), expected, rtol=1e-10, atol=1e-10)
    check_gradients(layer, x)
    assert "stride=" in repr(layer)
    assert "output_padding=" in repr(layer)


def test_conv_transpose_shapes_are_those_of_the_convolution_it_transposes(rng):
    """<conv(x), y> = <x, conv_transpose(y)>."""
    x = tensor(rng.standard_normal((2, 3, 9, 8)))
    w = tensor(rng.standard_normal((5, 3, 3, 2)))
    there = tg.conv2d(x, w, None, (2, 3), (1, 0))
    y = tensor(rng.standard_normal(there.shape))
    back = tg.conv_transpose2d(y, w, None, (2, 3), (1, 0), (0, 0))
    assert back.shape == x.shape
    assert (there * y).sum().item() == pytest.approx((x * back).sum().item(), rel=1e-12)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_pooling(rng, axes):
    x = rng.standard_normal((2, 3, 8, 9, 7)[: axes + 2])
    reference_of = {kind: getattr(reference, f"{kind}_pool{axes}d") for kind in ("max", "avg")}
    for settings in ((2,), (3, 2, 1), (3, 1, 0, 2), (3, 2, 1, 1, True)):
        layer = getattr(nn, f"MaxPool{axes}d")(*settings[:4], ceil_mode=len(settings) > 4)
        np.testing.assert_array_equal(layer(tensor(x)).numpy(), reference_of["max"](x, *settings))
        check_gradients(layer, x)
    for settings in ((2,), (3, 2, 1), (3, 2, 1, True), (3, 2, 1, True, False)):
        layer = getattr(nn, f"AvgPool{axes}d")(*settings)
        want = reference_of["avg"](x, *settings)
        np.testing.assert_allclose(layer(tensor(x)).numpy(), want, rtol=1e-12, atol=1e-12)
        check_gradients(layer, x)
    assert repr(nn.MaxPool2d(3, 2, 1, ceil_mode=True)) == (
        "MaxPool2d(kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), ceil_mode=True)"
    )
    with pytest.raises(ValueError, match="padding must be at most half"):
        nn.MaxPool2d(2, padding=2)


def test_pooling_of_infinities_and_nan():
    x = tensor(np.array([[[-np.inf, -np.inf, 1.0, np.nan, 2.0, np.nan]]])).requires_grad_()
    y = tg.max_pool1d(x, 2)
    np.testing.assert_array_equal(y.numpy(), [[[-np.inf, np.nan, np.nan]]])
    y.backward(tg.ones(y.shape, dtype=y.dtype))
    np.testing.assert_array_equal(x.grad.numpy(), [[[1, 0, 0, 1, 0, 1]]])


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_adaptive_pooling(rng, axes):
    x = rng.standard_normal((2, 3, 6, 8, 5)[: axes + 2])
    for kind, close in (("Avg", 1e-12), ("Max", 0)):
        layer = getattr(nn, f"Adaptive{kind}Pool{axes}d")
        expected = getattr(reference, f"adaptive_{kind.lower()}_pool{axes}d")
        for grid in (1, 4, (3, 8, 2)[:axes]):
            got = layer(grid)(tensor(x)).numpy()
            np.testing.assert_allclose(got, expected(x, grid), rtol=close, atol=close)
        check_gradients(layer(4), x)
        kept = layer((*[2] * (axes - 1), None))(tensor(x))
        assert kept.shape == (2, 3, *[2] * (axes - 1), x.shape[-1])
    with pytest.raises(ValueError, match="output_size must be positive"):
        nn.AdaptiveAvgPool2d(0)(tg.ones((1, 1, 4, 4)))


def test_flatten_and_identity():
    x = tg.zeros((2, 3, 4, 5))
    assert nn.Flatten()(x).shape == (2, 60)
    assert nn.Flatten(0)(x).shape == (120,)
    assert nn.Flatten(1, 2)(x).shape == (2, 12, 5)
    assert nn.Flatten()(tg.zeros((0, 3, 2))).shape == (0, 6)
    assert nn.Identity(5, any="thing")(x) is x
    with pytest.raises(ValueError, match="not axes of"):
        nn.Flatten(1)(tg.zeros((2,)))


def test_gelu_by_tanh_keeps_its_digits():
    x = np.linspace(-6, 9, 4001, dtype=np.float32)
    wide = x.astype(np.float64)
    slope = 2 * np.sqrt(2 / np.pi)
    gate = scipy.special.expit(slope * (wide + 0.044715 * wide**3))
    derivative = gate + wide * gate * (1 - gate) * slope * (1 + 3 * 0.044715 * wide**2)
    gelu = lambda x: tg.gelu(x, approximate="tanh")  # noqa: E731
    np.testing.assert_allclose(np.asarray(gelu(tg.asarray(x))), wide * gate, rtol=5e-6)
    gradient = tg.grad(lambda x: tg.sum(gelu(x)))(tg.asarray(x))
    np.testing.assert_allclose(np.asarray(gradient), derivative, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "formula"),
    [
        (nn.ReLU(), lambda x: np.maximum(x, 0)),
        (nn.GELU(), lambda x: x * scipy.special.ndtr(x)),
        (
            nn.GELU("tanh"),
            lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
        ),
        (nn.SiLU(), lambda x: x * scipy.special.expit(x)),
        (nn.Tanh(), np.tanh),
        (nn.Sigmoid(), scipy.special.expit),
        (nn.LeakyReLU(0.2), lambda x: np.where(x > 0, x, 0.2 * x)),
        (nn.ELU(1.5), lambda x: np.where(x > 0, x, 1.5 * np.expm1(x))),
        (nn.Softplus(), lambda x: np.logaddexp(x, 0)),
        (nn.Softplus(2.0), lambda x: np.logaddexp(2 * x, 0) / 2),
        (nn.Softmax(dim=1), lambda x: scipy.special.softmax(x, axis=1)),
        (nn.Softmax(), lambda x: scipy.special.softmax(x, axis=-1)),
        (nn.LogSoftmax(dim=0), lambda x: scipy.special.log_softmax(x, axis=0)),
    ],
    ids=lambda value: repr(value) if isinstance(value, nn.Module) else "",
)
def test_activations(rng, layer, formula):
    x = rng.standard_normal((4, 5)) * 3
    np.testing.assert_allclose(layer(tensor(x)).numpy(), formula(x), rtol=1e-9, atol=1e-12)
    x32 = x.astype(np.float32)
    got = layer(tg.asarray(x32)).numpy()
    np.testing.assert_allclose(got, formula(x32.astype(np.float64)), rtol=2e-5, atol=2e-6)
    check_gradients(layer, x)


def test_functional_activations_are_the_same(rng):
    x = tensor(rng.standard_normal((3, 4)))
    pairs = [
        (F.relu, nn.ReLU),
        (F.gelu, nn.GELU),
        (F.silu, nn.SiLU),
        (F.tanh, nn.Tanh),
        (F.sigmoid, nn.Sigmoid),
        (F.leaky_relu, nn.LeakyReLU),
        (F.elu, nn.ELU),
        (F.softplus, nn.Softplus),
        (F.softmax, nn.Softmax),
        (F.log_softmax, nn.LogSoftmax),
    ]
    for function, module in pairs:
        np.testing.assert_array_equal(function(x).numpy(), module()(x).numpy())
    with pytest.raises(ValueError, match="approximate"):
        nn.GELU("fast")


def test_embedding(rng):
    layer = nn.Embedding(7, 3)
    indices = np.array([[0, 6, 2], [2, 2, 1]])
    np.testing.assert_array_equal(layer(tg.asarray(indices)).numpy(), layer.weight.numpy()[indices])
    tg.sum(layer(tg.asarray(indices))).backward()
    counts = np.bincount(indices.ravel(), minlength=7)
    np.testing.assert_array_equal(layer.weight.grad.numpy(), np.tile(counts[:, None], (1, 3)))


@pytest.mark.parametrize("index", [7, -1, -8])
def test_embedding_index_out_of_range(index):
    layer = nn.Embedding(7, 3)
    with pytest.raises(IndexError, match="out of bounds"):
        layer(tg.asarray([0, index])).numpy()


def test_embedding_takes_any_integers_and_nothing_else():
    layer = nn.Embedding(300, 2, padding_idx=299)
    small = layer(tg.asarray(np.array([200, 3], np.uint8)))
    np.testing.assert_array_equal(small.numpy(), layer.weight.numpy()[[200, 3]])
    with pytest.raises(TypeError, match="embedding: the input must hold integers"):
        layer(tg.ones((2,)))


def test_embedding_padding():
    layer = nn.Embedding(5, 2, padding_idx=-2)
    assert layer.padding_idx == 3
    np.testing.assert_array_equal(layer.weight.numpy()[3], [0, 0])
    assert layer.weight.numpy()[0].all()
    tg.sum(layer(tg.asarray([3, 3, 1]))).backward()
    np.testing.assert_array_equal(layer.weight.grad.numpy()[:, 0], [0, 1, 0, 0, 0])
    with pytest.raises(ValueError, match="padding_idx"):
        nn.Embedding(5, 2, padding_idx=5)


def test_dropout():
    layer, x = nn.Dropout(0.25), tg.ones((200, 200))
    y = layer(x).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.02)
    assert not np.array_equal(y, layer(x).numpy())
    tg.manual_seed(3)
    first = layer(x).numpy()
    tg.manual_seed(3)
    np.testing.assert_array_equal(layer(x).numpy(), first)
    assert layer.eval()(x) is x
    assert not nn.Dropout(1.0)(x).numpy().any()
    with pytest.raises(ValueError, match="probability"):
        nn.Dropout(1.5)


def test_dropout_gradient_uses_the_mask():
    x = nn.Parameter(tg.ones((50,)))
    y = nn.Dropout(0.5)(x)
    tg.sum(y).backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(nn.BatchNorm1d, (6, 4)), (nn.BatchNorm1d, (3, 4, 5)), (nn.BatchNorm2d, (3, 4, 5, 2))],
)
def test_batch_norm(rng, layer, shape):
    norm = layer(4).to(tg.float64)
    with tg.no_grad():
        norm.weight[...] = tg.asarray([1.0, 2.0, -1.0, 0.5], dtype=tg.float64)
        norm.bias[...] = tg.asarray([0.0, 1.0, 2.0, 3.0], dtype=tg.float64)
    axes = (0, *range(2, len(shape)))
    column = (1, 4) + (1,) * (len(shape) - 2)
    mean, var = np.zeros(4), np.ones(4)
    weight, bias = (p.numpy().reshape(column) for p in (norm.weight, norm.bias))
    for _ in range(3):
        x = rng.standard_normal(shape) * 2 + 1
        expected = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
        np.testing.assert_allclose(norm(tensor(x)).numpy(), expected * weight + bias, rtol=1e-9)
        mean = 0.9 * mean + 0.1 * x.mean(axes)
        var = 0.9 * var + 0.1 * x.var(axes, ddof=1)
    np.testing.assert_allclose(norm.running_mean.numpy(), mean)
    np.testing.assert_allclose(norm.running_var.numpy(), var)
    assert norm.num_batches_tracked.item() == 3
    norm.eval()
    expected = (x - mean.reshape(column)) / np.sqrt(var.reshape(column) + 1e-5) * weight + bias
    np.testing.assert_allclose(norm(tensor(x)).numpy(), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(norm.running_mean.numpy(), mean)
    check_gradients(norm, x)
    check_gradients(layer(4), x)


def test_batch_norm_settings(rng):
    x = rng.standard_normal((8, 2))
    plain = nn.BatchNorm1d(2, affine=False, track_running_stats=False).to(tg.float64)
    assert list(plain.state_dict()) == []
    expected = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    np.testing.assert_allclose(plain.eval()(tensor(x)).numpy(), expected)
    mean = nn.BatchNorm1d(2, momentum=None, dtype=tg.float64)
    for scale in (1, 2, 6):
        mean(tensor(x * scale))
    np.testing.assert_allclose(mean.running_mean.numpy(), x.mean(0) * 3)
    assert list(mean.state_dict()) == [
        "weight",
        "bias",
        "running_mean",
        "running_var",
        "num_batches_tracked",
    ]
    with pytest.raises(ValueError, match=r"\(N, C, H, W\) with C = 3, got \(2, 4, 1, 1\)"):
        nn.BatchNorm2d(3)(tg.ones((2, 4, 1, 1)))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        nn.BatchNorm1d(3)(tg.ones((1, 3)))


def test_batch_norm_statistics_carry_no_tape(rng):
    norm = nn.BatchNorm1d(2)
    x = nn.Parameter(tg.asarray(rng.standard_normal((4, 2)).astype(np.float32)))
    for _ in range(3):
        loss = tg.sum(norm(x) * x)
    assert not norm.running_mean.requires_grad
    loss.backward()
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("shape", [4, (4,), (3, 4)])
def test_layer_norm(rng, shape):
    norm = nn.LayerNorm(shape).to(tg.float64)
    x = rng.standard_normal((2, 3, 4)) * 3 + 1
    axes = tuple(range(3 - len(norm.normalized_shape), 3))
    expected = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    np.testing.assert_allclose(norm(tensor(x)).numpy(), expected, rtol=1e-9, atol=1e-12)
    check_gradients(norm, x)
    bare = nn.LayerNorm(shape, elementwise_affine=False)
    assert list(bare.parameters()) == []
    np.testing.assert_allclose(bare(tensor(x)).numpy(), expected, rtol=1e-9, atol=1e-12)
    assert nn.LayerNorm(shape, bias=False).bias is None


def test_layer_norm_errors():
    with pytest.raises(ValueError, match=r"the input \(2, 3\) does not end in \(4,\)"):
        nn.LayerNorm(4)(tg.ones((2, 3)))
    with pytest.raises(ValueError, match="normalized_shape"):
        nn.LayerNorm(())


@pytest.mark.parametrize("shape", [(3, 6), (2, 6, 5), (2, 6, 3, 4), (2, 6, 2, 2, 3)])
def test_group_norm(rng, shape):
    layer = nn.GroupNorm(3, 6).to(tg.float64)
    layer.weight._bind(tensor(rng.standard_normal(6)))
    layer.bias._bind(tensor(rng.standard_normal(6)))
    x = rng.standard_normal(shape)
    expected = reference.group_norm(x, 3, layer.weight.numpy(), layer.bias.numpy())
    np.testing.assert_allclose(layer(tensor(x)).numpy(), expected, rtol=1e-10, atol=1e-10)
    check_gradients(layer, x)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (nn.InstanceNorm1d, (2, 4, 7)),
        (nn.InstanceNorm2d, (2, 4, 5, 3)),
        (nn.InstanceNorm3d, (2, 4, 3, 2, 3)),
    ],
)
def test_instance_norm(rng, make, shape):
    x = rng.standard_normal(shape)
    axes = tuple(range(2, len(shape)))
    apart = x - x.mean(axes, keepdims=True)
    expected = apart / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    np.testing.assert_allclose(make(4)(tensor(x)).numpy(), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(make(4)(tensor(x[0])).numpy(), expected[0], rtol=1e-9, atol=1e-9)
    assert make(4).weight is None
    check_gradients(make(4, affine=True).to(tg.float64), x)
    with pytest.raises(ValueError, match="C = 5"):
        make(5)(tensor(x))


def test_group_norm_errors():
    with pytest.raises(ValueError, match="num_groups=4 must divide num_channels=6"):
        nn.GroupNorm(4, 6)
    with pytest.raises(ValueError, match="do not divide into 4 groups"):
        tg.group_norm(tg.ones((2, 6)), 4)
    with pytest.raises(ValueError, match="weight has shape"):
        tg.group_norm(tg.ones((2, 6)), 3, tg.ones(3))


def test_batch_norm_3d(rng):
    x = rng.standard_normal((3, 2, 4, 3, 2))
    y = nn.BatchNorm3d(2)(tensor(x).astype(tg.float32)).numpy()
    np.testing.assert_allclose(y.mean((0, 2, 3, 4)), 0, atol=1e-6)
    np.testing.assert_allclose(y.var((0, 2, 3, 4)), 1, rtol=1e-3)


def test_conv_algorithm_is_that_of_the_time_of_evaluation(rng):
    x = tensor(rng.standard_normal((4, 64, 32, 32)), np.float32)
    w = tensor(rng.standard_normal((64, 64, 3, 3)), np.float32)
    before = tg.get_conv_algorithm()
    try:
        tg.set_conv_algorithm("winograd2")
        expected = tg.conv2d(x, w, None, 1, 1).numpy()
        under_way = [tg.conv2d(x, w, None, 1, 1) + float(i) for i in range(8)]
        tg.submit()
        tg.set_conv_algorithm("direct")
        np.testing.assert_array_equal(under_way[0].numpy(), expected)
        assert (tg.conv2d(x, w, None, 1, 1).numpy() != expected).any()
    finally:
        tg.set_conv_algorithm(before)
    with pytest.raises(ValueError, match="set_conv_algorithm"):
        tg.set_conv_algorithm("fastest")
