"""Functions over images and sequences, with PyTorch's names and argument names.

They are part of ``tegula.nn.functional``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tegula as tg
from tegula._core import Tensor

_BORDERS = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Elements put before and after the last axes; negative numbers take some away.

    Args:
        input: any shape.
        pad: how many before and after the last axis, then before and after the one before it, ….
        mode: "constant" (``value``), "reflect" (the mirror image without the outermost elements),
            "replicate" (those elements) or "circular" (from the other end).
        value: of "constant".

    Returns:
        A larger tensor.

    Raises:
        ValueError: another mode, an odd number of numbers, or more of them than axes.
    """
    if mode not in _BORDERS:
        raise ValueError(f"pad: mode must be one of {', '.join(_BORDERS)}, got {mode!r}")
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise ValueError(f"pad: needs two numbers for each of at most {input.ndim} axes, got {pad}")
    axes = input.ndim
    before = [0] * (axes - len(pad) // 2) + list(pad[-2::-2])
    after = [0] * (axes - len(pad) // 2) + list(pad[::-2])
    for axis, (first, last) in enumerate(zip(before, after, strict=True)):
        if -min(first, 0) - min(last, 0) > input.shape[axis]:
            raise ValueError(f"pad: {pad} takes more than there is of shape {input.shape}")
    if min(*before, *after, 0) < 0:
        cut = [
            slice(max(-first, 0), size - max(-last, 0))
            for first, last, size in zip(before, after, input.shape, strict=True)
        ]
        input = input[tuple(cut)]
        before, after = ([max(n, 0) for n in each] for each in (before, after))
    if not axes:
        return input
    return tg.pad(input, before, after, value, _BORDERS[mode])


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """``tg.interpolate``: (N, C, …) → (N, C, *size).

    Args:
        input: with one to three axes after C.
        size: of these axes, or one int for all.
        scale_factor: instead of size, for all or for each; factors that differ must give whole
            sizes.
        mode: as for ``tg.interpolate``.
        align_corners: whether the first and last elements lie upon each other.
        recompute_scale_factor: whether the distances follow from the sizes, not from scale_factor.
        antialias: whether the filter widens where the result is smaller.

    Raises:
        ValueError: what does not fit, as ``tg.interpolate`` says.
    """
    factors = scale_factor if isinstance(scale_factor, (tuple, list)) else None
    if factors is not None and len(set(factors)) == 1:
        scale_factor, factors = factors[0], None
    if factors is not None or (recompute_scale_factor and scale_factor is not None):
        each = [scale_factor] * (input.ndim - 2) if factors is None else factors
        if len(each) != input.ndim - 2:
            raise ValueError(f"interpolate: needs {input.ndim - 2} scale factors, got {each}")
        exact = [n * f for n, f in zip(input.shape[2:], each, strict=True)]
        if not recompute_scale_factor and any(s != int(s) for s in exact):
            raise ValueError(
                f"interpolate: scale factors {each} do not give whole sizes for {input.shape}; "
                "give size, or recompute_scale_factor=True"
            )
        size, scale_factor = [int(s) for s in exact], None
    return tg.interpolate(input, size, scale_factor, mode, bool(align_corners), antialias)


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """``tg.grid_sample``: (N, C, H, W) at (N, H', W', 2) → (N, C, H', W')."""
    return tg.grid_sample(input, grid, mode, padding_mode, bool(align_corners))


def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """``tg.affine_grid``: maps (N, 2, 3) for a size (N, C, H, W) → (N, H, W, 2)."""
    return tg.affine_grid(theta, size, bool(align_corners))


def unfold(
    input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """Windows as columns: (N, C, H, W) → (N, C * kernel, windows)."""
    return tg.unfold(input, kernel_size, dilation, padding, stride)


def fold(
    input: Tensor,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """Columns added up as images: (N, C * kernel, windows) → (N, C, *output_size)."""
    return tg.fold(input, output_size, kernel_size, dilation, padding, stride)


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Channels as pixels: (…, C * r * r, H, W) → (…, C, H * r, W * r)."""
    return tg.pixel_shuffle(input, upscale_factor)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Pixels as channels: (…, C, H * r, W * r) → (…, C * r * r, H, W)."""
    return tg.pixel_unshuffle(input, downscale_factor)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """The first channel of each group, then the second ones, …: the shape stays."""
    return tg.channel_shuffle(input, groups)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """``tg.local_response_norm``: over ``size`` channels around each; the shape stays."""
    return tg.local_response_norm(input, size, alpha, beta, k)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input1 @ weight @ input2`` for every output: (…, in1) and (…, in2) → (…, out)."""
    return tg.bilinear(input1, input2, weight, bias)


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """The norm of each window: (N, C, L) → (N, C, L')."""
    return tg.lp_pool1d(input, kernel_size, stride, 0, norm_type, ceil_mode)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """The norm of each window: (N, C, H, W) → (N, C, H', W')."""
    return tg.lp_pool2d(input, kernel_size, stride, 0, norm_type, ceil_mode)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """The norm of each window: (N, C, D, H, W) → (N, C, D', H', W')."""
    return tg.lp_pool3d(input, kernel_size, stride, 0, norm_type, ceil_mode)


def _unpooled(
    axes: int, input: Tensor, indices: Tensor, kernel: Any, stride: Any, padding: Any, size: Any
) -> Tensor:
    if size is not None and not isinstance(size, int):
        size = tuple(size)[-axes:]  # N and C may be given too
    unpool = (tg.max_unpool1d, tg.max_unpool2d, tg.max_unpool3d)[axes - 1]
    return unpool(input, indices, kernel, stride, padding, size)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Zeros with the elements where the indices say: (N, C, L) → (N, C, L')."""
    return _unpooled(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Zeros with the elements where the indices say: (N, C, H, W) → (N, C, H', W')."""
    return _unpooled(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Zeros with the elements where the indices say: (N, C, D, H, W) → (N, C, D', H', W')."""
    return _unpooled(3, input, indices, kernel_size, stride, padding, output_size)


max_pool1d_with_indices = tg.max_pool1d_with_indices
max_pool2d_with_indices = tg.max_pool2d_with_indices
max_pool3d_with_indices = tg.max_pool3d_with_indices
