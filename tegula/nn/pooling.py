"""Pooling in one to three dimensions, after PyTorch."""

from __future__ import annotations

from typing import Any

from tegula._core import Tensor
from tegula.nn import functional as F
from tegula.nn.conv import window
from tegula.nn.module import Module


class _Pool(Module):
    """What the poolings share: window, stride (the window unless said), padding, dilation."""

    _axes = 0

    def __init__(
        self, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding, self.dilation = window(
            self,
            self._axes,
            {"padding": 0},
            kernel_size=kernel_size,
            stride=kernel_size if stride is None else stride,
            padding=padding,
            dilation=dilation,
        )
        self.ceil_mode = ceil_mode
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise ValueError(
                f"{type(self).__name__}: padding must be at most half the window, "
                f"got {self.padding} for {self.kernel_size}"
            )

    def extra_repr(self) -> str:
        """The settings, those unlike the usual ones only where they are not."""
        parts = [f"kernel_size={self.kernel_size}, stride={self.stride}"]
        if any(self.padding):
            parts.append(f"padding={self.padding}")
        if set(self.dilation) != {1}:
            parts.append(f"dilation={self.dilation}")
        if self.ceil_mode:
            parts.append("ceil_mode=True")
        return ", ".join(parts)


class _MaxPool(_Pool):
    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, …) → (N, C, …), or both without N."""
        pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[self._axes - 1]
        return pool(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, 1, ceil_mode)
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, …) → (N, C, …), or both without N."""
        pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[self._axes - 1]
        return pool(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )


class _AdaptivePool(Module):
    _pool: Any

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, …) → (N, C, *output_size), or both without N."""
        return type(self)._pool(x, self.output_size)

    def extra_repr(self) -> str:
        """The grid."""
        return f"output_size={self.output_size}"


class MaxPool1d(_MaxPool):
    """The maximum of each window of sequences, see ``MaxPool2d`` for the arguments.

    (N, C, L) → (N, C, L').
    """

    _axes = 1


class MaxPool2d(_MaxPool):
    """The maximum of each window: (N, C, H, W) → (N, C, H', W'). Padding never wins.

    Args:
        kernel_size: an int or (height, width), like the three below.
        stride: step of the window; the window itself unless said.
        padding: border on each side, at most half the window.
        dilation: distance of a window's elements.
        ceil_mode: whether a last window may reach beyond the padding.
    """

    _axes = 2


class MaxPool3d(_MaxPool):
    """The maximum of each window of volumes, see ``MaxPool2d`` for the arguments.

    (N, C, D, H, W) → (N, C, D', H', W').
    """

    _axes = 3


class AvgPool1d(_AvgPool):
    """The mean of each window of sequences, see ``AvgPool2d`` for the arguments.

    (N, C, L) → (N, C, L').
    """

    _axes = 1


class AvgPool2d(_AvgPool):
    """The mean of each window: (N, C, H, W) → (N, C, H', W').

    Args:
        kernel_size: an int or (height, width), like the two below.
        stride: step of the window; the window itself unless said.
        padding: zeros on each side, at most half the window.
        ceil_mode: whether a last window may reach beyond the padding.
        count_include_pad: whether the padding counts in the mean.
    """

    _axes = 2


class AvgPool3d(_AvgPool):
    """The mean of each window of volumes, see ``AvgPool2d`` for the arguments.

    (N, C, D, H, W) → (N, C, D', H', W').
    """

    _axes = 3


class AdaptiveMaxPool1d(_AdaptivePool):
    """The maximum of each window of a grid over sequences, see ``AdaptiveMaxPool2d``.

    (N, C, L) → (N, C, *output_size).
    """

    _pool = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptivePool):
    """The maximum of each window of a grid over the input: (N, C, H, W) → (N, C, *output_size).

    Window i of an axis goes from floor(i * size / output_size) to ceil((i + 1) * size /
    output_size).

    Args:
        output_size: an int or (height, width); None keeps an extent.
    """

    _pool = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptivePool):
    """The maximum of each window of a grid over volumes, see ``AdaptiveMaxPool2d``.

    (N, C, D, H, W) → (N, C, *output_size).
    """

    _pool = staticmethod(F.adaptive_max_pool3d)


class AdaptiveAvgPool1d(_AdaptivePool):
    """The mean of each window of a grid over sequences, see ``AdaptiveMaxPool2d``.

    (N, C, L) → (N, C, *output_size).
    """

    _pool = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptivePool):
    """The mean of each window of a grid, see ``AdaptiveMaxPool2d``.

    (N, C, H, W) → (N, C, *output_size).
    """

    _pool = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptivePool):
    """The mean of each window of a grid over volumes, see ``AdaptiveMaxPool2d``.

    (N, C, D, H, W) → (N, C, *output_size).
    """

    _pool = staticmethod(F.adaptive_avg_pool3d)
