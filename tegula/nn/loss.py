"""Losses as modules; each is the function of the same name in ``nn.functional``."""

from __future__ import annotations

from tegula._core import Tensor
from tegula.nn import functional as F
from tegula.nn.module import Module


class _Loss(Module):
    """What the losses share: "mean", "sum" or "none"."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        F.check_reduction(reduction)
        self.reduction = reduction

    def extra_repr(self) -> str:
        """The reduction, unless it is the mean."""
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"


class MSELoss(_Loss):
    """``(input - target)²``; two tensors of one shape."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape → 0-d, or their shape with reduction "none"."""
        return F.mse_loss(input, target, self.reduction)


class L1Loss(_Loss):
    """``|input - target|``; two tensors of one shape."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape → 0-d, or their shape with reduction "none"."""
        return F.l1_loss(input, target, self.reduction)


class SmoothL1Loss(_Loss):
    """``gap² / (2 beta)`` where ``|gap| < beta``, else ``|gap| - beta / 2``."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape → 0-d, or their shape with reduction "none"."""
        return F.smooth_l1_loss(input, target, self.reduction, self.beta)


class HuberLoss(_Loss):
    """``gap² / 2`` where ``|gap| < delta``, else ``delta (|gap| - delta / 2)``."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape → 0-d, or their shape with reduction "none"."""
        return F.huber_loss(input, target, self.reduction, self.delta)


class BCEWithLogitsLoss(_Loss):
    """Binary cross-entropy of logits and probabilities of one shape.

    Args:
        weight: rescales each element; broadcasts.
        reduction: "mean", "sum" or "none".
        pos_weight: weight of the positive class; broadcasts.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape → 0-d, or their shape with reduction "none"."""
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, self.pos_weight, self.reduction
        )

    weight: Tensor | None
    pos_weight: Tensor | None


class NLLLoss(_Loss):
    """The loss of log-probabilities by class.

    Args:
        weight: weight of each class, (C,).
        ignore_index: a class that counts for nothing.
        reduction: "mean" (over the sum of the weights), "sum" or "none".
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """(N, C, …) and integers (N, …) → 0-d, or (N, …) with reduction "none"."""
        return F.nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class CrossEntropyLoss(NLLLoss):
    """The loss of logits by class.

    Args:
        weight: weight of each class, (C,).
        ignore_index: a class that counts for nothing.
        reduction: "mean" (over the sum of the weights), "sum" or "none".
        label_smoothing: share of the target spread evenly over all classes, in [0, 1].
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, ignore_index, reduction)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(
                f"CrossEntropyLoss: label_smoothing must be in [0, 1], got {label_smoothing}"
            )
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """(N, C, …) and integers (N, …) → 0-d, or (N, …) with reduction "none"."""
        return F.cross_entropy(
            input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )
