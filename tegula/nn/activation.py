"""Activations as modules; each is the function of the same name in ``nn.functional``."""

from __future__ import annotations

import tegula as tg
from tegula._core import Tensor
from tegula.nn import functional as F
from tegula.nn.module import Module


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
