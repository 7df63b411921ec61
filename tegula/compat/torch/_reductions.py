"""Reductions and orders that PyTorch gives pairs of, several overloads, or other defaults."""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any

import tegula as tg
from tegula import _core
from tegula.compat.torch._elementwise import _where, is_inexact
from tegula.compat.torch._registry import axis_of, both, dims_of, function, functions, methods, t
from tegula.compat.torch._table import make
from tegula.compat.torch._tensor import Tensor

Pair: dict[str, Any] = {
    name: namedtuple(name, fields)
    for name, fields in {
        "max": "values indices",
        "min": "values indices",
        "sort": "values indices",
        "topk": "values indices",
        "median": "values indices",
        "nanmedian": "values indices",
        "mode": "values indices",
        "kthvalue": "values indices",
        "cummax": "values indices",
        "cummin": "values indices",
        "aminmax": "min max",
    }.items()
}


def _along(x: Tensor, dim: int, keepdim: bool, index: Tensor, name: str) -> Any:
    """(values, indices) of one index along an axis."""
    if x.ndim == 0:
        return Pair[name](x.clone(), index)
    place = index if keepdim else _core.expand_dims(index, axis=dim)
    values = _core.take_along_axis(x, place, axis=dim)
    return Pair[name](values if keepdim else _core.squeeze(values, axis=dim), index)


def _extreme(name: str, reduce: Any, arg: Any, elementwise: str) -> Any:
    def extreme(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        if not args and not kwargs:
            return reduce(input)
        other = kwargs.get("other", args[0] if args else None)
        if isinstance(other, _core.Tensor):
            return functions[elementwise](input, other)
        return pair(input, *args, **kwargs)

    def pair(input: Tensor, dim: int, keepdim: bool = False) -> Any:
        axis = axis_of(input.ndim, dim)
        index = arg(input, axis=axis if input.ndim else None, keepdims=keepdim and input.ndim > 0)
        return _along(input, axis, keepdim, index, name)

    extreme.__name__ = extreme.__qualname__ = name
    extreme.__doc__ = f"torch.{name}: of all, (values, indices) along ``dim``, or of two tensors."
    return both(extreme)


_extreme("max", _core.max, _core.argmax, "maximum")
_extreme("min", _core.min, _core.argmin, "minimum")


@both
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """The smallest and the largest."""
    return Pair["aminmax"](t.amin(input, dim, keepdim), t.amax(input, dim, keepdim))


@both
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """(values, indices) in order."""
    if input.ndim == 0:
        return Pair["sort"](input.clone(), t.zeros((), dtype=tg.int64))
    index = _core.argsort(input, axis=dim, descending=descending, stable=True)
    return Pair["sort"](_core.take_along_axis(input, index, axis=dim), index)


@both
def msort(input: Tensor) -> Tensor:
    """In order along the first axis."""
    return sort(input, 0).values


@both
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """(values, indices) of the k largest."""
    if input.ndim == 0:
        return Pair["topk"](input.clone(), t.zeros((), dtype=tg.int64))
    return Pair["topk"](*_core.topk(input, k, axis=dim, largest=largest))


@both
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """(value, index) of the k-th smallest."""
    if input.ndim == 0:
        return Pair["kthvalue"](input.clone(), t.zeros((), dtype=tg.int64))
    order = _core.argsort(input, axis=dim, stable=True)
    place = _core.take(order, _core.asarray([k - 1]), axis=dim)
    index = place if keepdim else _core.squeeze(place, axis=dim)
    return _along(input, axis_of(input.ndim, dim), keepdim, index, "kthvalue")


def _nan_where(pair: Any, nan: Tensor, keepdim: bool) -> Any:
    return pair


@both
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower median; (values, indices) along ``dim``."""
    if dim is None:
        flat = input.reshape(-1)
        return flat.sum() * math.nan if flat.numel() == 0 else median(flat, 0).values
    if input.ndim == 0:
        return Pair["median"](input.clone(), t.zeros((), dtype=tg.int64))
    values, index = kthvalue(input, (input.shape[dim] + 1) // 2, dim, keepdim)
    if is_inexact(input):
        bad = input.isnan()
        worst = t.argmax(bad.to(tg.int8), dim, keepdim)
        some = t.any(bad, dim, keepdim)
        index = _where(some, worst, index)
        return _along(input, axis_of(input.ndim, dim), keepdim, index, "median")
    return Pair["median"](values, index)


@both
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower median of what is no NaN."""
    if dim is None:
        return nanmedian(input.reshape(-1), 0).values
    if input.ndim == 0:
        return Pair["nanmedian"](input.clone(), t.zeros((), dtype=tg.int64))
    count = t.sum(input.isnan().logical_not(), dim, True)
    order = _core.argsort(input, axis=dim, stable=True)
    place = _core.take_along_axis(order, _core.maximum((count - 1) // 2, 0), axis=dim)
    index = place if keepdim else _core.squeeze(place, axis=dim)
    return _along(input, axis_of(input.ndim, dim), keepdim, index, "nanmedian")


@both
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """(values, indices) of the most frequent, the smallest of several."""
    if input.ndim == 0:
        return Pair["mode"](input.clone(), t.zeros((), dtype=tg.int64))
    values, order = sort(input, dim, stable=True)
    axis = axis_of(input.ndim, dim)
    same = values.unsqueeze(axis) == values.unsqueeze(axis + 1)
    place = t.argmax(same.sum(axis), axis, True)
    last = place + t.sum(values == values.gather(axis, place), axis, True) - 1
    index = order.gather(axis, last)
    index = index if keepdim else index.squeeze(axis)
    return _along(input, axis, keepdim, index, "mode")


def _cumulative(name: str, keep: Any) -> None:
    def extreme(input: Tensor, dim: int) -> Any:
        if input.ndim == 0:
            return Pair[name](input.clone(), t.zeros((), dtype=tg.int64))
        found = getattr(_core, name, None)
        if found is not None:
            result = found(input, axis=dim)
            if isinstance(result, tuple):
                return Pair[name](*result)
        size = input.shape[dim]
        if size == 0:
            return Pair[name](input.clone(), input.to(tg.int64))
        # By doubling: after step k each place knows the best of the 2^k before it.
        values = input.detach().movedim(dim, 0)
        index = t.arange(size).reshape(-1, *[1] * (values.ndim - 1)).expand(values.shape)
        step = 1
        while step < size:
            before, after = values[:-step], values[step:]
            better = t.logical_or(keep(before, after), before.isnan() & ~after.isnan())
            values = t.cat([values[:step], _where(better, before, after)])
            index = t.cat([index[:step], _where(better, index[:-step], index[step:])])
            step *= 2
        index = index.movedim(0, dim)
        return Pair[name](input.gather(dim, index), index)

    extreme.__name__ = extreme.__qualname__ = name
    extreme.__doc__ = f"torch.{name}: (values, indices) so far along an axis."
    both(extreme)


_cumulative("cummax", lambda before, after: before > after)
_cumulative("cummin", lambda before, after: before < after)


@both
def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean over axes."""
    x = input if dtype is None else input.to(dtype)
    if not is_inexact(x):
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point "
            f"or complex dtype. Got: {x.dtype.name}"
        )
    return _mean(x, dim, keepdim)


_mean = functions.pop("mean_")
methods.pop("mean_", None)


def _spread(name: str, operation: Any) -> Any:
    def spread(
        input: Tensor,
        dim: Any = None,
        unbiased: bool = True,
        keepdim: bool = False,
        *,
        correction: Any = None,
    ) -> Tensor:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        by = (1 if unbiased else 0) if correction is None else correction
        return operation(input, axis=dims_of(input, dim), correction=by, keepdims=keepdim)

    spread.__name__ = spread.__qualname__ = name
    spread.__doc__ = f"torch.{name} over axes; divides by n - correction, 1 unless given."
    return both(spread)


var = _spread("var", _core.var)
std = _spread("std", _core.std)


@function
def var_mean(input: Tensor, dim: Any = None, *args: Any, keepdim: bool = False, **k: Any) -> Any:
    """(variance, mean)."""
    axes = None if isinstance(dim, bool) else dim
    return var(input, dim, *args, keepdim=keepdim, **k), _mean(input, axes, keepdim)


@function
def std_mean(input: Tensor, dim: Any = None, *args: Any, keepdim: bool = False, **k: Any) -> Any:
    """(standard deviation, mean)."""
    axes = None if isinstance(dim, bool) else dim
    return std(input, dim, *args, keepdim=keepdim, **k), _mean(input, axes, keepdim)


@both
def norm(
    input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """The norm over axes."""
    x = input if dtype is None else input.to(dtype)
    if p in ("fro", None):
        p = 2
    if p == "nuc":
        axes = tuple(dim) if dim is not None else (0, 1)
        return _core.linalg_svdvals(x.movedim(axes, (-2, -1))).sum(-1)
    return _core.linalg_vector_norm(x, axis=dims_of(x, dim), keepdims=keepdim, ord=p)


@both
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of the difference."""
    return norm(input - other, p)


@both
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Slices along ``dim`` scaled down to a largest norm."""
    axes = tuple(i for i in range(input.ndim) if i != axis_of(input.ndim, dim))
    size = norm(input, p, axes, True)
    return input * _where(size > maxnorm, maxnorm / (size + 1e-7), t.ones_like(size))


softmaxes = {
    name: make(name, name, "input=x, dim=axis", "z", False) for name in ("softmax", "log_softmax")
}


def _softmax(name: str) -> None:
    operation = softmaxes[name]

    def apply(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
        return operation(input if dtype is None else input.to(dtype), dim)

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = f"torch.{name} along an axis."
    both(apply)


for _name in softmaxes:
    _softmax(_name)


@both
def quantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The q-th quantiles."""
    return _quantile(input, q, dim, keepdim, interpolation)


def _quantile(x: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str) -> Tensor:
    many = isinstance(q, _core.Tensor) and q.ndim == 1
    level = q.to(x.dtype) if isinstance(q, Tensor) else t.full((), float(q), dtype=x.dtype)
    rank = x.ndim
    flat = x.reshape(-1) if dim is None else x.movedim(dim, -1) if rank else x.reshape(1)
    ordered = sort(flat).values
    place = level * (ordered.shape[-1] - 1)
    rounding = {"lower": "floor", "higher": "ceil", "nearest": "round"}
    if interpolation in rounding:
        place = getattr(place, rounding[interpolation])()
    low, high = place.floor(), place.ceil()
    a, b = (_core.take(ordered, p.to(tg.int64).reshape(-1), axis=-1) for p in (low, high))
    weight = t.full_like(place, 0.5) if interpolation == "midpoint" else place - low
    result = a + (b - a) * weight.reshape(-1) if interpolation != "midpoint" else (a + b) / 2
    bad = flat.isnan().any(-1, True)
    result = _where(bad, math.nan, result).movedim(-1, 0)
    if keepdim and rank:
        axes = range(rank) if dim is None else (axis_of(rank, dim),)
        for axis in axes:
            result = result.unsqueeze(axis + 1)
    return result if many else result[0]


@both
def nanquantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The q-th quantiles of what is no NaN."""
    if bool(input.isnan().any()):
        from tegula.compat.torch._registry import need

        return need("nanquantile", "nanquantile")(input, q, axis=dim, keepdims=keepdim)
    return _quantile(input, q, dim, keepdim, interpolation)


def _nan_reduction(name: str, f: Any) -> None:
    if name not in functions:
        f.__name__ = f.__qualname__ = name
        f.__doc__ = f"torch.{name}: over what is no NaN."
        both(f)


def _nansum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    return t.sum(_where(input.isnan(), 0.0, input), dim, keepdim, dtype=dtype)


def _nanmean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    count = t.sum(input.isnan().logical_not(), dim, keepdim)
    return _nansum(input, dim, keepdim, dtype=dtype) / count


_nan_reduction("nansum", _nansum)
_nan_reduction("nanmean", _nanmean)


@function
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements in order, with the places and the counts if asked for."""
    if dim is not None:
        import numpy as np

        found = np.unique(input.detach().numpy(), return_inverse=True, return_counts=True, axis=dim)
        values, inverse, counts = (t.from_numpy(np.ascontiguousarray(f)) for f in found)
        inverse = inverse.reshape(-1)
    else:
        everything = _core.unique_all(input)
        values, inverse, counts = everything[0], everything[2], everything[3]
    result = [values]
    if return_inverse:
        result.append(inverse)
    if return_counts:
        result.append(counts)
    return tuple(result) if len(result) > 1 else values


methods["unique"] = unique


@both
def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: Any = None
) -> Any:
    """The elements without repetitions of the one before."""
    if dim is not None and input.ndim > 1:
        from tegula.compat.torch._registry import not_supported

        raise not_supported("unique_consecutive", "give a 1-d tensor, or no dim")
    flat = input.reshape(-1)
    if flat.numel() == 0:
        first = flat.to(tg.bool)
    else:
        first = t.cat([t.ones(1, dtype=tg.bool), flat[1:] != flat[:-1]])
    places = first.nonzero().reshape(-1)
    result = [flat[places]]
    if return_inverse:
        result.append((t.cumsum(first, 0) - 1).reshape(input.shape))
    if return_counts:
        ends = t.cat([places[1:], t.full((min(1, flat.numel()),), flat.numel())])
        result.append(ends - places)
    return tuple(result) if len(result) > 1 else result[0]
