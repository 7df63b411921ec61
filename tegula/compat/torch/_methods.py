"""Methods of tensors that are no functions of ``torch``, and the methods in place."""

from __future__ import annotations

import types
from typing import Any

import tegula as tg
from tegula import _core
from tegula.compat.torch._linear import linalg
from tegula.compat.torch._registry import (
    both,
    functions,
    in_place,
    method,
    methods,
    naming,
    not_supported,
    t,
    write,
)
from tegula.compat.torch._tensor import Tensor, device

_CASTS = {
    "float": tg.float32,
    "double": tg.float64,
    "half": tg.float16,
    "bfloat16": tg.bfloat16,
    "int": tg.int32,
    "long": tg.int64,
    "short": tg.int16,
    "char": tg.int8,
    "byte": tg.uint8,
    "bool": tg.bool,
    "cfloat": tg.complex64,
    "cdouble": tg.complex128,
}


def _cast(name: str, dtype: Any) -> None:
    def cast(self: Tensor, memory_format: Any = None) -> Tensor:
        return self if self.dtype == dtype else _core.astype(self, dtype)

    cast.__name__ = cast.__qualname__ = name
    cast.__doc__ = f"As {dtype.name}."
    method(cast)


for _name, _dtype in _CASTS.items():
    _cast(_name, _dtype)


@method
def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """To a dtype, a device, or both; the tensor itself where nothing changes."""
    dtype, where = kwargs.get("dtype"), kwargs.get("device")
    for given in args:
        if isinstance(given, tg.DType):
            dtype = given
        elif isinstance(given, str):
            where = given
        elif isinstance(given, _core.Tensor):
            dtype, where = given.dtype, given.device
    result: Any = self
    if where is not None and device(where) != self.device:
        result = _core.Tensor.to(result, device(where))
    if dtype is not None and dtype != self.dtype:
        result = _core.astype(result, dtype)
    return result.clone() if kwargs.get("copy") and result is self else result


@method
def type(self: Tensor, dtype: Any = None, **_: Any) -> Any:
    """The name of the type, or the tensor as a dtype."""
    names = {"float32": "FloatTensor", "float64": "DoubleTensor", "int64": "LongTensor"}
    if dtype is None:
        return "torch." + names.get(self.dtype.name, self.dtype.name)
    return to(self, dtype if isinstance(dtype, tg.DType) else dtype.dtype)


@method
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """As the dtype of another."""
    return to(self, other.dtype)


@method
def cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """On the CPU."""
    return to(self, "cpu")


@method
def cuda(self: Tensor, *_: Any, **__: Any) -> Tensor:
    """An error: there is no CUDA device."""
    raise not_supported("Tensor.cuda", "Tegula computes on the CPU")


@method
def dim(self: Tensor) -> int:
    """The number of axes."""
    return self.ndim


methods["ndimension"] = dim


@method
def element_size(self: Tensor) -> int:
    """Bytes of an element."""
    return self.dtype.itemsize


@method
def data_ptr(self: Tensor) -> int:
    """A number that differs between tensors that do not share storage."""
    return id(self)


@method
def is_shared(self: Tensor) -> bool:
    """False: memory is not shared between processes."""
    return False


@method
def pin_memory(self: Tensor, *_: Any) -> Tensor:
    """The tensor."""
    return self


methods["share_memory_"] = pin_memory


@method
def is_pinned(self: Tensor, *_: Any) -> bool:
    """False."""
    return False


@method
def get_device(self: Tensor) -> int:
    """-1 for the CPU."""
    return -1


@method
def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Overwrites the tensor with values that broadcast, cast to its dtype."""
    value = src if isinstance(src, _core.Tensor) else t.tensor(src)
    value = value if value.dtype == self.dtype else _core.astype(value, self.dtype)
    return write(
        self, value if value.shape == self.shape else t.broadcast_to(value, self.shape), "copy_"
    )


@method
def fill_(self: Tensor, value: Any) -> Tensor:
    """Overwrites all elements with one value."""
    if isinstance(value, _core.Tensor):
        return copy_(self, value)
    return write(self, _core.full(self.shape, value, dtype=self.dtype), "fill_")


@both
def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor of this shape with one value."""
    if isinstance(value, _core.Tensor):
        return t.broadcast_to(to(value, input.dtype), input.shape).clone()
    return t.full_like(input, value)


@method
def zero_(self: Tensor) -> Tensor:
    """Overwrites all elements with 0."""
    return fill_(self, 0)


@method
def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Overwrites the diagonal with one value."""
    rows, columns = t.arange(self.shape[0]).unsqueeze(1), t.arange(self.shape[1])
    if wrap:
        rows = rows % (self.shape[1] + 1)
    return write(self, functions["where"](rows == columns, fill_value, self), "fill_diagonal_")


@method
def set_(self: Tensor, source: Any = None, *_: Any) -> Tensor:
    """Becomes another tensor's values."""
    _core._replace_value(self, t.empty(0) if source is None else source)
    return self


@method
def resize_(self: Tensor, *sizes: Any, **_: Any) -> Tensor:
    """Another shape; elements that are new are 0."""
    shape = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    old, count = self.detach().reshape(-1), t.zeros(*shape).numel()
    kept = old[:count]
    fresh = t.cat([kept, t.zeros(count - kept.numel(), dtype=self.dtype)]).reshape(tuple(shape))
    _core._replace_value(self, fresh)
    return self


@method
def detach_(self: Tensor) -> Tensor:
    """Without its history."""
    _core._replace_value(self, self.detach())
    return self


@method
def apply_(self: Tensor, function: Any) -> Tensor:
    """A Python function of every element."""
    values = [function(v) for v in self.reshape(-1).tolist()]
    return copy_(self, t.tensor(values, dtype=self.dtype).reshape(self.shape))


@method
def index_put_(self: Tensor, indices: Any, values: Any, accumulate: bool = False) -> Tensor:
    """Written (or added) where several indices point."""
    return write(self, functions["index_put"](self, indices, values, accumulate), "index_put_")


@method
def masked_fill_(self: Tensor, mask: Tensor, value: Any) -> Tensor:
    """One value where the mask holds."""
    return write(self, functions["masked_fill"](self, mask, value), "masked_fill_")


@method
def is_set_to(self: Tensor, other: Tensor) -> bool:
    """Whether the two are one."""
    return self is other


@method
def is_inference(self: Tensor) -> bool:
    """False."""
    return False


@method
def tolist(self: Tensor) -> Any:
    """Nested lists of Python numbers."""
    return _core.Tensor.tolist(self)


@method
def dense_dim(self: Tensor) -> int:
    """The number of axes."""
    return self.ndim


@method
def to_dense(self: Tensor, *_: Any, **__: Any) -> Tensor:
    """The tensor: all are dense."""
    return self


def _renamed_shape(name: str) -> Any:
    """A method in place that gives the handle another shape."""
    out_of_place = methods[name]

    def apply(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        fresh = out_of_place(self, *args, **kwargs)
        if fresh.shape == self.shape:
            return write(self, fresh, f"{name}_")
        _core._replace_value(self, fresh)
        return self

    return apply


def _written(name: str) -> Any:
    out_of_place = methods[name]

    def apply(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return write(self, out_of_place(self, *args, **kwargs), apply.__name__)

    return apply


SHAPED = {"squeeze", "unsqueeze", "t", "transpose", "swapaxes", "swapdims", "resolve_neg"}


def install() -> None:
    """Gives ``Tensor`` all methods."""
    for name in sorted(in_place):
        if name in methods and f"{name}_" not in methods:
            apply = _renamed_shape(name) if name in SHAPED else _written(name)
            apply.__name__ = apply.__qualname__ = f"{name}_"
            apply.__doc__ = f"``{name}`` in place; returns the tensor."
            methods[f"{name}_"] = apply
            functions.setdefault(f"{name}_", apply)
    for table in (functions, methods, vars(linalg)):
        for name, f in list(table.items()):
            if isinstance(f, types.FunctionType):
                table[name] = naming(f, f"linalg.{name}" if table is vars(linalg) else name)
    for name, f in methods.items():
        if name not in ("real", "imag"):
            setattr(Tensor, name, f)
    for name in ("real", "imag"):
        setattr(Tensor, name, property(methods[name]))
    for name in ("relu_", "zero_", "fill_"):
        functions[name] = methods[name]
