"""``torch.nn.functional`` over Tegula's operations."""

from __future__ import annotations

import types
from typing import Any

from tegula.compat.torch._missing import absent
from tegula.compat.torch._registry import naming
from tegula.compat.torch.nn import _activations, _losses, _spatial

for _part in (_activations, _losses, _spatial):
    for _name, _f in _part.table.items():
        is_python = isinstance(_f, types.FunctionType)
        globals()[_name] = naming(_f, f"nn.functional.{_name}") if is_python else _f

__all__ = sorted({**_activations.table, **_losses.table, **_spatial.table})


def __getattr__(name: str) -> Any:
    raise absent("torch.nn.functional", name)
