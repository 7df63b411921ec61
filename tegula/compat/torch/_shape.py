"""Shapes: views, joins and splits."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

import tegula as tg
from tegula import _core
from tegula.compat.torch._elementwise import _where
from tegula.compat.torch._registry import (
    axis_of,
    both,
    everywhere,
    function,
    functions,
    method,
    methods,
    not_supported,
    t,
)
from tegula.compat.torch._table import make
from tegula.compat.torch._tensor import Size, Tensor


def _sizes(sizes: Any) -> tuple[Any, ...]:
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes


_view = make("view", "reshape", "input=x, shape=shape", "vg", True)
methods["view"] = _view


@both
def view_as(input: Tensor, other: Tensor) -> Tensor:
    """In the shape of another."""
    return input.reshape(other.shape)


@both
def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """In the shape of another."""
    return input.reshape(other.shape)


@method
def expand(self: Tensor, *sizes: Any, size: Any = None, implicit: bool = False) -> Tensor:
    """Broadcast to a shape; -1 keeps a size."""
    wanted = tuple(size) if size is not None else _sizes(sizes)
    front = len(wanted) - self.ndim
    shape = tuple(self.shape[i - front] if s == -1 else int(s) for i, s in enumerate(wanted))
    return t.broadcast_to(self, shape)


@method
def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """Broadcast to the shape of another."""
    return t.broadcast_to(self, other.shape)


_squeeze = make("squeeze", "squeeze", "input=x, dim=axis", "v", False)


@everywhere
def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without axes of size 1; of those named, the ones that have it."""
    if dim is None:
        dims = [i for i, s in enumerate(input.shape) if s == 1]
    else:
        named = dim if isinstance(dim, (tuple, list)) else (dim,)
        dims = [axis_of(input.ndim, d) for d in named]
        dims = [d for d in dims if input.ndim and input.shape[d] == 1]
    return _squeeze(input, tuple(dims))


@both
def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """One axis as several."""
    axis = axis_of(input.ndim, dim)
    return input.reshape((*input.shape[:axis], *sizes, *input.shape[axis + 1 :]))


def _transpose(input: Tensor) -> Tensor:
    """The transpose of a matrix."""
    return input if input.ndim < 2 else t.transpose(input, 0, 1)


_transpose.__name__ = "t"
everywhere(_transpose)


@both
def adjoint(input: Tensor) -> Tensor:
    """The conjugate transpose."""
    return t.transpose(input, -2, -1).conj()


@both
def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """``length`` elements along an axis."""
    first = int(start)
    axis = axis_of(input.ndim, dim)
    first = first + input.shape[axis] if first < 0 else first
    if first + length > input.shape[axis]:
        raise RuntimeError(
            f"start ({first}) + length ({length}) exceeds dimension size ({input.shape[axis]})."
        )
    return input[(slice(None),) * axis + (slice(first, first + length),)]


@both
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """One element along an axis."""
    return input[(slice(None),) * axis_of(input.ndim, dim) + (int(index),)]


functions["narrow_copy"] = methods["narrow_copy"] = lambda x, dim, start, length: narrow(
    x, dim, start, length
).clone()
functions["select_copy"] = lambda x, dim, index: select(x, dim, index).clone()

_split = functions.pop("split_sizes_")


@both
def split(input: Tensor, split_size_or_sections: Any, dim: int = 0) -> Any:
    """Parts of a size (the last may be smaller), or of the sizes given."""
    size = input.shape[dim]
    sections = split_size_or_sections
    if isinstance(sections, int):
        if sections == 0 and size == 0:
            return (input,)
        count = builtins.max(1, -(-size // sections))
        sections = [sections] * (count - 1) + [size - sections * (count - 1)]
    return _split(input, tuple(sections), dim)


functions["split_with_sizes"] = methods["split_with_sizes"] = split
functions["unsafe_split"] = methods["unsafe_split"] = split


@both
def chunk(input: Tensor, chunks: int, dim: int = 0) -> Any:
    """At most so many parts of equal size."""
    size = input.shape[dim]
    return split(input, builtins.max(1, -(-size // chunks)), dim)


functions["unsafe_chunk"] = methods["unsafe_chunk"] = chunk


@both
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> Any:
    """So many parts, as equal as can be, or cut at the places."""
    size, at = input.shape[dim], indices_or_sections
    if isinstance(at, _core.Tensor):
        at = at.tolist()
    if isinstance(at, int):
        small, more = divmod(size, at)
        ends = list(np.cumsum([small + 1] * more + [small] * (at - more)))
    else:
        ends = [*at, size]
    start, parts = 0, []
    for i, end in enumerate(ends):
        stop = slice(start if i else None, None if i == len(ends) - 1 else end)
        parts.append(input[(slice(None),) * axis_of(input.ndim, dim) + (stop,)])
        start = end
    return tuple(parts)


def _named_split(name: str, axis: int) -> None:
    def apply(input: Tensor, indices_or_sections: Any) -> Any:
        return tensor_split(input, indices_or_sections, 0 if input.ndim == 1 else axis)

    apply.__name__ = name
    apply.__doc__ = f"As torch.{name}."
    both(apply)


for _name, _axis in (("hsplit", 1), ("vsplit", 0), ("dsplit", 2)):
    _named_split(_name, _axis)


def atleast(rank: int) -> Any:
    """``atleast_1d`` and so on."""

    def apply(*tensors: Any) -> Any:
        if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
            tensors = tuple(tensors[0])
        results = tuple(_raised(x, rank) for x in tensors)
        return results[0] if len(results) == 1 else results

    apply.__name__ = f"atleast_{rank}d"
    apply.__doc__ = f"With at least {rank} axes."
    return function(apply)


def _raised(x: Tensor, rank: int) -> Tensor:
    if x.ndim >= rank:
        return x
    if x.ndim == 0:
        return x.reshape((1,) * rank)
    if rank == 3:
        return x.reshape(1, -1, 1) if x.ndim == 1 else x.unsqueeze(-1)
    return x.unsqueeze(0)


atleast_1d, atleast_2d, atleast_3d = (atleast(r) for r in (1, 2, 3))


def _stacker(name: str, rank: int, axis: int) -> None:
    def apply(tensors: Any) -> Tensor:
        raised = [_raised(x, rank) for x in tensors]
        return t.cat(raised, 0 if name == "hstack" and raised[0].ndim == 1 else axis)

    apply.__name__ = name
    apply.__doc__ = f"As torch.{name}."
    function(apply)


_stacker("hstack", 1, 1)
_stacker("vstack", 2, 0)
_stacker("row_stack", 2, 0)
_stacker("dstack", 3, 2)


@function
def column_stack(tensors: Any) -> Tensor:
    """Columns side by side."""
    return t.cat([x.reshape(-1, 1) if x.ndim <= 1 else x for x in tensors], 1)


@function
def meshgrid(*tensors: Any, indexing: str = "ij") -> Any:
    """Coordinates of a grid."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    return tuple(_core.meshgrid(*tensors, indexing=indexing))


@function
def broadcast_tensors(*tensors: Any) -> Any:
    """All in their common shape."""
    given = tuple(tensors[0]) if isinstance(tensors[0], (tuple, list)) else tensors
    shape = tg.broadcast_shapes(*[x.shape for x in given])
    return tuple(t.broadcast_to(x, shape) for x in given)


@function
def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that they broadcast to."""
    return Size(tg.broadcast_shapes(*[(s,) if isinstance(s, int) else tuple(s) for s in shapes]))


@function
def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of elements, one a row."""
    if len(tensors) == 1:
        return tensors[0]
    return t.stack([g.reshape(-1) for g in meshgrid(*tensors)], 1)


@function
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All combinations of r elements, one a row."""
    import itertools

    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(choose(range(input.shape[0]), r))
    if not rows:
        return t.zeros(0, r, dtype=input.dtype)
    return _core.take(input, _core.asarray(np.array(rows).reshape(-1)), axis=0).reshape(-1, r)


@method
def repeat(self: Tensor, *repeats: Any) -> Tensor:
    """Copies side by side; as many counts as axes or more."""
    return _core.tile(self, tuple(int(r) for r in _sizes(repeats)))


_repeat_each = functions.pop("repeat_interleave_")


@both
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: Any = None
) -> Tensor:
    """Each element several times."""
    if repeats is None:
        input, repeats = t.arange(input.shape[0]), input
    if isinstance(repeats, _core.Tensor):
        counts = repeats.tolist()
        repeats = [counts] if isinstance(counts, int) else counts
        repeats = repeats[0] if len(repeats) == 1 else tuple(repeats)
    x = input.reshape(-1) if dim is None else input
    axis = dim or 0
    if isinstance(repeats, tuple):
        index = np.repeat(np.arange(x.shape[axis]), repeats)
        return _core.take(x, _core.asarray(index), axis=axis)
    return _repeat_each(x, repeats, axis)


@both
def fliplr(input: Tensor) -> Tensor:
    """Left and right exchanged."""
    return t.flip(input, (1,))


@both
def flipud(input: Tensor) -> Tensor:
    """Up and down exchanged."""
    return t.flip(input, (0,))


@both
def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """Turned by 90 degrees k times in the plane of two axes."""
    a, b = dims
    turns = k % 4
    if turns == 0:
        return input.clone()
    if turns == 2:
        return t.flip(input, (a, b))
    return t.flip(t.transpose(input, a, b), (a if turns == 1 else b,))


_diagonal = functions.pop("diagonal_")


@both
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two axes, as the last axis."""
    if (axis_of(input.ndim, dim1), axis_of(input.ndim, dim2)) != (input.ndim - 2, input.ndim - 1):
        input = input.movedim((dim1, dim2), (-2, -1))
    return _diagonal(input, offset)


functions["diagonal_copy"] = lambda *a, **k: diagonal(*a, **k).clone()


@both
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The last axis as a diagonal of two axes."""
    size = input.shape[-1] + abs(offset)
    rows, columns = t.arange(size).unsqueeze(1), t.arange(size)
    first, last = builtins.max(0, -offset), builtins.max(0, offset)
    wide = _core.pad(
        input,
        (0,) * (input.ndim - 1) + (last,),
        (0,) * (input.ndim - 1) + (first,),
    )
    full = _where(columns - rows == offset, wide.unsqueeze(-2), 0)
    return full.movedim((-2, -1), (dim1, dim2))


@both
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A vector as a diagonal, or the diagonal of a matrix."""
    return diag_embed(input, diagonal) if input.ndim == 1 else _diagonal(input, diagonal)


@both
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The elements as a diagonal."""
    return diag_embed(input.reshape(-1), offset)


@function
def block_diag(*tensors: Tensor) -> Tensor:
    """Matrices along the diagonal."""
    matrices = [_raised(x, 2) for x in tensors]
    width = sum(m.shape[1] for m in matrices)
    rows, at = [], 0
    for m in matrices:
        rows.append(_core.pad(m, (0, at), (0, width - at - m.shape[1])))
        at += m.shape[1]
    return t.cat(rows, 0)


@method
def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows along an axis, on a last axis."""
    axis = axis_of(self.ndim, dimension)
    if self.ndim == 0:
        return self.reshape(1)[:size]
    starts = np.arange(0, self.shape[axis] - size + 1, step)
    index = starts[:, None] + np.arange(size)
    taken = _core.take(self, _core.asarray(index.reshape(-1)), axis=axis)
    shape = (*self.shape[:axis], len(starts), size, *self.shape[axis + 1 :])
    return taken.reshape(shape).movedim(axis + 1, -1)


functions["unfold_copy"] = unfold


@both
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy, through which gradients flow."""
    return _core._as_compat(_core._alias(input))


@method
def contiguous(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor: how it lies in memory is Tegula's own business."""
    return self


@both
def is_contiguous(input: Tensor, memory_format: Any = None) -> bool:
    """Always True: what users see is in row-major order."""
    return True


@method
def stride(self: Tensor, dim: int | None = None) -> Any:
    """The strides of a contiguous tensor of this shape."""
    strides, step = [], 1
    for size in reversed(self.shape):
        strides.append(step)
        step *= builtins.max(size, 1)
    found = tuple(reversed(strides))
    return found if dim is None else found[dim]


@method
def storage_offset(self: Tensor) -> int:
    """0: strides and offsets are Tegula's own business."""
    return 0


@both
def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: Any = 0) -> Tensor:
    """Elements of the contiguous values by strides, copied."""
    index = np.full((1,) * len(size), storage_offset or 0)
    for axis, (n, step) in enumerate(zip(size, stride, strict=True)):
        shape = [1] * len(size)
        shape[axis] = n
        index = index + (np.arange(n) * step).reshape(shape)
    flat = _core.take(input.reshape(-1), _core.asarray(index.reshape(-1).astype(np.int64)), axis=0)
    return flat.reshape(tuple(size))


@everywhere
def resolve_neg(input: Tensor) -> Tensor:
    """The tensor."""
    return input


@both
def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.shape.numel()


methods["nelement"] = numel
functions["permute_copy"] = lambda x, dims: x.permute(dims).clone()
functions["transpose_copy"] = lambda x, a, b: x.transpose(a, b).clone()
functions["unsqueeze_copy"] = lambda x, dim: x.unsqueeze(dim).clone()
functions["squeeze_copy"] = lambda x, *a: squeeze(x, *a).clone()
functions["expand_copy"] = lambda x, size: expand(x, size).clone()
functions["view_copy"] = lambda x, size: x.reshape(size).clone()
functions["t_copy"] = lambda x: functions["t"](x).clone()
functions["alias_copy"] = functions["detach_copy"] = clone
functions["unbind_copy"] = lambda x, dim=0: tuple(p.clone() for p in t.unbind(x, dim))
functions["split_copy"] = lambda *a, **k: tuple(p.clone() for p in split(*a, **k))
functions["split_with_sizes_copy"] = functions["split_copy"]
functions["as_strided_copy"] = as_strided


_concat = functions["cat"]


@function
def cat(tensors: Any, dim: int = 0) -> Tensor:
    """Tensors one after the other along an axis; empty ones of one axis do not count."""
    try:
        return _concat(tensors, dim)
    except (IndexError, ValueError):
        kept = [x for x in tensors if x.ndim != 1 or x.shape[0]]
        if not kept or len(kept) == len(tensors):
            raise
        return _concat(kept, dim)


functions["concat"] = functions["concatenate"] = cat


@method
def sum_to_size(self: Tensor, *size: Any) -> Tensor:
    """Summed over the axes that broadcasting to this shape added."""
    wanted = _sizes(size)
    x = self.sum(tuple(range(self.ndim - len(wanted)))) if self.ndim > len(wanted) else self
    dims = tuple(i for i, s in enumerate(wanted) if s == 1 and x.shape[i] != 1)
    return x.sum(dims, True) if dims else x


def missing(name: str) -> Any:
    """The error of a layout that Tegula does not have."""
    return not_supported(name, "tensors are dense and row-major")
