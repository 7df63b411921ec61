"""The tensor type of ``tegula.compat.torch``, its shapes and its devices.

The extension does the work (src/python/compat*.cc): an operation that is given one of these tensors
gives one, operators promote as PyTorch does, and a write through a view reaches its base.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tegula import _core

_plain_dtype = _core.Tensor.dtype
_plain_data = _core.Tensor.detach


class Size(tuple):  # type: ignore[type-arg]
    """A shape: a tuple of ints with ``numel()``."""

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self)

    def __getitem__(self, key: Any) -> Any:
        part = tuple.__getitem__(self, key)
        return Size(part) if isinstance(key, slice) else part

    def __add__(self, other: Any) -> Size:
        return Size(tuple.__add__(self, tuple(other)))

    def __radd__(self, other: Any) -> Size:
        return Size(tuple(other) + tuple(self))

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"

    __str__ = __repr__


class device(str):  # noqa: N801
    """A device by name: a str with ``type`` and ``index``. Tegula has "cpu" and "null"."""

    index: int | None
    type: str

    def __new__(cls, name: Any, index: int | None = None) -> device:
        """``device("cpu")``, ``device("cpu", 0)``."""
        kind, _, number = str(name).partition(":")
        self = str.__new__(cls, kind)
        self.type = kind
        self.index = int(number) if number else index
        return self

    def __repr__(self) -> str:
        place = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{place})"

    def __enter__(self) -> device:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class Tensor(_core.Tensor):
    """A tensor with PyTorch's methods and semantics; see the page on ``tegula.compat.torch``."""

    __slots__ = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Tensor:
        """``Tensor(2, 3)`` is uninitialised (zeros here), ``Tensor([1, 2])`` holds floats."""
        if len(args) == 1 and isinstance(args[0], _core.Tensor):
            return _core.Tensor.__new__(cls, *args, **kwargs)
        dtype = kwargs.pop("dtype", _core._compat_default_dtype())
        if args and all(isinstance(a, int) for a in args):
            return _core.Tensor.__new__(cls, _core.zeros(args, dtype=dtype))
        data = args[0] if args else []
        if isinstance(data, Size):
            data = _core.zeros(tuple(data), dtype=dtype)
        return _core.Tensor.__new__(cls, data, dtype=dtype)

    # ---- attributes ----------------------------------------------------------------------

    def size(self, dim: int | None = None) -> Any:  # type: ignore[override]
        """The shape, or the size of one axis."""
        return self.shape if dim is None else self.shape[dim]

    @property
    def device(self) -> device:  # type: ignore[override]
        """Where the values are."""
        return device(_core.Tensor.device.__get__(self))

    @property
    def data(self) -> Tensor:
        """The same values apart from autograd; writing into them writes into this tensor."""
        return self.detach()

    @data.setter
    def data(self, value: _core.Tensor) -> None:
        _core._replace_value(self, value)

    @property
    def grad_fn(self) -> Any:
        """None for a leaf, else something."""
        return None if self.is_leaf else "<a recorded operation>"

    @property
    def layout(self) -> str:
        """How the values are stored: always "strided"."""
        return "strided"

    is_sparse = is_quantized = is_cuda = is_meta = is_mps = is_nested = False
    is_mkldnn = is_xla = is_xpu = False
    names = property(lambda self: (None,) * self.ndim)
    itemsize = property(lambda self: self.dtype.itemsize)

    @property
    def H(self) -> Tensor:  # noqa: N802
        """The conjugate transpose of a matrix."""
        return self.mT.conj()

    mH = H  # noqa: N815

    # ---- Python --------------------------------------------------------------------------

    def __repr__(self, **_: Any) -> str:
        notes = []
        default = _core._compat_default_dtype()
        if self.dtype not in (default, "int64", "bool"):
            notes.append(f"dtype=torch.{self.dtype.name}")
        array = self.detach().float().numpy() if self.dtype == "bfloat16" else self.numpy_value()
        values = np.array2string(array, separator=", ", prefix="tensor(", precision=4)
        if not self.is_leaf:
            notes.append("grad_fn=<recorded>")
        elif self.requires_grad:
            notes.append("requires_grad=True")
        return f"tensor({', '.join([values, *notes])})"

    def numpy_value(self) -> np.ndarray[Any, Any]:
        """The values as a read-only array, whether or not a gradient is wanted."""
        return _core.Tensor.numpy(self)

    def numpy(self, *, force: bool = False) -> np.ndarray[Any, Any]:
        """The values as a NumPy array of its own memory."""
        if self.requires_grad and not force:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. "
                "Use tensor.detach().numpy() instead."
            )
        return np.array(_core.Tensor.numpy(self))

    def __hash__(self) -> int:
        return id(self)

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __reduce_ex__(self, protocol: int) -> Any:
        return _core.Tensor.__reduce_ex__(self, protocol)

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, _core.Tensor) and value.ndim and value.shape[0] == 1:
            # As PyTorch: leading axes of size 1 that the selection lacks are dropped.
            while value.ndim and value.shape[0] == 1 and value.ndim > 1:
                value = value[0]
        if isinstance(key, Tensor) and key.dtype == "uint8":
            key = key.bool()
        _core.Tensor.__setitem__(self, key, value)

    @classmethod
    def __torch_function__(cls, *_: Any, **__: Any) -> Any:
        """PyTorch's protocol for other tensor types, which is not supported."""
        raise NotImplementedError("torch.Tensor.__torch_function__ is not supported")


_core._set_compat_types(Tensor, Size)


def as_tensor_like(value: Any) -> Any:
    """A tensor of the main namespace as this one's type; lists and tuples of them likewise."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, _core.Tensor):
        return _core._as_compat(value)
    if type(value) in (tuple, list):
        return type(value)(as_tensor_like(v) for v in value)
    return value
