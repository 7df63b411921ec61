"""First values of parameters. Each function gives its tensor a new value and returns it.

The numbers come from Tegula's default generator, so ``tg.manual_seed`` decides them.
"""

from __future__ import annotations

import math

import tegula as tg
from tegula._core import Tensor


def _set(tensor: Tensor, value: Tensor) -> Tensor:
    with tg.no_grad():
        tensor._bind(value)
    return tensor


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Uniform in [a, b)."""
    return _set(tensor, tg.random.uniform(tensor.shape, a, b, dtype=tensor.dtype))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normal with the given mean and standard deviation."""
    return _set(tensor, tg.random.normal(tensor.shape, mean, std, dtype=tensor.dtype))


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> Tensor:
    """Normal, cut to [a, b], by bisection of the distribution function from uniform numbers.

    One number is drawn for each element, however far out the interval is.
    """
    if not a < b:
        raise ValueError(f"trunc_normal_: a must be less than b, got {a} and {b}")
    low, high = (math.erf((edge - mean) / std / math.sqrt(2)) for edge in (a, b))
    uniform = tg.random.uniform(tensor.shape, low, high, dtype=tg.float64)
    value = _erfinv(uniform) * (std * math.sqrt(2)) + mean
    return _set(tensor, tg.clip(value, a, b).astype(tensor.dtype))


def _erfinv(y: Tensor) -> Tensor:
    """The inverse of erf: Giles' polynomial start (2010), then two Newton steps."""
    w = -tg.log(tg.maximum((1 - y) * (1 + y), tg.full_like(y, 1e-300)))
    centre, tail = w - 2.5, tg.sqrt(w) - 3
    near, far = tg.full_like(y, 2.81022636e-08), tg.full_like(y, -0.000200214257)
    for c_near, c_far in (
        (3.43273939e-07, 0.000100950558),
        (-3.5233877e-06, 0.00134934322),
        (-4.39150654e-06, -0.00367342844),
        (0.00021858087, 0.00573950773),
        (-0.00125372503, -0.0076224613),
        (-0.00417768164, 0.00943887047),
        (0.246640727, 1.00167406),
        (1.50140941, 2.83297682),
    ):
        near, far = near * centre + c_near, far * tail + c_far
    x = tg.where(w < 5, near, far) * y
    for _ in range(2):
        x = x - (tg.erf(x) - y) * tg.exp(x * x) * (math.sqrt(math.pi) / 2)
    return x


def constant_(tensor: Tensor, val: float) -> Tensor:
    """``val`` everywhere."""
    return _set(tensor, tg.full(tensor.shape, val, dtype=tensor.dtype))


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def fans(tensor: Tensor) -> tuple[int, int]:
    """(fan in, fan out) of a weight (out, in, …): the connections of one unit.

    Raises:
        ValueError: the tensor has fewer than 2 axes.
    """
    if tensor.ndim < 2:
        raise ValueError(f"init: fan in and fan out need at least 2 axes, got {tensor.shape}")
    window = math.prod(tensor.shape[2:])
    return tensor.shape[1] * window, tensor.shape[0] * window


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """How much an activation must be scaled up for to keep the variance, by its name."""
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2 / (1 + slope**2))
    gains = {"linear": 1.0, "conv2d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2)}
    if nonlinearity not in gains:
        known = ", ".join([*gains, "leaky_relu"])
        raise ValueError(f"calculate_gain: unknown nonlinearity {nonlinearity!r}; known: {known}")
    return gains[nonlinearity]


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"init: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Uniform with variance gain² / fan; He et al. 2015. ``a`` is the slope of leaky_relu."""
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Normal with variance gain² / fan; He et al. 2015. ``a`` is the slope of leaky_relu."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Uniform with variance 2 gain² / (fan in + fan out); Glorot & Bengio 2010."""
    bound = gain * math.sqrt(6 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Normal with variance 2 gain² / (fan in + fan out); Glorot & Bengio 2010."""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(fans(tensor))))
