"""Batching: a function of one example becomes one of many."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from tegula import _core, tree
from tegula._core import Tensor
from tegula.transforms._axis import named_axis
from tegula.transforms._calls import FlatFunction, fitted, name_of, require_callable


def vmap(
    fn: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_name: Hashable = None,
    axis_size: int | None = None,
) -> Callable[..., Any]:
    """A function that does for many examples at once what ``fn`` does for one.

    ``fn`` is traced once, on values without the axis of examples; then every operation is recorded
    for all of them. Within ``fn``, ``if`` on a value is an error that offers ``tg.where`` and
    ``tg.cond``; random draws differ from example to example.

    Args:
        fn: a function of trees of tensors that returns one.
        in_axes: the axis of examples in each positional argument: an int for all; or a tuple with
            an int, None (shared by all examples) or a tree of these for each argument. A tree may
            stop early: an int stands for all below it. Keyword arguments have axis 0.
        out_axes: where the axis is put in the results; an int, or a tree as the result. None
            needs a result that is the same for all examples.
        axis_name: a name for the axis, for ``tg.psum``, ``tg.axis_index`` and the like.
        axis_size: the number of examples, where no argument tells.

    Returns:
        A function of the same arguments.

    Raises:
        ValueError: in_axes or out_axes do not fit, an axis is not there, or sizes differ; names
            the place.
        TypeError: an argument with an axis, or a result, is no tensor.
        TraceError: fn reads a value, or writes to a tensor from outside.
    """
    require_callable("vmap", fn)
    op = f"vmap of {name_of(fn)}"

    @functools.wraps(fn)
    def batched(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = tree.flatten((list(args), kwargs))
        # "[0][2]['w']" of the pair is "argument 2['w']", "[1]['x']" is "argument 'x'".
        paths = [f"argument {path[4:].replace(']', '', 1)}" for path in structure.paths()]
        spread: list[int | None] = []
        for n, (axis, arg) in enumerate(
            zip(_axes_of_args(op, in_axes, len(args)), args, strict=True)
        ):
            built = tree.flatten(arg)[1]
            spread += _spread(op, f"in_axes[{n}]", axis, built, f"argument {n}")
        spread += [0] * (len(leaves) - len(spread))  # of keyword arguments
        inputs, has_batch, size = _inputs(op, leaves, spread, paths, axis_size)
        flat = FlatFunction(op, fn, inputs, structure)
        with named_axis(axis_name, size) as number:
            tensors = [inputs[i] for i in flat.places]
            flags = [has_batch[i] for i in flat.places]
            values, flags = _core._batch(flat, tensors, flags, size, number)
        result = flat.structure
        assert result is not None
        targets = _spread(op, "out_axes", out_axes, result, "the result")
        rows = zip(values, flags, targets, result.paths(), strict=True)
        return result.unflatten([_placed(op, *row, size) for row in rows])

    return batched


def _is_axis(x: Any) -> bool:
    return x is None or (isinstance(x, int) and not isinstance(x, bool))


def _axes_of_args(op: str, in_axes: Any, count: int) -> list[Any]:
    if _is_axis(in_axes):
        return [in_axes] * count
    if not isinstance(in_axes, (tuple, list)):
        raise TypeError(
            f"{op}: in_axes must be an int, None, or a tuple of them, not {type(in_axes).__name__}"
        )
    if len(in_axes) != count:
        raise ValueError(f"{op}: in_axes has {len(in_axes)} items, but there are {count} arguments")
    return list(in_axes)


def _spread(
    op: str, name: str, axes: Any, structure: tree.Structure, what: str
) -> list[int | None]:
    """The axis of each leaf: an int or None of `axes` stands for all leaves below its place."""
    found, built = tree.flatten(axes, is_leaf=_is_axis)
    for axis, path in zip(found, built.paths(), strict=True):
        if not _is_axis(axis):
            raise TypeError(f"{op}: {name}{path} must be an int or None, not {axis!r}")
    numbered = structure.unflatten(range(structure.num_leaves))
    result: list[int | None] = [None] * structure.num_leaves
    below = fitted(f"{op}: {name} does not fit", built, numbered, what, name)
    for axis, part in zip(found, below, strict=True):
        for leaf in tree.leaves(part):
            result[leaf] = axis
    return result


def _inputs(
    op: str,
    leaves: Sequence[Any],
    axes: Sequence[int | None],
    paths: Sequence[str],
    axis_size: int | None,
) -> tuple[list[Any], list[bool], int]:
    """The arguments with their axis of examples in front, and how many there are."""
    inputs: list[Any] = []
    size, where = axis_size, "axis_size"
    for x, axis, path in zip(leaves, axes, paths, strict=True):
        if isinstance(x, np.ndarray):
            x = _core.asarray(x)
        if axis is not None:
            if not isinstance(x, Tensor):
                raise TypeError(
                    f"{op}: {path} must be a tensor, not {type(x).__name__}, to have an axis of "
                    "examples; give it None in in_axes"
                )
            if not -x.ndim <= axis < x.ndim:
                raise ValueError(f"{op}: {path} of shape {x.shape} has no axis {axis}")
            count = x.shape[axis]
            if size is not None and count != size:
                raise ValueError(
                    f"{op}: sizes differ: {path} of shape {x.shape} has {count} along axis {axis}, "
                    f"but {where} {'is' if where == 'axis_size' else 'has'} {size}"
                )
            if size is None:
                size, where = count, path
            x = _core.moveaxis(x, axis, 0)
        inputs.append(x)
    if size is None:
        raise ValueError(f"{op}: no argument has an axis of examples; give axis_size")
    if size < 0:
        raise ValueError(f"{op}: axis_size must not be negative, got {size}")
    return inputs, [axis is not None for axis in axes], size


def _placed(op: str, x: Tensor, has_batch: bool, axis: int | None, path: str, size: int) -> Tensor:
    if axis is None:
        if has_batch:
            raise ValueError(
                f"{op}: out_axes is None for its result{path}, which differs between examples"
            )
        return x
    ndim = x.ndim + (0 if has_batch else 1)
    if not -ndim <= axis < ndim:
        raise ValueError(
            f"{op}: its result{path} of shape {x.shape} has no axis {axis} for out_axes"
        )
    full = x if has_batch else _core.broadcast_to(x, (size, *x.shape))
    return _core.moveaxis(full, 0, axis)
