"""Activations as modules; each is the function of the same name in ``nn.functional``."""

from __future__ import annotations

import tegula as tg
from tegula._core import Tensor
from tegula.nn import functional as F
from tegula.nn.module import Module, Parameter


class ReLU(Module):
    """``max(x, 0)``; any shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return tg.relu(x)


class GELU(Module):
    """``x Φ(x)``; any shape. ``approximate="tanh"`` takes its tanh form."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate must be 'none' or 'tanh', got {approximate!r}")
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        """The form, unless it is the exact one."""
        return "" if self.approximate == "none" else f"approximate={self.approximate!r}"


class SiLU(Module):
    """``x sigmoid(x)``; any shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return tg.silu(x)


class Tanh(Module):
    """The hyperbolic tangent; any shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return tg.tanh(x)


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``; any shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return tg.sigmoid(x)


class LeakyReLU(Module):
    """``x`` where positive, ``negative_slope * x`` elsewhere; any shape."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        """The slope."""
        return f"negative_slope={self.negative_slope}"


class ELU(Module):
    """``x`` where positive, ``alpha (exp(x) - 1)`` elsewhere; any shape."""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.elu(x, self.alpha)

    def extra_repr(self) -> str:
        """The scale of the negative part."""
        return f"alpha={self.alpha}"


class Softplus(Module):
    """``log(1 + exp(beta x)) / beta``; any shape."""

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.softplus(x, self.beta)

    def extra_repr(self) -> str:
        """The sharpness."""
        return f"beta={self.beta}"


class Softmax(Module):
    """``exp(x) / sum(exp(x))`` along ``dim``."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.softmax(x, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """``log(softmax(x))`` along ``dim``, computed without overflow."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.log_softmax(x, self.dim)


class ReLU6(Module):
    """``min(max(x, 0), 6)``; any shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.relu6(x)


class Hardsigmoid(Module):
    """``min(max(x + 3, 0), 6) / 6``; any shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.hardsigmoid(x)


class Hardswish(Module):
    """``x hardsigmoid(x)``; any shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.hardswish(x)


class SELU(Module):
    """The self-normalising unit; any shape. Klambauer et al. 2017."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.selu(x)


class Mish(Module):
    """``x tanh(softplus(x))``; any shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.mish(x)


class LogSigmoid(Module):
    """``log(sigmoid(x))``, without overflow; any shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.logsigmoid(x)


class Softsign(Module):
    """``x / (1 + |x|)``; any shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.softsign(x)


class Tanhshrink(Module):
    """``x - tanh(x)``; any shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.tanhshrink(x)


class CELU(Module):
    """``x`` where positive, ``alpha (exp(x / alpha) - 1)`` elsewhere; any shape."""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.celu(x, self.alpha)

    def extra_repr(self) -> str:
        """The scale of the negative part."""
        return f"alpha={self.alpha}"


class Hardtanh(Module):
    """``x`` kept between two numbers; any shape."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        super().__init__()
        self.min_val = min_val
        self.max_val = max_val

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.hardtanh(x, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        """The two numbers."""
        return f"min_val={self.min_val}, max_val={self.max_val}"


class Softshrink(Module):
    """``x`` brought ``lambd`` closer to 0; any shape."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.softshrink(x, self.lambd)

    def extra_repr(self) -> str:
        """How much closer."""
        return f"lambd={self.lambd}"


class Hardshrink(Module):
    """``x``, but 0 within ``lambd`` of 0; any shape."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.hardshrink(x, self.lambd)

    def extra_repr(self) -> str:
        """The reach of 0."""
        return f"lambd={self.lambd}"


class Threshold(Module):
    """``x`` where it is above ``threshold``, else ``value``; any shape."""

    def __init__(self, threshold: float, value: float) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.threshold(x, self.threshold, self.value)

    def extra_repr(self) -> str:
        """The two numbers."""
        return f"threshold={self.threshold}, value={self.value}"


class PReLU(Module):
    """``x`` where positive, ``weight x`` elsewhere; He et al. 2015.

    Args:
        num_parameters: 1, or one slope for each channel (axis 1).
        init: what the slopes begin as.
    """

    weight: Parameter

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        super().__init__()
        self.weight = Parameter(tg.full((num_parameters,), init))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.prelu(x, self.weight)

    def extra_repr(self) -> str:
        """The number of slopes."""
        return f"num_parameters={self.weight.shape[0]}"


class GLU(Softmax):
    """The first half of ``dim`` times the sigmoid of the second; Dauphin et al. 2017."""

    def forward(self, x: Tensor) -> Tensor:
        """(…, 2 n, …) → (…, n, …)."""
        return F.glu(x, self.dim)


class Softmin(Softmax):
    """``softmax(-x)`` along ``dim``."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return F.softmin(x, self.dim)
