"""Control flow by values: ``tg.cond``, ``tg.switch``, ``tg.while_loop``, ``tg.scan``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tegula import _core
from tegula._core import Tensor


def cond(
    pred: Tensor | bool,
    true_fn: Callable[..., Any],
    false_fn: Callable[..., Any],
    *operands: Any,
) -> Any:
    """``true_fn(*operands)`` where ``pred`` is true, else ``false_fn(*operands)``.

    Both functions are traced, one of them runs. Tensors from outside that they read are read too,
    and gradients flow to them.

    Args:
        pred: a 0-d bool.
        true_fn: a function of the operands.
        false_fn: another, whose results have the same structure, shapes and dtypes.
        operands: tensors, numbers, or nests of lists, tuples, dicts and dataclasses of them.

    Raises:
        TypeError: pred is not bool, or the results differ in structure or dtype.
        ValueError: pred is not 0-d, or the results differ in shape.
        TraceError: a function reads a value, or writes to a tensor from outside.
        NotImplementedError: a function draws random numbers or has an effect.
    """
    return _core._cond(pred, true_fn, false_fn, operands)


def switch(index: Tensor | int, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """``branches[index](*operands)``; an index outside of the range is moved to the nearest in it.

    Args:
        index: a 0-d integer.
        branches: functions of the operands, as for ``tg.cond``.
        operands: as for ``tg.cond``.

    Raises:
        As ``tg.cond``.
    """
    return _core._switch(index, branches, operands)


def while_loop(
    cond_fn: Callable[[Any], Any],
    body_fn: Callable[[Any], Any],
    init: Any,
    max_iters: int | None = None,
) -> Any:
    """``carry = body_fn(carry)`` while ``cond_fn(carry)`` is true, from ``init`` on.

    Args:
        cond_fn: gives a 0-d bool.
        body_fn: gives a carry of the same structure, shapes and dtypes.
        init: a nest of tensors and numbers.
        max_iters: the loop ends after so many iterations at the latest. Gradients need it: memory
            for the carry of that many iterations is taken when they are asked for.

    Returns:
        The last carry.

    Raises:
        NotImplementedError: a gradient is asked for without ``max_iters``; or as ``tg.cond``.
        TypeError, ValueError, TraceError: as ``tg.cond``.
    """
    return _core._while_loop(cond_fn, body_fn, init, max_iters)


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """``carry, y = f(carry, x)`` for each ``x`` along the first axis of ``xs``.

    For gradients the carry of each iteration is kept, and the rest is computed again.

    Args:
        f: gives a carry of the same structure, shapes and dtypes, and a result.
        init: the first carry, a nest of tensors and numbers.
        xs: a nest of tensors with equally many rows; None: f gets None ``length`` times.
        length: the number of rows, needed without xs.
        reverse: from the last row to the first; results stay in the order of the rows.

    Returns:
        The last carry, and the results stacked along a new first axis.

    Raises:
        ValueError: rows of xs and ``length`` do not agree; or as ``tg.cond``.
        TypeError, TraceError, NotImplementedError: as ``tg.cond``.
    """
    return _core._scan(f, init, xs, length, reverse)
