"""Gathering and scattering."""

from __future__ import annotations

import builtins
from collections import namedtuple
from typing import Any

import tegula as tg
from tegula import _core
from tegula.compat.torch._elementwise import _where
from tegula.compat.torch._registry import (
    axis_of,
    both,
    everywhere,
    function,
    functions,
    t,
    write,
)
from tegula.compat.torch._tensor import Tensor


def _at(x: Tensor, dim: int, index: Any) -> tuple[Any, ...]:
    return (slice(None),) * axis_of(x.ndim, dim) + (index,)


@both
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """input[i][index[i][j]][k] along the axis; the index may be smaller elsewhere."""
    if index.numel() == 0:
        return t.zeros(*index.shape, dtype=input.dtype)
    if input.ndim == 0 or index.ndim == 0:
        taken = _core.take(input.reshape(-1), index.reshape(-1), axis=0)
        return taken.reshape(index.shape)
    axis = axis_of(input.ndim, dim)
    cut = tuple(slice(None) if i == axis else slice(0, s) for i, s in enumerate(index.shape))
    same = all(
        i == axis or a == b for i, (a, b) in enumerate(zip(input.shape, index.shape, strict=False))
    )
    return _core.take_along_axis(input if same else input[cut], index, axis=axis)


@both
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """As ``gather``; the index broadcasts."""
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1))
    axis = axis_of(input.ndim, dim)
    rest = tg.broadcast_shapes(
        *[tuple(1 if i == axis else s for i, s in enumerate(x.shape)) for x in (input, indices)]
    )
    a, b = (
        t.broadcast_to(x, tuple(x.shape[axis] if i == axis else s for i, s in enumerate(rest)))
        for x in (input, indices)
    )
    return _core.take_along_axis(a, b, axis=axis)


@both
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The elements of an axis at the places."""
    x = input.reshape(1) if input.ndim == 0 else input
    taken = _core.take(x, index.reshape(-1), axis=axis_of(x.ndim, dim))
    return taken.reshape(()) if input.ndim == 0 else taken


@both
def take(input: Tensor, index: Tensor) -> Tensor:
    """Of the elements in row-major order, those at the places."""
    return _core.take(input.reshape(-1), index.reshape(-1), axis=0).reshape(index.shape)


@both
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask holds, in order."""
    shape = tg.broadcast_shapes(input.shape, mask.shape)
    return t.broadcast_to(input, shape)[t.broadcast_to(mask, shape)]


@everywhere
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``value`` where the mask holds."""
    if isinstance(value, _core.Tensor) and value.ndim:
        raise RuntimeError("masked_fill only supports a 0-dimensional value tensor")
    shape = tg.broadcast_shapes(input.shape, mask.shape)
    filled = _where(
        mask, _core.astype(value, input.dtype) if isinstance(value, _core.Tensor) else value, input
    )
    return t.broadcast_to(filled if filled.dtype == input.dtype else filled.to(input.dtype), shape)


@everywhere
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """Elements of ``source`` in order where the mask holds."""
    shape = tg.broadcast_shapes(input.shape, mask.shape)
    full, where = t.broadcast_to(input, shape), t.broadcast_to(mask, shape).reshape(-1)
    place = t.cumsum(where.to(tg.int64), 0) - 1
    chosen = _core.take(source.reshape(-1), _core.maximum(place, 0), axis=0)
    return _where(where, chosen, full.reshape(-1)).reshape(shape)


def _flat_places(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """Where the elements that an index of ``scatter`` names are in row-major order."""
    place = t.zeros((1,) * x.ndim, dtype=tg.int64)
    step = 1
    axis = axis_of(x.ndim, dim)
    for i in reversed(builtins.range(x.ndim)):
        shape = [1] * x.ndim
        shape[i] = index.shape[i]
        along = index if i == axis else t.arange(index.shape[i]).reshape(shape)
        place = place + along * step
        step *= x.shape[i]
    return t.broadcast_to(place, index.shape).reshape(-1)


@everywhere
def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
) -> Tensor:
    """``src`` written at the places along the axis, or combined by "add" or "multiply"."""
    if src is None:
        src = value
    if reduce is not None:
        values = (
            src if isinstance(src, _core.Tensor) else t.full(index.shape, src, dtype=input.dtype)
        )
        kind = {"add": "sum", "multiply": "prod"}.get(reduce, reduce)
        return scatter_reduce(input, dim, index, values, kind)
    if input.ndim == 0:
        new = src if isinstance(src, _core.Tensor) else t.full((), src, dtype=input.dtype)
        return new.reshape(()) + input * 0 if index.numel() else input.clone()
    values = (
        src[tuple(slice(0, s) for s in index.shape)]
        if isinstance(src, _core.Tensor) and src.ndim
        else t.full(index.shape, src, dtype=input.dtype)
    )
    flat = input.reshape(-1)
    places = _flat_places(input, dim, index)
    result = _core.put_along_axis(flat, places, values.reshape(-1), axis=0)
    return result.reshape(input.shape)


@everywhere
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """``src`` added at the places along the axis."""
    return scatter_reduce(input, dim, index, src, "sum")


@everywhere
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """``src`` combined at the places along the axis."""
    x, at = (input, index) if input.ndim else (input.reshape(1), index.reshape(-1))
    values = src.reshape(-1) if input.ndim == 0 else src[tuple(slice(0, s) for s in index.shape)]
    places = _flat_places(x, dim, at)
    result = _core.scatter_reduce(
        x.reshape(-1), places, values.reshape(-1), reduce, 0, include_self=include_self
    )
    return result.reshape(input.shape)


@everywhere
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """``alpha * source`` added to the slices at the places."""
    x = input.reshape(1) if input.ndim == 0 else input
    values = source.reshape(1) if source.ndim == 0 else source
    values = values if alpha == 1 else values * alpha
    result = _core.index_add(x, index.reshape(-1), values, axis=axis_of(x.ndim, dim))
    return result.reshape(input.shape)


def _spread_index(x: Tensor, dim: int, index: Tensor, shape: Any) -> Tensor:
    axis = axis_of(x.ndim, dim)
    wide = index.reshape([-1 if i == axis else 1 for i in builtins.range(x.ndim)])
    return t.broadcast_to(wide, tuple(shape))


@everywhere
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """``source`` written to the slices at the places."""
    x = input.reshape(1) if input.ndim == 0 else input
    values = source.reshape(1) if source.ndim == 0 else source
    return scatter(x, dim, _spread_index(x, dim, index, values.shape), values).reshape(input.shape)


@everywhere
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """One value written to the slices at the places."""
    x = input.reshape(1) if input.ndim == 0 else input
    places = index.reshape(-1)
    shape = [places.shape[0] if i == axis_of(x.ndim, dim) else s for i, s in enumerate(x.shape)]
    number = (
        _core.astype(value, x.dtype)
        if isinstance(value, _core.Tensor)
        else t.full((), value, dtype=x.dtype)
    )
    return index_copy(x, dim, places, t.broadcast_to(number, shape)).reshape(input.shape)


@everywhere
def index_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """``source`` combined with the slices at the places."""
    x = input.reshape(1) if input.ndim == 0 else input
    values = source.reshape(1) if source.ndim == 0 else source
    wide = _spread_index(x, dim, index, values.shape)
    return scatter_reduce(x, dim, wide, values, reduce, include_self=include_self).reshape(
        input.shape
    )


@everywhere
def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """``values`` written (or added) where several indices point."""
    if not accumulate:
        result = input.clone()
        result[tuple(indices)] = values
        return result
    numbers = t.arange(input.numel()).reshape(input.shape)
    places = numbers[tuple(indices)]
    added = t.broadcast_to(values, places.shape).reshape(-1)
    flat = _core.index_add(input.reshape(-1), places.reshape(-1), added, axis=0)
    return flat.reshape(input.shape)


@everywhere
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """Written (or added) at places in row-major order."""
    flat, places = input.reshape(-1), index.reshape(-1)
    combine = _core.index_add if accumulate else _core.put_along_axis
    return combine(flat, places, source.reshape(-1), axis=0).reshape(input.shape)


def _scattered(name: str, chosen: Any) -> None:
    def apply(input: Tensor, src: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        result = input.clone()
        part = chosen(result, *args, **kwargs)
        write(part, t.broadcast_to(src, part.shape), name)
        return result

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = f"torch.{name}: a copy with ``src`` written there."
    both(apply)


_scattered("select_scatter", lambda x, dim, index: functions["select"](x, dim, index))
_scattered("diagonal_scatter", lambda x, *a, **k: functions["diagonal"](x, *a, **k))
_scattered(
    "slice_scatter",
    lambda x, dim=0, start=None, end=None, step=1: x[_at(x, dim, slice(start, end, step))],
)


@both
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The places of what is not 0, one a row; or a tensor for each axis."""
    if input.ndim == 0:
        count = int(bool(input))
        places = (t.zeros(count, dtype=tg.int64),)
        return places if as_tuple else t.zeros(count, 0, dtype=tg.int64)
    places = _core.nonzero(input)
    if as_tuple:
        return tuple(places)
    return t.stack(list(places), 1)


@both
def argwhere(input: Tensor) -> Tensor:
    """As ``nonzero``."""
    return nonzero(input)


@function
def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Tensor:
    """Where elements belong in an ordered sequence."""
    which = side or ("right" if right else "left")
    x = input if isinstance(input, _core.Tensor) else t.tensor(input)
    if sorted_sequence.ndim == 1:
        found = _core.searchsorted(sorted_sequence, x, side=which, sorter=sorter)
    else:
        ordered = sorted_sequence if sorter is None else gather(sorted_sequence, -1, sorter)
        a, b = t.unsqueeze(ordered, -2), t.unsqueeze(x, -1)
        found = t.sum(a < b if which == "left" else a <= b, -1)
    return found.to(tg.int32) if out_int32 else found


@function
def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """The bucket of each element."""
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


@function
def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Whether each element is among the others."""
    wrapped = [x if isinstance(x, _core.Tensor) else t.tensor(x) for x in (elements, test_elements)]
    return _core.isin(*wrapped, invert=invert)


@both
def histogram(
    input: Tensor, bins: Any = 100, *, range: Any = None, weight: Any = None, density: bool = False
) -> Any:
    """(counts or sums of weights, edges) of bins."""
    x = input.reshape(-1)
    if isinstance(bins, _core.Tensor):
        edges = bins
    else:
        low, high = range if range is not None else (float(x.min()), float(x.max()))
        if low == high:
            low, high = low - 0.5, high + 0.5
        edges = t.linspace(low, high, bins + 1, dtype=x.dtype)
    count = edges.shape[0] - 1
    place = searchsorted(edges.contiguous(), x, right=True) - 1
    place = _where(x == edges[-1], count - 1, place)
    inside = (x >= edges[0]) & (x <= edges[-1])
    share = t.ones_like(x) if weight is None else weight.reshape(-1)
    sums = _core.index_add(
        t.zeros(count, dtype=x.dtype), _where(inside, place, 0), _where(inside, share, 0.0), axis=0
    )
    if density:
        sums = sums / sums.sum() / (edges[1:] - edges[:-1])
    return Histogram(sums, edges)


Histogram = namedtuple("Histogram", "hist bin_edges")


@both
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """Counts of equal bins, as floats."""
    low, high = (min, max) if min != max else (float(input.min()), float(input.max()))
    if low == high:
        low, high = low - 1, high + 1
    return _core.histogram(input.reshape(-1), bins, range=(low, high))[0].to(input.dtype)
