"""Facts about dtypes, after the Python array API standard (2024.12)."""

from __future__ import annotations

import builtins
import functools
from typing import Any, NamedTuple

import numpy as np

from tegula._core import (
    DType,
    Tensor,
    bfloat16,
    bool,
    complex64,
    complex128,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    promote_types,
    uint8,
    uint16,
    uint32,
    uint64,
)

_SIGNED = (int8, int16, int32, int64)
_UNSIGNED = (uint8, uint16, uint32, uint64)
_FLOATING = (float16, bfloat16, float32, float64)
_COMPLEX = (complex64, complex128)
KINDS = {
    "bool": (bool,),
    "signed integer": _SIGNED,
    "unsigned integer": _UNSIGNED,
    "integral": _SIGNED + _UNSIGNED,
    "real floating": _FLOATING,
    "complex floating": _COMPLEX,
    "numeric": _SIGNED + _UNSIGNED + _FLOATING + _COMPLEX,
}


class FInfo(NamedTuple):
    """The limits of a floating dtype."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


class IInfo(NamedTuple):
    """The limits of an integer dtype."""

    bits: int
    max: int
    min: int
    dtype: DType


def _dtype_of(value: Any) -> DType:
    if isinstance(value, Tensor):
        return value.dtype
    return promote_types(value, value)


def finfo(type: Any, /) -> FInfo:
    """The limits of a floating dtype, or of a tensor's; of a complex one those of its parts.

    Raises:
        TypeError: it is no floating or complex dtype.
    """
    dtype = _dtype_of(type)
    if dtype in _COMPLEX:
        dtype = float32 if dtype == complex64 else float64
    if dtype not in _FLOATING:
        raise TypeError(f"finfo: needs a floating dtype, got {dtype}; see iinfo")
    if dtype == bfloat16:  # NumPy has none: 8 bits of exponent, 7 of fraction
        largest = (2 - 2**-7) * 2.0**127
        return FInfo(16, 2**-7, largest, -largest, 2.0**-126, dtype)
    info = np.finfo(dtype.name)
    return FInfo(
        info.bits,
        float(info.eps),
        float(info.max),
        float(info.min),
        float(info.smallest_normal),
        dtype,
    )


def iinfo(type: Any, /) -> IInfo:
    """The limits of an integer dtype, or of a tensor's.

    Raises:
        TypeError: it is no integer dtype.
    """
    dtype = _dtype_of(type)
    if dtype not in _SIGNED + _UNSIGNED:
        raise TypeError(f"iinfo: needs an integer dtype, got {dtype}; see finfo")
    info = np.iinfo(dtype.name)
    return IInfo(info.bits, int(info.max), int(info.min), dtype)


def isdtype(dtype: Any, kind: Any) -> Any:
    """Whether a dtype is of a kind: a dtype, a name of the standard, or a tuple of these.

    Raises:
        ValueError: an unknown name.
    """
    dtype = _dtype_of(dtype)
    if isinstance(kind, tuple):
        return any(isdtype(dtype, entry) for entry in kind)
    if isinstance(kind, str):
        if kind in KINDS:
            return dtype in KINDS[kind]
        if kind not in KINDS["numeric"]:
            raise ValueError(f"isdtype: unknown kind {kind!r}; known are {', '.join(KINDS)}")
    return dtype == _dtype_of(kind)


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype in which tensors, dtypes and Python numbers meet.

    Raises:
        ValueError: no argument.
    """
    if not arrays_and_dtypes:
        raise ValueError("result_type: needs at least one argument")
    numbers = [x for x in arrays_and_dtypes if type(x) in _NUMBERS]
    dtypes = [_dtype_of(x) for x in arrays_and_dtypes if type(x) not in _NUMBERS]
    if not dtypes:
        dtypes = [_NUMBERS[type(x)] for x in numbers]
        numbers = []
    common = functools.reduce(promote_types, dtypes)
    for number in numbers:  # a Python number changes the kind at most
        natural = _NUMBERS[type(number)]
        if _rank(natural) > _rank(common):
            common = promote_types(natural, common) if natural == complex64 else natural
    return common


def can_cast(from_: Any, to: Any) -> Any:
    """Whether every value of a dtype, or a tensor's, is kept by the promotion to another."""
    to = _dtype_of(to)
    return promote_types(_dtype_of(from_), to) == to


def _rank(dtype: DType) -> int:
    return 0 if dtype == bool else 3 if dtype in _COMPLEX else 2 if dtype in _FLOATING else 1


_NUMBERS: dict[type, DType] = {builtins.bool: bool, int: int64, float: float32, complex: complex64}
