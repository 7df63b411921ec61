"""Random tensors. Philox (Salmon et al. 2011): the same numbers on every device and whatever the
number of threads; what a call draws depends on the order of calls alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tegula as tg
from tegula import _core
from tegula._core import Tensor, manual_seed
from tegula._core import random_beta as beta
from tegula._core import random_binomial as binomial
from tegula._core import random_categorical as categorical
from tegula._core import random_cauchy as cauchy
from tegula._core import random_chisquare as chisquare
from tegula._core import random_dirichlet as dirichlet
from tegula._core import random_exponential as exponential
from tegula._core import random_gamma as gamma
from tegula._core import random_geometric as geometric
from tegula._core import random_gumbel as gumbel
from tegula._core import random_laplace as laplace
from tegula._core import random_log_normal as log_normal
from tegula._core import random_logistic as logistic
from tegula._core import random_multinomial as multinomial
from tegula._core import random_negative_binomial as negative_binomial
from tegula._core import random_pareto as pareto
from tegula._core import random_poisson as poisson
from tegula._core import random_rayleigh as rayleigh
from tegula._core import random_student_t as student_t
from tegula._core import random_truncated_normal as truncated_normal
from tegula._core import random_weibull as weibull

__all__ = [
    "Generator",
    "bernoulli",
    "beta",
    "binomial",
    "categorical",
    "cauchy",
    "chisquare",
    "dirichlet",
    "exponential",
    "gamma",
    "geometric",
    "get_state",
    "gumbel",
    "laplace",
    "log_normal",
    "logistic",
    "manual_seed",
    "multinomial",
    "negative_binomial",
    "normal",
    "orthogonal",
    "pareto",
    "permutation",
    "poisson",
    "randint",
    "rayleigh",
    "set_state",
    "student_t",
    "truncated_normal",
    "uniform",
    "weibull",
]

Shape = int | Sequence[int]


def uniform(shape: Shape = (), low: Any = 0.0, high: Any = 1.0, dtype: Any = None) -> Tensor:
    """Numbers evenly distributed over [low, high).

    Args:
        shape: of the result.
        low: the lower end, a number or a tensor that broadcasts.
        high: the upper end, likewise.
        dtype: a floating dtype; float32 by default.
    """
    return _core.random_uniform(shape, low, high, dtype or tg.float32)


def normal(shape: Shape = (), mean: Any = 0.0, std: Any = 1.0, dtype: Any = None) -> Tensor:
    """Numbers of the normal distribution.

    Args:
        shape: of the result.
        mean: a number or a tensor that broadcasts.
        std: the standard deviation, likewise.
        dtype: a floating dtype; float32 by default.
    """
    return _core.random_normal(shape, mean, std, dtype or tg.float32)


def randint(low: int, high: int, shape: Shape = (), dtype: Any = None) -> Tensor:
    """Integers evenly distributed over [low, high).

    Raises:
        ValueError: low is not below high, or one does not fit the dtype (int64 by default).
    """
    return _core.randint(low, high, shape, dtype or tg.int64)


def permutation(x: Any) -> Tensor:
    """The integers 0 to x - 1 in random order, or a tensor's rows."""
    if isinstance(x, Tensor) and x.ndim:
        return tg.take(x, _core.permutation(x.shape[0]), axis=0)
    return _core.permutation(x)


def bernoulli(p: Any, shape: Shape | None = None) -> Tensor:
    """True with probability p, as bool; of p's shape unless one is given."""
    return _core.bernoulli(p, shape)


def orthogonal(n: int, shape: Shape = (), dtype: Any = None) -> Tensor:
    """Orthogonal matrices of shape (…, n, n), evenly distributed (F. Mezzadri, 2007).

    Needs LAPACK, as ``tg.linalg.qr`` does.

    Args:
        n: the number of rows and columns.
        shape: of the stack of matrices.
        dtype: a floating dtype; float32 by default.
    """
    batch = (shape,) if isinstance(shape, int) else tuple(shape)
    q, r = tg.linalg.qr(normal((*batch, n, n), dtype=dtype))
    return q * tg.expand_dims(tg.where(tg.linalg.diagonal(r) < 0, -1, 1), axis=-2)


def _drawing(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function as a method of ``Generator``."""

    def method(self: Generator, *args: Any, **kwargs: Any) -> Tensor:
        with self:
            return function(*args, **kwargs)

    method.__name__ = function.__name__.removeprefix("random_")
    method.__doc__ = f"As ``tg.random.{method.__name__}``."
    return method


def get_state() -> tuple[int, int]:
    """(key, counter) of the default generator, for ``set_state``."""
    return _core._generator_state()


def set_state(state: Sequence[int]) -> None:
    """Goes on from a state of ``get_state``."""
    key, counter = state
    _core._set_generator_state(int(key), int(counter))


class Generator(_core._Generator):
    """A random generator of its own, with the functions of this module as methods.

    Args:
        seed: an int; the same seed gives the same numbers.
    """

    def uniform(self, *args: Any, **kwargs: Any) -> Tensor:
        """As ``tg.random.uniform``."""
        with self:
            return uniform(*args, **kwargs)

    def normal(self, *args: Any, **kwargs: Any) -> Tensor:
        """As ``tg.random.normal``."""
        with self:
            return normal(*args, **kwargs)

    def randint(self, *args: Any, **kwargs: Any) -> Tensor:
        """As ``tg.random.randint``."""
        with self:
            return randint(*args, **kwargs)

    def permutation(self, x: Any) -> Tensor:
        """As ``tg.random.permutation``."""
        with self:
            return permutation(x)

    def bernoulli(self, *args: Any, **kwargs: Any) -> Tensor:
        """As ``tg.random.bernoulli``."""
        with self:
            return bernoulli(*args, **kwargs)

    beta = _drawing(beta)
    binomial = _drawing(binomial)
    categorical = _drawing(categorical)
    cauchy = _drawing(cauchy)
    chisquare = _drawing(chisquare)
    dirichlet = _drawing(dirichlet)
    exponential = _drawing(exponential)
    gamma = _drawing(gamma)
    geometric = _drawing(geometric)
    gumbel = _drawing(gumbel)
    laplace = _drawing(laplace)
    log_normal = _drawing(log_normal)
    logistic = _drawing(logistic)
    multinomial = _drawing(multinomial)
    negative_binomial = _drawing(negative_binomial)
    orthogonal = _drawing(orthogonal)
    pareto = _drawing(pareto)
    poisson = _drawing(poisson)
    rayleigh = _drawing(rayleigh)
    student_t = _drawing(student_t)
    truncated_normal = _drawing(truncated_normal)
    weibull = _drawing(weibull)

    def manual_seed(self, seed: int) -> Generator:
        """Starts anew; returns itself."""
        self.set_state((seed % 2**64, 0))
        return self
