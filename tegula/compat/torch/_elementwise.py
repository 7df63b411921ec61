"""Elementwise functions whose arguments or meaning are PyTorch's own."""

from __future__ import annotations

import math
from typing import Any

import tegula as tg
from tegula import _core
from tegula.compat.torch._registry import both, everywhere, function, functions, methods, t
from tegula.compat.torch._tensor import Tensor

_INEXACT = frozenset(
    id(d) for d in (tg.float16, tg.bfloat16, tg.float32, tg.float64, tg.complex64, tg.complex128)
)  # one object each


def is_inexact(x: Any) -> bool:
    """Whether the tensor holds floating or complex numbers."""
    return id(x.dtype) in _INEXACT


def as_float(x: Tensor) -> Tensor:
    """Integers as the default dtype."""
    return x if is_inexact(x) else x.to(_core._compat_default_dtype())


@everywhere
def add(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """Input + alpha * other."""
    return input + other if alpha == 1 else input + other * alpha


@everywhere
def sub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """Input - alpha * other."""
    return input - other if alpha == 1 else input - other * alpha


functions["subtract"] = methods["subtract"] = sub


@both
def rsub(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """Other - alpha * input."""
    return other - (input if alpha == 1 else input * alpha)


@everywhere
def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """The quotient, or rounded "trunc" or "floor"."""
    if rounding_mode is None:
        return input / other
    if rounding_mode == "floor":
        return input // other
    if rounding_mode != "trunc":
        raise RuntimeError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' "
            f"but found {rounding_mode!r}"
        )
    quotient = (input / other).trunc()
    dtype = result_type(input, other)
    return quotient if quotient.dtype == dtype else quotient.to(dtype)


functions["divide"] = methods["divide"] = div


@function
def result_type(a: Any, b: Any) -> Any:
    """The dtype that arithmetic of the two gives."""
    return _core._compat_result_type(a, b)


@function
def promote_types(a: Any, b: Any) -> Any:
    """The smallest dtype that both convert to."""
    return _core._compat_result_type(_core.zeros((1,), dtype=a), _core.zeros((1,), dtype=b))


@function
def can_cast(from_: Any, to: Any) -> bool:
    """Whether PyTorch casts the one to the other on its own."""
    order = ["bool", "integral", "real floating", "complex floating"]
    ranks = [next(i for i, k in enumerate(order) if tg.isdtype(d, k)) for d in (from_, to)]
    return ranks[0] <= ranks[1]


@everywhere
def float_power(input: Any, exponent: Any) -> Tensor:
    """The power in float64."""
    kind = tg.complex128 if _is_complex(input) or _is_complex(exponent) else tg.float64
    base, power = (x.to(kind) if isinstance(x, Tensor) else x for x in (input, exponent))
    return base**power


def _is_complex(x: Any) -> bool:
    return isinstance(x, complex) or (
        isinstance(x, _core.Tensor) and bool(tg.isdtype(x.dtype, "complex floating"))
    )


@everywhere
def pow(input: Any, exponent: Any) -> Tensor:
    """The power."""
    return input**exponent


@everywhere
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """To the nearest integer, halves to even, or to a number of decimals."""
    if not decimals:
        return _core.round(input)
    scale = 10.0**decimals
    return _core.round(input * scale) / scale


@everywhere
def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Within the bounds; with both crossed, the upper one."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    result = input
    if min is not None:
        result = t.maximum(result, min)
    if max is not None:
        result = t.minimum(result, max)
    return result


functions["clip"] = methods["clip"] = clamp


@everywhere
def clamp_min(input: Tensor, min: Any) -> Tensor:
    """Not below ``min``."""
    return t.maximum(input, min)


@everywhere
def clamp_max(input: Tensor, max: Any) -> Tensor:
    """Not above ``max``."""
    return t.minimum(input, max)


@function
def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """Elements of ``input`` where the condition holds, else of ``other``."""
    if input is None and other is None:
        return tuple(_core.nonzero(condition))
    return _where(condition, input, other)


_where = _core._renamed_operation(
    "where",
    "where",
    [("condition", "condition"), ("input", "x1"), ("other", "x2")],
    promotes=["x1", "x2"],
    promotion="common",
)


def _where_method(self: Tensor, condition: Any, other: Any) -> Any:
    """This where the condition holds, else ``other``."""
    return _where(condition, self, other)


methods["where"] = _where_method


@everywhere
def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """Input + weight * (end - input)."""
    return input + weight * (end - input)


@everywhere
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """Input + value * tensor1 * tensor2."""
    product = tensor1 * tensor2
    return input + (product if value == 1 else product * value)


@everywhere
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """Input + value * tensor1 / tensor2."""
    quotient = tensor1 / tensor2
    return input + (quotient if value == 1 else quotient * value)


@everywhere
def frac(input: Tensor) -> Tensor:
    """The part after the point, with the sign of the number."""
    return input - input.trunc()


@everywhere
def deg2rad(input: Tensor) -> Tensor:
    """Degrees as radians."""
    return input * (math.pi / 180)


@everywhere
def rad2deg(input: Tensor) -> Tensor:
    """Radians as degrees."""
    return input * (180 / math.pi)


@everywhere
def sgn(input: Tensor) -> Tensor:
    """The sign; of a complex number z / |z|."""
    if not _is_complex(input):
        return _core.sign(input)
    size = input.abs()
    return _where(size == 0, input * 0, input / _where(size == 0, size * 0 + 1, size))


def _compose(name: str, f: Any) -> None:
    """A function for an operation that the table may lack."""
    if name not in functions:
        f.__name__ = f.__qualname__ = name
        f.__doc__ = f"As torch.{name}."
        everywhere(f)


def _logit(input: Tensor, eps: float | None = None) -> Tensor:
    x = input if eps is None else clamp(input, eps, 1 - eps)
    return (x / (1 - x)).log()


def _fmod(input: Any, other: Any) -> Tensor:
    x = input if isinstance(input, Tensor) else t.full((), input)
    return x - div(x, other, rounding_mode="trunc") * other


def _heaviside(input: Tensor, values: Any) -> Tensor:
    zero = _where(input > 0, 1, 0).to(input.dtype)
    return _where(input == 0, values, zero)


def _nan_to_num(input: Tensor, nan: Any = None, posinf: Any = None, neginf: Any = None) -> Tensor:
    if not is_inexact(input):
        return input.clone()
    limits = tg.finfo(input.dtype)
    x = _where(input.isnan(), 0.0 if nan is None else nan, input)
    x = _where(x == math.inf, limits.max if posinf is None else posinf, x)
    return _where(x == -math.inf, limits.min if neginf is None else neginf, x)


def _sinc(input: Tensor) -> Tensor:
    x = as_float(input) * math.pi
    safe = _where(x == 0, 1.0, x)
    return _where(x == 0, 1 - x * x / 6, safe.sin() / safe)


def _xlogy(input: Any, other: Any) -> Tensor:
    first = input if isinstance(input, Tensor) else t.full((), float(input))
    second = other if isinstance(other, Tensor) else t.full((), float(other))
    x, y = as_float(first), as_float(second)
    zero = t.logical_and(x == 0, y.isnan().logical_not())
    return _where(zero, x * 0 * _where(zero, 0.0, y), x * _where(zero, 1.0, y).log())


def _fmaximum(input: Tensor, other: Tensor) -> Tensor:
    return _where(input.isnan(), other, _where(other.isnan(), input, t.maximum(input, other)))


def _fminimum(input: Tensor, other: Tensor) -> Tensor:
    return _where(input.isnan(), other, _where(other.isnan(), input, t.minimum(input, other)))


_compose("logit", _logit)
_compose("fmod", _fmod)
_compose("heaviside", _heaviside)
_compose("nan_to_num", _nan_to_num)
_compose("sinc", _sinc)
_compose("xlogy", _xlogy)
_compose("fmax", _fmaximum)
_compose("fmin", _fminimum)
_compose("isposinf", lambda input: input == math.inf)
_compose("isneginf", lambda input: input == -math.inf)
_compose("ldexp", lambda input, other: input * t.pow(2.0, other))
_compose(
    "logaddexp2",
    lambda input, other: t.logaddexp(input * math.log(2), other * math.log(2)) / math.log(2),
)
_compose("erfc", lambda input: 1 - input.erf())


@function
def frexp(input: Tensor) -> Any:
    """(mantissa in [0.5, 1), exponent) with input = mantissa * 2 ** exponent."""
    size = input.detach().abs()
    finite = (size > 0) & size.isfinite()
    power = _where(finite, _where(finite, size, 1.0).log2().floor() + 1, 0.0)
    mantissa = input / t.exp2(power)
    return mantissa, power.to(tg.int32)


methods["frexp"] = frexp


@function
def scalar_tensor(s: Any, *, dtype: Any = None, **_: Any) -> Tensor:
    """A number as a tensor without axes, of the default dtype."""
    return t.full((), s, dtype=dtype or _core._compat_default_dtype())


@function
def polar(abs: Tensor, angle: Tensor) -> Tensor:
    """Complex numbers by absolute value and angle."""
    return t.complex(abs * angle.cos(), abs * angle.sin())


@function
def view_as_real(input: Tensor) -> Tensor:
    """Complex numbers as pairs of real ones on a last axis."""
    return t.stack([input.real, input.imag], -1)


@function
def view_as_complex(input: Tensor) -> Tensor:
    """Pairs of real numbers on the last axis as complex ones."""
    return t.complex(input[..., 0], input[..., 1])


@both
def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """|input - other| <= atol + rtol * |other|."""
    close = t.logical_or(input == other, (input - other).abs() <= atol + rtol * other.abs())
    close = t.logical_and(close, t.logical_or(input == other, other.isfinite()))
    if equal_nan:
        close = t.logical_or(close, t.logical_and(input.isnan(), other.isnan()))
    return close


@both
def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether all elements are close."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


@both
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether shape and all elements are the same."""
    return input.shape == other.shape and bool((input == other).all())


@both
def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a real floating one."""
    return bool(tg.isdtype(input.dtype, "real floating"))


@both
def is_complex(input: Tensor) -> bool:
    """Whether the dtype is complex."""
    return _is_complex(input)


@both
def isreal(input: Tensor) -> Tensor:
    """Whether the imaginary part is 0."""
    return t.imag(input) == 0 if _is_complex(input) else t.ones_like(input, dtype=tg.bool)


@both
def is_nonzero(input: Tensor) -> bool:
    """Whether the only element is not 0."""
    return bool(input)


@function
def is_tensor(obj: Any) -> bool:
    """Whether it is a tensor of this module."""
    return isinstance(obj, Tensor)
