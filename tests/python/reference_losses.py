"""What activations and losses should give, as their papers and PyTorch define them; for
``reference``."""

from __future__ import annotations

import numpy as np
import scipy.special

Array = np.ndarray


def reduce(loss: Array, reduction: str) -> Array:
    return {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction](loss)


def prelu(x, weight) -> Array:
    weight = np.asarray(weight, x.dtype)
    if weight.size > 1:
        axis = 1 if x.ndim > 1 else 0
        weight = weight.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return np.where(x > 0, x, weight * x)


def huber_loss(a, b, reduction="mean", delta=1.0) -> Array:
    return reduce(scipy.special.huber(delta, a - b), reduction)


def smooth_l1_loss(a, b, reduction="mean", beta=1.0) -> Array:
    gap = np.abs(a - b)
    return reduce(scipy.special.huber(beta, gap) / beta if beta else gap, reduction)


def kl_div(x, t, reduction="mean", log_target=False) -> Array:
    loss = np.exp(t) * (t - x) if log_target else scipy.special.xlogy(t, t) - t * x
    return loss.sum() / len(x) if reduction == "batchmean" else reduce(loss, reduction)


def poisson_nll_loss(x, t, log_input=True, full=False, eps=1e-8, reduction="mean") -> Array:
    loss = np.exp(x) - t * x if log_input else x - t * np.log(x + eps)
    if full:
        loss = loss + np.where(t > 1, t * np.log(t) - t + np.log(2 * np.pi * t) / 2, 0)
    return reduce(loss, reduction)


def gaussian_nll_loss(x, t, var, full=False, eps=1e-6, reduction="mean") -> Array:
    var = np.maximum(var, eps)
    loss = (np.log(var) + (x - t) ** 2 / var) / 2 + full * np.log(2 * np.pi) / 2
    return reduce(loss, reduction)


def binary_cross_entropy(p, t, weight=None, reduction="mean") -> Array:
    loss = -(t * np.maximum(np.log(p), -100) + (1 - t) * np.maximum(np.log1p(-p), -100))
    return reduce(loss if weight is None else loss * weight, reduction)


def cosine_similarity(x, y, axis=-1, eps=1e-8) -> Array:
    x, y = np.broadcast_arrays(x, y)
    norms = (np.maximum(np.linalg.norm(z, axis=axis), eps) for z in (x, y))
    return (x * y).sum(axis) / np.prod(list(norms), axis=0)


def pairwise_distance(x, y, p=2.0, eps=1e-6, keepdims=False) -> Array:
    return np.linalg.norm(x - y + eps, p, axis=-1, keepdims=keepdims)


def hinge_embedding_loss(x, t, margin=1.0, reduction="mean") -> Array:
    return reduce(np.where(t == 1, x, np.maximum(0, margin - x)), reduction)


def margin_ranking_loss(x, y, t, margin=0.0, reduction="mean") -> Array:
    return reduce(np.maximum(0, -t * (x - y) + margin), reduction)


def soft_margin_loss(x, t, reduction="mean") -> Array:
    return reduce(np.logaddexp(0, -t * x), reduction)


def cosine_embedding_loss(x, y, t, margin=0.0, reduction="mean") -> Array:
    cosine = cosine_similarity(x, y)
    return reduce(np.where(t == 1, 1 - cosine, np.maximum(0, cosine - margin)), reduction)


def triplet_margin_loss(
    x, near, far, margin=1.0, p=2.0, eps=1e-6, swap=False, reduction="mean"
) -> Array:
    away = pairwise_distance(x, far, p, eps)
    if swap:
        away = np.minimum(away, pairwise_distance(near, far, p, eps))
    return reduce(np.maximum(0, pairwise_distance(x, near, p, eps) - away + margin), reduction)


def multi_margin_loss(x, t, p=1, margin=1.0, weight=None, reduction="mean") -> Array:
    losses = []
    for scores, label in zip(np.atleast_2d(x), np.atleast_1d(t), strict=True):
        gap = np.maximum(0, margin - scores[label] + scores) ** p
        gap[label] = 0
        losses.append(gap.mean() * (1 if weight is None else weight[label]))
    return reduce(np.array(losses, x.dtype).reshape(np.shape(t)), reduction)


def multilabel_margin_loss(x, t, reduction="mean") -> Array:
    losses = []
    for scores, given in zip(np.atleast_2d(x), np.atleast_2d(t), strict=True):
        end = int(np.argmax(given < 0)) if (given < 0).any() else len(given)
        labels = list(given[:end])
        others = [c for c in range(len(scores)) if c not in labels]
        total = sum(max(0, 1 - scores[y] + scores[c]) for y in labels for c in others)
        losses.append(total / len(scores))
    return reduce(np.array(losses, x.dtype).reshape(x.shape[:-1]), reduction)


def multilabel_soft_margin_loss(x, t, weight=None, reduction="mean") -> Array:
    loss = t * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x)
    return reduce((loss if weight is None else loss * weight).mean(-1), reduction)


def ctc_loss(
    logp, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False
) -> Array:
    """By the probabilities of all prefixes, of one example after the other; Graves et al. 2006."""
    losses = []
    for n, (frames, size) in enumerate(zip(input_lengths, target_lengths, strict=True)):
        states = [blank]
        for label in targets[n, :size]:
            states += [int(label), blank]
        alpha = np.full(len(states), -np.inf)
        alpha[:2] = logp[0, n, states[:2]]
        for row in logp[1:frames, n]:
            before = alpha.copy()
            for s, label in enumerate(states):
                ways = [before[s]] + ([before[s - 1]] if s > 0 else [])
                if s > 1 and label != blank and label != states[s - 2]:
                    ways.append(before[s - 2])
                alpha[s] = np.logaddexp.reduce(ways) + row[label]
        losses.append(-np.logaddexp.reduce(alpha[-2:]))
    loss = np.array(losses, logp.dtype)
    if zero_infinity:
        loss = np.where(np.isinf(loss), 0, loss)
    if reduction == "mean":
        return (loss / np.maximum(target_lengths, 1)).mean()
    return reduce(loss, reduction)
