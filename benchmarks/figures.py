"""Figures over rounds, and what is decided by them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_OF_LIMIT = 1.02  # a larger fraction of a limit means that a measurement is wrong


@dataclass(frozen=True)
class Figure:
    """A metric over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        return cls(statistics.median(values), min(values), max(values))

    @property
    def noise(self) -> float:
        """Half the range of the rounds, relative to the median."""
        return (self.high - self.low) / 2 / abs(self.median) if self.median else 0.0


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference of two arrays, relative to the largest value of ``theirs``.

    Infinite where shapes differ or one of them is not finite.
    """
    if ours.shape != theirs.shape:
        return float("inf")
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    scale = float(np.abs(b).max(initial=0.0))
    apart = float(np.abs(a - b).max(initial=0.0))
    return apart / scale if scale else apart


def slower(now: Figure, before: Figure, margin: float) -> bool:
    """Whether times grew by more than ``margin`` and more than the noise of both runs explains.

    The best rounds must have grown too: whatever else ran then only ever adds time.
    """
    grown = now.median / before.median - 1
    return grown > margin + now.noise + before.noise or (
        grown > margin and now.low > before.median * (1 + margin)
    )
