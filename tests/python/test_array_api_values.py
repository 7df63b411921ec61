"""Values of the array API functions, with arrays drawn by hypothesis as array-api-tests draws them,
against NumPy; and the errors that the standard asks for."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.array_api import make_strategies_namespace

import tegula as tg

xps = make_strategies_namespace(tg, api_version="2024.12")
REAL = st.one_of(
    xps.boolean_dtypes(), xps.integer_dtypes(), xps.unsigned_integer_dtypes(), xps.floating_dtypes()
)
NUMBERS = st.one_of(xps.integer_dtypes(), xps.unsigned_integer_dtypes(), xps.floating_dtypes())
SHAPES = xps.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@st.composite
def arrays(draw, dtypes=NUMBERS, shapes=SHAPES):
    """A tensor, and the same NumPy array."""
    dtype = draw(dtypes)
    elements: dict[str, Any] = {}
    if tg.isdtype(dtype, "real floating"):
        elements = {"min_value": -1024, "max_value": 1024, "allow_subnormal": False}
    elif not tg.isdtype(dtype, "bool"):
        elements = {"min_value": 0 if "u" in dtype.name else -9, "max_value": 9}
    x = draw(xps.arrays(dtype, shapes, elements=elements))
    assert isinstance(x, tg.Tensor)
    assert x.dtype == dtype
    return x, np.array(x)


def same(got: Any, want: Any, dtype: Any = None) -> None:
    assert isinstance(got, tg.Tensor)
    want = np.asarray(want)
    assert got.shape == want.shape
    if dtype is not None:
        assert got.dtype == dtype
    if tg.isdtype(got.dtype, "real floating"):
        tolerance = 1e-5 if got.dtype == tg.float32 else 1e-12
        np.testing.assert_allclose(got.numpy(), want, rtol=tolerance, atol=tolerance)
    else:
        np.testing.assert_array_equal(got.numpy(), want)


# ---- creation ---------------------------------------------------------------------------------
@given(xps.scalar_dtypes(), SHAPES, st.data())
def test_strategies_of_hypothesis_work(dtype, shape, data):
    x = data.draw(xps.arrays(dtype, shape))
    assert (x.dtype, x.shape) == (dtype, shape)
    key = data.draw(xps.indices(shape, allow_newaxis=True))
    np.testing.assert_array_equal(np.array(x[key]), np.array(x)[key])
    unique = data.draw(xps.arrays(REAL, (2,), unique=True))
    assert tg.unique_values(unique).size == 2


@given(arrays(REAL), st.sampled_from([None, True]))
def test_asarray_copies(pair, copy):
    x, a = pair
    y = tg.asarray(x, copy=copy)
    same(y, a, x.dtype)
    if x.size:
        x[...] = 1 - a.dtype.type(1) if a.dtype != bool else ~a
        changed = np.array(x)
        same(y, a if copy else changed)
    same(tg.asarray(a.tolist(), dtype=x.dtype) if a.size else tg.asarray(a), a)


@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(-7, 7).filter(bool))
def test_arange(start, stop, step):
    same(tg.arange(start, stop, step), np.arange(start, stop, step), tg.int64)
    same(tg.arange(start, stop=stop, step=step, dtype=tg.float64), np.arange(start, stop, step))
    same(tg.arange(start), np.arange(start))
    same(tg.arange(start / 2, stop, step / 4), np.arange(start / 2, stop, step / 4), tg.float32)


@given(st.integers(0, 5), st.integers(0, 5) | st.none(), st.integers(-6, 6), NUMBERS)
def test_eye(rows, columns, k, dtype):
    same(tg.eye(rows, columns, k=k, dtype=dtype), np.eye(rows, columns, k), dtype)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(True, tg.bool), (3, tg.int64), (2.5, tg.float32), (1 - 2j, tg.complex64)],
)
def test_full(value, dtype):
    same(tg.full((2, 3), value), np.full((2, 3), value), dtype)
    same(tg.full(2, value, dtype=tg.complex128), np.full(2, value), tg.complex128)
    same(tg.full_like(tg.zeros((), dtype=tg.complex128), value), value, tg.complex128)
    with pytest.raises(OverflowError):
        tg.full(2, 2**63)


@given(st.lists(st.integers(0, 4), max_size=3), st.sampled_from(["xy", "ij"]))
def test_meshgrid(sizes, indexing):
    xs = [np.arange(n) for n in sizes]
    got = tg.meshgrid(*map(tg.asarray, xs), indexing=indexing)
    for x, y in zip(got, np.meshgrid(*xs, indexing=indexing), strict=True):
        same(x, y)


@given(arrays(REAL), st.data())
def test_dlpack(pair, data):
    x, a = pair
    if x.dtype != tg.bool:
        same(tg.from_dlpack(np.array(a)), a, x.dtype)
    same(tg.from_dlpack(x, copy=data.draw(st.sampled_from([None, True]))), a, x.dtype)
    assert x.__dlpack_device__() == (1, 0)
    np.testing.assert_array_equal(np.from_dlpack(x), a)


# ---- manipulation -----------------------------------------------------------------------------
@given(arrays(), st.data())
def test_manipulation(pair, data):
    x, a = pair
    axes = st.integers(-max(a.ndim, 1), max(a.ndim, 1) - 1)
    order = data.draw(st.permutations(range(a.ndim)))
    same(tg.permute_dims(x, tuple(order)), a.transpose(order), x.dtype)
    new = data.draw(st.integers(-a.ndim - 1, a.ndim))
    same(tg.expand_dims(x, axis=new), np.expand_dims(a, new))
    same(tg.squeeze(tg.expand_dims(x, axis=new), axis=new), a)
    repetitions = tuple(data.draw(st.lists(st.integers(0, 3), max_size=4)))
    same(tg.tile(x, repetitions), np.tile(a, repetitions))
    same(tg.flip(x), np.flip(a))
    same(tg.roll(x, 3), np.roll(a, 3))
    same(tg.reshape(x, (-1,) if a.size else a.shape, copy=True), a.reshape(-1) if a.size else a)
    same(tg.concat([x, x], axis=None), np.concatenate([a, a], None))
    same(tg.stack([x, x], axis=new), np.stack([a, a], new))
    if not a.ndim:
        return
    axis = data.draw(axes)
    source = data.draw(axes)
    same(tg.moveaxis(x, source, axis), np.moveaxis(a, source, axis))
    same(tg.flip(x, axis=axis), np.flip(a, axis))
    same(tg.roll(x, -2, axis=axis), np.roll(a, -2, axis))
    same(tg.roll(x, (1, 2), axis=(axis, 0)), np.roll(a, (1, 2), (axis, 0)))
    same(tg.concat([x, x], axis=axis), np.concatenate([a, a], axis))
    for part, want in zip(tg.unstack(x, axis=axis), np.moveaxis(a, axis, 0), strict=True):
        same(part, want)
    size = a.shape[axis]
    counts = np.array(data.draw(st.lists(st.integers(0, 3), min_size=size, max_size=size)), int)
    same(tg.repeat(x, tg.asarray(counts), axis=axis), np.repeat(a, counts, axis), x.dtype)
    same(tg.repeat(x, 2, axis=axis), np.repeat(a, 2, axis))
    same(tg.repeat(x, 2), np.repeat(a, 2))
    if size:
        at = data.draw(st.lists(st.integers(-size, size - 1), max_size=5))
        at = np.array(at, int)
        same(tg.take(x, tg.asarray(at), axis=axis), np.take(a, at, axis), x.dtype)


@given(arrays(), arrays())
def test_broadcasting(x, y):
    try:
        shape = np.broadcast_shapes(x[1].shape, y[1].shape)
    except ValueError:
        for call in (tg.broadcast_arrays, lambda a, b: tg.broadcast_shapes(a.shape, b.shape)):
            with pytest.raises(ValueError, match="broadcast"):
                call(x[0], y[0])
        return
    assert tg.broadcast_shapes(x[0].shape, y[0].shape) == shape
    for got, want in zip(tg.broadcast_arrays(x[0], y[0]), (x[1], y[1]), strict=True):
        same(got, np.broadcast_to(want, shape))
    same(tg.broadcast_to(x[0], shape), np.broadcast_to(x[1], shape))


# ---- elementwise ------------------------------------------------------------------------------
@given(arrays(), st.data())
def test_clip(pair, data):
    x, a = pair
    low, high = np.array(1, a.dtype), np.broadcast_to(np.array(4, a.dtype), a.shape)
    for least, most in ((low, high), (None, high), (low, None), (None, None)):
        want = a.copy() if least is most is None else np.clip(a, least, most)
        bounds = [None if b is None else tg.asarray(np.array(b)) for b in (least, most)]
        same(tg.clip(x, *bounds), want, x.dtype)
        same(tg.clip(x, min=None if least is None else 1, max=None if most is None else 4), want)
    wide = tg.asarray(2, dtype=tg.float64 if tg.isdtype(x.dtype, "real floating") else tg.int64)
    assert tg.clip(x, wide).dtype == x.dtype


@given(arrays(st.one_of(xps.integer_dtypes(), xps.unsigned_integer_dtypes())), st.integers(0, 7))
def test_operators_of_integers(pair, number):
    x, a = pair
    for name in ("and_", "or_", "xor", "lshift", "rshift", "add", "sub", "mul", "eq", "lt", "ge"):
        function = getattr(operator, name)
        same(function(x, number), function(a, a.dtype.type(number)))
        same(
            function(number, x), function(a.dtype.type(number), a)
        ) if "shift" not in name else None
        if name not in ("eq", "lt", "ge"):
            y = tg.asarray(x, copy=True)
            y = getattr(operator, "i" + name.rstrip("_"))(y, number)
            same(y, function(a, a.dtype.type(number)), x.dtype)
    if number:
        same(x // number, a // a.dtype.type(number), x.dtype)
        same(x % number, a % a.dtype.type(number), x.dtype)
    same(~x, ~a)
    same(+x, a)


# ---- searching, sorting, sets -----------------------------------------------------------------
@given(arrays(), st.data())
def test_searching_and_sorting(pair, data):
    x, a = pair
    flat = np.sort(a.ravel())
    order = np.argsort(a.ravel(), kind="stable")
    for side in ("left", "right"):
        want = np.searchsorted(flat, a, side)
        same(tg.searchsorted(tg.asarray(flat), x, side=side), want, tg.int64)
        sorter = tg.asarray(order)
        got = tg.searchsorted(tg.reshape(x, (a.size,)), x, side=side, sorter=sorter)
        same(got, want)
    same(
        tg.where(x > 2, x, -x if "u" not in x.dtype.name else x + x),
        np.where(a > 2, a, -a if "u" not in x.dtype.name else a + a),
    )
    same(tg.isin(x, x[..., :1] if a.ndim else x), np.isin(a, a[..., :1] if a.ndim else a), tg.bool)
    if not a.ndim:
        with pytest.raises(ValueError, match="nonzero"):
            tg.nonzero(x)
        return
    for got, want in zip(tg.nonzero(x), np.nonzero(a), strict=True):
        same(got, want, tg.int64)
    axis = data.draw(st.integers(-a.ndim, a.ndim - 1))
    keepdims = data.draw(st.booleans())
    same(
        tg.count_nonzero(x, axis=axis, keepdims=keepdims),
        np.count_nonzero(a, axis=axis, keepdims=keepdims),
        tg.int64,
    )
    same(tg.sort(x, axis=axis, stable=data.draw(st.booleans())), np.sort(a, axis), x.dtype)
    same(tg.sort(x, axis=axis, descending=True), np.flip(np.sort(a, axis), axis))
    same(tg.argsort(x, axis=axis), np.argsort(a, axis, kind="stable"), tg.int64)
    if a.shape[axis]:
        for name in ("argmax", "argmin"):
            want = getattr(np, name)(a, axis=axis, keepdims=keepdims)
            same(getattr(tg, name)(x, axis=axis, keepdims=keepdims), want, tg.int64)
    if a.size:
        same(tg.argmax(x), np.argmax(a))


@given(arrays(REAL))
def test_sets(pair):
    x, a = pair
    want = np.unique_all(a)
    got = tg.unique_all(x)
    for field in ("values", "indices", "inverse_indices", "counts"):
        same(getattr(got, field), getattr(want, field))
    assert got.values.dtype == x.dtype
    same(tg.unique_values(x), want.values)
    counts, inverse = tg.unique_counts(x), tg.unique_inverse(x)
    same(counts.values, want.values)
    same(counts.counts, want.counts)
    same(tg.take(inverse.values, inverse.inverse_indices) if a.size else x, a)


def test_sets_with_nan_and_zeros():
    x = tg.asarray([tg.nan, 0.0, -0.0, tg.nan, 1.0])
    assert tg.unique_counts(x).counts.tolist() == [2, 1, 1, 1]
    assert tg.unique_all(x).indices.tolist() == [1, 4, 0, 3]


# ---- statistics, utilities --------------------------------------------------------------------
@given(arrays(), st.data())
def test_statistics(pair, data):
    x, a = pair
    axis = data.draw(st.none() | st.integers(-a.ndim, a.ndim - 1)) if a.ndim else None
    keepdims = data.draw(st.booleans())
    kw = {"axis": axis, "keepdims": keepdims}
    floating = a.dtype.kind == "f"
    wide = x.dtype if floating else tg.uint64 if "u" in x.dtype.name else tg.int64
    if floating:  # large numbers may cancel
        total = 1 + float(np.abs(a.astype("float64")).sum())
        same(tg.sum(x, **kw) / total, a.sum(dtype="float64", **kw) / total, wide)
    else:
        same(tg.sum(x, **kw), a.sum(dtype=wide.name, **kw), wide)
    same(tg.sum(x, dtype=tg.float64, **kw), a.sum(dtype="float64", **kw), tg.float64)
    small = np.clip(a, 0, 3)
    same(tg.prod(tg.asarray(small), **kw), small.prod(dtype=wide.name, **kw), wide)
    for name in ("any", "all"):
        same(getattr(tg, name)(x, **kw), getattr(np, name)(a, **kw), tg.bool)
    count = a.size if axis is None else a.shape[axis]
    if count:
        same(tg.max(x, **kw), a.max(**kw), x.dtype)
        same(tg.min(x, **kw), a.min(**kw), x.dtype)
        if floating:
            exact = a.astype("float64")
            largest = 1 + float(np.abs(exact).max(initial=0))
            for name in ("mean", "var", "std"):
                got, want = getattr(tg, name)(x, **kw), getattr(exact, name)(**kw)
                assert got.dtype == x.dtype
                power = largest ** (2 if name == "var" else 1)
                same(got / power, want / power)
            if count > 1:
                same(
                    tg.var(x, correction=1, **kw) / largest**2, exact.var(ddof=1, **kw) / largest**2
                )
    if a.ndim and axis is not None:
        same(tg.cumulative_sum(x, axis=axis), np.cumsum(a, axis, dtype=wide.name), wide)
        got = tg.cumulative_sum(x, axis=axis, include_initial=True)
        same(got, np.cumulative_sum(a, axis=axis, include_initial=True, dtype=wide.name))
        n = data.draw(st.integers(0, 3))
        if floating or "u" not in x.dtype.name:
            same(tg.diff(x, axis=axis, n=n), np.diff(a, n, axis), x.dtype)
            end = a.take([], axis)
            joined = tg.diff(x, axis=axis, prepend=tg.asarray(end), append=x)
            same(joined, np.diff(a, axis=axis, prepend=end, append=a))


def test_statistics_of_nothing():
    x = tg.zeros(0)
    assert tg.sum(x).item() == 0
    assert tg.prod(x).item() == 1
    for name in ("mean", "std", "var"):
        assert np.isnan(getattr(tg, name)(x).item())
    for name in ("max", "min", "argmax", "argmin"):
        with pytest.raises(ValueError, match=name):
            getattr(tg, name)(x)
    assert tg.all(x).item() is True
    assert tg.any(x).item() is False


# ---- scalars ----------------------------------------------------------------------------------
def test_scalars_of_python():
    assert complex(tg.asarray(1.5)) == 1.5
    assert complex(tg.asarray(True)) == 1
    assert int(tg.asarray(2.75)) == 2
    assert float(tg.asarray(3)) == 3.0
    assert [10, 11, 12][tg.asarray(1)] == 11
    assert bool(tg.asarray(0.0)) is False
    with pytest.raises(TypeError):
        operator.index(tg.asarray(1.0))
    with pytest.raises(OverflowError):
        int(tg.asarray(tg.inf))
    with pytest.raises(ValueError, match="NaN"):
        int(tg.asarray(tg.nan))
    top = 2**64 - 1
    assert int(tg.asarray(top, dtype=tg.uint64)) == top
    assert (tg.zeros(2, tg.uint64) + top)[0].item() == top
    with pytest.raises(OverflowError, match="int64"):
        tg.asarray(top)
    with pytest.raises(OverflowError, match="int64"):
        tg.asarray([1, 2**64])
    with pytest.raises(OverflowError, match="int8"):
        tg.zeros(2, tg.int8) + top


# ---- errors -----------------------------------------------------------------------------------
X = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda x: tg.expand_dims(x, axis=4), IndexError),
        (lambda x: tg.expand_dims(x, axis=-4), IndexError),
        (lambda x: tg.squeeze(x, 0), ValueError),
        (lambda x: x[2], IndexError),
        (lambda x: x[0, 0, 0], IndexError),
        (lambda x: x[0, -4], IndexError),
        (lambda x: x[tg.asarray([True, False, True])], IndexError),
        (lambda x: x.T[tg.asarray(0.5)], IndexError),
        (lambda x: x[0].T, ValueError),
        (lambda x: x[0].mT, ValueError),
        (lambda x: tg.take(x, tg.asarray([5]), axis=1).numpy(), IndexError),
        (lambda x: tg.sum(x, axis=2), IndexError),
        (lambda x: tg.sum(x, axis=(0, 0)), ValueError),
        (lambda x: tg.reshape(x, (4, 2)), ValueError),
        (lambda x: tg.permute_dims(x, (0,)), ValueError),
        (lambda x: tg.concat([x, x[:, :1]]), ValueError),
        (lambda x: tg.stack([x, x[:, :1]]), ValueError),
        (lambda x: tg.broadcast_to(x, (2, 2)), ValueError),
        (lambda x: tg.meshgrid(x), ValueError),
        (lambda x: tg.meshgrid(x[0], indexing="yx"), ValueError),
        (lambda x: tg.repeat(x, tg.asarray([1, 2]), axis=1), ValueError),
        (lambda x: tg.repeat(x, tg.asarray([1, -2]), axis=0), ValueError),
        (lambda x: tg.repeat(x, 1.5), TypeError),
        (lambda x: tg.searchsorted(x, x), ValueError),
        (lambda x: tg.searchsorted(x[0], x, side="middle"), ValueError),
        (lambda x: tg.searchsorted(x[0], x, sorter=tg.asarray([0])), ValueError),
        (lambda x: tg.cumulative_sum(x), ValueError),
        (lambda x: tg.diff(x, n=-1), ValueError),
        (lambda x: tg.diff(x, axis=2), IndexError),
        (lambda x: tg.positive(x > 0), TypeError),
        (lambda x: tg.bitwise_and(x, x), TypeError),
        (lambda x: tg.zeros((2, -1)), ValueError),
        (lambda x: tg.linspace(0, 1, -1), ValueError),
        (lambda x: tg.linspace(0, 1, 3, dtype=tg.int64), TypeError),
        (lambda x: tg.finfo(tg.int64), TypeError),
        (lambda x: tg.iinfo(tg.float32), TypeError),
        (lambda x: tg.result_type(), ValueError),
        (lambda x: tg.asarray([1.5], copy=False), ValueError),
        (lambda x: tg.asarray(X.astype("complex256")), TypeError),
        (lambda x: tg.asarray(X + 1j, dtype=tg.float32), TypeError),
        (lambda x: tg.astype(x + 1j, tg.float64), TypeError),
        (lambda x: tg.sort(x + 1j), TypeError),
        (lambda x: tg.max(x + 1j), TypeError),
        (lambda x: tg.argmin(x + 1j), TypeError),
        (lambda x: tg.maximum(x, 1j), TypeError),
        (lambda x: tg.clip(x + 1j, 0, 1), TypeError),
        (lambda x: tg.searchsorted(x[0], x + 1j), TypeError),
        (lambda x: x < 1j, TypeError),
        (lambda x: x // 1j, TypeError),
        (lambda x: float(tg.sum(x + 1j)), TypeError),
        (lambda x: tg.meshgrid(x[0], order="ij"), TypeError),
        (lambda x: x.to_device("abacus"), tg.DeviceError),
        (lambda x: bool(x), ValueError),
        (lambda x: float(x), ValueError),
        (lambda x: complex(x), ValueError),
    ],
)
def test_error(call, error):
    with pytest.raises(error):
        call(tg.asarray(X))
