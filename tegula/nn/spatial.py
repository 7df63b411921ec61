"""Layers that move, resize or surround the elements of images and sequences."""

from __future__ import annotations

from typing import Any

import tegula as tg
from tegula._core import Tensor
from tegula.nn import functional as F
from tegula.nn import init
from tegula.nn.linear import positive
from tegula.nn.module import Module, Parameter


class Upsample(Module):
    """Resizes images, see ``tg.interpolate``.

    Args:
        size: of the axes after C, or one int for all of them.
        scale_factor: instead of size.
        mode: "nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear" or "area".
        align_corners: whether the first and last elements lie upon each other.

    Raises:
        ValueError: both or neither of size and scale_factor are given.
    """

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
    ) -> None:
        super().__init__()
        if (size is None) == (scale_factor is None):
            raise ValueError(f"{type(self).__name__}: needs either size or scale_factor")
        self.size, self.scale_factor = size, scale_factor
        self.mode, self.align_corners = mode, align_corners

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, …) → (N, C, *size)."""
        return F.interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners)

    def extra_repr(self) -> str:
        """The settings."""
        how = f"size={self.size}" if self.scale_factor is None else f"factor={self.scale_factor}"
        return f"{how}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """``Upsample`` with mode "nearest": (N, C, H, W) → (N, C, H', W')."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor)


class UpsamplingBilinear2d(Upsample):
    """``Upsample`` with mode "bilinear" and aligned corners: (N, C, H, W) → (N, C, H', W')."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "bilinear", True)


class PixelShuffle(Module):
    """Channels as pixels: (…, C * r * r, H, W) → (…, C, H * r, W * r).

    Args:
        upscale_factor: r.
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        positive(self, upscale_factor=upscale_factor)
        self.upscale_factor = upscale_factor

    def forward(self, x: Tensor) -> Tensor:
        """(…, C * r * r, H, W) → (…, C, H * r, W * r)."""
        return tg.pixel_shuffle(x, self.upscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Pixels as channels, what ``PixelShuffle`` undoes.

    Args:
        downscale_factor: r.
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        positive(self, downscale_factor=downscale_factor)
        self.downscale_factor = downscale_factor

    def forward(self, x: Tensor) -> Tensor:
        """(…, C, H * r, W * r) → (…, C * r * r, H, W)."""
        return tg.pixel_unshuffle(x, self.downscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """The first channel of each group, then the second ones, and so on.

    Args:
        groups: how many; they divide the channels.
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        positive(self, groups=groups)
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, …) → the same shape."""
        return tg.channel_shuffle(x, self.groups)

    def extra_repr(self) -> str:
        """The number of groups."""
        return f"groups={self.groups}"


class Unfold(Module):
    """The windows of images as columns.

    Args:
        kernel_size: of a window, an int or one for each axis, as the others.
        dilation: how far apart a window's elements are.
        padding: zeros before and after each axis.
        stride: how far apart windows are.
    """

    def __init__(
        self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C * kernel, windows), or both without N."""
        return tg.unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """The settings."""
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Fold(Unfold):
    """Columns added up where ``Unfold`` would take them from.

    Args:
        output_size: the size of the images.
        kernel_size: and the others as for ``Unfold``.
        dilation: how far apart a window's elements are.
        padding: zeros before and after each axis.
        stride: how far apart windows are.
    """

    def __init__(
        self,
        output_size: Any,
        kernel_size: Any,
        dilation: Any = 1,
        padding: Any = 0,
        stride: Any = 1,
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        """(N, C * kernel, windows) → (N, C, *output_size), or both without N."""
        size = self.output_size
        return tg.fold(x, size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """The settings."""
        return f"output_size={self.output_size}, {super().extra_repr()}"


class LocalResponseNorm(Module):
    """Divides by the squares of neighbouring channels, see ``tg.local_response_norm``.

    Args:
        size: how many channels.
        alpha: what multiplies the mean of their squares.
        beta: the exponent.
        k: what is added.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        positive(self, size=size)
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, …) → the same shape."""
        return tg.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class Bilinear(Module):
    """``x1 @ weight @ x2 + bias`` for every output.

    Args:
        in1_features: size of the last axis of the first input.
        in2_features: of the second.
        out_features: of the result.
        bias: whether to add a learned bias.
        dtype: dtype of the parameters, float32 unless said.

    Attributes:
        weight: (out_features, in1_features, in2_features), uniform within ±1 / sqrt(in1_features)
            at first.
        bias: (out_features,), the same, or None.
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = {"in1_features": in1_features, "in2_features": in2_features}
        positive(self, **sizes, out_features=out_features)
        self.in1_features, self.in2_features = in1_features, in2_features
        self.out_features = out_features
        self.weight = Parameter(tg.empty((out_features, in1_features, in2_features), dtype=dtype))
        self.bias = Parameter(tg.empty((out_features,), dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new first values."""
        bound = self.in1_features**-0.5
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                init.uniform_(parameter, -bound, bound)

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """(…, in1_features) and (…, in2_features) → (…, out_features)."""
        return tg.bilinear(x1, x2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.in1_features}, {self.in2_features}, {self.out_features}" + (
            "" if self.bias is not None else ", bias=False"
        )
