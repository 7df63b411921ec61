"""``torch.nn.utils``: clipping gradients, parameters as a vector."""

from __future__ import annotations

from typing import Any

from tegula import _core
from tegula.compat.torch._missing import absent
from tegula.compat.torch._registry import t
from tegula.compat.torch._tensor import Tensor
from tegula.nn.utils import clip_grad_norm_ as _clip_norm
from tegula.nn.utils import clip_grad_value_

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "parameters_to_vector",
    "vector_to_parameters",
]


def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: Any = None,
) -> Tensor:
    """Scales the gradients so that their joint norm is at most ``max_norm``; returns it."""
    given = parameters if isinstance(parameters, _core.Tensor) else list(parameters)
    found = _clip_norm(given, max_norm, norm_type, error_if_nonfinite)
    return found if isinstance(found, Tensor) else _core._as_compat(found)


def parameters_to_vector(parameters: Any) -> Tensor:
    """All parameters as one vector."""
    return t.cat([p.reshape(-1) for p in parameters])  # type: ignore[no-any-return]


def vector_to_parameters(vec: Tensor, parameters: Any) -> None:
    """Gives the parameters the values of a vector."""
    at = 0
    for p in parameters:
        p.data = vec[at : at + p.numel()].reshape(p.shape)
        at += p.numel()


def __getattr__(name: str) -> Any:
    raise absent("torch.nn.utils", name)
