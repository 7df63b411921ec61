"""Layers over images and sequences, against the operations' references and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from test_nn_layers import check_gradients

import tegula as tg
from tegula import nn
from tegula.nn import functional as F

SIZES = {1: (7,), 2: (6, 5), 3: (4, 5, 3)}


def normal(*shape, dtype=np.float64):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def check(got, want):
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-10, atol=1e-12)


NUMPYS = {"Reflection": "reflect", "Replication": "edge", "Circular": "wrap"}


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("kind", [*NUMPYS, "Constant", "Zero"])
def test_padding(kind, axes):
    padding = (1, 2, 0, 1, 2, 1)[: 2 * axes]
    widths = [(0, 0), (0, 0), *zip(padding[::2], padding[1::2], strict=True)][:2]
    widths += list(zip(padding[::2], padding[1::2], strict=True))[::-1]
    value = {"constant_values": 1.5} if kind == "Constant" else {}
    layer = getattr(nn, f"{kind}Pad{axes}d")(padding, *value.values())
    x = normal(2, 3, *SIZES[axes])
    want = np.pad(x, widths, NUMPYS.get(kind, "constant"), **value)
    check(layer(tg.asarray(x)), want)
    check_gradients(layer, x)
    check(layer(tg.asarray(x[0])), want[0])


def test_pad_takes_away():
    x = normal(2, 5, 4)
    want = np.pad(x[:, 1:, :3], [(0, 0), (0, 2), (1, 0)])
    check(F.pad(tg.asarray(x), (1, -1, -1, 2)), want)
    for wrong in ((1,), (1,) * 8, (-3, -3)):
        with pytest.raises(ValueError, match="pad:"):
            F.pad(tg.asarray(x), wrong)
    with pytest.raises(ValueError, match="mode must be one of"):
        F.pad(tg.asarray(x), (1, 1), "edge")
    with pytest.raises(ValueError, match="ReflectionPad2d: the input must have 2 axes"):
        nn.ReflectionPad2d(1)(tg.ones(3))


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_upsample(mode):
    x = normal(2, 3, 5, 4)
    want = reference.interpolate(x, (9, 7), None, mode)
    layer = nn.Upsample((9, 7), mode=mode)
    check(layer(tg.asarray(x)), want)
    check_gradients(layer, x)
    twice = reference.interpolate(x, None, 2.0, mode)
    check(nn.Upsample(scale_factor=2, mode=mode)(tg.asarray(x)), twice)
    check(F.interpolate(tg.asarray(x), scale_factor=(2, 2), mode=mode), twice)


def test_upsamplings_of_images():
    x = normal(1, 2, 3, 4)
    check(nn.UpsamplingNearest2d(scale_factor=2)(tg.asarray(x)), x.repeat(2, 2).repeat(2, 3))
    want = reference.interpolate(x, 5, None, "bilinear", True)
    check(nn.UpsamplingBilinear2d(5)(tg.asarray(x)), want)


def test_factors_that_differ():
    x = tg.asarray(normal(1, 2, 4, 6))
    assert F.interpolate(x, scale_factor=(2, 0.5)).shape == (1, 2, 8, 3)
    assert F.interpolate(x, scale_factor=1.6, recompute_scale_factor=True).shape == (1, 2, 6, 9)
    with pytest.raises(ValueError, match="whole sizes"):
        F.interpolate(x, scale_factor=(2, 0.7))
    with pytest.raises(ValueError, match="needs 2 scale factors"):
        F.interpolate(x, scale_factor=(2, 3, 4))
    with pytest.raises(ValueError, match="either size or scale_factor"):
        nn.Upsample()


def test_shuffles_undo_each_other():
    x = normal(2, 12, 3, 4)
    up, down = nn.PixelShuffle(2), nn.PixelUnshuffle(2)
    check(down(up(tg.asarray(x))), x)
    check(nn.ChannelShuffle(4)(nn.ChannelShuffle(3)(tg.asarray(x))), x)
    check_gradients(up, x)


def test_unfold_is_convolutions_matrix():
    x, w = normal(2, 3, 6, 5), normal(4, 3, 3, 2)
    columns = nn.Unfold((3, 2), padding=1, stride=2)(tg.asarray(x))
    want = reference.conv(x, w, stride=2, padding=1)
    check(tg.matmul(tg.asarray(w.reshape(4, -1)), columns).reshape(want.shape), want)


def test_fold_is_the_transpose_of_unfold():
    settings = {"kernel_size": (3, 2), "dilation": (1, 2), "padding": 1, "stride": (2, 1)}
    x = normal(2, 3, 6, 5)
    columns = nn.Unfold(**settings)(tg.asarray(x))
    y = normal(*columns.shape)
    folded = nn.Fold((6, 5), **settings)(tg.asarray(y))
    np.testing.assert_allclose((columns.numpy() * y).sum(), (x * folded.numpy()).sum(), rtol=1e-10)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_maxima_are_put_back(axes):
    x = tg.asarray(np.abs(normal(2, 3, *(2 * n for n in SIZES[axes]))))
    pooled, indices = getattr(nn, f"MaxPool{axes}d")(2, return_indices=True)(x)
    unpool = getattr(nn, f"MaxUnpool{axes}d")(2)
    back = unpool(pooled, indices)
    assert back.shape == x.shape
    np.testing.assert_allclose(back.sum().item(), pooled.sum().item(), rtol=1e-12)
    again, places = getattr(nn, f"MaxPool{axes}d")(2, return_indices=True)(back)
    check(again, pooled.numpy())
    np.testing.assert_array_equal(places.numpy(), indices.numpy())
    wide = unpool(pooled, indices, output_size=x.shape)
    check(wide, back.numpy())


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_lp_pool(axes):
    x = normal(2, 3, *SIZES[axes])
    layer = getattr(nn, f"LPPool{axes}d")(3.0, 2, 1)
    check(layer(tg.asarray(x)), getattr(reference, f"lp_pool{axes}d")(x, 2, 1, norm_type=3.0))
    check_gradients(layer, x)


def test_lp_pool_of_zeros_has_a_derivative():
    x = tg.zeros((1, 1, 4, 4)).requires_grad_()
    tg.lp_pool2d(x, 2).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.zeros((1, 1, 4, 4)))


def test_local_response_norm():
    x = normal(2, 6, 3)
    layer = nn.LocalResponseNorm(3, alpha=0.5)
    check(layer(tg.asarray(x)), reference.local_response_norm(x, 3, 0.5))
    check_gradients(layer, x)


@pytest.mark.parametrize("bias", [True, False])
def test_bilinear(bias):
    layer = nn.Bilinear(3, 4, 2, bias, dtype=tg.float64)
    a, b = normal(5, 3), normal(5, 4)
    want = np.einsum("ni,oij,nj->no", a, layer.weight.numpy(), b)
    want = want + (layer.bias.numpy() if bias else 0)
    check(layer(tg.asarray(a), tg.asarray(b)), want)
    assert np.abs(layer.weight.numpy()).max() <= 3**-0.5


def test_names_show_their_settings():
    shown = [
        (nn.Upsample(4), "Upsample(size=4, mode='nearest')"),
        (nn.ReflectionPad1d(2), "ReflectionPad1d((2, 2))"),
        (nn.ConstantPad1d(1, 2.0), "ConstantPad1d((1, 1), value=2.0)"),
        (nn.PixelShuffle(2), "PixelShuffle(upscale_factor=2)"),
        (nn.LPPool1d(2, 3), "LPPool1d(norm_type=2, kernel_size=(3,), stride=(3,))"),
    ]
    for layer, text in shown:
        assert repr(layer) == text


def test_refused():
    x = tg.ones((1, 3, 4, 4))
    with pytest.raises(ValueError, match="no multiple of 4"):
        nn.PixelShuffle(2)(x)
    with pytest.raises(ValueError, match="blocks of 3"):
        nn.PixelUnshuffle(3)(x)
    with pytest.raises(ValueError, match="unfold: windows of"):
        nn.Unfold(7)(x)
    with pytest.raises(ValueError, match="fold: x has 3 windows, but"):
        nn.Fold(4, 2)(tg.ones((1, 4, 3)))
    with pytest.raises(ValueError, match="mode 'linear' is for x with 1 axis"):
        tg.interpolate(x, 3, mode="linear")
    with pytest.raises(ValueError, match="align_corners means nothing"):
        tg.interpolate(x, 3, align_corners=True)
    with pytest.raises(ValueError, match="antialias is for"):
        tg.interpolate(x, 3, antialias=True)
    with pytest.raises(ValueError, match="either size or scale_factor"):
        tg.interpolate(x)
    with pytest.raises(TypeError, match="needs a floating-point tensor, got int64"):
        tg.interpolate(tg.ones((1, 1, 3, 3), dtype="int64"), 2, mode="bilinear")
    with pytest.raises(ValueError, match="grid of shape"):
        tg.grid_sample(x, tg.ones((1, 2, 2, 3)))
    with pytest.raises(ValueError, match="padding_mode"):
        tg.grid_sample(x, tg.ones((1, 2, 2, 2)), padding_mode="wrap")
    with pytest.raises(IndexError, match="out of bounds"):
        tg.max_unpool2d(tg.ones((1, 1, 1)), tg.asarray([[[9]]]), 2).numpy()
    with pytest.raises(ValueError, match="nothing to be padded with"):
        tg.pad(tg.ones((0,)), 1, 1, mode="edge")
    with pytest.raises(ValueError, match="mode must be"):
        tg.pad(tg.ones((2,)), 1, 1, mode="replicate")


def test_a_resize_does_not_spread_what_is_not_finite():
    x = np.zeros((1, 1, 4, 4), np.float32)
    x[0, 0, 0, 0] = np.nan
    y = tg.interpolate(tg.asarray(x), 8, mode="bilinear").numpy()
    assert np.isnan(y[0, 0, :3, :3]).all()
    assert np.isfinite(y[0, 0, 3:]).all()
    assert np.isfinite(y[0, 0, :, 3:]).all()


def test_places_that_are_not_numbers():
    grid = np.full((1, 1, 2, 2), np.nan, np.float32)
    for mode in ("bilinear", "nearest", "bicubic"):
        for padding in ("zeros", "border", "reflection"):
            y = tg.grid_sample(tg.ones((1, 1, 3, 3)), tg.asarray(grid), mode, padding)
            assert y.numpy().shape == (1, 1, 1, 2)
