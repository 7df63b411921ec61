"""Multi-head attention against its definition in NumPy."""

import numpy as np
import pytest
import scipy.special

import tegula as tg
from tegula import nn

N, L, S, E, H = 2, 5, 7, 12, 3


@pytest.fixture
def layer():
    tg.manual_seed(0)
    layer = nn.MultiheadAttention(E, H, batch_first=True).to(tg.float64)
    for bias in (layer.in_proj_bias, layer.out_proj.bias):
        nn.init.normal_(bias)
    return layer


@pytest.fixture
def inputs():
    rng = np.random.default_rng(1)
    return [rng.standard_normal((N, n, E)) for n in (L, S, S)]


def expected(layer, inputs, hidden=None):
    """The result and the weights of each head; `hidden` (N, H, L, S) is True for unseen keys."""
    weight, bias = layer.in_proj_weight.numpy(), layer.in_proj_bias.numpy()
    q, k, v = (
        (x @ w.T + b).reshape(N, -1, H, E // H).swapaxes(1, 2)
        for x, w, b in zip(inputs, np.split(weight, 3), np.split(bias, 3), strict=True)
    )
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(E // H)
    if hidden is not None:
        scores = np.where(hidden, -np.inf, scores)
    weights = scipy.special.softmax(scores, -1)
    y = (weights @ v).swapaxes(1, 2).reshape(N, L, E)
    return y @ layer.out_proj.weight.numpy().T + layer.out_proj.bias.numpy(), weights


def close(a, b):
    np.testing.assert_allclose(a.numpy(), b, rtol=1e-9, atol=1e-12)


def test_with_and_without_weights(layer, inputs):
    want, weights = expected(layer, inputs)
    tensors = [tg.asarray(x) for x in inputs]
    y, mean = layer(*tensors)
    close(y, want)
    close(mean, weights.mean(1))
    close(layer(*tensors, average_attn_weights=False)[1], weights)
    y, none = layer(*tensors, need_weights=False)
    close(y, want)
    assert none is None


def test_masks(layer, inputs):
    rng = np.random.default_rng(2)
    tensors = [tg.asarray(x) for x in inputs]
    padding, mask = rng.random((N, S)) < 0.3, rng.random((L, S)) < 0.3
    padding[:, 0] = mask[:, 0] = False
    want, _ = expected(layer, inputs, padding[:, None, None] | mask)
    added = tg.asarray(np.where(mask, -np.inf, 0.0))
    for need in (True, False):
        for given in (tg.asarray(mask), added, tg.asarray(np.broadcast_to(mask, (N * H, L, S)))):
            y, _ = layer(
                *tensors,
                key_padding_mask=tg.asarray(padding),
                attn_mask=given,
                need_weights=need,
            )
            close(y, want)
        causal, _ = layer(*tensors, is_causal=True, need_weights=need)
        close(causal, expected(layer, inputs, ~np.tri(L, S, dtype=bool))[0])


def test_axes(layer, inputs):
    want, weights = expected(layer, inputs)
    layer.batch_first = False
    y, _ = layer(*(tg.asarray(x.swapaxes(0, 1)) for x in inputs))
    close(y, want.swapaxes(0, 1))
    y, mean = layer(*(tg.asarray(x[0]) for x in inputs))
    close(y, want[0])
    close(mean, weights[0].mean(0))


def test_gradients_do_not_depend_on_the_way(layer, inputs):
    found = []
    for need in (True, False):
        layer.zero_grad()
        y, _ = layer(*(tg.asarray(x) for x in inputs), need_weights=need)
        tg.sum(tg.square(y)).backward()
        found.append([p.grad.numpy() for p in layer.parameters()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def test_errors(layer):
    with pytest.raises(ValueError, match="does not divide into 5 heads"):
        nn.MultiheadAttention(12, 5)
    with pytest.raises(ValueError, match="must all be"):
        layer(tg.ones((2, 3, 12)), tg.ones((3, 12)), tg.ones((3, 12)))


def test_rms_norm():
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    norm = nn.RMSNorm((3, 4)).to(tg.float64)
    want = x / np.sqrt((x**2).mean((1, 2), keepdims=True) + 2.0**-23)
    close(norm(tg.asarray(x)), want)
    assert list(nn.RMSNorm(4, elementwise_affine=False).parameters()) == []
    with pytest.raises(ValueError, match="does not end in"):
        nn.RMSNorm(5)(tg.ones((2, 3)))
