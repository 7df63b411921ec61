"""Convolution and pooling of images (N, C, H, W)."""

from __future__ import annotations

from typing import Any

import tegula as tg
from tegula._core import Tensor
from tegula.nn import functional as F
from tegula.nn.linear import default_init, positive
from tegula.nn.module import Module, Parameter


def _window(owner: Module, least: dict[str, int], **values: Any) -> list[tuple[int, int]]:
    """Each value as a pair, checked against the least it may be."""
    pairs = []
    for name, value in values.items():
        both = F.pair(value, f"{type(owner).__name__}: {name}")
        if min(both) < least.get(name, 1):
            raise ValueError(
                f"{type(owner).__name__}: {name} must be at least {least.get(name, 1)}, got {value}"
            )
        pairs.append(both)
    return pairs


class Conv2d(Module):
    """Cross-correlation with learned filters: (N, in_channels, H, W) → (N, out_channels, H', W').

    ``H' = (H + 2 padding - dilation (kernel - 1) - 1) // stride + 1``.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        kernel_size: an int or (height, width), like the three below.
        stride: step of the window.
        padding: zeros around the image on each side; "same" keeps H and W (odd extents,
            stride 1), "valid" is none.
        dilation: distance of the filter's taps.
        groups: the channels are cut into so many groups, each convolved on its own.
        bias: whether to add a learned bias.
        dtype: dtype of the parameters, float32 unless said.

    Attributes:
        weight: (out_channels, in_channels / groups, kh, kw), uniform within ±1 / sqrt(fan in).
        bias: (out_channels,), the same, or None.
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        positive(self, in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"Conv2d: groups={groups} must divide in_channels={in_channels} "
                f"and out_channels={out_channels}"
            )
        kernel, step, spread = _window(
            self, {}, kernel_size=kernel_size, stride=stride, dilation=dilation
        )
        if isinstance(padding, str):
            padding = self._named_padding(padding, kernel, step, spread)
        (border,) = _window(self, {"padding": 0}, padding=padding)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.padding, self.dilation = kernel, step, border, spread
        shape = (out_channels, in_channels // groups, *kernel)
        self.weight = Parameter(tg.empty(shape, dtype=dtype))
        self.bias = Parameter(tg.empty((out_channels,), dtype=dtype)) if bias else None
        self.reset_parameters()

    @staticmethod
    def _named_padding(
        name: str, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
    ) -> tuple[int, int]:
        if name == "valid":
            return 0, 0
        spans = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        if name != "same" or stride != (1, 1) or any(span % 2 for span in spans):
            raise ValueError(
                f"Conv2d: padding must be ints, 'valid', or (with stride 1 and an odd filter "
                f"extent) 'same'; got {name!r} with stride {stride} and kernel {kernel}"
            )
        return spans[0] // 2, spans[1] // 2

    def reset_parameters(self) -> None:
        """Draws new first values."""
        default_init(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) → (N, out_channels, H', W')."""
        return tg.conv2d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )

    def extra_repr(self) -> str:
        """The sizes, and the settings that are not the usual ones."""
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        for name, usual in (("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1))):
            if getattr(self, name) != usual:
                parts.append(f"{name}={getattr(self, name)}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        return ", ".join(parts)


class _Pool2d(Module):
    """What the poolings share: window, stride (the window unless said), padding."""

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = _window(
            self,
            {"padding": 0},
            kernel_size=kernel_size,
            stride=kernel_size if stride is None else stride,
            padding=padding,
        )
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise ValueError(
                f"{type(self).__name__}: padding must be at most half the window, "
                f"got {self.padding} for {self.kernel_size}"
            )

    def extra_repr(self) -> str:
        """The settings."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}" + (
            f", padding={self.padding}" if any(self.padding) else ""
        )


class MaxPool2d(_Pool2d):
    """The maximum of each window: (N, C, H, W) → (N, C, H', W'). Padding never wins.

    Args:
        kernel_size: an int or (height, width), like the two below.
        stride: step of the window; the window itself unless said.
        padding: border on each side, at most half the window.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H', W')."""
        return tg.max_pool2d(x, self.kernel_size, self.stride, self.padding)


class AvgPool2d(_Pool2d):
    """The mean of each window: (N, C, H, W) → (N, C, H', W').

    Args:
        kernel_size: an int or (height, width), like the two below.
        stride: step of the window; the window itself unless said.
        padding: zeros on each side, at most half the window.
        count_include_pad: whether the padding counts in the mean.
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H', W')."""
        return tg.avg_pool2d(x, self.kernel_size, self.stride, self.padding, self.count_include_pad)


class AdaptiveAvgPool2d(Module):
    """The mean of each cell of an even grid: (N, C, H, W) → (N, C, *output_size).

    Args:
        output_size: an int or (height, width) that divides the image; None keeps an extent.
    """

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, *output_size)."""
        return F.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        """The grid."""
        return f"output_size={self.output_size}"
