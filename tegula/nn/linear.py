"""Layers that map features: Linear, Embedding; and Dropout, Flatten, Identity."""

from __future__ import annotations

import math
from typing import Any

import tegula as tg
from tegula._core import Tensor
from tegula.nn import functional as F
from tegula.nn import init
from tegula.nn.module import Module, Parameter


def positive(owner: Module, **sizes: Any) -> None:
    """TypeError or ValueError unless every size is an int of at least 1."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not hasattr(size, "__index__"):
            raise TypeError(f"{type(owner).__name__}: {name} must be an int, got {size!r}")
        if size < 1:
            raise ValueError(f"{type(owner).__name__}: {name} must be at least 1, got {size}")


def default_init(weight: Parameter, bias: Parameter | None) -> None:
    """PyTorch's start of Linear and Conv2d: uniform within ±1 / sqrt(fan in)."""
    init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        fan_in, _ = init.fans(weight)
        bound = 1 / math.sqrt(fan_in)
        init.uniform_(bias, -bound, bound)


class Linear(Module):
    """``x @ weight.T + bias``: (…, in_features) → (…, out_features).

    Args:
        in_features: size of the last axis of the input.
        out_features: size of the last axis of the result.
        bias: whether to add a learned bias.
        dtype: dtype of the parameters, float32 unless said.

    Attributes:
        weight: (out_features, in_features), uniform within ±1 / sqrt(in_features) at first.
        bias: (out_features,), the same, or None.
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, dtype: Any = None
    ) -> None:
        super().__init__()
        positive(self, in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(tg.empty((out_features, in_features), dtype=dtype))
        self.bias = Parameter(tg.empty((out_features,), dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new first values."""
        default_init(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(…, in_features) → (…, out_features)."""
        return tg.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.in_features}, {self.out_features}" + (
            "" if self.bias is not None else ", bias=False"
        )


class Embedding(Module):
    """Rows of a learned table by index: integers (…) → (…, embedding_dim).

    An index outside [0, num_embeddings) is an IndexError when the result is read.

    Args:
        num_embeddings: rows of the table.
        embedding_dim: size of a row.
        padding_idx: a row that starts at zero and is not trained.
        dtype: dtype of the table, float32 unless said.

    Attributes:
        weight: (num_embeddings, embedding_dim), standard normal at first.
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        positive(self, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(
                    f"Embedding: padding_idx must be within {num_embeddings} rows, "
                    f"got {padding_idx}"
                )
            padding_idx %= num_embeddings
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = padding_idx
        self.weight = Parameter(tg.empty((num_embeddings, embedding_dim), dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new first values."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with tg.no_grad():
                self.weight[self.padding_idx] = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """Integers (…) → (…, embedding_dim)."""
        return F.embedding(x, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """The sizes."""
        pad = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{pad}"


class Dropout(Module):
    """In training sets elements to zero with probability ``p`` and scales the others up.

    Srivastava et al. 2014. Any shape; in evaluation the input comes back as it is.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p must be a probability in [0, 1], got {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return tg.dropout(x, self.p) if self.training and self.p > 0 else x

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"


class Flatten(Module):
    """Joins the axes from ``start_dim`` to ``end_dim`` into one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C * H * W) as constructed by default."""
        shape = x.shape
        first, last = (d + len(shape) if d < 0 else d for d in (self.start_dim, self.end_dim))
        if not 0 <= first <= last < len(shape):
            raise ValueError(
                f"Flatten: axes {self.start_dim} to {self.end_dim} are not axes of {shape}"
            )
        joined = math.prod(shape[first : last + 1])
        return tg.reshape(x, (*shape[:first], joined, *shape[last + 1 :]))

    def extra_repr(self) -> str:
        """The axes, unless they are the usual ones."""
        usual = (self.start_dim, self.end_dim) == (1, -1)
        return "" if usual else f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Identity(Module):
    """Returns its input; takes and ignores any arguments at construction."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """Anything → itself."""
        return x
