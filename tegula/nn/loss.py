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


class KLDivLoss(_Loss):
    """``target (log(target) - input)`` of log-probabilities and probabilities."""

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__("mean" if reduction == "batchmean" else reduction)
        self.reduction = reduction
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Tensors of one shape → 0-d, or their shape with reduction "none"."""
        return F.kl_div(input, target, self.reduction, self.log_target)


class PoissonNLLLoss(_Loss):
    """``exp(input) - target input`` of the logarithm of a Poisson rate."""

    def __init__(
        self, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Tensors of one shape → 0-d, or their shape with reduction "none"."""
        return F.poisson_nll_loss(
            input, target, self.log_input, self.full, self.eps, self.reduction
        )


class GaussianNLLLoss(_Loss):
    """The loss of a mean and a variance; Nix & Weigend 1994."""

    def __init__(self, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor) -> Tensor:
        """Tensors of one shape → 0-d, or their shape with reduction "none"."""
        return F.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)


class HingeEmbeddingLoss(_Loss):
    """``input`` where target is 1, ``max(0, margin - input)`` where it is -1."""

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Tensors of one shape → 0-d, or their shape with reduction "none"."""
        return F.hinge_embedding_loss(input, target, self.margin, self.reduction)


class MarginRankingLoss(_Loss):
    """``max(0, margin - target (input1 - input2))``."""

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """Tensors of one shape → 0-d, or their shape with reduction "none"."""
        return F.margin_ranking_loss(input1, input2, target, self.margin, self.reduction)


class SoftMarginLoss(_Loss):
    """``log(1 + exp(-target input))``."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Tensors of one shape → 0-d, or their shape with reduction "none"."""
        return F.soft_margin_loss(input, target, self.reduction)


class CosineEmbeddingLoss(_Loss):
    """``1 - cos`` where target is 1, ``max(0, cos - margin)`` where it is -1."""

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """(N, D), (N, D), (N,) → 0-d, or (N,) with reduction "none"."""
        return F.cosine_embedding_loss(input1, input2, target, self.margin, self.reduction)


class TripletMarginLoss(_Loss):
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)``; Balntas et al. 2016."""

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Three of (N, D) → 0-d, or (N,) with reduction "none"."""
        return F.triplet_margin_loss(
            anchor, positive, negative, self.margin, self.p, self.eps, self.swap, self.reduction
        )


class MultiLabelMarginLoss(_Loss):
    """The margins of all labels over all other classes."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """(N, C) and labels (N, C), ended by -1 → 0-d, or (N,)."""
        return F.multilabel_margin_loss(input, target, self.reduction)


class BCELoss(_Loss):
    """The binary cross-entropy of probabilities; ``BCEWithLogitsLoss`` is more accurate.

    Args:
        weight: rescales each element; broadcasts.
        reduction: "mean", "sum" or "none".
    """

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape → 0-d, or their shape with reduction "none"."""
        return F.binary_cross_entropy(input, target, self.weight, self.reduction)


class MultiLabelSoftMarginLoss(_Loss):
    """The mean over classes of the binary cross-entropy of logits.

    Args:
        weight: rescales each element; broadcasts.
        reduction: "mean", "sum" or "none".
    """

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two of (N, C) → 0-d, or (N,) with reduction "none"."""
        return F.multilabel_soft_margin_loss(input, target, self.weight, self.reduction)


class MultiMarginLoss(_Loss):
    """The margins of the label's score over those of the other classes.

    Args:
        p: 1 or 2, the power of each.
        margin: what a score must be above the others.
        weight: weight of each class, (C,).
        reduction: "mean", "sum" or "none".
    """

    weight: Tensor | None

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.p, self.margin = p, margin
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """(N, C) and labels (N,) → 0-d, or (N,) with reduction "none"."""
        return F.multi_margin_loss(input, target, self.p, self.margin, self.weight, self.reduction)


class CTCLoss(_Loss):
    """Connectionist temporal classification; Graves et al. 2006.

    Args:
        blank: the class of no label.
        reduction: "mean" (of each loss divided by its target length), "sum" or "none".
        zero_infinity: targets that fit no alignment count for nothing.
    """

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(reduction)
        self.blank, self.zero_infinity = blank, zero_infinity

    def forward(
        self, log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor
    ) -> Tensor:
        """(T, N, C), (N, S), (N,) and (N,) → 0-d, or (N,) with reduction "none"."""
        return F.ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction,
            self.zero_infinity,
        )  # fmt: skip
