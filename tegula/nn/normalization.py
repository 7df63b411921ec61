"""Normalisations: over the batch, over each example or over parts of it."""

from __future__ import annotations

import math
from typing import Any

import tegula as tg
from tegula._core import Tensor
from tegula.nn import functional as F
from tegula.nn.linear import positive
from tegula.nn.module import Module, Parameter


class _BatchNorm(Module):
    """What the batch norms share; ``BatchNorm2d`` describes it."""

    _ranks: tuple[int, ...] = ()
    _layout = ""
    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        positive(self, num_features=num_features)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        shape, tracked = (num_features,), track_running_stats
        self.weight = Parameter(tg.ones(shape, dtype=dtype)) if affine else None
        self.bias = Parameter(tg.zeros(shape, dtype=dtype)) if affine else None
        self.register_buffer("running_mean", tg.zeros(shape, dtype=dtype) if tracked else None)
        self.register_buffer("running_var", tg.ones(shape, dtype=dtype) if tracked else None)
        self.register_buffer(
            "num_batches_tracked", tg.zeros((), dtype=tg.int64) if tracked else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Normalises axis 1; the shape stays."""
        if x.ndim not in self._ranks or x.shape[1] != self.num_features:
            raise ValueError(
                f"{type(self).__name__}: the input must be {self._layout} with "
                f"C = {self.num_features}, got {x.shape}"
            )
        momentum: float | Tensor = 0.0 if self.momentum is None else self.momentum
        count = self.num_batches_tracked
        if self.training and count is not None and self.running_mean is not None:
            with tg.no_grad():
                count._bind(count + 1)
                if self.momentum is None:
                    momentum = 1 / count.astype(self.running_mean.dtype)
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.training,
            momentum=momentum,
            eps=self.eps,
        )

    def extra_repr(self) -> str:
        """The settings."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Normalises each channel of (N, C) or (N, C, L); see ``BatchNorm2d`` for the arguments."""

    _ranks, _layout = (2, 3), "(N, C) or (N, C, L)"


class BatchNorm2d(_BatchNorm):
    """Normalises each channel of (N, C, H, W) over the batch; Ioffe & Szegedy 2015.

    In training by the batch's statistics, in evaluation by running ones.

    Args:
        num_features: channels C.
        eps: added to the variance.
        momentum: how far a batch moves the running statistics; None keeps their plain mean.
        affine: whether to scale and shift by learned weight and bias.
        track_running_stats: whether to keep running statistics; without them evaluation, too,
            uses the batch's.
        dtype: dtype of parameters and statistics, float32 unless said.

    Attributes:
        weight, bias: (C,), 1 and 0 at first, or None.
        running_mean, running_var: (C,) buffers, 0 and 1 at first, or None.
        num_batches_tracked: 0-d int64 buffer, or None.
    """

    _ranks, _layout = (4,), "(N, C, H, W)"


class BatchNorm3d(_BatchNorm):
    """Normalises each channel of (N, C, D, H, W); see ``BatchNorm2d`` for the arguments."""

    _ranks, _layout = (5,), "(N, C, D, H, W)"


class GroupNorm(Module):
    """Normalises each example over groups of its channels; Wu & He 2018.

    Args:
        num_groups: how many groups the channels are cut into.
        num_channels: channels C.
        eps: added to the variance.
        affine: whether to scale and shift each channel by learned weight and bias.
        dtype: dtype of the parameters, float32 unless said.

    Attributes:
        weight, bias: (C,), 1 and 0 at first, or None.
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        positive(self, num_groups=num_groups, num_channels=num_channels)
        if num_channels % num_groups:
            raise ValueError(
                f"{type(self).__name__}: num_groups={num_groups} must divide "
                f"num_channels={num_channels}"
            )
        self.num_groups, self.num_channels, self.eps, self.affine = (
            num_groups,
            num_channels,
            eps,
            affine,
        )
        self.weight = Parameter(tg.ones((num_channels,), dtype=dtype)) if affine else None
        self.bias = Parameter(tg.zeros((num_channels,), dtype=dtype)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, …) → the same shape."""
        return tg.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class _InstanceNorm(Module):
    """``InstanceNorm2d`` describes it."""

    _ranks: tuple[int, int] = (0, 0)
    _layout = ""
    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self, num_features: int, eps: float = 1e-5, affine: bool = False, dtype: Any = None
    ) -> None:
        super().__init__()
        positive(self, num_features=num_features)
        self.num_features, self.eps, self.affine = num_features, eps, affine
        self.weight = Parameter(tg.ones((num_features,), dtype=dtype)) if affine else None
        self.bias = Parameter(tg.zeros((num_features,), dtype=dtype)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, …) or (C, …) → the same shape."""
        channel_axis = x.ndim - self._ranks[0]
        if x.ndim not in self._ranks or x.shape[channel_axis] != self.num_features:
            raise ValueError(
                f"{type(self).__name__}: the input must be {self._layout} with "
                f"C = {self.num_features}, got {x.shape}"
            )
        batch = x if channel_axis else tg.expand_dims(x, 0)
        y = tg.group_norm(batch, self.num_features, self.weight, self.bias, self.eps)
        return y if channel_axis else tg.squeeze(y, 0)

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.num_features}, eps={self.eps}, affine={self.affine}"


class InstanceNorm1d(_InstanceNorm):
    """Normalises each channel of each sequence; see ``InstanceNorm2d`` for the arguments."""

    _ranks, _layout = (2, 3), "(N, C, L) or (C, L)"


class InstanceNorm2d(_InstanceNorm):
    """Normalises each channel of each image (N, C, H, W) or (C, H, W); Ulyanov et al. 2016.

    By the image's own statistics, in training and evaluation alike.

    Args:
        num_features: channels C.
        eps: added to the variance.
        affine: whether to scale and shift each channel by learned weight and bias.
        dtype: dtype of the parameters, float32 unless said.

    Attributes:
        weight, bias: (C,), 1 and 0 at first, or None.
    """

    _ranks, _layout = (3, 4), "(N, C, H, W) or (C, H, W)"


class InstanceNorm3d(_InstanceNorm):
    """Normalises each channel of each volume; see ``InstanceNorm2d`` for the arguments."""

    _ranks, _layout = (4, 5), "(N, C, D, H, W) or (C, D, H, W)"


class LayerNorm(Module):
    """Normalises each example over its trailing axes; Ba, Kiros & Hinton 2016.

    Args:
        normalized_shape: the trailing axes, an int or a tuple.
        eps: added to the variance.
        elementwise_affine: whether to scale and shift by learned weight and bias.
        bias: whether to shift.
        dtype: dtype of the parameters, float32 unless said.

    Attributes:
        weight, bias: of shape ``normalized_shape``, 1 and 0 at first, or None.
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        shape = (
            normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
        )
        if not shape or math.prod(shape) < 1:
            raise ValueError(f"LayerNorm: normalized_shape must name axes, got {normalized_shape}")
        self.normalized_shape, self.eps = tuple(shape), eps
        self.elementwise_affine = elementwise_affine
        shifts = elementwise_affine and bias
        self.weight = (
            Parameter(tg.ones(self.normalized_shape, dtype=dtype)) if elementwise_affine else None
        )
        self.bias = Parameter(tg.zeros(self.normalized_shape, dtype=dtype)) if shifts else None

    def forward(self, x: Tensor) -> Tensor:
        """(…, *normalized_shape) → the same shape."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The settings."""
        affine = self.elementwise_affine
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={affine}"


class RMSNorm(Module):
    """Divides each example by its root mean square over trailing axes; Zhang & Sennrich 2019.

    Args:
        normalized_shape: the trailing axes, an int or a tuple.
        eps: added to the mean square; None is the spacing of float32 at 1.
        elementwise_affine: whether to scale by a learned weight.
        dtype: dtype of the weight, float32 unless said.

    Attributes:
        weight: of shape ``normalized_shape``, 1 at first, or None.
    """

    weight: Parameter | None

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        shape = (
            normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
        )
        if not shape or math.prod(shape) < 1:
            raise ValueError(f"RMSNorm: normalized_shape must name axes, got {normalized_shape}")
        self.normalized_shape = tuple(shape)
        self.eps = 2.0**-23 if eps is None else eps
        self.weight = (
            Parameter(tg.ones(self.normalized_shape, dtype=dtype)) if elementwise_affine else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(…, *normalized_shape) → the same shape."""
        shape = self.normalized_shape
        if x.shape[max(0, x.ndim - len(shape)) :] != shape:
            raise ValueError(f"RMSNorm: the input {x.shape} does not end in {shape}")
        return tg.rms_norm(x, len(shape), self.weight, self.eps)

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.normalized_shape}, eps={self.eps}"
