"""Convolution and its transpose in one to three dimensions."""

from __future__ import annotations

from typing import Any

import tegula as tg
from tegula._core import Tensor
from tegula.nn import functional as F
from tegula.nn.linear import default_init, positive
from tegula.nn.module import Module, Parameter


def window(owner: Module, axes: int, least: dict[str, int], **values: Any) -> list[tuple[int, ...]]:
    """Each value for each axis, checked against the least it may be."""
    checked = []
    for name, value in values.items():
        each = F.per_axis(value, axes, f"{type(owner).__name__}: {name}")
        if min(each) < least.get(name, 1):
            raise ValueError(
                f"{type(owner).__name__}: {name} must be at least {least.get(name, 1)}, got {value}"
            )
        checked.append(each)
    return checked


class _Conv(Module):
    """What convolutions and their transposes share: filters, bias and the settings."""

    _axes = 0
    _transposed = False
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        groups: int,
        bias: bool,
        dtype: Any,
    ) -> None:
        super().__init__()
        name, axes = type(self).__name__, self._axes
        positive(self, in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{name}: groups={groups} must divide in_channels={in_channels} "
                f"and out_channels={out_channels}"
            )
        self.kernel_size, self.stride, self.dilation = window(
            self, axes, {}, kernel_size=kernel_size, stride=stride, dilation=dilation
        )
        if not isinstance(padding, str):
            (padding,) = window(self, axes, {"padding": 0}, padding=padding)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.padding = padding
        outer, inner = (
            (in_channels, out_channels) if self._transposed else (out_channels, in_channels)
        )
        shape = (outer, inner // groups, *self.kernel_size)
        self.weight = Parameter(tg.empty(shape, dtype=dtype))
        self.bias = Parameter(tg.empty((out_channels,), dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new first values."""
        default_init(self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes, and the settings that are not the usual ones."""
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        for name, usual in (("stride", 1), ("padding", 0), ("output_padding", 0), ("dilation", 1)):
            value = getattr(self, name, (usual,) * self._axes)
            if value != (usual,) * self._axes:
                parts.append(f"{name}={value!r}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        return ", ".join(parts)


class _ForwardConv(_Conv):
    """``Conv2d`` describes it."""

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
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, dtype
        )
        try:
            F.named_padding(self.padding, self.stride, self.dilation, self.weight)
        except ValueError as error:
            raise ValueError(f"{type(self).__name__}: {error}") from None

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, …) → (N, out_channels, …)."""
        convolve = (F.conv1d, F.conv2d, F.conv3d)[self._axes - 1]
        return convolve(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class Conv1d(_ForwardConv):
    """Cross-correlation of sequences with learned filters, see ``Conv2d`` for the arguments.

    (N, in_channels, L) → (N, out_channels, L').
    """

    _axes = 1


class Conv2d(_ForwardConv):
    """Cross-correlation with learned filters: (N, in_channels, H, W) → (N, out_channels, H', W').

    ``H' = (H + 2 padding - dilation (kernel - 1) - 1) // stride + 1``.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        kernel_size: an int or (height, width), like the three below.
        stride: step of the window.
        padding: zeros around the image on each side; "same" keeps H and W (with stride 1; where
            the filter's extent is even, one more zero comes after), "valid" is none.
        dilation: distance of the filter's taps.
        groups: the channels are cut into so many groups, each convolved on its own.
        bias: whether to add a learned bias.
        dtype: dtype of the parameters, float32 unless said.

    Attributes:
        weight: (out_channels, in_channels / groups, kh, kw), uniform within ±1 / sqrt(fan in).
        bias: (out_channels,), the same, or None.
    """

    _axes = 2


class Conv3d(_ForwardConv):
    """Cross-correlation of volumes with learned filters, see ``Conv2d`` for the arguments.

    (N, in_channels, D, H, W) → (N, out_channels, D', H', W').
    """

    _axes = 3


class _TransposedConv(_Conv):
    """``ConvTranspose2d`` describes it."""

    _transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        dtype: Any = None,
    ) -> None:
        if isinstance(padding, str):
            raise TypeError(f"{type(self).__name__}: padding must be ints, got {padding!r}")
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, dtype
        )
        (self.output_padding,) = window(
            self, self._axes, {"output_padding": 0}, output_padding=output_padding
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, …) → (N, out_channels, …)."""
        spread = (tg.conv_transpose1d, tg.conv_transpose2d, tg.conv_transpose3d)[self._axes - 1]
        return spread(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )


class ConvTranspose1d(_TransposedConv):
    """The transpose of ``Conv1d``, see ``ConvTranspose2d`` for the arguments.

    (N, in_channels, L) → (N, out_channels, L').
    """

    _axes = 1


class ConvTranspose2d(_TransposedConv):
    """The transpose of ``Conv2d``: (N, in_channels, H, W) → (N, out_channels, H', W').

    ``H' = (H - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1``.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        kernel_size: an int or (height, width), like the settings below.
        stride: distance of the windows that neighbours spread over.
        padding: elements cut off the result on each side.
        output_padding: elements added at the end of the result; less than stride or dilation.
        groups: the channels are cut into so many groups, each on its own.
        bias: whether to add a learned bias.
        dilation: distance of the filter's taps.
        dtype: dtype of the parameters, float32 unless said.

    Attributes:
        weight: (in_channels, out_channels / groups, kh, kw), uniform within ±1 / sqrt(fan in).
        bias: (out_channels,), the same, or None.
    """

    _axes = 2


class ConvTranspose3d(_TransposedConv):
    """The transpose of ``Conv3d``, see ``ConvTranspose2d`` for the arguments.

    (N, in_channels, D, H, W) → (N, out_channels, D', H', W').
    """

    _axes = 3
