"""Derivatives compared with finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np

import tegula as tg


def slope(f: Any, x: np.ndarray, h: float = 1e-6) -> np.ndarray:
    """Central differences of a function of one float64 array."""
    result = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        for sign in (1, -1):
            moved = x.copy()
            moved[i] += sign * h
            result[i] += sign * f(tg.asarray(moved)).item() / (2 * h)
    return result


def check_gradient(f: Any, x: np.ndarray, atol: float = 1e-8) -> None:
    """The gradient, jitted inside, outside and not at all."""
    expected = slope(f, x)
    for g in (tg.grad(f), tg.jit(tg.grad(f)), tg.grad(tg.jit(f))):
        np.testing.assert_allclose(g(tg.asarray(x)).numpy(), expected, rtol=1e-6, atol=atol)
