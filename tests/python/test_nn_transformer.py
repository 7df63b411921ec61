"""Transformer layers against their definition in NumPy, made of MultiheadAttention's parts."""

import numpy as np
import pytest
import scipy.special

import tegula as tg
from tegula import nn

N, L, S, E, HEADS, WIDE = 2, 5, 7, 12, 3, 20


def attend(layer, q, k, hidden=None):
    """Rows q (N, L, E) see k (N, S, E) but where `hidden` (N, L, S) is True."""
    weight, bias = layer.in_proj_weight.numpy(), layer.in_proj_bias.numpy()
    q, k, v = (
        (x @ w.T + b).reshape(len(x), -1, HEADS, E // HEADS).swapaxes(1, 2)
        for x, w, b in zip((q, k, k), np.split(weight, 3), np.split(bias, 3), strict=True)
    )
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(E // HEADS)
    if hidden is not None:
        scores = np.where(hidden[:, None], -np.inf, scores)
    y = scipy.special.softmax(scores, -1) @ v
    y = y.swapaxes(1, 2).reshape(len(y), -1, E)
    return y @ layer.out_proj.weight.numpy().T + layer.out_proj.bias.numpy()


def norm(layer, x):
    apart = x - x.mean(-1, keepdims=True)
    scale = np.sqrt((apart**2).mean(-1, keepdims=True) + layer.eps)
    return apart / scale * layer.weight.numpy() + layer.bias.numpy()


def feed_forward(layer, x, activation):
    first, second = layer.linear1, layer.linear2
    x = activation(x @ first.weight.numpy().T + first.bias.numpy())
    return x @ second.weight.numpy().T + second.bias.numpy()


def expected(layer, x, blocks):
    for i, block in enumerate(blocks, 1):
        scale = getattr(layer, f"norm{i}")
        x = x + block(norm(scale, x)) if layer.norm_first else norm(scale, x + block(x))
    return x


def relu(x):
    return np.maximum(x, 0)


def gelu(x):
    return x * scipy.special.ndtr(x)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return rng.standard_normal((N, L, E)), rng.standard_normal((N, S, E))


def make(kind, **arguments):
    tg.manual_seed(0)
    layer = kind(E, HEADS, WIDE, dtype=tg.float64, **arguments).eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return layer


def close(got, want):
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize(("name", "activation"), [("relu", relu), ("gelu", gelu)])
def test_encoder_layer(arrays, norm_first, name, activation):
    x = arrays[0]
    layer = make(
        nn.TransformerEncoderLayer, activation=name, norm_first=norm_first, batch_first=True
    )
    padding = np.zeros((N, L), bool)
    padding[1, 3:] = True
    later = ~np.tri(L, dtype=bool)
    ways = {
        None: {},
        "padding": {"src_key_padding_mask": tg.asarray(padding)},
        "causal": {"is_causal": True},
        "masked": {"src_mask": tg.asarray(later)},
    }
    for way, arguments in ways.items():
        hidden = np.zeros((N, L, L), bool)
        if way == "padding":
            hidden |= padding[:, None]
        elif way:
            hidden |= later
        blocks = (
            lambda x, hidden=hidden: attend(layer.self_attn, x, x, hidden),
            lambda x: feed_forward(layer, x, activation),
        )
        close(layer(tg.asarray(x), **arguments), expected(layer, x, blocks))


def test_decoder_layer_and_axes(arrays):
    x, memory = arrays
    layer = make(nn.TransformerDecoderLayer)
    later = np.broadcast_to(~np.tri(L, dtype=bool), (N, L, L))
    blocks = (
        lambda x: attend(layer.self_attn, x, x, later),
        lambda x: attend(layer.multihead_attn, x, memory),
        lambda x: feed_forward(layer, x, relu),
    )
    want = expected(layer, x, blocks)
    given = [tg.asarray(a.swapaxes(0, 1)) for a in (x, memory)]
    close(layer(*given, tgt_is_causal=True), want.swapaxes(0, 1))
    close(layer(*(tg.asarray(a[0]) for a in (x, memory)), tgt_is_causal=True), want[0])


def test_stacks_have_copies_of_their_own(arrays):
    x, memory = (tg.asarray(a) for a in arrays)
    layer = make(nn.TransformerEncoderLayer, batch_first=True)
    stack = nn.TransformerEncoder(layer, 2, nn.LayerNorm(E, dtype=tg.float64)).eval()
    close(stack(x), stack.norm(layer(layer(x))).numpy())
    nn.init.zeros_(stack.layers[0].linear1.weight)
    assert (layer.linear1.weight.numpy() != 0).any()
    assert len(list(stack.parameters())) == 2 * len(list(layer.parameters())) + 2
    decoder = make(nn.TransformerDecoderLayer, batch_first=True)
    close(
        nn.TransformerDecoder(decoder, 2).eval()(x, memory),
        decoder(decoder(x, memory), memory).numpy(),
    )


def test_trains_with_dropout(arrays):
    layer = nn.TransformerEncoderLayer(E, HEADS, WIDE, batch_first=True, dropout=0.3)
    x = tg.asarray(arrays[0].astype("float32"))
    first = layer(x)
    assert (first.numpy() != layer(x).numpy()).any()
    first.square().sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


def test_errors():
    with pytest.raises(ValueError, match="activation must be 'relu', 'gelu'"):
        nn.TransformerEncoderLayer(E, HEADS, activation="tanh")
    with pytest.raises(ValueError, match="does not divide"):
        nn.TransformerEncoderLayer(E, 5)
