"""What the table's samples do not show of segments, statistics, placement and arrangement: edges,
errors, dtypes, and that the number of threads changes no bit."""

from __future__ import annotations

import numpy as np
import pytest
import samples
from test_ops import OPS, to_tensor

import tegula as tg

INFINITY = float("inf")


def f(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# ---- segments and scattered reductions ----------------------------------------------------------
def test_segments_of_nothing():
    values, ids = np.array([[1.0], [2.0]], np.float32), np.array([2, 2])
    want = {"sum": 0, "mean": 0, "prod": 1, "max": -INFINITY, "min": INFINITY}
    for name, blank in want.items():
        got = np.asarray(getattr(tg, f"segment_{name}")(values, ids, 4))
        np.testing.assert_array_equal(got[[0, 1, 3]], np.full((3, 1), blank, np.float32))
    for dtype in ("int8", "uint64", "int64", "bool"):
        limits = (False, True) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        x = tg.asarray(np.ones(2, dtype))
        assert np.asarray(tg.segment_max(x, ids, 3))[0] == limits[0]
        assert np.asarray(tg.segment_min(x, ids, 3))[0] == limits[1]


def test_the_number_of_segments_is_found():
    got = tg.segment_sum(np.ones(3, np.float32), np.array([0, 4, 1]))
    np.testing.assert_array_equal(np.asarray(got), [1, 1, 0, 0, 1])
    assert tg.segment_sum(np.ones(0, np.float32), np.zeros(0, int)).shape == (0,)
    with pytest.raises(tg.TraceError, match="segments"):
        tg.jit(tg.segment_sum)(tg.ones(3), tg.asarray([0, 4, 1]))


def test_nan_stays_in_its_segment():
    values = np.array([1, np.nan, 3, np.nan, 5], np.float32)
    ids = np.array([0, 0, 1, 2, 2])
    for name in ("max", "min", "sum", "prod", "mean"):
        got = np.asarray(getattr(tg, f"segment_{name}")(values, ids, 3))
        np.testing.assert_array_equal(got, [np.nan, 3, np.nan])


def test_equal_extremes_share_the_derivative():
    x = tg.asarray(np.array([2.0, 2.0, 1.0, 7.0])).requires_grad_()
    tg.segment_max(x, np.array([0, 0, 0, 1]), 2).sum().backward()
    np.testing.assert_array_equal(np.asarray(x.grad), [0.5, 0.5, 0, 1])
    x.grad = None
    tg.scatter_reduce(x, np.array([0, 0]), np.array([2.0, 2.0]), "amax").sum().backward()
    np.testing.assert_allclose(np.asarray(x.grad), [1 / 3, 1, 1, 1])


@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_products_have_their_derivative_at_zeros(zeros):
    line = np.array([3.0, 2.0, -4.0, 5.0])
    line[:zeros] = 0
    x = tg.asarray(line).requires_grad_()
    tg.segment_prod(x, np.zeros(4, int), 1).sum().backward()
    want = [np.prod(np.delete(line, i)) for i in range(4)]
    np.testing.assert_allclose(np.asarray(x.grad), want)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_segments_round_once(dtype):
    x = tg.astype(tg.asarray(np.full(4096, 0.1, np.float32)), dtype)
    one = float(x[0])
    got = float(tg.segment_sum(x, np.zeros(4096, int), 1)[0])
    assert abs(got - 4096 * one) <= 2.0**-8 * got
    assert abs(float(tg.segment_mean(x, np.zeros(4096, int), 1)[0]) - one) <= 2.0**-8 * one


@pytest.mark.parametrize("columns", [1, 5, 64])
@pytest.mark.parametrize("is_sorted", [False, True])
def test_threads_change_no_bit_of_segments(columns, is_sorted):
    ids = np.random.default_rng(3).integers(0, 500, 20_000)
    ids = np.sort(ids) if is_sorted else ids
    values = f(20_000, columns)
    before = tg.get_num_threads()
    want = np.zeros((500, columns), np.float32)
    np.add.at(want, ids, values)  # one after the other
    try:
        for threads in (1, 2, 3):
            tg.set_num_threads(threads)
            for name in ("sum", "max", "prod"):
                got = np.asarray(getattr(tg, f"segment_{name}")(values * 0.99, ids, 500))
                again = np.asarray(getattr(tg, f"segment_{name}")(values * 0.99, ids, 500))
                assert got.tobytes() == again.tobytes()
            got = np.asarray(tg.segment_sum(values, ids, 500))
            np.testing.assert_array_equal(got, want)
    finally:
        tg.set_num_threads(before)


def test_scattered_integers():
    x = np.array([5, -7, 2], np.int32)
    where, source = np.array([0, 0, 1]), np.array([2, 4, 2], np.int32)
    for reduce, want in {"sum": [11, -5, 2], "prod": [40, -14, 2], "mean": [3, -3, 2],
                         "amax": [5, 2, 2], "amin": [2, -7, 2]}.items():  # fmt: skip
        got = np.asarray(tg.scatter_reduce(x, where, source, reduce))
        np.testing.assert_array_equal(got, want)
        assert got.dtype == np.int32


def test_bags_as_rows_of_the_table():
    table, where = f(50, 7), np.random.default_rng(1).integers(0, 50, 200)
    offsets = np.sort(np.random.default_rng(2).integers(0, 200, 40))
    offsets[0] = 0
    ends = [*offsets[1:], 200]
    for mode, reduce in {"sum": np.sum, "mean": np.mean, "max": np.max}.items():
        got = np.asarray(tg.embedding_bag(table, where, offsets, mode))
        for i, (a, b) in enumerate(zip(offsets, ends, strict=True)):
            want = reduce(table[where[a:b]], axis=0) if b > a else np.zeros(7)
            np.testing.assert_allclose(got[i], want, rtol=1e-5, atol=1e-6)


# ---- errors -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: tg.segment_sum(x, np.zeros(2, int), 3), ValueError, "segment_sum: segment_ids"),
        (lambda x: tg.segment_max(x, f(3), 3), TypeError, "segment_max: segment_ids must be int"),
        (lambda x: tg.segment_min(x, np.zeros(3, int), -1), ValueError, "num_segments"),
        (lambda x: tg.scatter_reduce(x, np.zeros((3, 4), int), x, "max"), ValueError, "'amax'"),
        (lambda x: tg.scatter_reduce(x, np.zeros(3, int), x, "sum"), ValueError, "indices"),
        (lambda x: tg.embedding_bag(x, np.zeros(3, int)), ValueError, "offsets"),
        (lambda x: tg.embedding_bag(x, np.zeros((3, 2), int), mode="min"), ValueError, "'max'"),
        (lambda x: tg.quantile(x, 1.5), ValueError, "quantile: q must be between 0 and 1"),
        (lambda x: tg.percentile(x, 101), ValueError, "percentile: q .* 100"),
        (lambda x: tg.quantile(x, 0.5, method="weibull"), ValueError, "'nearest'"),
        (lambda x: tg.median(x[:0], 0), ValueError, "median: axis 0"),
        (lambda x: tg.masked_fill(x, x, 1.0), TypeError, "masked_fill: mask must be bool"),
        (lambda x: tg.masked_scatter(x, np.ones(3, bool), x), ValueError, "masked_scatter"),
        (lambda x: tg.index_put(x, [], 1.0), ValueError, "index_put: needs one to 2"),
        (lambda x: tg.select(x, 0, 3), IndexError, "select: index 3"),
        (lambda x: tg.slice_scatter(x, x, 0, step=0), ValueError, "step"),
        (lambda x: tg.diag_embed(x, 0, 1, 1), ValueError, "diag_embed: axis1 and axis2"),
        (lambda x: tg.fill_diagonal(x[0], 1.0), ValueError, "fill_diagonal"),
        (lambda x: tg.rot90(x, 1, (0, -2)), ValueError, "rot90: axes"),
        (lambda x: tg.tensor_split(x, 0), ValueError, "tensor_split"),
        (lambda x: tg.unflatten(x, 1, (3, -1)), ValueError, "unflatten: sizes"),
        (lambda x: tg.gradient(x[:1], 1.0, 0), ValueError, "gradient: axis 0"),
        (lambda x: tg.interp(x, f(2), f(3)), ValueError, "interp: fp"),
        (lambda x: tg.trapezoid(x, f(3)), ValueError, "trapezoid: x"),
        (lambda x: tg.cdist(x, f(3, 5)), ValueError, "cdist"),
        (lambda x: tg.cdist(x, x, -1.0), ValueError, "cdist: p"),
        (lambda x: tg.cov(f(2, 2, 2)), ValueError, "cov: x"),
        (lambda x: tg.inner(x, f(3)), ValueError, "inner"),
    ],
)  # fmt: skip
def test_refused_at_the_call(call, error, words):
    with pytest.raises(error, match=words):
        call(tg.asarray(f(3, 4)))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: tg.segment_sum(x, np.array([0, 1, 3]), 3), IndexError,
         "segment_sum: segment_ids: index 3 is out of bounds for axis 0 with size 3"),
        (lambda x: tg.segment_mean(x, np.array([0, -1, 2]), 3), IndexError, "segment_mean: .* -1"),
        (lambda x: tg.scatter_reduce(x, np.full((3, 1), 4), x[:, :1], "sum"), IndexError,
         "scatter_reduce: indices: index 4"),
        (lambda x: tg.index_reduce(x, np.array([5]), x[:1], "amin"), IndexError, "index_reduce"),
        (lambda x: tg.embedding_bag(x, np.array([[3]])), IndexError, "embedding_bag: indices"),
        (lambda x: tg.embedding_bag(x, np.zeros(3, int), np.array([0, 2, 1])), ValueError,
         "embedding_bag: offsets must not decrease"),
        (lambda x: tg.embedding_bag(x, np.zeros(3, int), np.array([1])), ValueError, "begin with"),
        (lambda x: tg.embedding_bag(x, np.zeros(3, int), np.array([0, 4])), ValueError, "the 3"),
        (lambda x: tg.put(x, np.array([12]), 0.0), IndexError, "put: indices: index 12"),
        (lambda x: tg.index_fill(x, np.array([3]), 0.0), IndexError, "index_fill: indices"),
        (lambda x: tg.index_put(x, [np.array([0]), np.array([4])], 0.0), IndexError, "axis 1"),
        (lambda x: tg.masked_scatter(x, np.ones((3, 4), bool), f(11)), IndexError, "index 11"),
        (lambda x: tg.unravel_index(np.array([6]), (2, 3))[0], IndexError, "unravel_index"),
        (lambda x: tg.ravel_multi_index([np.array([2])], (2,)), IndexError, "ravel_multi_index"),
    ],
)  # fmt: skip
def test_refused_at_the_read_naming_the_line(call, error, words):
    result = call(tg.asarray(f(3, 4)))
    with pytest.raises(error, match=words):
        result.numpy()
    with pytest.raises(error, match="test_array_functions"):
        result.numpy()


# ---- NaN and order ------------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_lines_of_nothing_but_nan():
    x = np.array([[np.nan, np.nan], [1, np.nan]], np.float32)
    for name in ["sum", "prod", "mean", "var", "std", "max", "min", "median"]:
        got = np.asarray(getattr(tg, f"nan{name}")(x, 1))
        np.testing.assert_allclose(got, getattr(np, f"nan{name}")(x, axis=1), err_msg=name)
    assert np.asarray(tg.nanargmax(x, 1)).tolist() == [0, 0]
    assert np.isnan(float(tg.nanquantile(x[0], 0.3)))
    assert np.isnan(float(tg.nanvar(x[1], correction=1.0)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_numbers_for_infinities_are_finite(dtype):
    x = tg.astype(tg.asarray([np.inf, -np.inf, np.nan]), dtype)
    got = tg.nan_to_num(x)
    assert str(got.dtype).endswith(dtype)
    largest, lowest, zero = np.asarray(tg.astype(got, "float64"))
    assert np.isfinite([largest, lowest]).all()
    assert largest == -lowest > 60000
    assert zero == 0
    assert not np.isfinite(float(tg.astype(tg.asarray(float(largest) * 1.01), dtype)))


def test_quantiles_at_the_ends_and_of_nan():
    x = f(6)
    got = tg.quantile(x, np.array([0.0, 1.0, 1.5, np.nan]))
    np.testing.assert_array_equal(np.asarray(got), [x.min(), x.max(), np.nan, np.nan])
    special, _ = samples.Makers("float32", 0).read("special()")
    assert np.isnan(float(tg.quantile(special[0], 0.5)))
    assert np.isnan(float(tg.median(special[0])))
    np.testing.assert_array_equal(
        np.asarray(tg.nanquantile(special[0], 0.5)), np.nanquantile(special[0], 0.5)
    )
    assert tg.quantile(np.array([7], np.int8), 0.3).dtype == tg.float32


def test_a_derivative_of_the_level():
    got = tg.grad(lambda q: tg.quantile(np.array([1.0, 2.0, 4.0]), q))(tg.asarray(np.array(0.7)))
    assert float(got) == 4.0  # two intervals, the second one of width 2


def test_running_extremes_give_the_last_equal_element_the_derivative():
    x = tg.asarray(np.array([1.0, 3.0, 3.0, 2.0])).requires_grad_()
    tg.cumulative_max(x).sum().backward()
    np.testing.assert_array_equal(np.asarray(x.grad), [1, 1, 2, 0])


def test_running_logsumexp_of_extremes():
    x = np.array([-np.inf, -np.inf, 1000.0, -1000.0, np.inf])
    np.testing.assert_array_equal(
        np.asarray(tg.cumulative_logsumexp(x)), np.logaddexp.accumulate(x)
    )


# ---- placement and distances --------------------------------------------------------------------
def test_masks_among_the_indices():
    x, mask = f(3, 4), f(3, 4) > 0
    want = x.copy()
    want[mask] += 2
    got = tg.index_put(x, [mask], 2.0, accumulate=True)
    np.testing.assert_array_equal(np.asarray(got), want)


def test_an_update_leaves_its_operand():
    x = tg.asarray(f(3, 3))
    before = np.array(x)
    for y in (
        tg.fill_diagonal(x, 9.0),
        tg.index_fill(x, np.array([0]), 9.0),
        tg.scatter_reduce(x, np.zeros((3, 1), int), np.full((3, 1), 9.0), "amax"),
    ):
        assert float(y[0, 0]) == 9.0
    np.testing.assert_array_equal(np.asarray(x), before)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, INFINITY])
def test_equal_vectors_have_a_derivative(p):
    x = tg.asarray(np.ones((2, 3))).requires_grad_()
    (tg.cdist(x, np.ones((1, 3)), p).sum() + tg.normalize(x * 0, p).sum()).backward()
    assert np.isfinite(np.asarray(x.grad)).all()


def test_near_vectors_lose_no_digits():
    a = np.array([[1000.0, 1000.0]], np.float32)
    b = a + np.float32(0.0625)
    np.testing.assert_allclose(float(tg.cdist(a, b)), 0.0625 * np.sqrt(2), rtol=1e-6)


@pytest.mark.parametrize("name", ["diag", "diagflat", "tril_indices", "atleast_2d", "hstack"])
def test_empty(name):
    args = {"tril_indices": (0,), "hstack": ([np.zeros(0)],)}.get(name, (np.zeros(0),))
    got = getattr(tg, name)(*samples.tree_map(to_tensor, args))
    want = getattr(np, name)(*args)
    for g, w in zip(samples.leaves(got), samples.leaves(want), strict=True):
        assert g.shape == w.shape
    assert name in OPS
