"""Libraries written to the array API standard run on tensors unchanged, and agree with NumPy.

SciPy decides when it is imported, so its functions and scikit-learn's run in one process of their
own: this file as a program. Each function is called with NumPy arrays and with tensors.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tegula as tg

Make = Callable[[np.ndarray], Any]
RNG = np.random.default_rng(7)
X = RNG.standard_normal((60, 5))
POS = np.abs(X) + 0.1
Y = X @ np.array([1.0, -2.0, 0.5, 0.0, 3.0]) + 0.1 * RNG.standard_normal(60)
LABELS = (Y > 0).astype("int64")
GUESSES = np.where(np.arange(60) % 7 == 0, 1 - LABELS, LABELS)
CHANCES = 1 / (1 + np.exp(-Y))


def leaves(result: Any) -> list[Any]:
    if isinstance(result, (tuple, list)):
        return [leaf for part in result for leaf in leaves(part)]
    return [result]


def compare(name: str, call: Callable[[Make], Any], tolerance: float = 1e-9) -> None:
    """Calls with NumPy arrays and with tensors."""
    want, got = leaves(call(np.asarray)), leaves(call(tg.asarray))
    assert len(got) == len(want), name
    for g, w in zip(got, want, strict=True):
        if isinstance(w, np.ndarray) and w.ndim:
            assert isinstance(g, tg.Tensor), f"{name} gives {type(g)}"
        np.testing.assert_allclose(
            np.asarray(g), np.asarray(w), rtol=tolerance, atol=tolerance, err_msg=name
        )


# ---- array-api-extra, array-api-compat, einops ------------------------------------------------
def test_array_api_extra():
    import array_api_extra as xpx

    calls: dict[str, Callable[[Make], Any]] = {
        "at": lambda a: xpx.at(a(X), (slice(None), 1)).set(0.5, copy=True),
        "at add": lambda a: xpx.at(a(X), 3).add(2.0, copy=True),
        "cov": lambda a: xpx.cov(a(X)),
        "kron": lambda a: xpx.kron(a(X[:2]), a(X[:3])),
        "atleast_nd": lambda a: xpx.atleast_nd(a(X), ndim=3),
        "create_diagonal": lambda a: xpx.create_diagonal(a(Y)),
        "expand_dims": lambda a: xpx.expand_dims(a(X), axis=(0, -1)),
        "isclose": lambda a: xpx.isclose(a(X), a(X + 1e-9)),
        "nan_to_num": lambda a: xpx.nan_to_num(a(np.array([np.nan, 1.0, np.inf]))),
        "nunique": lambda a: xpx.nunique(a(LABELS)),
        "one_hot": lambda a: xpx.one_hot(a(LABELS), 2),
        "pad": lambda a: xpx.pad(a(X), 2, constant_values=1.5),
        "setdiff1d": lambda a: xpx.setdiff1d(a(np.arange(9)), a(np.arange(4, 6))),
        "sinc": lambda a: xpx.sinc(a(X)),
        "union1d": lambda a: xpx.union1d(a(np.arange(4)), a(np.arange(2, 6))),
        "partition": lambda a: xpx.partition(a(Y), 30)[30],
        "apply_where": lambda a: xpx.apply_where(a(X) > 0, a(X), lambda x: x**0.5, fill_value=-1.0),
    }
    for name, call in calls.items():
        compare(f"array_api_extra {name}", call, 1e-6)
    assert xpx.default_dtype(tg) == tg.float32


def test_array_api_compat_knows_tensors():
    compat = pytest.importorskip("array_api_compat")
    x = tg.asarray(X)
    assert compat.array_namespace(x, 1.5) is tg
    assert compat.is_array_api_obj(x)
    assert not compat.is_numpy_namespace(tg)
    assert compat.size(x) == X.size
    assert compat.device(compat.to_device(x, compat.device(x))) == "cpu"


def test_einops():
    from einops import array_api as einops

    images = RNG.standard_normal((2, 4, 6, 3))
    calls: dict[str, Callable[[Make], Any]] = {
        "rearrange": lambda a: einops.rearrange(a(images), "n (h a) w c -> n c (a w) h", a=2),
        "reduce": lambda a: einops.reduce(a(images), "n h (w b) c -> n w c", "max", b=3),
        "mean": lambda a: einops.reduce(a(images), "n h w c -> n c", "mean"),
        "repeat": lambda a: einops.repeat(a(images), "n h w c -> n h (w k) c", k=2),
        "pack": lambda a: einops.pack([a(images), a(images[:, 0])], "n * c")[0],
    }
    for name, call in calls.items():
        compare(f"einops {name}", call)
    np.testing.assert_array_equal(einops.asnumpy(tg.asarray(images)), images)


# ---- SciPy and scikit-learn -------------------------------------------------------------------
_SOFT = ("logsumexp", "softmax", "log_softmax")
_STATISTICS = ("skew", "kurtosis", "zscore", "gmean", "hmean", "moment", "variation", "sem", "iqr")


def of(function: Callable[..., Any], *arrays: np.ndarray) -> Callable[[Make], Any]:
    return lambda a: function(*map(a, arrays))


def _wave(x: Any) -> Any:
    return x**2 * x.__array_namespace__().sin(x) if isinstance(x, tg.Tensor) else x**2 * np.sin(x)


def scipy_calls() -> Iterator[tuple[str, Callable[[Make], Any]]]:
    import scipy.cluster.vq as vq
    import scipy.differentiate
    import scipy.fft
    import scipy.integrate
    import scipy.ndimage
    import scipy.signal
    import scipy.special
    import scipy.stats
    from scipy.spatial.transform import Rotation

    special, stats, signal = scipy.special, scipy.stats, scipy.signal
    for name in ("expit", "erf", "erfc", "gammaln", "i0", "ndtr", "log_ndtr", *_SOFT):
        yield f"special.{name}", of(getattr(special, name), X)
    yield "special.xlogy", lambda a: special.xlogy(a(POS), a(POS + 1))
    yield "special.rel_entr", lambda a: special.rel_entr(a(POS), a(POS + 1))
    yield "special.gammainc", lambda a: special.gammainc(a(POS), a(POS))
    for name in _STATISTICS:
        yield f"stats.{name}", of(getattr(stats, name), POS)
    yield "stats.ttest_ind", lambda a: stats.ttest_ind(a(X), a(X + 0.3)).pvalue
    yield "stats.ttest_rel", lambda a: stats.ttest_rel(a(X), a(POS)).statistic
    yield "stats.f_oneway", lambda a: stats.f_oneway(a(X), a(POS), a(X + 1)).pvalue
    yield "stats.bartlett", lambda a: stats.bartlett(a(Y), a(Y * 2)).pvalue
    yield "stats.chisquare", lambda a: stats.chisquare(a(POS)).statistic
    yield "stats.jarque_bera", lambda a: stats.jarque_bera(a(Y)).statistic
    yield "stats.normaltest", lambda a: stats.normaltest(a(X)).pvalue
    yield "stats.spearmanr", lambda a: stats.spearmanr(a(Y), a(X[:, 0])).statistic
    yield "stats.pearsonr", lambda a: stats.pearsonr(a(Y), a(X[:, 0])).statistic
    yield "stats.directional_stats", lambda a: stats.directional_stats(a(X)).mean_direction
    yield "stats.describe", lambda a: list(stats.describe(a(X)))[1:]
    yield "stats.quantile", lambda a: stats.quantile(a(X), 0.3)
    yield "stats.combine_pvalues", lambda a: stats.combine_pvalues(a(CHANCES)).pvalue
    yield "cluster.vq.whiten", lambda a: vq.whiten(a(X))
    yield "cluster.vq.vq", lambda a: list(vq.vq(a(X), a(X[:4])))
    yield "signal.detrend", lambda a: signal.detrend(a(X), axis=0)
    yield "signal.convolve", lambda a: signal.convolve(a(X), a(X[:3, :2]))
    yield "signal.lfilter", lambda a: signal.lfilter(a(Y[:2]), a(POS[0, :2]), a(X))
    yield "ndimage.gaussian_filter", lambda a: scipy.ndimage.gaussian_filter(a(X), 1.0)
    yield "signal.hilbert", lambda a: signal.hilbert(a(X), axis=0)
    yield "differentiate", lambda a: scipy.differentiate.derivative(_wave, a(Y)).df
    yield "integrate.tanhsinh", lambda a: scipy.integrate.tanhsinh(_wave, a(0 * Y), a(Y)).integral
    for name in ("fft", "ifft", "rfft", "fftn", "fftshift", "hfft"):
        yield f"fft.{name}", of(getattr(scipy.fft, name), X)
    quaternions = RNG.standard_normal((4, 4))
    yield "Rotation", lambda a: Rotation.from_quat(a(quaternions)).as_matrix()
    yield "integrate.trapezoid", lambda a: scipy.integrate.trapezoid(a(X))
    yield "integrate.cumulative", lambda a: scipy.integrate.cumulative_trapezoid(a(X))


def sklearn_calls() -> Iterator[tuple[str, Callable[[Make], Any]]]:
    from sklearn import linear_model, metrics, model_selection, naive_bayes, preprocessing
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.mixture import GaussianMixture

    for name in ("accuracy_score", "f1_score", "precision_score", "confusion_matrix"):
        yield name, of(getattr(metrics, name), LABELS, GUESSES)
    for name in ("mean_squared_error", "mean_absolute_error", "r2_score"):
        yield name, of(getattr(metrics, name), Y, Y + X[:, 0])
    for name in ("log_loss", "brier_score_loss", "average_precision_score"):
        yield name, of(getattr(metrics, name), LABELS, CHANCES)
    for name in ("cosine_similarity", "rbf_kernel", "euclidean_distances", "polynomial_kernel"):
        yield name, of(getattr(metrics.pairwise, name), X, POS)
    for name in ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "PolynomialFeatures"):
        yield name, of(getattr(preprocessing, name)().fit_transform, X)
    yield "LabelEncoder", lambda a: preprocessing.LabelEncoder().fit_transform(a(LABELS))
    yield (
        "train_test_split",
        lambda a: model_selection.train_test_split(a(X), a(Y), random_state=0),
    )
    yield "GaussianNB", lambda a: naive_bayes.GaussianNB().fit(a(X), a(LABELS)).predict_proba(a(X))
    yield "balanced_accuracy", of(metrics.balanced_accuracy_score, LABELS, GUESSES)
    for solver in ("full", "covariance_eigh"):
        pca = PCA(2, svd_solver=solver)
        yield (
            f"PCA {solver}",
            lambda a, pca=pca: pca.fit(a(X)).inverse_transform(pca.transform(a(X))),
        )
    ridge = linear_model.Ridge(solver="svd")
    yield "Ridge", lambda a: ridge.fit(a(X), a(Y)).coef_
    yield (
        "RidgeClassifier",
        lambda a: linear_model.RidgeClassifier(solver="svd").fit(a(X), a(LABELS)).predict(a(X)),
    )
    yield (
        "LogisticRegression",
        lambda a: linear_model.LogisticRegression(tol=1e-10).fit(a(X), a(LABELS)).coef_,
    )
    yield "LDA", lambda a: LinearDiscriminantAnalysis().fit(a(X), a(LABELS)).predict_proba(a(X))
    mixture = GaussianMixture(2, covariance_type="diag", random_state=0)
    mixture.set_params(init_params="random_from_data")
    yield "GaussianMixture", lambda a: mixture.fit(a(X)).means_
    yield "cross_val_score", lambda a: model_selection.cross_val_score(ridge, a(X), a(Y)).tolist()


def run_all() -> None:
    """What the test's own process does."""
    import sklearn

    sklearn.set_config(array_api_dispatch=True)
    failed = []
    count = 0
    for name, call in [*scipy_calls(), *sklearn_calls()]:
        count += 1
        try:
            with np.errstate(all="ignore"):
                compare(name, call, 1e-7)
        except Exception as error:  # all of them are told at once
            failed.append(f"{name}: {type(error).__name__}: {str(error)[:300]}")
    print(f"{count - len(failed)} of {count} functions agree", *failed, sep="\n")
    sys.exit(bool(failed))


def test_scipy_and_scikit_learn():
    environment = os.environ | {"SCIPY_ARRAY_API": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        run_all()
