"""Gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable

import tegula as tg
from tegula._core import Tensor


def _with_gradients(parameters: Tensor | Iterable[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """(parameter, gradient) where there is a gradient."""
    every = [parameters] if isinstance(parameters, Tensor) else parameters
    return [(p, grad) for p in every if (grad := p.grad) is not None]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scales the gradients so that their joint norm is at most ``max_norm``.

    Nothing is waited for, unless ``error_if_nonfinite``.

    Args:
        parameters: tensors whose ``.grad`` is replaced, those without one left out.
        max_norm: the largest norm allowed.
        norm_type: the p of the p-norm; ``math.inf`` for the largest magnitude.
        error_if_nonfinite: raise if the norm is NaN or infinite.

    Returns:
        The norm before clipping, 0-d.

    Raises:
        ValueError: the norm is not finite and ``error_if_nonfinite`` is set.
    """
    clipped = _with_gradients(parameters)
    with tg.no_grad():
        grads = [grad for _, grad in clipped]
        if not grads:
            return tg.zeros(())
        if math.isinf(norm_type):
            norm = tg.max(tg.stack([tg.max(tg.abs(grad)) for grad in grads]))
        elif norm_type == 2:
            norm = tg.sqrt(tg.sum(tg.stack([tg.sum(grad * grad) for grad in grads])))
        else:
            powers = [tg.sum(tg.abs(grad) ** norm_type) for grad in grads]
            norm = tg.sum(tg.stack(powers)) ** (1 / norm_type)
        if error_if_nonfinite and not math.isfinite(norm.item()):
            raise ValueError(f"clip_grad_norm_: the norm of the gradients is {norm.item()}")
        scale = tg.minimum(max_norm / (norm + 1e-6), tg.ones_like(norm))
        for parameter, grad in clipped:
            parameter.grad = grad * scale.astype(grad.dtype)
    return norm


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clips every element of the gradients to [-clip_value, clip_value]."""
    if clip_value < 0:
        raise ValueError(f"clip_grad_value_: clip_value must not be negative, got {clip_value}")
    with tg.no_grad():
        for parameter, grad in _with_gradients(parameters):
            parameter.grad = tg.clip(grad, -clip_value, clip_value)
