"""``torch.masked``: reductions over the elements where a mask holds."""

from __future__ import annotations

import math
from typing import Any

import tegula as tg
from tegula import _core
from tegula.compat.torch._missing import absent
from tegula.compat.torch._registry import dims_of, functions, t
from tegula.compat.torch._tensor import Tensor

where = functions["where"]


def _mask(x: Tensor, mask: Any) -> Any:
    return t.ones_like(x, dtype=tg.bool) if mask is None else t.broadcast_to(mask, x.shape)


def _filled(x: Tensor, mask: Any, value: Any) -> Tensor:
    return x if mask is None else where(t.broadcast_to(mask, x.shape), x, value)


def _typed(x: Tensor, dtype: Any) -> Tensor:
    return x if dtype is None else x.to(dtype)


def _reduction(name: str, neutral: float) -> None:
    def apply(
        input: Tensor,
        dim: Any = None,
        *,
        keepdim: bool = False,
        dtype: Any = None,
        mask: Any = None,
    ) -> Tensor:
        x = _filled(_typed(input, dtype), mask, neutral)
        if name != "prod":
            return functions[name](x, dims_of(x, dim), keepdim)
        for axis in sorted(dims_of(x, dim), reverse=True):
            x = functions["prod"](x, axis, keepdim)
        return x

    apply.__name__ = name
    apply.__doc__ = f"torch.masked.{name}."
    globals()[name] = apply


for _name, _neutral in (
    ("sum", 0),
    ("prod", 1),
    ("amax", -math.inf),
    ("amin", math.inf),
    ("logsumexp", -math.inf),
):
    _reduction(_name, _neutral)


def _count(x: Tensor, dim: Any, keepdim: bool, mask: Any) -> Tensor:
    return functions["sum"](_mask(x, mask).to(x.dtype), dims_of(x, dim), keepdim)


def mean(
    input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """The mean of what the mask holds for."""
    x = _typed(input, dtype)
    total = functions["sum"](_filled(x, mask, 0), dims_of(x, dim), keepdim)
    return total / _count(x, dim, keepdim, mask)


def var(
    input: Tensor,
    dim: Any = None,
    unbiased: Any = None,
    *,
    correction: Any = None,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Any = None,
) -> Tensor:
    """The variance of what the mask holds for."""
    x = _typed(input, dtype)
    by = correction if correction is not None else int(unbiased is not False)
    centred = _filled(x - mean(x, dim, keepdim=True, mask=mask), mask, 0)
    total = functions["sum"](centred * centred, dims_of(x, dim), keepdim)
    return total / t.clamp(_count(x, dim, keepdim, mask) - by, 0)


def std(input: Tensor, dim: Any = None, unbiased: Any = None, **options: Any) -> Tensor:
    """The standard deviation of what the mask holds for."""
    return var(input, dim, unbiased, **options).sqrt()


def _along(name: str, neutral: float, renamed: str = "") -> None:
    def apply(input: Tensor, dim: int, *, dtype: Any = None, mask: Any = None) -> Tensor:
        x = _filled(_typed(input, dtype), mask, neutral)
        f = functions[renamed or name]
        return f(-x, dim) if name == "softmin" else f(x, dim)

    apply.__name__ = name
    apply.__doc__ = f"torch.masked.{name}."
    globals()[name] = apply


_along("softmax", -math.inf)
_along("log_softmax", -math.inf)
_along("softmin", math.inf, "softmax")
_along("cumsum", 0)
_along("cumprod", 1)


def _place(name: str, neutral: float) -> None:
    def apply(
        input: Tensor,
        dim: Any = None,
        *,
        keepdim: bool = False,
        dtype: Any = None,
        mask: Any = None,
    ) -> Tensor:
        x = _typed(input, dtype)
        return functions[name](_filled(x, mask, neutral), dim, keepdim).to(x.dtype)

    apply.__name__ = name
    apply.__doc__ = f"torch.masked.{name}."
    globals()[name] = apply


_place("argmax", -math.inf)
_place("argmin", math.inf)


def median(
    input: Tensor, dim: int = -1, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """The median of what the mask holds for."""
    found = functions["nanmedian"](_filled(_typed(input, dtype), mask, math.nan), dim, keepdim)
    return found.values  # type: ignore[no-any-return]


def norm(
    input: Tensor,
    ord: Any = 2,
    dim: Any = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Any = None,
) -> Tensor:
    """The norm of what the mask holds for."""
    x = _filled(_typed(input, dtype), mask, math.inf if ord == -math.inf else 0)
    return _core.linalg_vector_norm(x, axis=dims_of(x, dim), keepdims=keepdim, ord=ord)


def normalize(
    input: Tensor, ord: Any, dim: int, *, eps: float = 1e-12, dtype: Any = None, mask: Any = None
) -> Tensor:
    """Divided by the norm of what the mask holds for."""
    x = _typed(input, dtype)
    size = functions["clamp_min"](norm(x, ord, dim, keepdim=True, mask=mask), eps)
    return _filled(x, mask, 0) / size


def logaddexp(
    input: Tensor,
    other: Tensor,
    *,
    dtype: Any = None,
    input_mask: Any = None,
    other_mask: Any = None,
) -> Tensor:
    """log(exp(a) + exp(b)) of what the masks hold for."""
    a = _filled(_typed(input, dtype), input_mask, -math.inf)
    b = _filled(_typed(other, dtype), other_mask, -math.inf)
    return functions["logaddexp"](a, b)  # type: ignore[no-any-return]


def __getattr__(name: str) -> Any:
    raise absent("torch.masked", name)
