"""Tegula, a machine-learning framework: ``import tegula as tg``.

Tensors follow the Python array API standard, ``nn``, ``optim`` and ``data`` PyTorch's vocabulary.
Operations are recorded and computed when somebody looks at a value.
"""

from __future__ import annotations

import importlib
import os
from math import e, inf, nan, pi
from typing import TYPE_CHECKING, Any

from tegula import _core, _tensor, tree
from tegula._control import cond, scan, switch, while_loop
from tegula._core import *
from tegula._core import __version__
from tegula._custom import CustomOp, CustomOps, custom_op, custom_op_include, load_custom_ops
from tegula._dtypes import can_cast, finfo, iinfo, isdtype, result_type
from tegula._einsum import einsum_path
from tegula._host import TensorSpec, host_call
from tegula._jit import jit
from tegula._namespace_info import array_namespace_info as __array_namespace_info__
from tegula._namespace_info import broadcast_shapes
from tegula._tensordot import tensordot
from tegula.debug import debug_nans
from tegula.transforms import (
    all_gather,
    axis_index,
    axis_size,
    checkpoint,
    custom_jvp,
    custom_vjp,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    pmax,
    pmean,
    pmin,
    psum,
    stop_gradient,
    value_and_grad,
    vjp,
    vmap,
)

if TYPE_CHECKING:
    from tegula import (
        autograd,
        data,
        debug,
        fft,
        io,
        linalg,
        nn,
        optim,
        profiler,
        random,
        signal,
        special,
    )
    from tegula._explain import explain
    from tegula._graph import graph
    from tegula.io import load, save

_tensor.install()
_core._set_internal_folder(os.path.dirname(os.path.abspath(__file__)))

newaxis = None
empty = _core.zeros  # memory is never shown before it is written
empty_like = _core.zeros_like
__array_api_version__ = "2024.12"

# Loaded at first use, so that `import tegula` stays quick.
_LAZY = {"data", "autograd", "fft", "io", "linalg", "nn", "optim", "profiler", "random", "cli"}
_LAZY |= {"signal", "special", "train"}
_LAZY_NAMES = {"explain": "_explain", "graph": "_graph", "load": "io", "save": "io"}

__all__ = [
    *_core.__all__,
    "__array_api_version__",
    "__array_namespace_info__",
    "__version__",
    "autograd",
    "broadcast_shapes",
    "can_cast",
    "cond",
    "custom_op",
    "custom_op_include",
    "CustomOp",
    "CustomOps",
    "data",
    "debug",
    "debug_nans",
    "e",
    "einsum_path",
    "empty",
    "empty_like",
    "explain",
    "fft",
    "finfo",
    "grad",
    "graph",
    "host_call",
    "iinfo",
    "inf",
    "io",
    "isdtype",
    "jit",
    "linalg",
    "load",
    "load_custom_ops",
    "nan",
    "newaxis",
    "nn",
    "optim",
    "pi",
    "profiler",
    "random",
    "result_type",
    "save",
    "scan",
    "signal",
    "special",
    "switch",
    "TensorSpec",
    "tensordot",
    "tree",
    "value_and_grad",
    "while_loop",
    "all_gather",
    "axis_index",
    "axis_size",
    "checkpoint",
    "custom_jvp",
    "custom_vjp",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "pmax",
    "pmean",
    "pmin",
    "psum",
    "stop_gradient",
    "vjp",
    "vmap",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"tegula.{name}")
    if name in _LAZY_NAMES:
        return getattr(importlib.import_module(f"tegula.{_LAZY_NAMES[name]}"), name)
    raise AttributeError(f"module 'tegula' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_LAZY_NAMES})
