"""Random tensors. Philox (Salmon et al. 2011): the same numbers on every device and whatever the
number of threads; what a call draws depends on the order of calls alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tegula as tg
from tegula import _core
from tegula._core import Tensor, manual_seed

__all__ = [
    "Generator",
    "bernoulli",
    "get_state",
    "manual_seed",
    "normal",
    "permutation",
    "randint",
    "set_state",
    "uniform",
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

    def manual_seed(self, seed: int) -> Generator:
        """Starts anew; returns itself."""
        self.set_state((seed % 2**64, 0))
        return self
