"""``torch.nn.functional``: losses and distances."""

from __future__ import annotations

import math
import warnings
from typing import Any

import tegula as tg
from tegula import _core
from tegula.compat.torch._elementwise import _where
from tegula.compat.torch._registry import functions, need, t
from tegula.compat.torch._tensor import Tensor
from tegula.nn import functional as plain

table: dict[str, Any] = {}


def _loss(f: Any) -> Any:
    table[f.__name__] = f
    return f


def legacy_reduction(size_average: Any, reduce: Any, reduction: str) -> str:
    """The reduction that PyTorch's old arguments mean."""
    if size_average is None and reduce is None:
        return reduction
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    if reduction != "none":
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return loss


def _broadcast(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if input.shape != target.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}).",
            stacklevel=3,
        )
        input, target = functions["broadcast_tensors"](input, target)
    return input, target


def _pointwise(name: str, f: Any, extra: tuple[tuple[str, Any], ...] = ()) -> None:
    names = [n for n, _ in extra]
    order = [*names, "size_average", "reduce", "reduction"]
    if name in ("smooth_l1_loss", "huber_loss"):
        order = ["size_average", "reduce", "reduction", *names]
    if name == "huber_loss":
        order = ["reduction", *names]

    def apply(input: Tensor, target: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        given = {**dict(zip(order, args, strict=False)), **kwargs}
        weight = given.pop("weight", None) if "weight" not in names else None
        reduction = legacy_reduction(
            given.pop("size_average", None),
            given.pop("reduce", None),
            given.pop("reduction", "mean"),
        )
        values = {key: given.pop(key, default) for key, default in extra}
        if given:
            raise TypeError(f"{name}() got an unexpected keyword argument {next(iter(given))!r}")
        loss = f(*_broadcast(input, target), **values)
        return _reduced(loss if weight is None else loss * weight, reduction)

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = f"As torch.nn.functional.{name}."
    table[name] = apply


def _smooth(x: Tensor, y: Tensor, beta: float) -> Tensor:
    d = (x - y).abs()
    return d if beta == 0 else _where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta)


def _huber(x: Tensor, y: Tensor, delta: float) -> Tensor:
    d = (x - y).abs()
    return _where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta))


def _bce(x: Tensor, y: Tensor, weight: Any) -> Tensor:
    # As PyTorch: logarithms not below -100.
    loss = -(y * t.clamp(x.log(), -100) + (1 - y) * t.clamp((1 - x).log(), -100))
    return loss if weight is None else loss * weight


def _bce_logits(x: Tensor, y: Tensor, weight: Any, pos_weight: Any) -> Tensor:
    low = _core.log_sigmoid(x)
    if pos_weight is None:
        loss = (1 - y) * x - low
    else:
        loss = (1 - y) * x - (1 + (pos_weight - 1) * y) * low
    return loss if weight is None else loss * weight


def _kl(x: Tensor, y: Tensor, log_target: bool) -> Tensor:
    if log_target:
        return y.exp() * (y - x)
    return functions["xlogy"](y, y) - y * x


def _poisson(x: Tensor, y: Tensor, log_input: bool, full: bool, eps: float) -> Tensor:
    loss = x.exp() - y * x if log_input else x - y * (x + eps).log()
    if full:
        stirling = y * y.log() - y + 0.5 * (2 * math.pi * y).log()
        loss = loss + _where(y > 1, stirling, 0.0)
    return loss


_pointwise("mse_loss", lambda x, y: (x - y) ** 2)
_pointwise("l1_loss", lambda x, y: (x - y).abs())
_pointwise("smooth_l1_loss", _smooth, (("beta", 1.0),))
_pointwise("huber_loss", _huber, (("delta", 1.0),))
_pointwise("binary_cross_entropy", _bce, (("weight", None),))
_pointwise("soft_margin_loss", lambda x, y: t.log1p((-y * x).exp()))


@_loss
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Tensor:
    """The cross entropy of sigmoid(input)."""
    if target.shape != input.shape:
        raise ValueError(
            f"Target size ({target.shape}) must be the same as input size ({input.shape})"
        )
    loss = _bce_logits(input, target, weight, pos_weight)
    return _reduced(loss, legacy_reduction(size_average, reduce, reduction))


@_loss
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """The Kullback-Leibler divergence of log-probabilities."""
    loss = _kl(input, target, log_target)
    if reduction == "batchmean":
        return loss.sum() / input.shape[0] if input.ndim else loss.sum()
    return _reduced(loss, legacy_reduction(size_average, reduce, reduction))


@_loss
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: Any = None,
    eps: float = 1e-8,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """The negative log likelihood of Poisson counts."""
    loss = _poisson(input, target, log_input, full, eps)
    return _reduced(loss, legacy_reduction(size_average, reduce, reduction))


@_loss
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """The negative log likelihood of normal numbers."""
    spread = var if isinstance(var, _core.Tensor) else t.full_like(input, float(var))
    if spread.shape != input.shape and spread.shape == input.shape[:-1]:
        spread = t.unsqueeze(spread, -1)
    floor = spread + t.clamp(eps - spread.detach(), 0)  # clamped without losing the gradient
    loss = 0.5 * (floor.log() + (input - target) ** 2 / floor)
    return _reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


@_loss
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log-probability of the class."""
    how = legacy_reduction(size_average, reduce, reduction)
    return _core.nll_loss(input, target, weight, ignore_index, how)


functions["nll_loss"] = nll_loss


@_loss
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Minus the logarithm of the softmax at the class, or by probabilities of classes."""
    how = legacy_reduction(size_average, reduce, reduction)
    if tg.isdtype(target.dtype, "integral"):
        return _core.cross_entropy(input, target, weight, ignore_index, how, label_smoothing)
    axis = 0 if input.ndim == 1 else 1
    count = input.shape[axis]
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / count
    logp = _core.log_softmax(input, axis=axis)
    if weight is not None:
        logp = logp * weight.reshape([-1 if i == axis else 1 for i in range(input.ndim)])
    loss = -(logp * target).sum(axis)
    if how == "mean":
        return loss.sum() / max(input.numel() // count, 1)
    return _reduced(loss, how)


def _margin(name: str, f: Any) -> None:
    f.__name__ = f.__qualname__ = name
    f.__doc__ = f"As torch.nn.functional.{name}."
    table[name] = f


def _how(kwargs: dict[str, Any]) -> str:
    return legacy_reduction(
        kwargs.pop("size_average", None),
        kwargs.pop("reduce", None),
        kwargs.pop("reduction", "mean"),
    )


def _hinge_embedding(input: Tensor, target: Tensor, margin: float = 1.0, **k: Any) -> Tensor:
    low = _where(target != 1, t.clamp(margin - input, 0), 0.0)
    return _reduced(_where(target != -1, input, 0.0) + low, _how(k))


def _margin_ranking(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, **k: Any
) -> Tensor:
    return _reduced(t.clamp(-target * (input1 - input2) + margin, 0), _how(k))


def _cosine_embedding(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, **k: Any
) -> Tensor:
    product = (input1 * input2).sum(-1)
    a, b = (input1 * input1).sum(-1) + 1e-12, (input2 * input2).sum(-1) + 1e-12
    cosine = product / (a * b).sqrt()
    apart = _where(target == -1, t.clamp(cosine - margin, 0), 0.0)
    return _reduced(_where(target == 1, 1 - cosine, 0.0) + apart, _how(k))


def _triplet(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    **k: Any,
) -> Tensor:
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = t.minimum(far, pairwise_distance(positive, negative, p, eps))
    return _reduced(t.clamp(margin + near - far, 0), _how(k))


def _triplet_with_distance(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Any = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = t.minimum(far, distance(positive, negative))
    return _reduced(t.clamp(margin + near - far, 0), reduction)


def _multi_margin(
    input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0, weight: Any = None, **k: Any
) -> Tensor:
    x = input if input.ndim == 2 else input.reshape(1, -1)
    index = target.reshape(-1, 1)
    own = functions["gather"](x, 1, index)
    loss = t.clamp(margin - own + x, 0) ** p
    if weight is not None:
        loss = loss * _core.take(weight, index.reshape(-1), axis=0).unsqueeze(1)
    others = t.arange(x.shape[1]) != index
    total = _where(others, loss, 0.0).sum(1) / x.shape[1]
    return _reduced(total if input.ndim == 2 else total[0], _how(k))


def _multilabel_margin(input: Tensor, target: Tensor, **k: Any) -> Tensor:
    x = input if input.ndim == 2 else input.reshape(1, -1)
    y = target.reshape(x.shape)
    valid = t.cumprod((y >= 0).to(tg.int64), 1) == 1
    safe = _where(valid, y, 0)
    own = functions["gather"](x, 1, safe)
    marked = functions["scatter_add"](t.zeros(x.shape), 1, safe, valid.to(tg.float32)) > 0
    gap = t.clamp(1 - own.unsqueeze(2) + x.unsqueeze(1), 0)
    use = valid.unsqueeze(2) & marked.logical_not().unsqueeze(1)
    total = _where(use, gap, 0.0).sum((1, 2)) / x.shape[1]
    return _reduced(total if input.ndim == 2 else total[0], _how(k))


def _multilabel_soft(input: Tensor, target: Tensor, weight: Any = None, **k: Any) -> Tensor:
    loss = -(target * _core.log_sigmoid(input) + (1 - target) * _core.log_sigmoid(-input))
    loss = loss if weight is None else loss * weight
    return _reduced(loss.mean(-1), _how(k))


for _name, _f in {
    "hinge_embedding_loss": _hinge_embedding,
    "margin_ranking_loss": _margin_ranking,
    "cosine_embedding_loss": _cosine_embedding,
    "triplet_margin_loss": _triplet,
    "triplet_margin_with_distance_loss": _triplet_with_distance,
    "multi_margin_loss": _multi_margin,
    "multilabel_margin_loss": _multilabel_margin,
    "multilabel_soft_margin_loss": _multilabel_soft,
}.items():
    _margin(_name, _f)


@_loss
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle along an axis."""
    a, b = functions["broadcast_tensors"](x1, x2)
    size_a, size_b = (
        functions["clamp_min"](functions["norm"](x, 2, dim, True), eps) for x in (a, b)
    )
    return ((a / size_a) * (b / size_b)).sum(dim)


@_loss
def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The p-norm of the difference along the last axis."""
    return functions["norm"](x1 - x2 + eps, p, -1, keepdim)


@_loss
def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """Distances of all pairs of rows, each pair once."""
    rows, columns = functions["triu_indices"](input.shape[0], input.shape[0], 1)
    return functions["norm"](
        _core.take(input, rows, axis=0) - _core.take(input, columns, axis=0), p, -1
    )


@_loss
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Connectionist temporal classification (Graves et al. 2006)."""
    operation = need("ctc_loss", "nn.functional.ctc_loss")
    return operation(
        log_probs,
        targets,
        input_lengths,
        target_lengths,
        blank=blank,
        reduction=reduction,
        zero_infinity=zero_infinity,
    )


for _name in (
    "cosine_similarity",
    "pairwise_distance",
    "pdist",
    "cosine_embedding_loss",
    "margin_ranking_loss",
    "hinge_embedding_loss",
    "triplet_margin_loss",
    "kl_div",
    "poisson_nll_loss",
    "binary_cross_entropy_with_logits",
    "ctc_loss",
):
    functions[_name] = table[_name]
del plain
