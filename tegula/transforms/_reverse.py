"""Reverse mode: gradients, vector-Jacobian products, Jacobians by rows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from tegula import _core
from tegula._core import Tensor
from tegula.transforms._calls import (
    FLOATING,
    Call,
    basis,
    matched,
    name_of,
    numbered,
    or_zeros,
    require_callable,
)
from tegula.transforms._forward import jacfwd


def value_and_grad(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns ``(fn(...), gradient)``.

    Args:
        fn: returns a one-element tensor, or ``(tensor, anything)`` with ``has_aux``.
        argnums: the positional arguments to differentiate by: floating tensors, floats, or trees
            (``tg.tree``) of them. A sequence gives a tuple of gradients.
        has_aux: whether fn returns something beside the value, handed through.

    Returns:
        A function of the same arguments. The gradient has the form of the argument, with zeros
        where fn does not depend on it; ``.grad`` of the caller's tensors is left alone.

    Raises:
        TypeError: an argument to differentiate by holds what is no floating tensor, or fn returns
            none.
        ValueError: argnums is out of range, or fn returns more than one element.
    """
    require_callable("grad", fn)

    @functools.wraps(fn)
    def with_gradient(*args: Any, **kwargs: Any) -> Any:
        call = Call("grad", fn, args, numbered("grad", argnums, len(args)))
        value, aux = call.run(kwargs, has_aux)
        if not isinstance(value, Tensor):
            raise TypeError(
                f"grad of {name_of(fn)}: it must return a Tensor, not {type(value).__name__}"
            )
        if value.size != 1:
            raise ValueError(
                f"grad of {name_of(fn)}: it must return one element, it returned shape "
                f"{value.shape}; return a sum or mean, or use tg.jacrev"
            )
        call.outputs(value)
        if value.dtype.name not in FLOATING:
            raise TypeError(
                f"grad of {name_of(fn)}: it returned {value.dtype.name}, and only a real number "
                "can be made smaller; return tg.real or tg.abs of it, or use tg.vjp"
            )
        found: list[Tensor | None] = [None] * len(call.variables)
        if value.requires_grad:
            found = _core.gradients(
                [value],
                [None],
                call.variables,
                retain_graph=True,
                create_graph=call.differentiable,
            )
        gradients = call.trees([or_zeros(g, x) for g, x in zip(found, call.variables, strict=True)])
        value = call.handed_out(value)
        value_out = (value, aux) if has_aux else value
        return value_out, gradients[0] if isinstance(argnums, int) else gradients

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


def vjp(fn: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """What ``fn`` returns, and the function that carries gradients of it back to the arguments.

    Args:
        fn: a function of the primals that returns a tree of floating tensors, or
            ``(tree, anything)`` with ``has_aux``.
        *primals: floating tensors, floats, or trees of them.
        has_aux: whether fn returns something beside, handed through.

    Returns:
        ``(fn(*primals), vjp_fn)``, and aux. ``vjp_fn(cotangents)`` takes a tree like the result,
        returns a tuple with a gradient for each primal, and may be called any number of times.

    Raises:
        TypeError: a primal or result holds what is no floating tensor.
        ValueError: cotangents differ from the result in structure, shape or dtype.
    """
    require_callable("vjp", fn)
    call = Call("vjp", fn, primals, range(len(primals)))
    result, aux = call.run({}, has_aux)
    outputs, structure = call.outputs(result)

    def vjp_fn(cotangents: Any) -> tuple[Any, ...]:
        given = matched("vjp", cotangents, structure, outputs, "cotangents", "the result")
        found = _gradients(outputs, given, call, call.is_differentiable_now(given))
        return call.trees([or_zeros(g, x) for g, x in zip(found, call.variables, strict=True)])

    value = structure.unflatten([call.handed_out(x) for x in outputs])
    return (value, vjp_fn, aux) if has_aux else (value, vjp_fn)


def _gradients(
    outputs: list[Tensor], seeds: list[Tensor], call: Call, differentiable: bool
) -> Sequence[Tensor | None]:
    pairs = [(y, g) for y, g in zip(outputs, seeds, strict=True) if y.requires_grad]
    if not pairs:
        return [None] * len(call.variables)
    ends, flowing = zip(*pairs, strict=True)
    return _core.gradients(
        ends, flowing, call.variables, retain_graph=True, create_graph=differentiable
    )


def jacrev(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the Jacobian of ``fn``, computed row by row in one batch.

    It suits functions with few outputs and many inputs; ``tg.jacfwd`` the others.

    Args:
        fn: returns a tree of floating tensors, or ``(tree, anything)`` with ``has_aux``.
        argnums: as of ``tg.grad``.
        has_aux: whether fn returns something beside, handed through.

    Returns:
        A function of the same arguments, whose result has the form of fn's result, each tensor of
        shape ``s`` replaced by trees like the argument with tensors of shape ``s + t`` for each
        leaf of shape ``t``; with has_aux ``(jacobian, aux)``.

    Raises:
        As ``tg.vjp``.
    """
    require_callable("jacrev", fn)

    @functools.wraps(fn)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        call = Call("jacrev", fn, args, numbered("jacrev", argnums, len(args)))
        result, aux = call.run(kwargs, has_aux)
        outputs, structure = call.outputs(result)
        rows = []
        for y in outputs:
            found: Sequence[Tensor | None] = [None] * len(call.variables)
            if y.requires_grad:
                found = _core._batched_gradients(
                    [y], [basis(y)], call.variables, call.differentiable
                )
            blocks = []
            for g, x in zip(found, call.variables, strict=True):
                shape = (*y.shape, *x.shape)
                full = _core.zeros(shape, dtype=x.dtype) if g is None else g
                blocks.append(_core.reshape(full, shape))
            parts = call.trees(blocks)
            rows.append(parts[0] if isinstance(argnums, int) else parts)
        found_all = structure.unflatten(rows)
        return (found_all, aux) if has_aux else found_all

    return jacobian


def hessian(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the second derivatives of ``fn``: ``jacfwd(jacrev(fn))``.

    For a result of shape ``s`` and an argument of shape ``t`` they have shape ``s + t + t``.
    Arguments and errors are those of ``tg.jacrev``.
    """
    return jacfwd(jacrev(fn, argnums, has_aux), argnums, has_aux)
