"""What operations should give, written with NumPy and SciPy for being plain, not fast."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable

import numpy as np
import scipy.integrate
import scipy.linalg
import scipy.spatial
import scipy.special
from reference_losses import *  # noqa: F403
from reference_losses import reduce as _reduce
from reference_spatial import *  # noqa: F403

Array = np.ndarray


def _each(value, count) -> tuple[int, ...]:
    return (value,) * count if isinstance(value, int) else tuple(value)


def conv(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) -> Array:
    axes = weight.ndim - 2
    if x.ndim == axes + 1:
        return conv(x[None], weight, bias, stride, padding, dilation, groups)[0]
    stride, dilation = _each(stride, axes), _each(dilation, axes)
    borders = _each(padding, axes) * (1 if np.size(padding) == 2 * axes else 2)
    x = np.pad(x, [(0, 0), (0, 0), *zip(borders[:axes], borders[axes:], strict=True)])
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(x, reach, axis=tuple(range(2, axes + 2)))
    view = view[(slice(None), slice(None), *(slice(None, None, s) for s in stride))]
    view = view[(..., *(slice(None, None, d) for d in dilation))]
    taps = "uvw"[:axes]
    parts = [
        np.einsum(f"nc...{taps},oc{taps}->no...", xs, ws)
        for xs, ws in zip(np.split(view, groups, 1), np.split(weight, groups, 0), strict=True)
    ]
    y = np.concatenate(parts, 1)
    return y if bias is None else y + bias.reshape(-1, *[1] * axes)


def conv_transpose(
    x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
) -> Array:
    """Element by element: each spreads over a window."""
    axes = weight.ndim - 2
    if x.ndim == axes + 1:
        settings = stride, padding, output_padding, groups, dilation
        return conv_transpose(x[None], weight, bias, *settings)[0]
    stride, padding = _each(stride, axes), _each(padding, axes)
    more, dilation = _each(output_padding, axes), _each(dilation, axes)
    taps, sizes = weight.shape[2:], x.shape[2:]
    whole = [
        (n - 1) * s + d * (k - 1) + 1 + e
        for n, s, d, k, e in zip(sizes, stride, dilation, taps, more, strict=True)
    ]
    y = np.zeros((x.shape[0], weight.shape[1] * groups, *whole), np.result_type(x, weight))
    parts = zip(
        np.split(y, groups, 1), np.split(x, groups, 1), np.split(weight, groups, 0), strict=True
    )
    for ys, xs, ws in parts:
        for at in np.ndindex(*sizes):
            for tap in np.ndindex(*taps):
                where = tuple(
                    i * s + d * t for i, s, d, t in zip(at, stride, dilation, tap, strict=True)
                )
                ys[(slice(None), slice(None), *where)] += (
                    xs[(slice(None), slice(None), *at)] @ ws[(slice(None), slice(None), *tap)]
                )
    y = y[(..., *(slice(p, n - p) for p, n in zip(padding, whole, strict=True)))]
    return y if bias is None else y + bias.reshape(-1, *[1] * axes)


def _pool(x, spans, reduce) -> Array:
    """reduce(elements, counts) of every window: spans tell, for each axis, a window's elements."""
    axes = tuple(range(-len(spans), 0))
    y = np.empty((*x.shape[: -len(spans)], *map(len, spans)), x.dtype)
    for at in np.ndindex(*map(len, spans)):
        inside = [spans[axis][i][0] for axis, i in enumerate(at)]
        counted = math.prod(spans[axis][i][1] for axis, i in enumerate(at))
        y[(..., *at)] = reduce(x[(..., *np.ix_(*inside))], axes, counted)
    return y


def _max(x, axes, counted) -> Array:
    return x.max(axes)


def _mean(x, axes, counted) -> Array:
    return x.sum(axes) / counted


def _spans(size, kernel, stride, padding, dilation, ceil_mode, count_include_pad):
    """PyTorch's windows: a last one may reach beyond the padding, not begin there."""
    spans = []
    for start in itertools.count(-padding, stride):
        taps = np.arange(kernel) * dilation + start
        fits = taps[-1] < size + padding
        if not (fits or (ceil_mode and start < size and spans[-1][2] < size + padding - 1)):
            return spans
        inside = taps[(taps >= 0) & (taps < size)]
        counted = (taps < size + padding).sum() if count_include_pad else len(inside)
        spans.append((inside, counted, taps[-1]))


def _pool_windows(axes, reduce, x, kernel_size, stride, padding, dilation, *modes) -> Array:
    stride = kernel_size if stride is None else stride
    each = [_each(v, axes) for v in (kernel_size, stride, padding, dilation)]
    sizes = zip(x.shape[-axes:], *each, strict=True)
    return _pool(x, [_spans(*size, *modes) for size in sizes], reduce)


def _max_pool(axes, x, size, stride=None, padding=0, dilation=1, ceil_mode=False) -> Array:
    return _pool_windows(axes, _max, x, size, stride, padding, dilation, ceil_mode, False)


def _avg_pool(axes, x, size, stride=None, padding=0, ceil_mode=False, include=True) -> Array:
    return _pool_windows(axes, _mean, x, size, stride, padding, 1, ceil_mode, include)


def _max_pool_with_indices(
    axes, x, size, stride=None, padding=0, dilation=1, ceil_mode=False
) -> tuple[Array, Array]:
    """With the place of each element as its imaginary part."""
    places = np.arange(math.prod(x.shape[-axes:])).reshape(x.shape[-axes:])

    def first_largest(z, window, counted):
        flat = z.reshape(*z.shape[:-axes], -1)
        best = np.argmax(flat.real, -1)[..., None]
        return np.take_along_axis(flat, best, -1)[..., 0]

    z = x.astype(np.float64) + 1j * places
    z = _pool_windows(axes, first_largest, z, size, stride, padding, dilation, ceil_mode, False)
    return z.real.astype(x.dtype), z.imag.astype(np.int64)


def _lp_pool(axes, x, size, stride=None, padding=0, norm_type=2.0, ceil_mode=False) -> Array:
    def norm(window, over, counted):
        return (np.abs(window) ** norm_type).sum(over) ** (1 / norm_type)

    return _pool_windows(axes, norm, x, size, stride, padding, 1, ceil_mode, False)


def _adaptive_pool(axes, reduce, x, output_size) -> Array:
    spans = []
    for size, grid in zip(x.shape[-axes:], _each(output_size, axes), strict=True):
        cuts = [range(i * size // grid, -(-(i + 1) * size // grid)) for i in range(grid)]
        spans.append([(np.array(cut), len(cut)) for cut in cuts])
    return _pool(x, spans, reduce)


max_pool1d, max_pool2d, max_pool3d = (functools.partial(_max_pool, n) for n in (1, 2, 3))
max_pool1d_with_indices, max_pool2d_with_indices, max_pool3d_with_indices = (
    functools.partial(_max_pool_with_indices, n) for n in (1, 2, 3)
)
lp_pool1d, lp_pool2d, lp_pool3d = (functools.partial(_lp_pool, n) for n in (1, 2, 3))
avg_pool1d, avg_pool2d, avg_pool3d = (functools.partial(_avg_pool, n) for n in (1, 2, 3))
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (
    functools.partial(_adaptive_pool, n, _max) for n in (1, 2, 3)
)
adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = (
    functools.partial(_adaptive_pool, n, _mean) for n in (1, 2, 3)
)


def _along(x: Array, indices: Array, values, axis: int, add: bool) -> Array:
    axis %= x.ndim
    shape = tuple(n if i != axis else indices.shape[i] for i, n in enumerate(x.shape))
    indices, values = np.broadcast_to(indices, shape), np.broadcast_to(values, shape)
    result = x.copy()
    for at in itertools.product(*map(range, shape)):
        to = (*at[:axis], indices[at], *at[axis + 1 :])
        result[to] = result[to] + values[at] if add else values[at]
    return result


def put_along_axis(x, indices, values, axis=-1) -> Array:
    return _along(x, indices, values, axis, add=False)


def scatter_add(x, indices, source, axis=-1) -> Array:
    return _along(x, indices, source, axis, add=True)


def index_add(x, indices, source, axis=0) -> Array:
    shape = x.shape[:axis] + indices.shape + x.shape[axis + 1 :]
    source = np.broadcast_to(source, shape)
    result = x.copy()
    np.add.at(result, (slice(None),) * axis + (indices,), source)
    return result


def argsort(x, axis=-1, descending=False) -> Array:
    if not descending:
        return np.argsort(x, axis, kind="stable")
    return np.argsort(-x, axis, kind="stable")


def sort(x, axis=-1, descending=False) -> Array:
    return np.take_along_axis(x, argsort(x, axis, descending), axis)


def topk(x, k, axis=-1, largest=True) -> tuple[Array, Array]:
    order = np.take(argsort(x, axis, descending=largest), np.arange(k), axis)
    return np.take_along_axis(x, order, axis), order


def gelu(x, approximate="none") -> Array:
    if approximate == "none":
        return x * scipy.special.ndtr(x)
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def layer_norm(x, normalized_ndim=1, weight=None, bias=None, eps=1e-5) -> Array:
    axes = tuple(range(-normalized_ndim, 0))
    y = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)
    return y * (1 if weight is None else weight) + (0 if bias is None else bias)


def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5) -> Array:
    parts = x.reshape(x.shape[0], num_groups, -1).astype(np.float64)
    mean, variance = parts.mean(-1, keepdims=True), parts.var(-1, keepdims=True)
    y = ((parts - mean) / np.sqrt(variance + eps)).reshape(x.shape)
    along = (-1, *[1] * (x.ndim - 2))
    y = y if weight is None else y * weight.reshape(along)
    return y if bias is None else y + bias.reshape(along)


def rms_norm(x, normalized_ndim=1, weight=None, eps=1e-5) -> Array:
    axes = tuple(range(-normalized_ndim, 0))
    y = x / np.sqrt((x**2).mean(axes, keepdims=True) + eps)
    return y if weight is None else y * weight


def batch_norm(
    x, running_mean=None, running_var=None, weight=None, bias=None, training=False, momentum=0.1,
    eps=1e-5,
) -> tuple[Array, ...]:  # fmt: skip
    axes = tuple(i for i in range(x.ndim) if i != 1)
    shape = (-1,) + (1,) * (x.ndim - 2)
    mean, var = running_mean, running_var
    if training:
        mean, var = x.mean(axes), x.var(axes)
        if running_mean is not None:
            running_mean = running_mean + momentum * (mean - running_mean)
            running_var = running_var + momentum * (x.var(axes, ddof=1) - running_var)
    y = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + eps)
    if weight is not None:
        y = y * weight.reshape(shape)
    if bias is not None:
        y = y + bias.reshape(shape)
    return (y,) if running_mean is None else (y, running_mean, running_var)


def cross_entropy(
    logits, labels, weight=None, ignore_index=None, reduction="mean", label_smoothing=0.0
) -> Array:
    """As PyTorch defines it."""
    axis = 1 if logits.ndim > 1 else 0
    classes = logits.shape[axis]
    logp = np.moveaxis(scipy.special.log_softmax(logits, axis), axis, -1)
    weight = np.ones(classes, logits.dtype) if weight is None else weight
    if labels.dtype.kind == "f":
        target = np.moveaxis(labels, axis, -1)
        loss = -(logp * target * weight).sum(-1)
        return _reduce(loss, reduction)
    kept = np.ones(labels.shape, bool) if ignore_index is None else labels != ignore_index
    hot = np.eye(classes)[np.where(kept, labels, 0)]
    share = (hot * weight).sum(-1) * kept
    smooth = -(logp * weight).sum(-1) / classes
    loss = (1 - label_smoothing) * -(logp * hot * weight).sum(-1) + label_smoothing * smooth
    loss = loss * kept
    return loss.sum() / share.sum() if reduction == "mean" else _reduce(loss, reduction)


def nll_loss(logp, labels, weight=None, ignore_index=None, reduction="mean") -> Array:
    axis = 1 if logp.ndim > 1 else 0
    classes = logp.shape[axis]
    weight = np.ones(classes, logp.dtype) if weight is None else weight
    kept = np.ones(labels.shape, bool) if ignore_index is None else labels != ignore_index
    hot = np.eye(classes)[np.where(kept, labels, 0)]
    share = (hot * weight).sum(-1) * kept
    loss = -(np.moveaxis(logp, axis, -1) * hot * weight).sum(-1) * kept
    return loss.sum() / share.sum() if reduction == "mean" else _reduce(loss, reduction)


def mse_loss(a, b, reduction="mean") -> Array:
    return _reduce((a - b) ** 2, reduction)


def l1_loss(a, b, reduction="mean") -> Array:
    return _reduce(np.abs(a - b), reduction)


def binary_cross_entropy_with_logits(x, t, weight=None, pos_weight=None, reduction="mean") -> Array:
    positive = t * (1 if pos_weight is None else pos_weight)
    loss = positive * np.logaddexp(-x, 0) + (1 - t) * np.logaddexp(x, 0)
    return _reduce(loss * (1 if weight is None else weight), reduction)


def scaled_dot_product_attention(q, k, v, *, mask=None, is_causal=False, scale=None) -> Array:
    """Rows that see no key are zero."""
    if q.ndim > 2:
        times = max(1, q.shape[-3] // max(1, k.shape[-3]))
        k, v = np.repeat(k, times, -3), np.repeat(v, times, -3)
    scale = 1 / np.sqrt(max(1, q.shape[-1])) if scale is None else scale
    scores = q @ np.swapaxes(k, -1, -2) * scale
    if is_causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    top = scores.max(-1, keepdims=True, initial=-np.inf)
    powers = np.exp(scores - np.where(np.isfinite(top), top, 0))
    total = powers.sum(-1, keepdims=True)
    return powers / np.where(total == 0, 1, total) @ v


def lstm(x, h0, c0, w_ih, w_hh, b_ih=None, b_hh=None) -> tuple[Array, Array, Array]:
    """Gates i, f, g, o."""
    h, c, ys = h0, c0, []
    bias = sum(b for b in (b_ih, b_hh) if b is not None)
    for row in x:
        i, f, g, o = np.split(row @ w_ih.T + h @ w_hh.T + bias, 4, -1)
        c = scipy.special.expit(f) * c + scipy.special.expit(i) * np.tanh(g)
        h = scipy.special.expit(o) * np.tanh(c)
        ys.append(h)
    return np.reshape(ys, (len(x), *h0.shape)).astype(x.dtype), h, c


def gru(x, h0, w_ih, w_hh, b_ih=0, b_hh=0) -> tuple[Array, Array]:
    """Gates r, z, n."""
    h, ys = h0, []
    for row in x:
        u = np.split(row @ w_ih.T + (0 if b_ih is None else b_ih), 3, -1)
        v = np.split(h @ w_hh.T + b_hh, 3, -1)
        r, z = scipy.special.expit(u[0] + v[0]), scipy.special.expit(u[1] + v[1])
        h = (1 - z) * np.tanh(u[2] + r * v[2]) + z * h
        ys.append(h)
    return np.reshape(ys, (len(x), *h0.shape)).astype(x.dtype), h


def cross(x1, x2, axis=-1) -> Array:
    x1, x2 = (np.moveaxis(x, axis, -1) for x in np.broadcast_arrays(x1, x2))
    return np.moveaxis(np.cross(x1, x2), -1, axis)


def solve_triangular(x1, x2, upper=False, unit_diagonal=False) -> Array:
    triangle = np.triu(x1) if upper else np.tril(x1)
    if unit_diagonal:
        diagonal = np.einsum("...ii->...i", triangle)
        triangle = triangle - diagonal[..., None] * np.eye(x1.shape[-1]) + np.eye(x1.shape[-1])
    return np.linalg.solve(triangle, x2)


def expm(x) -> Array:
    return scipy.linalg.expm(x) if x.size else x


def lstsq(x1, x2) -> tuple[Array, ...]:
    b = x2[:, None] if x2.ndim == 1 else x2
    x = np.linalg.pinv(x1) @ b
    residuals = np.sum(np.abs(x1 @ x - b) ** 2, -2)
    if x2.ndim == 1:
        x, residuals = x[..., 0], residuals[0]
    return x, residuals, np.linalg.matrix_rank(x1), np.linalg.svd(x1, compute_uv=False)


def _each_matrix(function, x) -> tuple[Array, ...]:
    """function's results for every matrix of x."""
    found = [function(m) for m in x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:])]
    return tuple(
        np.reshape([r[k] for r in found], (*x.shape[:-2], *found[0][k].shape))
        for k in range(len(found[0]))
    )


def lu(x) -> tuple[Array, ...]:
    if x.size == 0:
        m, n = x.shape
        return np.eye(m, dtype=x.dtype), np.eye(m, min(m, n)), np.eye(min(m, n), n)
    return _each_matrix(lambda m: [y.astype(x.dtype) for y in scipy.linalg.lu(m)], x)


def lu_factor(x) -> tuple[Array, ...]:
    if x.size == 0:
        return x, np.zeros(x.shape[:-1], np.int32)
    return _each_matrix(scipy.linalg.lu_factor, x)


def lu_solve(factors, pivots, b) -> Array:
    """By the matrix that was factored."""
    n = factors.shape[-1]
    matrix = np.tril(factors, -1) @ np.triu(factors) + np.triu(factors)
    matrix = np.broadcast_to(matrix, (*pivots.shape[:-1], *matrix.shape[-2:])).copy() \
        if pivots.ndim >= factors.ndim else matrix.copy()  # fmt: skip
    steps = np.broadcast_to(pivots, matrix.shape[:-1])
    for at in np.ndindex(*matrix.shape[:-2]):
        for i in reversed(range(n)):
            matrix[at][[i, steps[at][i]]] = matrix[at][[steps[at][i], i]]
    return np.linalg.solve(matrix, b)


def cholesky_solve(factor, b, upper=False) -> Array:
    if upper:
        u = np.triu(factor)
        return np.linalg.solve(np.conj(np.swapaxes(u, -1, -2)) @ u, b)
    l = np.tril(factor)  # noqa: E741
    return np.linalg.solve(l @ np.conj(np.swapaxes(l, -1, -2)), b)


def householder_product(x, tau) -> Array:
    """One reflection after the other."""
    *lead, m, n = x.shape
    y = np.broadcast_to(np.eye(m, dtype=x.dtype), (*lead, m, m))
    for i in range(tau.shape[-1]):
        v = np.concatenate([np.zeros_like(x[..., :i, i]), np.ones_like(x[..., :1, i]),
                            x[..., i + 1 :, i]], -1)[..., None]  # fmt: skip
        reflection = v @ np.conj(np.swapaxes(v, -1, -2)) * tau[..., i, None, None]
        y = y @ (np.eye(m, dtype=x.dtype) - reflection)
    return y[..., :n]


def eig(x) -> tuple[Array, Array]:
    w, v = np.linalg.eig(x)
    dtype = np.result_type(x.dtype, np.complex64)
    return w.astype(dtype), v.astype(dtype)


def eigvals(x) -> Array:
    return np.linalg.eigvals(x).astype(np.result_type(x.dtype, np.complex64))


# Outputs that are vectors, known but for their sign or phase, and the axis along one.
VECTORS = {
    "linalg.eig": {1: -2},
    "linalg.eigh": {1: -2},
    "linalg.svd": {0: -2, 2: -1},
}


def turned(got, want, axis) -> Array:
    """Vectors with the phases of others."""
    phase = np.sum(np.conj(got) * want, axis, keepdims=True)
    return got * (phase / np.abs(phase)).astype(got.dtype)


def segments(function, of_none=0) -> Callable[..., Array]:
    """A reduction of the slices of each segment."""

    def reduce(values, segment_ids, num_segments, indices_are_sorted=False) -> Array:
        parts = [values[segment_ids == i] for i in range(num_segments)]
        blank = np.full(values.shape[1:], of_none, values.dtype)
        return np.array([function(p, axis=0) if len(p) else blank for p in parts])

    return reduce


def _reduced(old, new, reduce, include_self) -> Array:
    """The reduction of the list `new`, and of `old` where asked for."""
    values = np.array(new if not include_self else [old, *new])
    functions = {"sum": np.sum, "prod": np.prod, "amax": np.max, "amin": np.min}
    if reduce != "mean":
        return functions[reduce](values, 0)
    return values.sum(0) // len(values) if values.dtype.kind in "iu" else values.mean(0)


def index_reduce(x, indices, source, reduce, axis=0, include_self=True) -> Array:
    result, x, source = x.copy(), np.moveaxis(x, axis, 0), np.moveaxis(source, axis, 0)
    view = np.moveaxis(result, axis, 0)
    for i in range(len(x)):
        if found := [s for k, s in zip(indices, source, strict=True) if k % len(x) == i]:
            view[i] = _reduced(x[i], found, reduce, include_self)
    return result


def scatter_reduce(x, indices, source, reduce, axis=-1, include_self=True) -> Array:
    result = x.copy()
    indices = np.broadcast_to(indices, source.shape)
    lines = [np.moveaxis(t, axis, -1) for t in (result, x, indices, source)]
    for at in np.ndindex(lines[0].shape[:-1]):
        line, old, index, new = (t[at] for t in lines)
        line[:] = index_reduce(old, index, new, reduce, 0, include_self)
    return result


def embedding_bag(weight, indices, offsets=None, mode="mean", factors=None) -> Array:
    bags = list(indices) if indices.ndim == 2 else np.split(indices, offsets[1:])
    weighed = np.ones(indices.shape) if factors is None else factors
    reduce = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode]
    rows = [
        reduce(weight[bag] * (weighed[i][:, None] if indices.ndim == 2 else 1), axis=0)
        if len(bag)
        else np.zeros(weight.shape[1])
        for i, bag in enumerate(bags)
    ]
    return np.array(rows)


def masked_scatter(x, mask, source) -> Array:
    result, mask = x.copy(), np.broadcast_to(mask, x.shape)
    result[mask] = source.ravel()[: mask.sum()]
    return result


def put(x, indices, values, accumulate=False) -> Array:
    result = x.copy()
    values = np.broadcast_to(values, indices.shape)
    for k, v in zip(indices.ravel(), values.ravel(), strict=True):
        result.flat[k] = result.flat[k] + v if accumulate else v
    return result


def index_fill(x, indices, value, axis=0) -> Array:
    result = x.copy()
    np.moveaxis(result, axis, 0)[indices] = value
    return result


def index_put(x, indices, values, accumulate=False) -> Array:
    result = x.copy()
    if accumulate:
        np.add.at(result, tuple(indices), values)
    else:
        result[tuple(indices)] = values
    return result


def select_scatter(x, source, axis, index) -> Array:
    result = x.copy()
    np.moveaxis(result, axis, 0)[index] = source
    return result


def slice_scatter(x, source, axis=0, start=None, stop=None, step=1) -> Array:
    result = x.copy()
    result[(slice(None),) * axis + (slice(start, stop, step),)] = source
    return result


def _diagonal(x, offset, axis1, axis2) -> Array:
    """One that can be written to."""
    view = np.diagonal(x, offset, axis1, axis2)
    view.flags.writeable = True
    return view


def diag_embed(x, offset=0, axis1=-2, axis2=-1) -> Array:
    n = x.shape[-1] + abs(offset)
    result = np.zeros((*x.shape[:-1], n, n), x.dtype)
    _diagonal(result, offset, -2, -1)[...] = x
    return np.moveaxis(result, (-2, -1), (axis1, axis2))


def diagonal_scatter(x, source, offset=0, axis1=0, axis2=1) -> Array:
    result = x.copy()
    _diagonal(result, offset, axis1, axis2)[...] = source
    return result


def fill_diagonal(x, value) -> Array:
    result = x.copy()
    np.fill_diagonal(result, value)
    return result


def cumulative_trapezoid(y, x=None, dx=1.0, axis=-1) -> Array:
    return scipy.integrate.cumulative_trapezoid(y, x, dx, axis)


def gradient(y, spacing=1.0, axis=None, edge_order=1) -> list[Array]:
    found = np.gradient(y, spacing, axis=axis, edge_order=edge_order)
    return list(found) if isinstance(found, (list, tuple)) else [found]


def pdist(x, p=2.0) -> Array:
    return scipy.spatial.distance.pdist(x, "minkowski", p=p)


def renorm(x, p, axis, maxnorm) -> Array:
    others = tuple(i for i in range(x.ndim) if i != axis % x.ndim)
    length = np.sum(np.abs(x) ** p, others, keepdims=True) ** (1 / p)
    return np.where(length > maxnorm, x * maxnorm / (length + 1e-7), x)


def histogram2d(x, y, bins=10, limits=None) -> tuple[Array, ...]:
    counts, x_edges, y_edges = np.histogram2d(x, y, bins, limits)
    return counts.astype(np.int64), x_edges, y_edges
