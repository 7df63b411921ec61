"""Losses as functions, with PyTorch's names and argument names.

They are part of ``tegula.nn.functional``.
"""

from __future__ import annotations

import tegula as tg
from tegula._core import Tensor

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "check_reduction",
    "cosine_embedding_loss",
    "cross_entropy",
    "ctc_loss",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "margin_ranking_loss",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
]


def check_reduction(reduction: str) -> None:
    """ValueError unless ``reduction`` is one of the three."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


def _reduce(loss: Tensor, reduction: str) -> Tensor:
    check_reduction(reduction)
    if reduction == "none":
        return loss
    return tg.mean(loss) if reduction == "mean" else tg.sum(loss)


def _same_shape(name: str, input: Tensor, target: Tensor) -> None:
    if input.shape != target.shape:
        raise ValueError(
            f"{name}: input and target must have the same shape, "
            f"got {input.shape} and {target.shape}"
        )


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """``(input - target)²``, reduced."""
    _same_shape("mse_loss", input, target)
    gap = input - target
    return _reduce(gap * gap, reduction)


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """``|input - target|``, reduced."""
    _same_shape("l1_loss", input, target)
    return _reduce(tg.abs(input - target), reduction)


def smooth_l1_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """``gap² / (2 beta)`` where ``|gap| < beta``, else ``|gap| - beta / 2``; Girshick 2015."""
    _same_shape("smooth_l1_loss", input, target)
    return tg.smooth_l1_loss(input, target, reduction, beta)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0
) -> Tensor:
    """``gap² / 2`` where ``|gap| < delta``, else ``delta (|gap| - delta / 2)``; Huber 1964."""
    _same_shape("huber_loss", input, target)
    return tg.huber_loss(input, target, reduction, delta)


kl_div = tg.kl_div
poisson_nll_loss = tg.poisson_nll_loss
gaussian_nll_loss = tg.gaussian_nll_loss
binary_cross_entropy = tg.binary_cross_entropy
hinge_embedding_loss = tg.hinge_embedding_loss
margin_ranking_loss = tg.margin_ranking_loss
soft_margin_loss = tg.soft_margin_loss
cosine_embedding_loss = tg.cosine_embedding_loss
triplet_margin_loss = tg.triplet_margin_loss
multi_margin_loss = tg.multi_margin_loss
multilabel_margin_loss = tg.multilabel_margin_loss
multilabel_soft_margin_loss = tg.multilabel_soft_margin_loss
ctc_loss = tg.ctc_loss


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``-(pos_weight t log σ(x) + (1 - t) log(1 - σ(x)))`` of logits x, without overflow.

    Args:
        input: logits, any shape.
        target: probabilities, the same shape.
        weight: rescales each element; broadcasts.
        pos_weight: weight of the positive class; broadcasts.
        reduction: "mean", "sum" or "none".
    """
    _same_shape("binary_cross_entropy_with_logits", input, target)
    # softplus(-x) = -log σ(x)
    tail = tg.log1p(tg.exp(-tg.abs(input))) + tg.maximum(-input, tg.zeros_like(input))
    if pos_weight is not None:
        tail = tail * ((pos_weight - 1) * target + 1)
    loss = (1 - target) * input + tail
    return _reduce(loss if weight is None else loss * weight, reduction)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``-weight[target] input[target]``: the loss of log-probabilities by class.

    Args:
        input: log-probabilities (C,), (N, C) or (N, C, …), classes on axis 1 unless 1-D.
        target: classes, integers (), (N,) or (N, …). One outside [0, C) is an IndexError when
            the loss is read, except ``ignore_index``, which counts for nothing.
        weight: weight of each class, (C,).
        ignore_index: the class to ignore; None, unlike PyTorch's -100, takes every class for real.
        reduction: "mean" (over the sum of the weights), "sum" or "none".

    Raises:
        ValueError: shapes that do not agree.
    """
    return tg.nll_loss(input, target, weight, ignore_index, reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """``-log softmax(input)[target]``: the loss of logits by class.

    Args:
        input: logits (C,), (N, C) or (N, C, …), classes on axis 1 unless 1-D.
        target: classes, integers (), (N,) or (N, …). One outside [0, C) is an IndexError when
            the loss is read, except ``ignore_index``, which counts for nothing.
        weight: weight of each class, (C,).
        ignore_index: the class to ignore; None, unlike PyTorch's -100, takes every class for real.
        reduction: "mean" (over the sum of the weights), "sum" or "none".
        label_smoothing: share of the target spread evenly over all classes, in [0, 1].

    Raises:
        ValueError: shapes that do not agree.
    """
    return tg.cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)
