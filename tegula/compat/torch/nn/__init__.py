"""``torch.nn`` over Tegula's modules."""

from __future__ import annotations

from typing import Any

from tegula.compat.torch._missing import absent
from tegula.compat.torch.nn import functional, init, parameter, utils
from tegula.compat.torch.nn._layers import table as _table
from tegula.compat.torch.nn._module import (
    Buffer,
    Module,
    Parameter,
    ParameterDict,
    ParameterList,
)

globals().update(_table)

__all__ = [
    *sorted(_table),
    "Buffer",
    "Module",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "functional",
    "init",
    "parameter",
    "utils",
]


def __getattr__(name: str) -> Any:
    raise absent("torch.nn", name)
