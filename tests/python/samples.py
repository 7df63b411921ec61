"""Arguments for the table-driven tests: the makers that an operation's samples are written with.

A sample is the text of an argument list, such as ``f(3, 4), axis=1``. The makers give NumPy
arrays, the same ones whenever a sample is read with the same dtype and seed.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

import tegula as tg

Call = tuple[tuple[Any, ...], dict[str, Any]]


class Makers:
    """Random arrays; floating-point ones are of the dtype given, complex ones of its parts."""

    def __init__(self, dtype: str, seed: int) -> None:
        self.dtype = np.dtype(dtype)
        self.complex_dtype = np.result_type(self.dtype, np.complex64)
        self.rng = np.random.default_rng(seed)

    def f(self, *shape: int) -> np.ndarray:
        """Standard normal numbers."""
        return np.asarray(self.rng.standard_normal(shape), self.dtype)

    def c(self, *shape: int) -> np.ndarray:
        """Complex numbers with standard normal parts."""
        return np.asarray(self.f(*shape) + 1j * self.f(*shape), self.complex_dtype)

    def pos(self, *shape: int) -> np.ndarray:
        """Numbers in [0.5, 2)."""
        return np.asarray(self.rng.uniform(0.5, 2, shape), self.dtype)

    def unit(self, *shape: int) -> np.ndarray:
        """Numbers in (-0.9, 0.9)."""
        return np.asarray(self.rng.uniform(-0.9, 0.9, shape), self.dtype)

    def ints(self, low: int, high: int, *shape: int) -> np.ndarray:
        """int64 in [low, high)."""
        return np.asarray(self.rng.integers(low, high, shape))

    def mask(self, *shape: int) -> np.ndarray:
        """bool."""
        return np.asarray(self.rng.random(shape) < 0.5)

    def square(self, *shape: int) -> np.ndarray:
        """Square matrices (..., n, n) far from singular."""
        return self.f(*shape, shape[-1]) + np.asarray(3 * np.eye(shape[-1]), self.dtype)

    def spd(self, *shape: int) -> np.ndarray:
        """Symmetric positive definite matrices (..., n, n)."""
        x = self.f(*shape, shape[-1])
        return x @ np.swapaxes(x, -1, -2) + np.asarray(np.eye(shape[-1]), self.dtype)

    def hpd(self, *shape: int) -> np.ndarray:
        """Hermitian positive definite matrices (..., n, n)."""
        x = self.c(*shape, shape[-1])
        x = x @ np.conj(np.swapaxes(x, -1, -2)) + np.eye(shape[-1])
        return np.asarray((x + np.conj(np.swapaxes(x, -1, -2))) / 2, self.complex_dtype)

    def special(self) -> np.ndarray:
        """Ordinary numbers with NaN, infinities and both zeros among them."""
        values = [1.5, np.nan, -np.inf, 0.0, -0.0, np.inf, -2.5, np.nan, 3.0]
        return np.asarray(values, self.dtype)

    def read(self, text: str) -> Call:
        """The arguments that a sample's text stands for."""
        makers = ("f", "c", "pos", "unit", "ints", "mask", "square", "spd", "hpd", "special")
        names: dict[str, Any] = {name: getattr(self, name) for name in makers}
        names |= {"numpy": np, "_call": lambda *args, **kwargs: (args, kwargs)}
        args, kwargs = eval(f"_call({text})", names)
        # Arithmetic in a sample must not change the dtype asked for.
        return tree_map(self._as_asked, args), tree_map(self._as_asked, kwargs)

    def _as_asked(self, value: Any) -> Any:
        kind = value.dtype.kind if isinstance(value, (np.ndarray, np.generic)) else ""
        wanted = {"f": self.dtype, "c": self.complex_dtype}.get(kind)
        return value if wanted is None else np.asarray(value, wanted)


def read_sample(text: str, dtype: str = "float32") -> Call:
    """The arguments of one sample, made reproducibly from its text."""
    return Makers(dtype, zlib.crc32(text.encode())).read(text)


def operation(name: str) -> Any:
    """What users call by that name, such as ``exp`` or ``linalg.inv``."""
    module, _, short = name.rpartition(".")
    if module:
        return getattr(importlib.import_module(f"tegula.{module}"), short)
    return getattr(tg, name, None) or getattr(tg._core, name)


def sample_texts(op: Any) -> list[str]:
    return [text.strip() for text in op.samples.split(";;")]


def tree_map(function: Callable[[Any], Any], value: Any) -> Any:
    """`function` of every leaf of nested lists, tuples and dicts."""
    if isinstance(value, dict):
        return {key: tree_map(function, item) for key, item in value.items()}
    if hasattr(value, "_fields"):  # a named tuple
        return type(value)(*(tree_map(function, item) for item in value))
    if isinstance(value, (list, tuple)):
        return type(value)(tree_map(function, item) for item in value)
    return function(value)


def leaves(value: Any) -> list[Any]:
    """The leaves of nested lists, tuples and dicts, in order."""
    found: list[Any] = []
    tree_map(found.append, value)
    return found
