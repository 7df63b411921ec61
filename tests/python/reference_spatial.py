"""What operations on images and sequences should give, element by element."""

from __future__ import annotations

import functools
import math

import numpy as np
import scipy.signal

Array = np.ndarray


def _cubic(x: float, a: float) -> float:
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def _triangle(x: float, a: float) -> float:
    return max(0.0, 1 - abs(x))


def _resizing(n: int, m: int, step: float, mode: str, align: bool, antialias: bool) -> Array:
    """The matrix (m, n) that resizes an axis of n elements to m, `step` apart."""
    matrix = np.zeros((m, n))
    if align:
        step = (n - 1) / (m - 1) if m > 1 else 0.0
    kernel, reach, a = (_cubic, 2, -0.75) if mode == "bicubic" else (_triangle, 1, 0.0)
    for i in range(m):
        if mode == "nearest":
            matrix[i, min(int(i * step), n - 1)] = 1
        elif mode == "nearest-exact":
            matrix[i, min(int((i + 0.5) * step), n - 1)] = 1
        elif mode == "area":
            cut = range(i * n // m, -(-(i + 1) * n // m))
            matrix[i, cut] = 1 / len(cut)
        elif antialias:
            wide, center = max(step, 1.0), step * (i + 0.5)
            first = max(int(center - reach * wide + 0.5), 0)
            end = min(int(center + reach * wide + 0.5), n)
            near = np.arange(first, end)
            weights = [kernel((j - center + 0.5) / wide, -0.5) for j in near]
            matrix[i, near] = np.divide(weights, sum(weights))
        else:
            at = i * step if align else (i + 0.5) * step - 0.5
            at = max(at, 0.0) if mode != "bicubic" else at
            for j in range(math.floor(at) - 1, math.floor(at) + 3):
                matrix[i, min(max(j, 0), n - 1)] += kernel(at - j, a)
    return matrix


def interpolate(
    x, size=None, scale_factor=None, mode="nearest", align_corners=False, antialias=False
) -> Array:
    """Every axis by a matrix of its own."""
    y = x.astype(np.float64)
    sizes = (size,) * (x.ndim - 2) if isinstance(size, int) else size
    for i, n in enumerate(x.shape[2:]):
        m = math.floor(n * scale_factor) if size is None else sizes[i]
        step = 1 / scale_factor if size is None else n / m
        matrix = _resizing(n, m, step, mode, align_corners, antialias)
        y = np.moveaxis(np.moveaxis(y, 2 + i, -1) @ matrix.T, -1, 2 + i)
    return y.astype(x.dtype)


def pad(x, before, after, value=0, mode="constant") -> Array:
    widths = list(zip(np.broadcast_to(before, x.ndim), np.broadcast_to(after, x.ndim), strict=True))
    return np.pad(x, widths, mode, **({"constant_values": value} if mode == "constant" else {}))


def _pairs(*values) -> list[tuple[int, int]]:
    return [(v, v) if isinstance(v, int) else tuple(v) for v in values]


def _taps(size, kernel, dilation, padding, stride):
    """For every window and tap: their numbers, and the place in the image, which may be outside."""
    counts = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, d, p, s in zip(size, kernel, dilation, padding, stride, strict=True)
    ]
    for window, at in enumerate(np.ndindex(*counts)):
        for tap, by in enumerate(np.ndindex(*kernel)):
            y, x = (
                a * s + b * d - p
                for a, b, s, d, p in zip(at, by, stride, dilation, padding, strict=True)
            )
            if 0 <= y < size[0] and 0 <= x < size[1]:
                yield window, tap, y, x


def _windows(size, *settings) -> int:
    kernel, dilation, padding, stride = settings
    return math.prod(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, d, p, s in zip(size, kernel, dilation, padding, stride, strict=True)
    )


def unfold(x, kernel_size, dilation=1, padding=0, stride=1) -> Array:
    settings = _pairs(kernel_size, dilation, padding, stride)
    *lead, channels, height, width = x.shape
    taps = math.prod(settings[0])
    y = np.zeros((*lead, channels, taps, _windows((height, width), *settings)), x.dtype)
    for window, tap, row, column in _taps((height, width), *settings):
        y[..., tap, window] = x[..., row, column]
    return y.reshape(*lead, channels * taps, y.shape[-1])


def fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1) -> Array:
    size, *settings = _pairs(output_size, kernel_size, dilation, padding, stride)
    *lead, _, windows = x.shape
    parts = x.reshape(*lead, -1, math.prod(settings[0]), windows)
    y = np.zeros((*parts.shape[:-2], *size), x.dtype)
    for window, tap, row, column in _taps(size, *settings):
        y[..., row, column] += parts[..., tap, window]
    return y


def pixel_shuffle(x, r) -> Array:
    *lead, channels, height, width = x.shape
    y = np.empty((*lead, channels // r**2, height * r, width * r), x.dtype)
    for i, j in np.ndindex(r, r):
        y[..., i::r, j::r] = x[..., i * r + j :: r * r, :, :]
    return y


def pixel_unshuffle(x, r) -> Array:
    *lead, channels, height, width = x.shape
    y = np.empty((*lead, channels * r**2, height // r, width // r), x.dtype)
    for i, j in np.ndindex(r, r):
        y[..., i * r + j :: r * r, :, :] = x[..., i::r, j::r]
    return y


def channel_shuffle(x, groups) -> Array:
    size = x.shape[1] // groups
    order = [group * size + i for i in range(size) for group in range(groups)]
    return x[:, order]


def _mirror(at: float, low: float, high: float) -> float:
    if high <= low:
        return 0.0
    while not low <= at <= high:
        at = 2 * low - at if at < low else 2 * high - at
    return at


def _sampled(image, at, mode, padding, align) -> Array:
    """The channels of one image (C, ...) at one place, x first."""
    size = image.shape[1:]
    place = [
        (p + 1) / 2 * (n - 1) if align else ((p + 1) * n - 1) / 2
        for p, n in zip(at[::-1], size, strict=True)
    ]

    def inside(p, n):
        if padding == "reflection":
            p = _mirror(p, 0, n - 1) if align else _mirror(p, -0.5, n - 0.5)
        return p if padding == "zeros" else min(max(p, 0), n - 1)

    if mode != "bicubic":
        place = [inside(p, n) for p, n in zip(place, size, strict=True)]
    near, reach = {
        "nearest": (lambda p: [round(p)], lambda d: 1.0),
        "bilinear": (lambda p: [math.floor(p), math.floor(p) + 1], lambda d: 1 - abs(d)),
        "bicubic": (
            lambda p: range(math.floor(p) - 1, math.floor(p) + 3), lambda d: _cubic(d, -0.75)
        ),
    }[mode]  # fmt: skip
    total = np.zeros(image.shape[0])
    axes = [list(near(p)) for p in place]
    for k in np.ndindex(*map(len, axes)):
        corner = [axis[i] for axis, i in zip(axes, k, strict=True)]
        weight = math.prod(reach(p - c) for p, c in zip(place, corner, strict=True))
        if mode == "bicubic":
            corner = [round(inside(c, n)) for c, n in zip(corner, size, strict=True)]
        if all(0 <= c < n for c, n in zip(corner, size, strict=True)):
            total += weight * image[(slice(None), *corner)]
    return total


def grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False) -> Array:
    y = np.empty((x.shape[0], x.shape[1], *grid.shape[1:-1]), x.dtype)
    for n in range(x.shape[0]):
        for at in np.ndindex(*grid.shape[1:-1]):
            place = [float(p) for p in grid[(n, *at)]]
            y[(n, slice(None), *at)] = _sampled(
                x[n].astype(np.float64), place, mode, padding_mode, align_corners
            )
    return y


def affine_grid(theta, size, align_corners=False) -> Array:
    spatial = size[2:]
    y = np.empty((size[0], *spatial, len(spatial)), theta.dtype)
    for at in np.ndindex(*spatial):
        place = [
            (2 * i / (n - 1) - 1 if n > 1 else 0.0) if align_corners else (2 * i + 1) / n - 1
            for i, n in zip(at, spatial, strict=True)
        ]
        y[(slice(None), *at)] = theta @ np.array([*place[::-1], 1.0], theta.dtype)
    return y


def _unpool(axes, x, indices, kernel_size, stride=None, padding=0, output_size=None) -> Array:
    kernel, stride, padding = (
        (v,) * axes if isinstance(v, int) else v
        for v in (kernel_size, kernel_size if stride is None else stride, padding)
    )
    size = output_size if output_size is not None else [
        (n - 1) * s - 2 * p + k
        for n, s, p, k in zip(x.shape[-axes:], stride, padding, kernel, strict=True)
    ]  # fmt: skip
    size = (size,) * axes if isinstance(size, int) else size
    y = np.zeros((*x.shape[:-axes], math.prod(size)), x.dtype)
    for at in np.ndindex(*x.shape):
        y[(*at[:-axes], indices[at])] = x[at]
    return y.reshape(*x.shape[:-axes], *size)


max_unpool1d, max_unpool2d, max_unpool3d = (functools.partial(_unpool, n) for n in (1, 2, 3))


def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0) -> Array:
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        near = x[:, max(0, c - size // 2) : c + (size - 1) // 2 + 1]
        y[:, c] = x[:, c] / (k + alpha * (near**2).sum(1) / size) ** beta
    return y


def spectral_window(name, n, periodic, dtype) -> Array:
    if n == 0:
        return np.zeros(0, dtype or "float32")
    return scipy.signal.get_window(name, n, fftbins=periodic).astype(dtype or "float32")


def _middle(given, n, dtype) -> Array:
    if given is None:
        return np.ones(n, dtype)
    left = (n - len(given)) // 2
    return np.pad(given, (left, n - len(given) - left))


def stft(x, n_fft, hop_length=None, window=None, center=True, normalized=False) -> Array:
    hop = hop_length or n_fft // 4
    w = _middle(window, n_fft, x.dtype)
    if center:
        x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(n_fft // 2, n_fft // 2)], "reflect")
    starts = range(0, x.shape[-1] - n_fft + 1, hop)
    y = np.stack([np.fft.rfft(x[..., s : s + n_fft] * w) for s in starts], -1)
    y = y / math.sqrt(n_fft) if normalized else y
    return y.astype(np.result_type(x.dtype, np.complex64))


def istft(
    x, n_fft, hop_length=None, window=None, center=True, normalized=False, length=None
) -> Array:
    hop, frames = hop_length or n_fft // 4, x.shape[-1]
    w = _middle(window, n_fft, np.float64)
    total = (frames - 1) * hop + n_fft
    y, weight = np.zeros((*x.shape[:-2], total)), np.zeros(total)
    for i in range(frames):
        part = np.fft.irfft(x[..., i], n_fft) * (math.sqrt(n_fft) if normalized else 1)
        y[..., i * hop : i * hop + n_fft] += part * w
        weight[i * hop : i * hop + n_fft] += w**2
    y = np.where(weight < 1e-11, 0, y / np.where(weight < 1e-11, 1, weight))
    begin = n_fft // 2 if center else 0
    length = total - 2 * begin if length is None else length
    y = y[..., begin : begin + length]
    y = np.pad(y, [(0, 0)] * (y.ndim - 1) + [(0, length - y.shape[-1])])
    return y.astype(x.real.dtype)


def convolve(a, b, mode="full") -> Array:
    """NumPy's, for every pair of lines."""
    batch = np.broadcast_shapes(a.shape[:-1], b.shape[:-1])
    a, b = np.broadcast_to(a, (*batch, a.shape[-1])), np.broadcast_to(b, (*batch, b.shape[-1]))
    lines = [np.convolve(a[at], b[at], mode) for at in np.ndindex(*batch)]
    return np.reshape(lines, (*batch, -1))
