"""What tensors look like, and how they are copied and pickled."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from tegula import _core
from tegula._core import Tensor

_DEFAULTS = {"float32", "int64", "bool"}


def _repr(x: Tensor) -> str:
    notes = []
    if x.dtype.name not in _DEFAULTS or x.size == 0:
        notes.append(f"dtype={x.dtype.name}")
    if x.device == "null":
        values = f"shape={x.shape}"
    elif x.size == 0:
        values = "[]"
        if x.shape != (0,):
            notes.insert(0, f"shape={x.shape}")
    else:
        array = x.numpy()
        if x.dtype.name == "bfloat16":
            array = array.astype(np.float32)
        values = np.array2string(array, separator=", ", prefix="tensor(")
    if x.device != "cpu":
        notes.append(f"device={x.device!r}")
    if x.requires_grad:
        notes.append("requires_grad=True")
    return f"tensor({', '.join([values, *notes])})"


def _format(x: Tensor, specification: str) -> str:
    if not specification:
        return str(x)
    if x.ndim:
        raise TypeError(
            f"format: only a 0-d tensor takes a format such as {specification!r}, "
            f"this one has shape {x.shape}"
        )
    return format(x.item(), specification)


def _copy(x: Tensor) -> Tensor:
    return _with_attributes(x.detach(), x, dict(x.__dict__) if hasattr(x, "__dict__") else {})


def _deepcopy(x: Tensor, memo: dict[int, Any]) -> Tensor:
    if not x.is_leaf:
        raise RuntimeError(
            "deepcopy: only tensors that were not computed from others can be copied with their "
            "gradient; use detach() first"
        )
    twin = _with_attributes(x.detach(), x, {})
    memo[id(x)] = twin
    if hasattr(x, "__dict__"):
        twin.__dict__.update(copy.deepcopy(x.__dict__, memo))
    if x.grad is not None:
        twin.grad = copy.deepcopy(x.grad, memo)
    return twin


def _with_attributes(value: Tensor, like: Tensor, attributes: dict[str, Any]) -> Tensor:
    twin = value if type(like) is Tensor else Tensor.__new__(type(like), value)
    twin.requires_grad = like.requires_grad and like.is_leaf
    if attributes:
        twin.__dict__.update(attributes)
    return twin


def _rebuild(kind: type, array: Any, dtype: str, requires_grad: bool, attributes: Any) -> Tensor:
    """A pickled tensor again."""
    value = _core.asarray(array)
    if dtype == "bfloat16":
        value = _core.asarray(array).astype(dtype)
    twin = value if kind is Tensor else Tensor.__new__(kind, value)
    twin.requires_grad = requires_grad
    if attributes:
        twin.__dict__.update(attributes)
    return twin


def _reduce(x: Tensor, protocol: int) -> tuple[Any, ...]:
    if type(x).__reduce__ is not object.__reduce__:  # a subclass with its own way
        return x.__reduce__()  # type: ignore[return-value]
    array = x.astype("float32").numpy() if x.dtype.name == "bfloat16" else x.numpy()
    array = np.array(array)
    leaf = x.requires_grad and x.is_leaf
    return _rebuild, (type(x), array, x.dtype.name, leaf, getattr(x, "__dict__", None))


def install() -> None:
    """Gives ``Tensor`` these methods."""
    for name, method in {
        "__repr__": _repr,
        "__format__": _format,
        "__copy__": _copy,
        "__deepcopy__": _deepcopy,
        "__reduce_ex__": _reduce,
    }.items():
        method.__name__ = name
        method.__qualname__ = f"Tensor.{name}"
        setattr(Tensor, name, method)
