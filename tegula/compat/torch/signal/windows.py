"""``torch.signal.windows``: windows for spectra (Harris 1978)."""

from __future__ import annotations

import math
from typing import Any

from tegula import _core
from tegula.compat.torch._creation import finish
from tegula.compat.torch._missing import absent
from tegula.compat.torch._registry import need, t
from tegula.compat.torch._tensor import Tensor


def _window(f: Any) -> Any:
    """A window of ``n`` points from a function of the points 0, 1, … in float64."""

    def apply(
        M: int,
        *args: Any,
        sym: bool = True,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        **settings: Any,
    ) -> Tensor:
        settings.pop("layout", None)
        dtype = dtype or _core._compat_default_dtype()
        if M <= 1:
            return finish(_core.ones((M,), dtype=dtype), None, requires_grad)
        count = M if sym else M + 1
        values = f(t.arange(count, dtype=_core.float64), count, *args, **settings)[:M]
        return finish(values.to(dtype), None, requires_grad)

    apply.__name__ = f.__name__.strip("_")
    apply.__doc__ = f"torch.signal.windows.{apply.__name__}."
    globals()[apply.__name__] = apply
    return apply


@_window
def general_cosine(k: Tensor, n: int, *, a: Any) -> Tensor:
    """A sum of cosines with alternating signs."""
    phase = 2 * math.pi / (n - 1) * k
    return sum((-1) ** i * weight * (phase * i).cos() for i, weight in enumerate(a))  # type: ignore[return-value]


def _sum_of_cosines(name: str, weights: Any) -> None:
    def window(k: Tensor, n: int, **settings: Any) -> Tensor:
        given = weights(**settings) if callable(weights) else weights
        phase = 2 * math.pi / (n - 1) * k
        return sum((-1) ** i * w * (phase * i).cos() for i, w in enumerate(given))  # type: ignore[return-value]

    window.__name__ = name
    _window(window)


_sum_of_cosines("general_hamming", lambda alpha=0.54: (alpha, 1 - alpha))
_sum_of_cosines("hamming", (0.54, 0.46))
_sum_of_cosines("hann", (0.5, 0.5))
_sum_of_cosines("blackman", (0.42, 0.5, 0.08))
_sum_of_cosines("nuttall", (0.3635819, 0.4891775, 0.1365995, 0.0106411))


@_window
def bartlett(k: Tensor, n: int) -> Tensor:
    """A triangle that ends in zeros."""
    return 1 - (2 * k / (n - 1) - 1).abs()


@_window
def cosine(k: Tensor, n: int) -> Tensor:
    """Half a sine."""
    return (math.pi / n * (k + 0.5)).sin()


@_window
def exponential(k: Tensor, n: int, *, center: Any = None, tau: float = 1.0) -> Tensor:
    """An exponential on both sides."""
    middle = (n - 1) / 2 if center is None else center
    return (-(k - middle).abs() / tau).exp()


@_window
def gaussian(k: Tensor, n: int, *, std: float = 1.0) -> Tensor:
    """A bell curve."""
    return (-(((k - (n - 1) / 2) / std) ** 2) / 2).exp()


@_window
def kaiser(k: Tensor, n: int, *, beta: float = 12.0) -> Tensor:
    """Kaiser's window, by the Bessel function I0."""
    bessel = need("i0", "signal.windows.kaiser")
    ratio = 2 * k / (n - 1) - 1
    inside = beta * (1 - ratio * ratio).clamp(0).sqrt()
    return bessel(inside) / bessel(t.full((), beta, dtype=_core.float64))


def __getattr__(name: str) -> Any:
    raise absent("torch.signal.windows", name)
