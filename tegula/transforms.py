"""Functions that take a function and give its gradient, in JAX's vocabulary."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

from tegula import _core, tree
from tegula._core import Tensor, enable_grad


class _Nesting(threading.local):
    """How many gradients of this thread are being computed, one within the other."""

    depth = 0


_nesting = _Nesting()


def _as_input(value: Any) -> Any:
    return _core.asarray(value, dtype=_core.float32) if isinstance(value, float) else value


def _watched(x: Tensor) -> Tensor:
    """The value of x as a variable to differentiate by, still connected to where x came from."""
    if x.requires_grad and _core.is_grad_enabled():
        return _core._alias(x)
    return x.detach().requires_grad_()


def value_and_grad(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns ``(fn(...), gradient)``.

    Args:
        fn: returns a one-element tensor, or ``(tensor, anything)`` with ``has_aux``.
        argnums: the positional arguments to differentiate by: tensors, floats, or
            trees (``tg.tree``) of tensors. A sequence gives a tuple of gradients.
        has_aux: whether fn returns something beside the value, handed through.

    Returns:
        A function of the same arguments. The gradient has the form of the argument, with zeros
        where fn does not depend on it; ``.grad`` of the caller's tensors is left alone.

    Raises:
        TypeError: an argument to differentiate by holds no tensors, or fn returns none.
        ValueError: argnums is out of range, or fn returns more than one element.
    """
    several = not isinstance(argnums, int)
    numbers = tuple(argnums) if not isinstance(argnums, int) else (argnums,)

    @functools.wraps(fn)
    def with_gradient(*args: Any, **kwargs: Any) -> Any:
        for n in numbers:
            if not -len(args) <= n < len(args):
                raise ValueError(f"grad: argnums has {n}, but there are {len(args)} arguments")
        outer = _nesting.depth > 0
        given = list(args)
        watched: list[Tensor] = []

        def watch(x: Any) -> Any:
            if not isinstance(x, Tensor):
                return x
            watched.append(_watched(x))
            return watched[-1]

        connected = _core.is_grad_enabled()
        counts = []
        for n in numbers:
            before = len(watched)
            given[n] = tree.map(watch, _as_input(given[n]))
            counts.append(len(watched) - before)
            if not counts[-1]:
                raise TypeError(
                    f"grad: argument {n} must be a tensor or hold tensors, "
                    f"not {type(args[n]).__name__}"
                )
        differentiable = connected and (outer or any(not x.is_leaf for x in watched))
        _nesting.depth += 1
        try:
            with enable_grad():
                result = fn(*given, **kwargs)
        finally:
            _nesting.depth -= 1
        value, aux = result if has_aux else (result, None)
        if not isinstance(value, Tensor):
            raise TypeError(f"grad: the function must return a Tensor, not {type(value).__name__}")
        if value.size != 1:
            raise ValueError(
                f"grad: the function must return one element, it returned shape {value.shape}"
            )
        found: list[Tensor | None] = [None] * len(watched)
        if value.requires_grad:
            found = _core.gradients(
                [value], [None], watched, retain_graph=True, create_graph=differentiable
            )
        pairs = zip(watched, found, strict=True)
        flat = iter([_core.zeros_like(x.detach()) if g is None else g for x, g in pairs])

        def take(x: Any) -> Any:
            return next(flat) if isinstance(x, Tensor) else x

        gradients = tuple(tree.map(take, given[n]) for n in numbers)
        if not differentiable:
            value = value.detach()
        value_out = (value, aux) if has_aux else value
        return value_out, gradients if several else gradients[0]

    return with_gradient


def grad(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the gradient of ``fn``: see ``value_and_grad``.

    With ``has_aux`` it returns ``(gradient, aux)``. Gradients of gradients are gradients too:
    ``tg.grad(tg.grad(fn))``.
    """
    both = value_and_grad(fn, argnums, has_aux)

    @functools.wraps(fn)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, gradients = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return gradient
