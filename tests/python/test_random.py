"""Random operations: what they promise of their numbers, and of their order."""

from __future__ import annotations

import numpy as np
import pytest

import tegula as tg

N = 20_000


def near(value: float, expected: float, deviation: float) -> bool:
    """Within five standard errors of the mean of N numbers with that standard deviation."""
    return abs(value - expected) < 5 * deviation / np.sqrt(N)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_uniform(dtype):
    x = np.asarray(tg.random.uniform((N,), dtype=dtype).astype("float64"))
    assert x.min() >= 0
    assert x.max() < 1 or dtype == "bfloat16"
    assert near(x.mean(), 0.5, 12**-0.5)
    assert near((x**2).mean(), 1 / 3, (4 / 45) ** 0.5)
    y = np.asarray(tg.random.uniform((N,), -3.0, 5.0))
    assert y.min() >= -3
    assert y.max() < 5
    assert near(y.mean(), 1, 8 * 12**-0.5)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_normal(dtype):
    x = np.asarray(tg.random.normal((N,), dtype=dtype).astype("float64"))
    assert near(x.mean(), 0, 1)
    assert near((x**2).mean(), 1, 2**0.5)
    assert near((x**4).mean(), 3, 96**0.5)
    y = np.asarray(tg.random.normal((N,), 2.0, 0.5))
    assert near(y.mean(), 2, 0.5)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64"])
def test_randint(dtype):
    low = 0 if dtype[0] == "u" else -3
    x = tg.random.randint(low, 7, (N,), dtype)
    assert x.dtype == getattr(tg, dtype)
    counts = np.bincount(np.asarray(x).astype(np.int64) - low, minlength=7 - low)
    expected = N / len(counts)
    assert len(counts) == 7 - low
    assert ((counts - expected) ** 2 / expected).sum() < 40  # chi squared


def test_randint_over_a_wide_range():
    x = np.asarray(tg.random.randint(-(2**61), 2**61, (N,)))
    assert near(x.mean() / 2.0**61, 0, 3**-0.5)


def test_permutation():
    x = np.asarray(tg.random.permutation(1000))
    np.testing.assert_array_equal(np.sort(x), np.arange(1000))
    assert (x == np.arange(1000)).mean() < 0.02


def test_bernoulli():
    x = tg.random.bernoulli(0.3, (N,))
    assert x.dtype == tg.bool
    assert near(np.asarray(x).mean(), 0.3, 0.3**0.5)
    p = tg.asarray(np.array([0.0, 1.0]))
    assert np.asarray(tg.random.bernoulli(p)).tolist() == [False, True]


def test_dropout():
    x = np.asarray(tg.dropout(tg.ones((N,)), 0.25))
    assert set(np.unique(x)) == {0, np.float32(1 / 0.75)}
    assert near(x.mean(), 1, 3**-0.5)
    assert not np.asarray(tg.dropout(tg.ones((5,)), 1.0)).any()


def test_the_gradient_of_dropout_is_its_mask():
    x = tg.ones((100,))
    x.requires_grad = True
    y = tg.dropout(x, 0.5)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


def test_a_seed_gives_the_same_numbers_again():
    tg.manual_seed(7)
    first = tg.random.normal((50,)).numpy()
    tg.manual_seed(7)
    np.testing.assert_array_equal(first, tg.random.normal((50,)).numpy())
    tg.manual_seed(8)
    assert (first != tg.random.normal((50,)).numpy()).all()


def test_numbers_depend_on_the_order_of_recording_alone():
    tg.manual_seed(1)
    a, b = tg.random.uniform((5,)), tg.random.uniform((5,))
    b_first, a_then = b.numpy(), a.numpy()
    tg.manual_seed(1)
    np.testing.assert_array_equal(a_then, tg.random.uniform((5,)).numpy())
    np.testing.assert_array_equal(b_first, tg.random.uniform((5,)).numpy())
    tg.manual_seed(1)
    tg.random.uniform((5,))  # never evaluated, and yet it took its numbers
    np.testing.assert_array_equal(b_first, tg.random.uniform((5,)).numpy())


def test_a_generator_of_its_own():
    a, b = tg.random.Generator(5), tg.random.Generator(5)
    x = a.normal((7,)).numpy()
    tg.random.normal((3,))
    np.testing.assert_array_equal(x, b.normal((7,)).numpy())
    assert (x != a.normal((7,)).numpy()).all()
