"""Values of all examples, within a function that ``tg.vmap`` batches along a named axis."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tegula import _core, tree
from tegula._core import Tensor


class Axis(NamedTuple):
    """A named axis: its number in the graph, and how many examples there are."""

    number: int
    size: int


class _Axes(threading.local):
    def __init__(self) -> None:
        self.by_name: dict[Hashable, Axis] = {}


_axes = _Axes()
_numbers = itertools.count(1)


@contextmanager
def named_axis(name: Hashable, size: int) -> Iterator[int]:
    """Within it the axis is known by its name; gives its number."""
    number = next(_numbers)
    if name is None:
        yield number
        return
    if name in _axes.by_name:
        raise ValueError(f"vmap: axis_name {name!r} is the name of an outer axis; choose another")
    _axes.by_name[name] = Axis(number, size)
    try:
        yield number
    finally:
        del _axes.by_name[name]


def _find(op: str, axis_name: Hashable) -> Axis:
    axis = _axes.by_name.get(axis_name)
    if axis is None:
        known = ", ".join(map(repr, _axes.by_name)) or "none"
        raise NameError(
            f"{op}: no axis is named {axis_name!r} here (known: {known}); name it with "
            f"tg.vmap(..., axis_name={axis_name!r})"
        )
    return axis


def axis_index(axis_name: Hashable) -> Tensor:
    """Which example this is along a named axis: a 0-d int64 from 0 on. NameError if unknown."""
    return _core._axis_index(_find("axis_index", axis_name).number)


def axis_size(axis_name: Hashable) -> int:
    """How many examples there are along a named axis. NameError if it is unknown."""
    return _find("axis_size", axis_name).size


def all_gather(x: Any, axis_name: Hashable) -> Any:
    """The values that a tree of tensors has in all examples, stacked along a new first axis.

    Raises:
        NameError: no ``tg.vmap`` around names that axis.
    """
    number, size = _find("all_gather", axis_name)
    return tree.map(lambda leaf: _core._all_gather(_core.asarray(leaf), number, size), x)


def _reduced(op: str, reduce: Callable[..., Tensor], x: Any, axis_name: Hashable) -> Any:
    number, size = _find(op, axis_name)
    return tree.map(
        lambda leaf: reduce(_core._all_gather(_core.asarray(leaf), number, size), axis=0), x
    )


def psum(x: Any, axis_name: Hashable) -> Any:
    """The sum over all examples of each tensor of a tree. NameError if the axis is unknown."""
    return _reduced("psum", _core.sum, x, axis_name)


def pmean(x: Any, axis_name: Hashable) -> Any:
    """The mean over all examples of each tensor of a tree. NameError if the axis is unknown."""
    return _reduced("pmean", _core.mean, x, axis_name)


def pmax(x: Any, axis_name: Hashable) -> Any:
    """The largest value over all examples of each element. NameError if the axis is unknown."""
    return _reduced("pmax", _core.max, x, axis_name)


def pmin(x: Any, axis_name: Hashable) -> Any:
    """The smallest value over all examples of each element. NameError if the axis is unknown."""
    return _reduced("pmin", _core.min, x, axis_name)
