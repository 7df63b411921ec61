"""Distributions: fixed seeds against SciPy's distribution functions, and their derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats as st

import tegula as tg
from tegula import random

N = 20_000
LEVEL = 1e-4  # of the tests; the seeds are fixed, so they fail always or never

CONTINUOUS = [
    ("exponential", (1.5,), st.expon(scale=1.5)),
    ("laplace", (1.0, 2.0), st.laplace(1, 2)),
    ("cauchy", (1.0, 2.0), st.cauchy(1, 2)),
    ("gumbel", (1.0, 2.0), st.gumbel_r(1, 2)),
    ("logistic", (1.0, 2.0), st.logistic(1, 2)),
    ("rayleigh", (2.0,), st.rayleigh(scale=2)),
    ("weibull", (1.5, 2.0), st.weibull_min(1.5, scale=2)),
    ("pareto", (2.5, 2.0), st.pareto(2.5, scale=2)),
    ("log_normal", (0.5, 0.7), st.lognorm(0.7, scale=np.exp(0.5))),
    ("truncated_normal", (-1.0, 2.0, 0.5, 1.5), st.truncnorm(-1, 1, 0.5, 1.5)),
    ("truncated_normal", (6.0, 9.0), st.truncnorm(6, 9)),
    ("truncated_normal", (-np.inf, -5.0), st.truncnorm(-np.inf, -5)),
    ("gamma", (2.5, 3.0), st.gamma(2.5, scale=3)),
    ("gamma", (0.05, 1.0), st.gamma(0.05)),
    ("gamma", (1e5, 1.0), st.gamma(1e5)),
    ("chisquare", (3.0,), st.chi2(3)),
    ("student_t", (2.5,), st.t(2.5)),
    ("beta", (2.0, 0.5), st.beta(2, 0.5)),
    ("beta", (0.1, 0.2), st.beta(0.1, 0.2)),
]


def draw(name: str, *args, **kwargs) -> np.ndarray:
    return getattr(random.Generator(11), name)(*args, **kwargs).numpy()


@pytest.mark.parametrize(("name", "args", "law"), CONTINUOUS)
def test_continuous(name, args, law):
    x = draw(name, *args, shape=N, dtype="float64")
    assert np.isfinite(x).all()
    assert st.kstest(x, law.cdf).pvalue > LEVEL
    narrow = draw(name, *args, shape=N)
    np.testing.assert_array_equal(narrow, x.astype(np.float32))


FOUR = [0.1, 0.2, 0.3, 0.4]
DISCRETE = [
    ("poisson", (0.3,), st.poisson(0.3)),
    ("poisson", (7.5,), st.poisson(7.5)),
    ("poisson", (1000.0,), st.poisson(1000)),
    ("binomial", (10, 0.3), st.binom(10, 0.3)),
    ("binomial", (1000, 0.02), st.binom(1000, 0.02)),
    ("binomial", (500, 0.9), st.binom(500, 0.9)),
    ("negative_binomial", (3.5, 0.4), st.nbinom(3.5, 0.4)),
    ("geometric", (0.3,), st.geom(0.3)),
    ("categorical", (np.log(FOUR),), st.rv_discrete(values=(range(4), FOUR))),
]


def chi_squared(x: np.ndarray, law) -> float:
    """The p-value of counts in cells of at least ten expected numbers."""
    cuts = np.unique(law.ppf(np.linspace(0.02, 0.98, 25)))
    probability = np.diff([0.0, *law.cdf(cuts), 1.0])
    kept = probability * len(x) > 10
    counts = np.histogram(x, np.array([-1e300, *(cuts + 0.5), 1e300]))[0][kept]
    expected = probability[kept] * len(x)
    return st.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue


@pytest.mark.parametrize(("name", "args", "law"), DISCRETE)
def test_discrete(name, args, law):
    x = draw(name, *args, shape=N)
    assert x.dtype == np.int64
    assert chi_squared(x, law) > LEVEL


def test_the_tests_can_fail():
    x = draw("gamma", 2.5, shape=N, dtype="float64")
    assert st.kstest(x, st.gamma(2.55).cdf).pvalue < LEVEL
    assert chi_squared(draw("poisson", 7.5, shape=N), st.poisson(7.6)) < LEVEL


def test_dirichlet():
    alpha = np.array([0.5, 1.0, 2.5])
    x = draw("dirichlet", alpha, shape=N)
    assert x.shape == (N, 3)
    np.testing.assert_allclose(x.sum(-1), 1)
    for k in range(3):  # each part is a beta variable
        assert st.kstest(x[:, k], st.beta(alpha[k], alpha.sum() - alpha[k]).cdf).pvalue > LEVEL
    tiny = draw("dirichlet", np.full(3, 1e-3), shape=100)
    assert np.isfinite(tiny).all()


def test_multinomial():
    weights = np.array([1.0, 2.0, 3.0, 0.0])
    x = draw("multinomial", weights, N, True)
    counts = np.bincount(x, minlength=4)
    assert counts[3] == 0
    assert st.chisquare(counts[:3], N * weights[:3] / 6).pvalue > LEVEL
    rows = draw("multinomial", np.tile(weights, (N, 1)), 3)
    np.testing.assert_array_equal(np.sort(rows, -1), np.tile([0, 1, 2], (N, 1)))
    second = rows[rows[:, 0] == 2, 1]  # the rest has weights 1 and 2
    assert st.chisquare(np.bincount(second), len(second) * np.array([1, 2]) / 3).pvalue > LEVEL
    with pytest.raises(ValueError, match="cannot take 5 of 4"):
        random.multinomial(weights, 5)


def test_orthogonal():
    q = draw("orthogonal", 4, 500)
    np.testing.assert_allclose(q @ np.swapaxes(q, 1, 2), np.tile(np.eye(4), (500, 1, 1)), atol=1e-6)
    assert abs(np.linalg.det(q).mean()) < 5 / np.sqrt(500)  # as many turn as mirror
    assert st.kstest((1 + q[:, 0, 0]) / 2, st.beta(1.5, 1.5).cdf).pvalue > LEVEL


@pytest.mark.parametrize(
    ("name", "args"),
    [(n, a) for n, a, _ in CONTINUOUS if n != "truncated_normal"] + [("dirichlet", ([1.5, 0.5],))],
)
def test_derivatives_are_those_of_the_draw(name, args):
    """Of the same numbers for parameters a little larger and smaller."""
    for i in range(len(args)):

        def draw_with(value, i=i):
            given = [tg.asarray(np.asarray(x, np.float64)) for x in args]
            given[i] = value
            shape = () if name == "dirichlet" else (50,)
            return getattr(random.Generator(3), name)(*given, shape=shape)

        at = np.asarray(args[i], np.float64)
        step = 1e-6 * at
        _, slope = tg.jvp(draw_with, (tg.asarray(at),), (tg.asarray(at),))
        above, below = draw_with(tg.asarray(at + step)), draw_with(tg.asarray(at - step))
        want = (above.numpy() - below.numpy()) / 2e-6
        scale = np.max(np.abs(want))
        np.testing.assert_allclose(slope.numpy(), want, rtol=1e-4, atol=1e-6 * scale + 1e-300)


def test_numbers_depend_on_their_position_alone():
    whole = draw("laplace", shape=1000)
    np.testing.assert_array_equal(draw("laplace", shape=10), whole[:10])
    whole = draw("gamma", 2.5, shape=1000)
    shapes = np.full(1000, 2.5, np.float32)
    shapes[7] = 0.1
    other = draw("gamma", shapes)
    np.testing.assert_array_equal(np.delete(other, 7), np.delete(whole, 7))


def test_parameters_and_shapes():
    x = random.laplace(tg.zeros((3, 1)), tg.ones(4))
    assert x.shape == (3, 4)
    assert random.gamma(tg.ones(4), shape=(2, 4)).shape == (2, 4)
    assert random.poisson(3.0).shape == ()
    assert random.categorical(tg.zeros((3, 4)), (2, 3)).shape == (2, 3)
    assert random.exponential(tg.ones(3, dtype="float64")).dtype == tg.float64
    assert random.poisson(3.0, (2,), "int8").dtype == tg.int8
    with pytest.raises(ValueError, match=r"random\.gamma: parameters of shape \(4,\) do not fit"):
        random.gamma(tg.ones(4), shape=(4, 2))
    with pytest.raises(ValueError, match="gamma: concentration must be positive"):
        random.gamma(-1.0)
    with pytest.raises(ValueError, match="geometric: p must be a probability above 0"):
        random.geometric(0.0)
    with pytest.raises(TypeError, match="beta: needs a floating dtype"):
        random.beta(1.0, 1.0, dtype="int32")
    wrong = random.gamma(tg.asarray([-1.0, 2.0])).numpy()
    assert np.isnan(wrong[0])
    assert np.isfinite(wrong[1])


def test_counts_at_the_ends():
    assert draw("binomial", 10, np.array([0.0, 1.0])).tolist() == [0, 10]
    assert draw("poisson", np.array([0.0])).tolist() == [0]
    assert draw("geometric", 1.0, (5,)).tolist() == [1] * 5
