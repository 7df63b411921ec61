"""What is wrong is refused: at the call where shapes, dtypes and Python values show it, at the read
where values do; and nothing brings the process down."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ops import OPS, SAMPLES, function, to_tensor

import tegula as tg

HUGE = 2**62


def f(*shape: int) -> tg.Tensor:
    return tg.asarray(np.ones(shape, np.float32))


def i(*values: int) -> tg.Tensor:
    return tg.asarray(np.array(values, np.int64))


# ---- At the call ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: f(128, 784) @ f(512, 10),
            ValueError,
            r"matmul: inner dimensions differ: "
            r"\(128, 784\) @ \(512, 10\)",
        ),
        (lambda: f(3, 4) + f(3, 5), ValueError, r"add: .*\(3, 4\) and \(3, 5\)"),
        (lambda: tg.where(f(2) > 0, f(3), f(3)), ValueError, "where"),
        (lambda: f(2, 3, 4) @ f(3, 4, 5), ValueError, "matmul"),
        (lambda: f() @ f(3), ValueError, "matmul"),
        (lambda: f(3, 4).sum(2), IndexError, r"sum: axis 2 is out of range for 2 dimensions"),
        (lambda: f(3, 4).sum((0, -2)), ValueError, "twice"),
        (lambda: f(3, 4).reshape((5, -1)), ValueError, "reshape"),
        (lambda: f(3, 4).reshape((-1, -1)), ValueError, "only one"),
        (lambda: f(3, 4).reshape((-3, -4)), ValueError, "negative|only one"),
        (lambda: f(3, 4).reshape((HUGE, HUGE)), (ValueError, OverflowError), ""),
        (lambda: f(3, 4).reshape((HUGE, 4, -1)), (ValueError, OverflowError), ""),
        (lambda: tg.permute_dims(f(3, 4), (0, 0)), ValueError, "twice"),
        (lambda: tg.permute_dims(f(3, 4), (0,)), ValueError, "permute_dims"),
        (lambda: tg.broadcast_to(f(3, 4), (3, 5)), ValueError, "broadcast_to"),
        (lambda: tg.squeeze(f(3, 4), 0), ValueError, "squeeze"),
        (lambda: tg.concat([]), ValueError, "concat"),
        (lambda: tg.concat([f(2, 3), f(3, 2)]), ValueError, r"concat: .*\(2, 3\) and \(3, 2\)"),
        (lambda: tg.concat([f(2), f(2)], 1), IndexError, "concat: axis 1"),
        (lambda: tg.stack([f(2), f(3)]), ValueError, "stack"),
        (lambda: tg.split(f(5), (2, 2)), ValueError, "split"),
        (lambda: tg.split(f(5), 0), ValueError, "split"),
        (lambda: tg.zeros((2, -1)), ValueError, "negative"),
        (lambda: tg.zeros((HUGE, HUGE)), (ValueError, OverflowError), ""),
        (lambda: tg.zeros((2**63, 2)), (ValueError, OverflowError), ""),
        (lambda: tg.ones(2.5), TypeError, ""),
        (lambda: tg.arange(0, float("nan")), ValueError, "arange: stop must be finite"),
        (lambda: tg.arange(0, float("inf")), ValueError, "finite"),
        (lambda: tg.arange(0, 5, 0), ValueError, "step"),
        (lambda: tg.arange(0, HUGE), ValueError, "too many"),
        (lambda: tg.linspace(0, 1, -1), ValueError, "num"),
        (lambda: tg.tile(f(3), HUGE), ValueError, ""),
        (lambda: tg.repeat(f(3, 3), HUGE), ValueError, ""),
        (lambda: tg.pad(f(3), HUGE, HUGE), ValueError, "pad"),
        (lambda: tg.pad(f(3), -1, 0), ValueError, "negative"),
        (lambda: f(3, 4)[3], IndexError, "index 3 is out of bounds for axis 0 with size 3"),
        (lambda: f(3, 4)[0, 0, 0], IndexError, "too many indices"),
        (lambda: f(3, 4)[..., ...], IndexError, "ellipsis"),
        (lambda: f(3, 4)[::0], ValueError, "step"),
        (lambda: f(3, 4)[f(2)], IndexError, "float32"),
        (lambda: f(3, 4)["a"], (TypeError, IndexError), ""),
        (lambda: f(3, 4)[1.5], (TypeError, IndexError), ""),
        (lambda: f(3, 4)[tg.asarray([True, False])], IndexError, "mask"),
        (lambda: f(3, 4)[i(0, 1), i(0, 1, 2)], IndexError, "broadcast"),
        (lambda: tg.conv2d(f(1, 3, 8, 8), f(4, 2, 3, 3)), ValueError, "channels"),
        (lambda: tg.conv2d(f(1, 3, 2, 2), f(4, 3, 3, 3)), ValueError, "does not fit"),
        (lambda: tg.conv2d(f(1, 3, 8, 8), f(4, 3, 3, 3), None, 0), ValueError, "stride"),
        (lambda: tg.conv2d(f(1, 3, 8, 8), f(4, 3, 3, 3), None, 1, HUGE), ValueError, "large"),
        (lambda: tg.conv2d(f(1, 4, 8, 8), f(4, 2, 3, 3), groups=0), ValueError, "groups"),
        (lambda: tg.conv2d(f(8, 8), f(4, 2, 3, 3)), ValueError, r"\(N, C, H, W\)"),
        (lambda: tg.max_pool2d(f(1, 1, 4, 4), 5), ValueError, "does not fit"),
        (lambda: tg.max_pool2d(f(1, 1, 4, 4), 2, padding=2), ValueError, "padding"),
        (lambda: tg.max_pool2d(f(1, 1, 4, 4), (1, 2, 3)), ValueError, "one int, or 2"),
        (lambda: tg.argmax(f(0)), ValueError, "argmax"),
        (lambda: f(3, 0).max(1), ValueError, "max"),
        (lambda: tg.topk(f(3), 4), ValueError, "topk"),
        (lambda: tg.sort(f()), IndexError, "0-d"),
        (lambda: tg.cumulative_sum(f(2, 2)), ValueError, "axis"),
        (lambda: tg.bincount(np.array([1, -2])), ValueError, "negative"),
        (lambda: tg.bincount(f(3)), TypeError, "integers"),
        (lambda: tg.bincount(np.array([1, 2]), f(3)), ValueError, "weights"),
        (lambda: tg.histogram(f(3), 0), ValueError, "positive"),
        (lambda: tg.histogram(f(3), 4, (2.0, 1.0)), ValueError, "range"),
        (lambda: tg.histogram(np.array([np.nan, 1.0])), ValueError, "finite"),
        (lambda: tg.histogram(f(3), np.array([1.0, 0.0]))[0].item(), ValueError, "edges"),
        (lambda: tg.take(f(3), f(2)), IndexError, "integers"),
        (lambda: tg.take(f(3), 5), IndexError, "index 5"),
        (lambda: tg.take_along_axis(f(3, 4), i(0)), ValueError, "take_along_axis"),
        (lambda: tg.cross_entropy(f(3, 4), i(0, 1)), ValueError, "labels"),
        (lambda: tg.cross_entropy(f(3, 4), i(0, 1, 2), reduction="avg"), ValueError, "avg"),
        (lambda: tg.cross_entropy(f(3, 4), i(0, 1, 2), label_smoothing=2.0), ValueError, ""),
        (lambda: tg.layer_norm(f(3, 4), 1, f(3)), ValueError, "layer_norm: weight"),
        (lambda: tg.dropout(f(3), 1.5), ValueError, "dropout"),
        (
            lambda: tg.scaled_dot_product_attention(f(2, 3, 4), f(0, 3, 4), f(0, 3, 2)),
            ValueError,
            "2 heads of query are no multiple of the 0 heads",
        ),
        (lambda: tg.random.randint(3, 3, (2,)), ValueError, "randint"),
        (lambda: tg.random.randint(0, 1000, (2,), "int8"), ValueError, "int8"),
        (lambda: tg.bitwise_and(f(3), f(3)), TypeError, "bitwise_and"),
        (lambda: -tg.asarray([True]), TypeError, "negative"),
        (lambda: tg.astype(f(3), "float31"), TypeError, "float31"),
        (lambda: tg.asarray(np.array([1], np.int8)) + 300, (ValueError, OverflowError), "300"),
        (lambda: f(3).item(), ValueError, "item"),
        (lambda: bool(f(3)), ValueError, ""),
        (lambda: tg.exp("a"), TypeError, ""),
        (lambda: tg.exp(), TypeError, ""),
        (lambda: tg.exp(f(3), f(3)), TypeError, ""),
        (lambda: tg.exp(f(3), wrong=1), TypeError, ""),
        (lambda: tg.exp(None), TypeError, ""),
        (lambda: f(3).sum("a"), TypeError, ""),
        (lambda: f(3).sum(1.5), TypeError, ""),
        (lambda: f(3).sum(2**70), (TypeError, IndexError, OverflowError, ValueError), ""),
        (lambda: f(3).backward(), RuntimeError, "requires grad"),
        (lambda: setattr(i(1), "requires_grad", True), TypeError, "floating"),
    ],
)
def test_refused_at_the_call(call, error, words):
    with pytest.raises(error, match=words or None):
        call()


def test_writing_what_does_not_fit():
    x = f(3, 4)
    with pytest.raises(ValueError, match=r"\(5,\).*\(4,\)"):
        x[0] = f(5)
    with pytest.raises(ValueError, match="broadcast"):
        x[i(0, 1)] = f(3, 4)
    with pytest.raises(ValueError):
        x += f(2, 3, 4)
    np.testing.assert_array_equal(x.numpy(), np.ones((3, 4)))


# ---- At the read ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "call",
    [
        lambda: f(3, 4)[i(0, 3)],
        lambda: f(3, 4)[:, i(-5)],
        lambda: tg.take(f(3, 4), i(7), 1),
        lambda: tg.take_along_axis(f(3, 4), tg.asarray([[4], [0], [0]]), 1),
        lambda: tg.index_add(f(3), i(3), f(1)),
        lambda: tg.put_along_axis(f(3), i(-4), 1.0),
        lambda: tg.embedding(f(3, 4), i(-1)),
        lambda: tg.one_hot(i(3), 3),
        lambda: tg.cross_entropy(f(2, 3), i(0, 3)),
        lambda: tg.cross_entropy(f(2, 3), i(0, -1)),
        lambda: tg.nll_loss(f(2, 3), i(0, -1), ignore_index=-100),
    ],
)
def test_refused_at_the_read_naming_the_line(call):
    result = call()
    with pytest.raises(IndexError, match=r"out of bounds.*"):
        result.numpy()
    with pytest.raises(IndexError, match="test_bad_input"):
        result.numpy()


def test_a_failure_spoils_nothing_else():
    x = f(3)
    tg.eval(x)
    bad = x[i(9)]
    with pytest.raises(IndexError):
        bad.numpy()
    np.testing.assert_array_equal((x + 1).numpy(), [2, 2, 2])


def test_attention_of_no_heads():
    query, key, value = f(3, 4), f(0, 3, 4), f(0, 3, 2)
    query.requires_grad = True
    y = tg.scaled_dot_product_attention(query, key, value)
    assert y.numpy().shape == (0, 3, 2)
    y.sum().backward()
    np.testing.assert_array_equal(query.grad.numpy(), np.zeros((3, 4)))


def test_ignored_labels_may_be_anything():
    loss = tg.cross_entropy(f(2, 3), i(0, -100), ignore_index=-100)
    np.testing.assert_allclose(float(loss), np.log(3), rtol=1e-6)


# ---- Anything ---------------------------------------------------------------------------------
EXPECTED = (
    ValueError,
    TypeError,
    IndexError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
)

MANY = settings(max_examples=max(400, settings.default.max_examples))


def _array(shape: list[int], dtype: str, value: float, layout: str) -> Any:
    """An array, or a tensor in its memory where that is not dense."""
    kind = np.dtype(dtype).kind
    x = np.full(shape, value if kind in "fc" else 1).astype(dtype)
    if layout == "every second":
        x = np.repeat(x, 2, axis=-1)[..., ::2] if shape else x
    return x if layout == "dense" else tg.asarray(x.T, copy=False)


_tensors = st.builds(
    _array,
    st.lists(st.sampled_from([0, 1, 2, 3, 4, 5]), max_size=4),
    st.sampled_from(
        ["float32", "float64", "float16", "int64", "int8", "uint8", "bool", "complex64"]
    ),
    st.sampled_from([1.0, 1.0, np.nan, -np.inf, 1e30]),
    st.sampled_from(["dense", "dense", "transposed", "every second"]),
)
_elsewhere = st.builds(
    lambda shape: tg.ones(tuple(shape)).to("null"), st.lists(st.integers(0, 3), max_size=3)
)
_ints = st.integers(-6, 6) | st.sampled_from([2**31, -(2**31), 2**62, -(2**63), 2**63, 2**70])
_odd = st.one_of(
    _tensors,
    _ints,
    st.none(),
    st.booleans(),
    st.floats(),
    st.text(max_size=3),
    st.lists(_ints, max_size=4).map(tuple),
    st.lists(_tensors, max_size=3),
    st.sampled_from(["float32", "int8", "mean", "none", "xy"]),
    st.just(object()),
    _elsewhere,
)


def _too_large(value: Any) -> bool:
    """A valid call for more memory than a test should take."""
    return any(x.size > 2**22 for x in samples.leaves(value) if isinstance(x, tg.Tensor))


def _call(name: str, args: Any, kwargs: Any) -> None:
    result, said = None, name
    try:
        result = function(name)(*args, **kwargs)
    except EXPECTED as error:
        said = str(error)
    # That a value cannot be read is said by what reads it, before the operation begins.
    assert function(name).__name__ in said or "null device" in said
    with contextlib.suppress(EXPECTED):
        if not _too_large(result):
            tg.eval(*[x for x in samples.leaves(result) if isinstance(x, tg.Tensor)])


@MANY
@given(st.sampled_from(SAMPLES), st.data())
def test_samples_with_one_argument_changed(sample, data):
    name, text = sample
    args, kwargs = samples.read_sample(text, data.draw(st.sampled_from(["float32", "float64"])))
    where = data.draw(st.integers(0, max(len(args) + len(kwargs) - 1, 0)))
    changed = list(args)
    if where < len(args):
        changed[where] = data.draw(_odd)
    elif kwargs:
        key = list(kwargs)[where - len(args)]
        kwargs = kwargs | {key: data.draw(_odd)}
    _call(name, samples.tree_map(to_tensor, changed), samples.tree_map(to_tensor, kwargs))


@MANY
@given(st.sampled_from(sorted(OPS)), st.lists(_odd, max_size=5))
def test_any_arguments(name, args):
    _call(name, samples.tree_map(to_tensor, args), {})


@MANY
@given(_tensors, st.lists(_odd | st.builds(slice, _odd, _odd, _odd) | st.just(...), max_size=4),
       _tensors)  # fmt: skip
def test_any_subscript(x, items, value):
    t = tg.asarray(x)
    key = tuple(samples.tree_map(to_tensor, items))
    for call in (lambda: t[key].numpy(), lambda: t.__setitem__(key, tg.asarray(value))):
        with contextlib.suppress(EXPECTED):
            call()
    with contextlib.suppress(EXPECTED):
        t.numpy()


@given(_tensors, st.lists(_ints, max_size=3), st.sampled_from(["float32", "int8", "bool"]))
def test_any_cast_and_reshape(x, shape, dtype):
    with contextlib.suppress(EXPECTED):
        tg.astype(tg.asarray(x), dtype).reshape(tuple(shape)).numpy()
