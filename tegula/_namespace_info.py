"""What the array API standard (2024.12) lets programs ask of a namespace."""

from __future__ import annotations

import builtins
from typing import Any

from tegula import _core
from tegula._dtypes import KINDS, isdtype

# The standard's own dtypes: the 16-bit floats are beyond it.
_DTYPES = [dtype for kind in ("bool", "numeric") for dtype in KINDS[kind]]
_BEYOND = ("float16", "bfloat16")


class NamespaceInfo:
    """Facts about ``tegula`` as a namespace: what ``__array_namespace_info__()`` gives."""

    def capabilities(self) -> dict[str, Any]:
        """What a namespace may lack, and the largest rank (None: there is no limit)."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": None}

    def default_device(self) -> str:
        """Where tensors are made unless a device is given."""
        return _core.get_default_device()

    def default_dtypes(self, *, device: str | None = None) -> dict[str, _core.DType]:
        """The dtypes that Python numbers, and functions that make numbers, give."""
        _check_device(device)
        return {
            "real floating": _core.float32,
            "complex floating": _core.complex64,
            "integral": _core.int64,
            "indexing": _core.int64,
        }

    def dtypes(
        self, *, device: str | None = None, kind: str | tuple[str, ...] | None = None
    ) -> dict[str, _core.DType]:
        """The standard's dtypes, all of them or those of a kind, by name.

        Raises:
            ValueError: an unknown kind.
        """
        _check_device(device)
        named = {dtype.name: dtype for dtype in _DTYPES if dtype.name not in _BEYOND}
        if kind is None:
            return named
        return {name: dtype for name, dtype in named.items() if isdtype(dtype, kind)}

    def devices(self) -> list[str]:
        """The devices there are."""
        return [name for name in _core.devices() if name != "null"]  # which computes nothing


def _check_device(device: str | None) -> None:
    if device is not None and device not in _core.devices():
        raise ValueError(f"device {device!r} is unknown; there are {', '.join(_core.devices())}")


def array_namespace_info() -> NamespaceInfo:
    """Facts about ``tegula`` as an array API namespace: capabilities, dtypes and devices."""
    return NamespaceInfo()


def broadcast_shapes(*shapes: tuple[builtins.int, ...]) -> tuple[builtins.int, ...]:
    """The shape to which all shapes broadcast.

    Raises:
        ValueError: they do not.
    """
    return tuple(_core.broadcast_arrays(*(_core.zeros(shape) for shape in ((), *shapes)))[0].shape)
