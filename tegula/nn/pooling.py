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
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode)
        self.return_indices = return_indices

    def forward(self, x: Tensor) -> Any:
        """(N, C, …) → (N, C, …), or both without N; with return_indices, two of those."""
        plain = F.max_pool1d, F.max_pool2d, F.max_pool3d
        both = F.max_pool1d_with_indices, F.max_pool2d_with_indices, F.max_pool3d_with_indices
        pool: Any = (both if self.return_indices else plain)[self._axes - 1]
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
        return_indices: whether to give also where each maximum is, for ``MaxUnpool2d``.
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


class _LPPool(_Pool):
    def __init__(
        self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> None:
        super().__init__(kernel_size, stride, 0, 1, ceil_mode)
        self.norm_type = norm_type

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, …) → (N, C, …), or both without N."""
        pool = (F.lp_pool1d, F.lp_pool2d, F.lp_pool3d)[self._axes - 1]
        return pool(x, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        """The settings."""
        return f"norm_type={self.norm_type}, {super().extra_repr()}"


class LPPool1d(_LPPool):
    """The norm of each window of sequences, see ``LPPool2d``: (N, C, L) → (N, C, L')."""

    _axes = 1


class LPPool2d(_LPPool):
    """The norm of each window: the sum of ``|x|`` to a power, to one over that power.

    Args:
        norm_type: the power.
        kernel_size: of the window, as the stride an int or one for each axis.
        stride: of the window, kernel_size unless said.
        ceil_mode: whether a last window may reach beyond the image.
    """

    _axes = 2


class LPPool3d(_LPPool):
    """The norm of each window of volumes, see ``LPPool2d``: (N, C, D, H, W) → (N, C, …)."""

    _axes = 3


class _MaxUnpool(_Pool):
    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__(kernel_size, stride, padding, 1, False)

    def forward(self, x: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """(N, C, …) and as many indices → (N, C, …), or all without N."""
        unpool = (F.max_unpool1d, F.max_unpool2d, F.max_unpool3d)[self._axes - 1]
        return unpool(x, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool1d(_MaxUnpool):
    """Puts sequences' maxima back, see ``MaxUnpool2d``: (N, C, L) → (N, C, L')."""

    _axes = 1


class MaxUnpool2d(_MaxUnpool):
    """Zeros with maxima where ``MaxPool2d`` with ``return_indices`` found them.

    Args:
        kernel_size: and the others as those of the pooling.
        stride: of the window, kernel_size unless said.
        padding: around the images.
    """

    _axes = 2


class MaxUnpool3d(_MaxUnpool):
    """Puts volumes' maxima back, see ``MaxUnpool2d``: (N, C, D, H, W) → (N, C, …)."""

    _axes = 3
