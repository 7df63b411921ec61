"""``torch.nn.init``: values of parameters, written in place without recording."""

from __future__ import annotations

import math
from typing import Any

import tegula as tg
from tegula import _core
from tegula.compat.torch._missing import absent
from tegula.compat.torch._registry import t
from tegula.compat.torch._tensor import Tensor
from tegula.nn import init as _plain
from tegula.nn.init import (
    calculate_gain,
    constant_,
    kaiming_normal_,
    kaiming_uniform_,
    normal_,
    ones_,
    trunc_normal_,
    uniform_,
    xavier_normal_,
    xavier_uniform_,
    zeros_,
)

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    return _plain.fans(tensor)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix."""
    with tg.no_grad():
        return tensor.copy_(t.eye(*tensor.shape))


def orthogonal_(tensor: Tensor, gain: float = 1) -> Tensor:
    """A (semi-)orthogonal matrix; Saxe, McClelland & Ganguli 2014."""
    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    flat = t.randn(rows, columns)
    q, r = _core.linalg_qr(flat.mT if rows < columns else flat)
    q = q * t.diagonal(r).sign()
    with tg.no_grad():
        return tensor.copy_((q.mT if rows < columns else q).reshape(tensor.shape) * gain)


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Kernels that pass channels on."""
    value = t.zeros(*tensor.shape)
    out = tensor.shape[0] // groups
    centre = tuple(s // 2 for s in tensor.shape[2:])
    for g in range(groups):
        for d in range(min(out, tensor.shape[1])):
            value[(g * out + d, d, *centre)] = 1
    with tg.no_grad():
        return tensor.copy_(value)


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01) -> Tensor:
    """Normal numbers; a share of each column is 0."""
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    order = t.argsort(t.rand(rows, columns), 0)
    with tg.no_grad():
        return tensor.copy_(t.randn(rows, columns) * std * (order >= zeros))


def __getattr__(name: str) -> Any:
    raise absent("torch.nn.init", name)
