"""The layers and losses as functions, with PyTorch's names and argument names."""

from __future__ import annotations

from typing import Any

import tegula as tg
from tegula._core import Tensor, _bind_all
from tegula.nn.functional_spatial import (
    affine_grid as affine_grid,
)
from tegula.nn.functional_spatial import (
    bilinear as bilinear,
)
from tegula.nn.functional_spatial import (
    channel_shuffle as channel_shuffle,
)
from tegula.nn.functional_spatial import (
    fold as fold,
)
from tegula.nn.functional_spatial import (
    grid_sample as grid_sample,
)
from tegula.nn.functional_spatial import (
    interpolate as interpolate,
)
from tegula.nn.functional_spatial import (
    local_response_norm as local_response_norm,
)
from tegula.nn.functional_spatial import (
    lp_pool1d as lp_pool1d,
)
from tegula.nn.functional_spatial import (
    lp_pool2d as lp_pool2d,
)
from tegula.nn.functional_spatial import (
    lp_pool3d as lp_pool3d,
)
from tegula.nn.functional_spatial import (
    max_pool1d_with_indices as max_pool1d_with_indices,
)
from tegula.nn.functional_spatial import (
    max_pool2d_with_indices as max_pool2d_with_indices,
)
from tegula.nn.functional_spatial import (
    max_pool3d_with_indices as max_pool3d_with_indices,
)
from tegula.nn.functional_spatial import (
    max_unpool1d as max_unpool1d,
)
from tegula.nn.functional_spatial import (
    max_unpool2d as max_unpool2d,
)
from tegula.nn.functional_spatial import (
    max_unpool3d as max_unpool3d,
)
from tegula.nn.functional_spatial import (
    pad as pad,
)
from tegula.nn.functional_spatial import (
    pixel_shuffle as pixel_shuffle,
)
from tegula.nn.functional_spatial import (
    pixel_unshuffle as pixel_unshuffle,
)
from tegula.nn.functional_spatial import (
    unfold as unfold,
)


def per_axis(value: Any, axes: int, name: str) -> tuple[int, ...]:
    """``value`` for each of ``axes`` axes: an int stands for all.

    Raises:
        TypeError: it is neither an int nor as many ints.
    """
    each = value if isinstance(value, (tuple, list)) else (value,) * axes
    if len(each) != axes or any(isinstance(v, bool) or not hasattr(v, "__index__") for v in each):
        raise TypeError(f"{name} must be an int or {axes} ints, got {value!r}")
    return tuple(int(v) for v in each)


def named_padding(padding: Any, stride: Any, dilation: Any, weight: Tensor) -> Any:
    """``padding`` of a convolution as ints: "valid" is none, "same" keeps the extents.

    Raises:
        ValueError: another name, or "same" with a stride.
    """
    if not isinstance(padding, str):
        return padding
    axes = weight.ndim - 2
    if padding == "valid":
        return 0
    if padding != "same" or set(per_axis(stride, axes, "stride")) != {1}:
        raise ValueError(
            f"padding must be ints, 'valid', or (with stride 1) 'same'; got {padding!r} with "
            f"stride {stride}"
        )
    spread = per_axis(dilation, axes, "dilation")
    spans = [d * (k - 1) for d, k in zip(spread, weight.shape[2:], strict=True)]
    return tuple(s // 2 for s in spans) + tuple(s - s // 2 for s in spans)


# ---- layers ----------------------------------------------------------------------------------


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias``: (…, in) with weight (out, in) and bias (out,) → (…, out)."""
    return tg.linear(input, weight, bias)


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation: (N, C, L) with weight (O, C / groups, k) → (N, O, L')."""
    padding = named_padding(padding, stride, dilation, weight)
    return tg.conv1d(input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation: (N, C, H, W) with weight (O, C / groups, kh, kw) → (N, O, H', W').

    ``padding``: ints, "valid" (none) or "same" (keeps the extents, with stride 1).
    """
    padding = named_padding(padding, stride, dilation, weight)
    return tg.conv2d(input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation: (N, C, D, H, W) with weight (O, C / groups, kd, kh, kw) → (N, O, …)."""
    padding = named_padding(padding, stride, dilation, weight)
    return tg.conv3d(input, weight, bias, stride, padding, dilation, groups)


conv_transpose1d = tg.conv_transpose1d
conv_transpose2d = tg.conv_transpose2d
conv_transpose3d = tg.conv_transpose3d


def max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The maximum of each window: (N, C, L) → (N, C, L'). Padding never wins."""
    return tg.max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The maximum of each window: (N, C, H, W) → (N, C, H', W'). Padding never wins."""
    return tg.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The maximum of each window: (N, C, D, H, W) → (N, C, D', H', W'). Padding never wins."""
    return tg.max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode)


def avg_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window: (N, C, L) → (N, C, L')."""
    return tg.avg_pool1d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window: (N, C, H, W) → (N, C, H', W')."""
    return tg.avg_pool2d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window: (N, C, D, H, W) → (N, C, D', H', W')."""
    return tg.avg_pool3d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def _grid(input: Tensor, output_size: Any, axes: int) -> tuple[int, ...]:
    """``output_size`` for each of the last axes; None keeps an extent."""
    each = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * axes
    if len(each) == axes and input.ndim > axes:
        each = [
            size if given is None else given
            for given, size in zip(each, input.shape[-axes:], strict=True)
        ]
    return per_axis(each, axes, "output_size")


def adaptive_max_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """The maximum of each window of a grid: (N, C, L) → (N, C, output_size)."""
    return tg.adaptive_max_pool1d(input, _grid(input, output_size, 1))


def adaptive_max_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """The maximum of each window of a grid: (N, C, H, W) → (N, C, *output_size).

    Window i of an axis goes from floor(i * size / output_size) to
    ceil((i + 1) * size / output_size); None keeps an extent.
    """
    return tg.adaptive_max_pool2d(input, _grid(input, output_size, 2))


def adaptive_max_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """The maximum of each window of a grid: (N, C, D, H, W) → (N, C, *output_size)."""
    return tg.adaptive_max_pool3d(input, _grid(input, output_size, 3))


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """The mean of each window of a grid: (N, C, L) → (N, C, output_size)."""
    return tg.adaptive_avg_pool1d(input, _grid(input, output_size, 1))


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """The mean of each window of a grid: (N, C, H, W) → (N, C, *output_size).

    Window i of an axis goes from floor(i * size / output_size) to
    ceil((i + 1) * size / output_size); None keeps an extent.
    """
    return tg.adaptive_avg_pool2d(input, _grid(input, output_size, 2))


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """The mean of each window of a grid: (N, C, D, H, W) → (N, C, *output_size)."""
    return tg.adaptive_avg_pool3d(input, _grid(input, output_size, 3))


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Rows of ``weight`` (n, d) by index: integers (…) → (…, d).

    An index outside [0, n) is an IndexError when the result is read. The row ``padding_idx``
    gets no gradient.
    """
    if weight.ndim != 2:
        raise ValueError(f"embedding: the weight must be (n, d), got {weight.shape}")
    count = weight.shape[0]
    index = _indices(input, "embedding: the input")
    rows = tg.embedding(weight, index)
    if padding_idx is None or not weight.requires_grad:
        return rows
    padded = tg.expand_dims(index == padding_idx % count, axis=-1)
    return tg.where(padded, rows.detach(), rows)


def _indices(tensor: Tensor, name: str) -> Tensor:
    """The tensor as int64; TypeError unless it holds integers."""
    if not tg.isdtype(tensor.dtype, "integral"):
        raise TypeError(f"{name} must hold integers, got {tensor.dtype}")
    return tensor.astype(tg.int64)


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Sets elements to zero with probability ``p`` and scales the others by 1 / (1 - p)."""
    return tg.dropout(input, p) if training and p > 0 else input


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises each channel (axis 1) of (N, C) or (N, C, …); Ioffe & Szegedy 2015.

    With ``training`` or without running statistics by the batch's mean and biased variance, and
    then moves the running statistics (the variance unbiased) towards them by ``momentum``.

    Raises:
        ValueError: wrong rank or channels, or one value per channel to take a variance of.
    """
    if running_mean is None or running_var is None:
        training, running_mean, running_var = True, None, None
    result, *moved = tg.batch_norm(
        input, running_mean, running_var, weight, bias, training, momentum, eps
    )
    if training and running_mean is not None and running_var is not None:
        _bind_all([running_mean, running_var], moved)
    return result


def layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises over the trailing axes ``normalized_shape``; Ba, Kiros & Hinton 2016."""
    shape = _trailing(normalized_shape)
    if input.shape[max(0, input.ndim - len(shape)) :] != shape:
        raise ValueError(f"layer_norm: the input {input.shape} does not end in {shape}")
    return tg.layer_norm(input, len(shape), weight, bias, eps)


def _trailing(shape: Any) -> tuple[int, ...]:
    return tuple(shape) if isinstance(shape, (tuple, list)) else (int(shape),)


# ---- activations -----------------------------------------------------------------------------


def relu(input: Tensor) -> Tensor:
    """``max(x, 0)``."""
    return tg.relu(input)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """``x Φ(x)``, or with ``approximate="tanh"`` its tanh form; Hendrycks & Gimpel 2016."""
    return tg.gelu(input, approximate)


def silu(input: Tensor) -> Tensor:
    """``x sigmoid(x)``."""
    return tg.silu(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return tg.tanh(input)


def sigmoid(input: Tensor) -> Tensor:
    """``1 / (1 + exp(-x))``."""
    return tg.sigmoid(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """``x`` where positive, ``negative_slope * x`` elsewhere."""
    return tg.leaky_relu(input, negative_slope)


def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """``x`` where positive, ``alpha (exp(x) - 1)`` elsewhere; Clevert et al. 2015."""
    return tg.elu(input, alpha)


def softplus(input: Tensor, beta: float = 1.0) -> Tensor:
    """``log(1 + exp(beta x)) / beta``."""
    return tg.softplus(input) if beta == 1 else tg.softplus(input * beta) / beta


def softmax(input: Tensor, dim: int = -1) -> Tensor:
    """``exp(x) / sum(exp(x))`` along ``dim``."""
    return tg.softmax(input, axis=dim)


def log_softmax(input: Tensor, dim: int = -1) -> Tensor:
    """``log(softmax(x))`` along ``dim``, computed without overflow."""
    return tg.log_softmax(input, axis=dim)


def softmin(input: Tensor, dim: int = -1) -> Tensor:
    """``softmax(-x)`` along ``dim``."""
    return tg.softmin(input, axis=dim)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half of ``dim`` times the sigmoid of the second; Dauphin et al. 2017."""
    return tg.glu(input, axis=dim)


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """``x / max(|x|, eps)`` with the p-norm along ``dim``."""
    return tg.normalize(input, p, axis=dim, eps=eps)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along ``dim``."""
    return tg.cosine_similarity(x1, x2, axis=dim, eps=eps)


def gumbel_softmax(logits: Tensor, tau: float = 1.0, hard: bool = False, dim: int = -1) -> Tensor:
    """Draws from categories that can be differentiated; Jang et al. 2017, Maddison et al. 2017.

    The softmax along ``dim`` of logits with Gumbel noise, divided by ``tau``. ``hard`` gives 1 at
    the largest and 0 elsewhere, with the soft result's gradient.
    """
    if tau <= 0:
        raise ValueError(f"gumbel_softmax: tau must be positive, got {tau}")
    noise = tg.random.gumbel(shape=logits.shape, dtype=logits.dtype)
    soft = tg.softmax((logits + noise) / tau, axis=dim)
    if not hard:
        return soft
    first = tg.argmax(soft, axis=dim, keepdims=True)
    places = tg.moveaxis(tg.arange(soft.shape[dim]).reshape((-1,) + (1,) * (soft.ndim - 1)), 0, dim)
    return (tg.astype(places == first, soft.dtype) - soft).detach() + soft


relu6 = tg.relu6
hardtanh = tg.hardtanh
hardsigmoid = tg.hardsigmoid
hardswish = tg.hardswish
selu = tg.selu
celu = tg.celu
mish = tg.mish
prelu = tg.prelu
logsigmoid = tg.log_sigmoid
softsign = tg.softsign
tanhshrink = tg.tanhshrink
softshrink = tg.softshrink
hardshrink = tg.hardshrink
threshold = tg.threshold
pairwise_distance = tg.pairwise_distance


# ---- losses ----------------------------------------------------------------------------------


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


def one_hot(input: Tensor, num_classes: int) -> Tensor:
    """Integers (…) → (…, num_classes), 1 at the class and 0 elsewhere."""
    return tg.one_hot(input, num_classes)
