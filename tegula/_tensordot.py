"""Products summed over axes, in the main namespace and in ``linalg``."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from tegula import _core
from tegula._core import Tensor, matmul

if TYPE_CHECKING:
    from tegula._core import TensorLike


def tensordot(
    x1: TensorLike,
    x2: TensorLike,
    /,
    *,
    axes: int | tuple[Sequence[int], Sequence[int]] = 2,
) -> Tensor:
    """Sums products over axes of x1 and as many of x2.

    Args:
        x1: the first operand.
        x2: the second.
        axes: how many axes, the last of x1 and the first of x2; or the axes of x1 and those of x2
            that belong to them, in order.

    Returns:
        The other axes of x1, then those of x2.

    Raises:
        ValueError: sizes that belong together differ, or an axis is given twice.
        IndexError: an axis is out of range.
    """
    a, b = _tensor("x1", x1), _tensor("x2", x2)
    if isinstance(axes, int):
        if not 0 <= axes <= min(a.ndim, b.ndim):
            raise ValueError(f"tensordot: axes {axes} does not fit {a.shape} and {b.shape}")
        axes = range(a.ndim - axes, a.ndim), range(axes)
    left, right = (_axes(chosen, x.ndim) for chosen, x in zip(axes, (a, b), strict=True))
    if [a.shape[i] for i in left] != [b.shape[i] for i in right]:
        raise ValueError(
            f"tensordot: axes {left} of {a.shape} and {right} of {b.shape} differ in size"
        )
    kept_a = [i for i in range(a.ndim) if i not in left]
    kept_b = [i for i in range(b.ndim) if i not in right]
    rows, columns = [a.shape[i] for i in kept_a], [b.shape[i] for i in kept_b]
    inner = prod(a.shape[i] for i in left)
    a = a.permute_dims(kept_a + left).reshape((prod(rows), inner))
    b = b.permute_dims(right + kept_b).reshape((inner, prod(columns)))
    return matmul(a, b).reshape((*rows, *columns))


def _tensor(argument: str, x: TensorLike) -> Tensor:
    try:
        return _core.asarray(x)
    except TypeError as error:
        raise TypeError(f"tensordot: argument {argument!r}: {error}") from None


def _axes(chosen: Sequence[int], ndim: int) -> list[int]:
    for axis in chosen:
        if not -ndim <= axis < ndim:
            raise IndexError(f"tensordot: axis {axis} is out of range for {ndim} dimensions")
    axes = [axis % ndim for axis in chosen]
    if len(set(axes)) != len(axes):
        raise ValueError(f"tensordot: an axis is given twice in {list(chosen)}")
    return axes
