"""Layers that surround images and sequences with more elements."""

from __future__ import annotations

from typing import Any

from tegula._core import Tensor
from tegula.nn import functional as F
from tegula.nn.module import Module


class _Pad(Module):
    """``ReflectionPad2d`` describes it."""

    _axes = 0
    _mode = "constant"

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = F.per_axis(padding, 2 * self._axes, f"{type(self).__name__}: padding")

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, …) → (N, C, …), or both without N, with larger axes after C."""
        if x.ndim not in (self._axes + 1, self._axes + 2):
            raise ValueError(
                f"{type(self).__name__}: the input must have {self._axes} axes after (N, C) or "
                f"(C,), got shape {x.shape}"
            )
        return F.pad(x, self.padding, self._mode)

    def extra_repr(self) -> str:
        """The numbers of elements."""
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, …) → (N, C, …), or both without N, with larger axes after C."""
        return F.pad(x, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        """The numbers of elements, and the value."""
        return f"{self.padding}, value={self.value}"


class ReflectionPad2d(_Pad):
    """Surrounds images with their mirror image, which lacks the outermost elements.

    Args:
        padding: how many elements left, right, above and below, or one int for all.
    """

    _axes, _mode = 2, "reflect"


class ReflectionPad1d(_Pad):
    """Surrounds sequences with their mirror image, see ``ReflectionPad2d``."""

    _axes, _mode = 1, "reflect"


class ReflectionPad3d(_Pad):
    """Surrounds volumes with their mirror image, see ``ReflectionPad2d``."""

    _axes, _mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """Surrounds sequences with their outermost elements, see ``ReflectionPad2d``."""

    _axes, _mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """Surrounds images with their outermost elements, see ``ReflectionPad2d``."""

    _axes, _mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """Surrounds volumes with their outermost elements, see ``ReflectionPad2d``."""

    _axes, _mode = 3, "replicate"


class CircularPad1d(_Pad):
    """Surrounds sequences with elements from the other end, see ``ReflectionPad2d``."""

    _axes, _mode = 1, "circular"


class CircularPad2d(_Pad):
    """Surrounds images with elements from the other end, see ``ReflectionPad2d``."""

    _axes, _mode = 2, "circular"


class CircularPad3d(_Pad):
    """Surrounds volumes with elements from the other end, see ``ReflectionPad2d``."""

    _axes, _mode = 3, "circular"


class ConstantPad1d(_ConstantPad):
    """Surrounds sequences with a value, see ``ReflectionPad2d``."""

    _axes = 1


class ConstantPad2d(_ConstantPad):
    """Surrounds images with a value, see ``ReflectionPad2d``."""

    _axes = 2


class ConstantPad3d(_ConstantPad):
    """Surrounds volumes with a value, see ``ReflectionPad2d``."""

    _axes = 3


class ZeroPad1d(_Pad):
    """Surrounds sequences with zeros, see ``ReflectionPad2d``."""

    _axes = 1


class ZeroPad2d(_Pad):
    """Surrounds images with zeros, see ``ReflectionPad2d``."""

    _axes = 2


class ZeroPad3d(_Pad):
    """Surrounds volumes with zeros, see ``ReflectionPad2d``."""

    _axes = 3
