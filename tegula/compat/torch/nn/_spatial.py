"""``torch.nn.functional``: convolutions, pooling, padding, sampling, embedding."""

from __future__ import annotations

import math
from typing import Any

import tegula as tg
from tegula import _core
from tegula.compat.torch._elementwise import _where
from tegula.compat.torch._registry import functions, need, not_supported, t
from tegula.compat.torch._tensor import Tensor
from tegula.nn import functional as plain

table: dict[str, Any] = {}


def _spatial(f: Any, name: str = "") -> Any:
    f.__name__ = f.__qualname__ = name or f.__name__
    f.__doc__ = f.__doc__ or f"As torch.nn.functional.{f.__name__}."
    table[f.__name__] = f
    return f


def batched(x: Tensor, axes: int, f: Any) -> Any:
    """F of a batch; an input without the batch axis gets one."""
    if x.ndim != axes + 1:
        return f(x)
    result = f(x.unsqueeze(0))
    if isinstance(result, tuple):
        return tuple(r.squeeze(0) for r in result)
    return result.squeeze(0)


def _pair(value: Any, axes: int) -> tuple[int, ...]:
    if isinstance(value, (tuple, list)):
        return tuple(int(v) for v in value) * (axes if len(value) == 1 else 1)
    return (int(value),) * axes


def _convolution(axes: int) -> None:
    def conv(
        input: Tensor,
        weight: Tensor,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor:
        stride, dilation = _pair(stride, axes), _pair(dilation, axes)
        padding = plain.named_padding(padding, stride, dilation, weight)
        if not isinstance(padding, tuple) or len(padding) <= axes:
            padding = _pair(padding, axes)
        apply = getattr(_core, f"conv{axes}d")
        return batched(
            input, axes, lambda x: apply(x, weight, bias, stride, padding, dilation, groups)
        )

    def transposed(
        input: Tensor,
        weight: Tensor,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Tensor:
        settings = [_pair(v, axes) for v in (stride, padding, output_padding)]
        apply = getattr(_core, f"conv_transpose{axes}d")
        return batched(
            input,
            axes,
            lambda x: apply(x, weight, bias, *settings, groups, _pair(dilation, axes)),
        )

    functions[f"conv{axes}d"] = _spatial(conv, f"conv{axes}d")
    functions[f"conv_transpose{axes}d"] = _spatial(transposed, f"conv_transpose{axes}d")


def _pooling(axes: int) -> None:
    def max_pool(
        input: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        given = (kernel_size, stride or None, padding, dilation)
        sizes = [None if v is None or v == () or v == [] else _pair(v, axes) for v in given]
        if return_indices:
            return max_pool_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)
        apply = getattr(_core, f"max_pool{axes}d")
        return batched(input, axes, lambda x: apply(x, *sizes, ceil_mode))

    def max_pool_with_indices(
        input: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = True,
    ) -> Any:
        name = f"max_pool{axes}d_with_indices"
        apply = need(name, f"nn.functional.{name}")
        sizes = [
            None if v is None else _pair(v, axes) for v in (kernel_size, stride, padding, dilation)
        ]
        return batched(input, axes, lambda x: tuple(apply(x, *sizes, ceil_mode)))

    def avg_pool(
        input: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: Any = None,
    ) -> Tensor:
        kernel = _pair(kernel_size, axes)
        step = kernel if stride is None or stride == () else _pair(stride, axes)
        apply = getattr(_core, f"avg_pool{axes}d")
        include = True if divisor_override else count_include_pad
        result = batched(
            input, axes, lambda x: apply(x, kernel, step, _pair(padding, axes), ceil_mode, include)
        )
        if not divisor_override:
            return result
        for i, (k, s, p) in enumerate(zip(kernel, step, _pair(padding, axes), strict=True)):
            size, out = input.shape[i - axes], result.shape[i - axes]
            counts = [min(o * s - p + k, size + p) - (o * s - p) for o in range(out)]
            shape = [-1] + [1] * (axes - 1 - i)
            result = result * t.tensor(counts, dtype=result.dtype).reshape(shape)
        return result / divisor_override

    def indexed(input: Tensor, output_size: Any) -> Any:
        name = f"adaptive_max_pool{axes}d_with_indices"
        return tuple(need(name, f"nn.functional.{name}")(input, output_size))

    def adaptive(kind: str) -> Any:
        def apply(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
            if return_indices:
                return indexed(input, output_size)
            each = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * axes
            grid = tuple(input.shape[i - axes] if s is None else s for i, s in enumerate(each))
            operation = getattr(_core, f"adaptive_{kind}_pool{axes}d")
            return batched(input, axes, lambda x: operation(x, grid))

        return apply

    def lp_pool(
        input: Tensor,
        norm_type: float,
        kernel_size: Any,
        stride: Any = None,
        ceil_mode: bool = False,
    ) -> Tensor:
        powers = avg_pool(input**norm_type, kernel_size, stride, 0, ceil_mode)
        total = powers * math.prod(_pair(kernel_size, axes))
        return (total.sign() * _core.relu(total.abs())) ** (1.0 / norm_type)

    for name, f in {
        "max_pool": max_pool,
        "avg_pool": avg_pool,
        "adaptive_max_pool": adaptive("max"),
        "adaptive_avg_pool": adaptive("avg"),
        "lp_pool": lp_pool,
    }.items():
        _spatial(f, f"{name}{axes}d")
    _spatial(max_pool_with_indices, f"max_pool{axes}d_with_indices")
    for name in ("max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool"):
        functions[f"{name}{axes}d"] = table[f"{name}{axes}d"]

    def max_unpool(
        input: Tensor,
        indices: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        output_size: Any = None,
    ) -> Tensor:
        kernel = _pair(kernel_size, axes)
        step = kernel if stride is None else _pair(stride, axes)
        edge = _pair(padding, axes)
        sizes = [
            (n - 1) * s - 2 * p + k
            for n, s, p, k in zip(input.shape[-axes:], step, edge, kernel, strict=True)
        ]
        if output_size is not None:
            sizes = list(output_size)[-axes:]
        front = tuple(input.shape[:-axes])
        flat = t.zeros(*front, math.prod(sizes), dtype=input.dtype)
        at, values = indices.reshape(*front, -1), input.reshape(*front, -1)
        placed = functions["scatter"](flat, -1, at, values.detach())
        if input.requires_grad:  # the gradient is gathered, also where places repeat
            summed = functions["scatter_add"](flat, -1, at, values)
            placed = placed + (summed - summed.detach())
        return placed.reshape(*front, *sizes)

    _spatial(max_unpool, f"max_unpool{axes}d")


for _axes in (1, 2, 3):
    _convolution(_axes)
    _pooling(_axes)


@_spatial
def pad(input: Tensor, pad: Any, mode: str = "constant", value: Any = None) -> Tensor:
    """Padding of the last axes: (left, right, top, bottom, …); negative ones cut."""
    count = len(pad) // 2
    before = [0] * (input.ndim - count) + [pad[2 * i] for i in reversed(range(count))]
    after = [0] * (input.ndim - count) + [pad[2 * i + 1] for i in reversed(range(count))]
    cut = tuple(
        slice(max(0, -b), s - max(0, -a))
        for b, a, s in zip(before, after, input.shape, strict=True)
    )
    x = input[cut] if min([0, *pad]) < 0 else input
    before, after = ([max(0, v) for v in side] for side in (before, after))
    if mode == "constant":
        return _core.pad(x, tuple(before), tuple(after), 0 if value is None else value)
    for axis, (b, a) in enumerate(zip(before, after, strict=True)):
        if b or a:
            x = _padded(x, axis, b, a, mode)
    return x


def _padded(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    size = x.shape[axis]
    places = list(range(-before, size + after))
    if mode == "reflect":
        if max(before, after) >= size:
            raise RuntimeError(
                "Padding size should be less than the corresponding input dimension, but got: "
                f"padding ({before}, {after}) at dimension {axis} of input {list(x.shape)}"
            )
        index = [-i if i < 0 else 2 * (size - 1) - i if i >= size else i for i in places]
    elif mode == "replicate":
        index = [min(max(i, 0), size - 1) for i in places]
    elif mode == "circular":
        index = [i % size for i in places]
    else:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    return _core.take(x, _core.asarray(index), axis=axis)


@_spatial
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Channels as pixels: (…, C r², H, W) → (…, C, H r, W r)."""
    r = upscale_factor
    *front, c, h, w = input.shape
    x = input.reshape(*front, c // (r * r), r, r, h, w)
    n = len(front)
    axes = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return x.permute(axes).reshape(*front, c // (r * r), h * r, w * r)


@_spatial
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Pixels as channels: the inverse of ``pixel_shuffle``."""
    r = downscale_factor
    *front, c, h, w = input.shape
    x = input.reshape(*front, c, h // r, r, w // r, r)
    n = len(front)
    axes = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return x.permute(axes).reshape(*front, c * r * r, h // r, w // r)


@_spatial
def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels of the groups interleaved."""
    n, c, *rest = input.shape
    x = input.reshape(n, groups, c // groups, *rest)
    return x.transpose(1, 2).reshape(n, c, *rest)


for _name in ("pixel_shuffle", "pixel_unshuffle", "channel_shuffle"):
    functions[_name] = table[_name]


@_spatial
def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: Any = None,
    recompute_scale_factor: Any = None,
    antialias: bool = False,
) -> Tensor:
    """Another size of the last axes."""
    axes = input.ndim - 2
    if size is None:
        factors = scale_factor if isinstance(scale_factor, (tuple, list)) else [scale_factor] * axes
        sizes = tuple(math.floor(s * f) for s, f in zip(input.shape[2:], factors, strict=True))
    else:
        sizes, factors = _pair(size, axes), [None] * axes
    if mode == "area":
        return table[f"adaptive_avg_pool{axes}d"](input, sizes)
    if mode == "nearest":
        x = input
        for i, (n, s, f) in enumerate(zip(sizes, input.shape[2:], factors, strict=True)):
            ratio = s / n if f is None or recompute_scale_factor else 1 / f
            index = [min(math.floor(k * ratio), s - 1) for k in range(n)]
            x = _core.take(x, _core.asarray(index), axis=i + 2)
        return x
    operation = need(
        "interpolate", f"nn.functional.interpolate(mode={mode!r})", "use mode='nearest' or 'area'"
    )
    if antialias:
        raise not_supported("nn.functional.interpolate(antialias=True)")
    kind = "linear" if mode in ("linear", "bilinear", "trilinear") else mode
    try:
        if size is None and not recompute_scale_factor and len(set(factors)) == 1:
            return operation(
                input,
                scale_factor=float(factors[0]),
                mode=mode,
                align_corners=bool(align_corners),
            )
        return operation(input, sizes, mode=mode, align_corners=bool(align_corners))
    except ValueError:
        return operation(input, sizes, mode=kind, align_corners=bool(align_corners))


@_spatial
def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: Any = None,
) -> Tensor:
    """As ``interpolate``."""
    return interpolate(input, size, scale_factor, mode, align_corners)


@_spatial
def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """As ``interpolate`` with mode "nearest"."""
    return interpolate(input, size, scale_factor)


@_spatial
def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """As ``interpolate`` with mode "bilinear" and aligned corners."""
    return interpolate(input, size, scale_factor, "bilinear", True)


@_spatial
def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: Any = None,
) -> Tensor:
    """Values at the places of a grid."""
    operation = need("grid_sample", "nn.functional.grid_sample")
    return operation(
        input, grid, mode=mode, padding_mode=padding_mode, align_corners=bool(align_corners)
    )


@_spatial
def affine_grid(theta: Tensor, size: Any, align_corners: Any = None) -> Tensor:
    """The grid of affine maps, for ``grid_sample``."""
    spatial = list(size)[2:]
    lines = []
    for n in spatial:
        line = t.linspace(-1, 1, n, dtype=theta.dtype) if n > 1 else t.zeros(1, dtype=theta.dtype)
        lines.append(line if align_corners else line * ((n - 1) / n))
    grids = list(functions["meshgrid"](*lines))[::-1]
    base = t.stack([*grids, t.ones_like(grids[0])], -1).reshape(1, -1, len(spatial) + 1)
    return (base @ theta.mT).reshape(size[0], *spatial, len(spatial))


@_spatial
def unfold(
    input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """Windows as columns: (N, C, H, W) → (N, C kh kw, L)."""
    x = input if input.ndim == 4 else input.unsqueeze(0)
    (kh, kw), (dh, dw), (ph, pw), (sh, sw) = (
        _pair(v, 2) for v in (kernel_size, dilation, padding, stride)
    )
    x = _core.pad(x, (0, 0, ph, pw), (0, 0, ph, pw))
    n, c, h, w = x.shape
    rows = (h - dh * (kh - 1) - 1) // sh + 1
    columns = (w - dw * (kw - 1) - 1) // sw + 1
    parts = [
        x[
            :,
            :,
            i * dh : i * dh + sh * (rows - 1) + 1 : sh,
            j * dw : j * dw + sw * (columns - 1) + 1 : sw,
        ]
        for i in range(kh)
        for j in range(kw)
    ]
    result = t.stack(parts, 2).reshape(n, c * kh * kw, rows * columns)
    return result if input.ndim == 4 else result.squeeze(0)


@_spatial
def fold(
    input: Tensor,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """Columns added up at their windows: the transpose of ``unfold``."""
    x = input if input.ndim == 3 else input.unsqueeze(0)
    height, width = _pair(output_size, 2)
    (kh, kw), (dh, dw), (ph, pw), (sh, sw) = (
        _pair(v, 2) for v in (kernel_size, dilation, padding, stride)
    )
    h, w = height + 2 * ph, width + 2 * pw
    rows = (h - dh * (kh - 1) - 1) // sh + 1
    columns = (w - dw * (kw - 1) - 1) // sw + 1
    n, c = x.shape[0], x.shape[1] // (kh * kw)
    parts = x.reshape(n, c, kh, kw, rows, columns)
    places = t.arange(h * w).reshape(1, 1, h, w)
    index = unfold(places, (kh, kw), (dh, dw), 0, (sh, sw)).reshape(-1)
    flat = t.zeros(n, c, h * w, dtype=x.dtype)
    total = _core.index_add(flat, index, parts.reshape(n, c, -1), axis=2).reshape(n, c, h, w)
    total = total[:, :, ph : ph + height, pw : pw + width]
    return total if input.ndim == 3 else total.squeeze(0)


table["embedding"] = None


@_spatial
def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: Any = None,
    max_norm: Any = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of ``weight`` by index."""
    if max_norm is not None:
        with tg.no_grad():
            weight.copy_(functions["renorm"](weight, norm_type, 0, max_norm))
    if scale_grad_by_freq:
        raise not_supported("nn.functional.embedding(scale_grad_by_freq=True)")
    return plain.embedding(input, weight, padding_idx)  # type: ignore[return-value]


@_spatial
def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Any = None,
    max_norm: Any = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: Any = None,
) -> Tensor:
    """Sums, means or maxima of rows of ``weight``, bag by bag."""
    if scale_grad_by_freq:
        raise not_supported("nn.functional.embedding_bag(scale_grad_by_freq=True)")
    flat = input.reshape(-1)
    if input.ndim == 2:
        bag = t.arange(input.shape[0]).repeat_interleave(input.shape[1])
        count = input.shape[0]
    else:
        starts = offsets.tolist()
        ends = starts[1:] + ([] if include_last_offset else [flat.shape[0]])
        count = len(ends)
        lengths = [b - a for a, b in zip(starts, ends, strict=False)]
        bag = (
            t.arange(count).repeat_interleave(t.tensor(lengths))
            if count
            else t.zeros(0, dtype=tg.int64)
        )
    rows = embedding(flat, weight, padding_idx, max_norm, norm_type)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape(-1, 1)
    used = (
        t.ones_like(flat, dtype=tg.bool)
        if padding_idx is None
        else flat != padding_idx % weight.shape[0]
    )
    start = t.zeros(count, weight.shape[1], dtype=weight.dtype)
    if mode == "max":
        wide = _where(used.unsqueeze(1), rows, -math.inf)
        best = functions["index_reduce"](start - math.inf, 0, bag, wide, "amax")
        return _where(best == -math.inf, 0.0, best)
    total = _core.index_add(start, bag, _where(used.unsqueeze(1), rows, 0.0), axis=0)
    if mode == "sum":
        return total
    number = _core.index_add(t.zeros(count), bag, used.to(tg.float32), axis=0)
    return total / t.clamp(number, 1).unsqueeze(1)
