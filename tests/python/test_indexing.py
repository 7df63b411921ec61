"""Subscripts, read and written, against NumPy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tegula as tg

KINDS = ["slice", "slice", "integer", "array", "new_axis", "mask"]


def tensor_items(items: tuple) -> tuple:
    return tuple(tg.asarray(i) if isinstance(i, np.ndarray) else i for i in items)


def axes_taken(items: list[Any]) -> int:
    masks = [i.ndim for i in items if isinstance(i, np.ndarray) and i.dtype == bool]
    return sum(masks) + sum(i is not None for i in items) - len(masks)


@st.composite
def slices(draw: Any, size: int) -> slice:
    bound = st.none() | st.integers(-size - 2, size + 2)
    step = st.none() | st.integers(-3, 3).filter(bool)
    return slice(draw(bound), draw(bound), draw(step))


@st.composite
def subscripts(draw: Any, shape: tuple[int, ...]) -> tuple:
    """A valid subscript of a tensor of that shape."""
    items: list[Any] = []
    axis = 0
    common = draw(st.sampled_from([(), (1,), (3,), (2, 3)]))  # index arrays broadcast to this
    end = draw(st.integers(0, len(shape)))
    while axis < end:
        size = shape[axis]
        kind = draw(st.sampled_from(KINDS))
        if kind == "slice":
            items.append(draw(slices(size)))
        elif kind == "integer" and size:
            items.append(draw(st.integers(-size, size - 1)))
        elif kind == "array" and size:
            index_shape = draw(st.sampled_from([common, common[1:], tuple(1 for _ in common)]))
            count = int(np.prod(index_shape))
            values = draw(st.lists(st.integers(-size, size - 1), min_size=count, max_size=count))
            items.append(np.array(values, np.int64).reshape(index_shape))
        elif kind == "mask":
            rank = draw(st.integers(1, min(2, len(shape) - axis)))
            extent = shape[axis : axis + rank]
            count = int(np.prod(extent))
            values = draw(st.lists(st.booleans(), min_size=count, max_size=count))
            items.append(np.array(values, bool).reshape(extent))
            axis += rank - 1
            end = max(end, axis + 1)
        elif kind == "new_axis":
            items.append(None)
            continue
        else:
            items.append(slice(None))
        axis += 1
    rest = [] if axis == len(shape) else [slice(None)] * (len(shape) - axis)
    if draw(st.booleans()):
        # An ellipsis takes the axes nobody else takes, wherever it stands.
        at = draw(st.integers(0, len(items)))
        before, after = axes_taken(items[:at]), axes_taken(items[at:])
        if shape[:before] + shape[len(shape) - after :] == shape[: before + after]:
            items.insert(at, ...)
    elif rest and draw(st.booleans()):
        items += rest
    return tuple(items)


SHAPES = st.sampled_from([(4,), (3, 4), (2, 3, 4), (5, 1, 3), (3, 0, 2), (2, 2, 2, 2)])
CASES = SHAPES.flatmap(lambda shape: st.tuples(st.just(shape), subscripts(shape)))


def numpy_get(x: np.ndarray, items: tuple) -> np.ndarray | None:
    try:
        return x[items]
    except IndexError:
        return None  # index arrays and masks that do not broadcast


@given(CASES)
def test_get(case):
    shape, items = case
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    want = numpy_get(x, items)
    t = tg.asarray(x)
    if want is None:
        with pytest.raises(IndexError):
            t[tensor_items(items)]
        return
    got = t[tensor_items(items)].numpy()
    assert got.shape == want.shape
    np.testing.assert_array_equal(got, want)


@given(CASES, st.integers(0, 3), st.data())
def test_set(case, drop, data):
    shape, items = case
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    selected = numpy_get(x, items)
    if selected is None:
        return
    # A value of the selection's shape, or one that broadcasts to it.
    ones = data.draw(st.lists(st.booleans(), min_size=selected.ndim, max_size=selected.ndim))
    value_shape = tuple(1 if one else n for one, n in zip(ones, selected.shape, strict=True))[drop:]
    v = -1 - np.arange(np.prod(value_shape), dtype=np.float32).reshape(value_shape)
    t = tg.asarray(x)
    before = t + 0
    t[tensor_items(items)] = tg.asarray(v)
    want = x.copy()
    want[items] = v
    np.testing.assert_array_equal(t.numpy(), want)
    np.testing.assert_array_equal(before.numpy(), x)


@given(CASES)
def test_the_derivative_of_getting_adds_up_where_an_element_is_taken_twice(case):
    shape, items = case
    x = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    selected = numpy_get(x, items)
    if selected is None:
        return
    weights = np.arange(1.0, selected.size + 1).reshape(selected.shape)
    t = tg.asarray(x)
    t.requires_grad = True
    (t[tensor_items(items)] * tg.asarray(weights)).sum().backward()
    want = np.zeros(shape)
    np.add.at(want, items, weights)
    got = np.zeros(shape) if t.grad is None else t.grad.numpy()
    np.testing.assert_array_equal(got, want)


@given(CASES)
def test_the_derivative_of_setting(case):
    shape, items = case
    x = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    selected = numpy_get(x, items)
    if selected is None:
        return
    weights = tg.asarray(np.arange(1.0, x.size + 1).reshape(shape))
    t, v = tg.asarray(x), tg.asarray(-1.0 - np.arange(selected.size).reshape(selected.shape))
    t.requires_grad = v.requires_grad = True
    y = t * 1
    y[tensor_items(items)] = v
    (y * weights).sum().backward()
    # The elements of x that were overwritten, and the values that were themselves overwritten.
    hidden = np.zeros(shape, bool)
    hidden[items] = True
    writer = np.full(shape, -1)
    writer[items] = np.arange(selected.size).reshape(selected.shape)
    want = np.zeros(selected.size)
    for at in itertools.product(*map(range, shape)):
        if writer[at] >= 0:
            want[writer[at]] = weights.numpy()[at]
    zero = np.zeros(())
    np.testing.assert_array_equal(
        zero if t.grad is None else t.grad.numpy(), np.where(hidden, 0, weights.numpy())
    )
    got = zero if v.grad is None else v.grad.numpy()
    np.testing.assert_array_equal(got, want.reshape(selected.shape))


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "uint64"])
def test_index_dtypes(dtype):
    x = np.arange(12.0).reshape(4, 3)
    i = np.array([3, 0, 1], dtype)
    np.testing.assert_array_equal(tg.asarray(x)[tg.asarray(i)].numpy(), x[i])


def test_adjacent_and_separated_index_arrays():
    x = np.arange(120.0).reshape(2, 3, 4, 5)
    t, i, j = tg.asarray(x), np.array([1, 0]), np.array([[2], [0]])
    ti, tj = tg.asarray(i), tg.asarray(j)
    for got, want in [
        (t[:, ti, tj], x[:, i, j]),
        (t[ti, :, tj], x[i, :, j]),
        (t[0, :, ti], x[0, :, i]),
        (t[:, 0, ti], x[:, 0, i]),
        (t[0, ..., ti], x[0, ..., i]),
        (t[ti, None, tj], x[i, None, j]),
        (t[..., ti, :, 1], x[..., i, :, 1]),
        (t[ti, ..., 1:3, -1], x[i, ..., 1:3, -1]),
        (t[[0, 1], [2, 0]], x[[0, 1], [2, 0]]),
        (t[True], x[True]),
        (t[False], x[False]),
        (t[ti, True], x[i, True]),
    ]:
        assert got.shape == want.shape
        np.testing.assert_array_equal(got.numpy(), want)


@pytest.mark.parametrize(
    ("shape", "mask"),
    [
        ((5,), (0,)),
        ((2, 3), (0,)),
        ((2, 3), (2, 0)),
        ((2, 0), (0, 0)),
        ((0, 1), (0, 0)),
        ((0,), (0,)),
    ],
)
def test_a_mask_without_elements_fits_any_size(shape, mask):
    # The standard: each size of the mask is the tensor's, or 0.
    x, want = tg.ones(shape), np.ones(shape)
    assert x[tg.zeros(mask, dtype=tg.bool)].shape == want[np.zeros(mask, bool)].shape
    x[tg.zeros(mask, dtype=tg.bool)] = 2
    assert x.tolist() == want.tolist()
    with pytest.raises(IndexError, match="does not fit axis 0"):
        tg.ones((2, 3))[tg.zeros((1,), dtype=tg.bool)]


def test_masks_with_a_value_of_their_own_shape():
    x = np.arange(12.0).reshape(3, 4)
    mask = x % 3 == 0
    t = tg.asarray(x)
    t[t % 3 == 0] = tg.asarray(-np.arange(4.0))
    want = x.copy()
    want[mask] = -np.arange(4.0)
    np.testing.assert_array_equal(t.numpy(), want)


def test_augmented_assignment():
    x = np.arange(12.0).reshape(3, 4)
    t = tg.asarray(x)
    t[1:, ::2] += 10
    t[:, 1] *= 2
    x[1:, ::2] += 10
    x[:, 1] *= 2
    np.testing.assert_array_equal(t.numpy(), x)


def test_writing_through_a_slice_of_a_slice_does_not_reach_the_source():
    x = tg.asarray(np.arange(6.0))
    y = x[1:5]
    y[0] = 100
    assert x.numpy().tolist() == [0, 1, 2, 3, 4, 5]
    assert y.numpy().tolist() == [100, 2, 3, 4]


def test_iteration_and_lengths():
    x = np.arange(6.0).reshape(3, 2)
    assert [row.tolist() for row in tg.asarray(x)] == x.tolist()
    assert len(tg.asarray(x)) == 3
