"""``Module`` and ``Parameter`` with PyTorch's methods, over Tegula's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import tegula as tg
import tegula.nn as plain
from tegula import _core
from tegula.compat.torch._creation import finish
from tegula.compat.torch._registry import not_supported
from tegula.compat.torch._tensor import Tensor


class Parameter(Tensor, plain.Parameter):  # type: ignore[misc]
    """A tensor that a ``Module`` lists among its parameters and an optimizer updates."""

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Parameter:
        """A new leaf that holds the value of ``data``."""
        source = _core.zeros((0,)) if data is None else tg.asarray(data)
        self = _core.Tensor.__new__(cls, _core._as_plain(source.detach()))
        self.requires_grad = requires_grad
        return self  # type: ignore[no-any-return]

    def __repr__(self, **_: Any) -> str:
        return f"Parameter containing:\n{Tensor.__repr__(self)}"


class Buffer(Tensor):
    """A tensor that a module registers as a buffer when it is assigned."""

    def __new__(cls, data: Any, *, persistent: bool = True) -> Buffer:
        """The value of ``data``."""
        self = _core.Tensor.__new__(cls, data)
        self.persistent = persistent
        return self  # type: ignore[no-any-return]


# Of Tegula's layers, the class of this module that is the same.
adopted: dict[type, type] = {}


def adopt(value: Any, done: dict[int, Any]) -> Any:
    """A parameter, buffer or module of Tegula's as this module's; the rest as it is.

    Layers that hold layers make Tegula's. ``done`` keeps what is shared shared.
    """
    if id(value) in done:
        return done[id(value)]
    result = value
    if isinstance(value, plain.Parameter) and not isinstance(value, Parameter):
        result = Parameter(value, value.requires_grad)
    elif type(value) is _core.Tensor:
        result = _core._as_compat(value)
    elif isinstance(value, plain.Module) and not isinstance(value, Module):
        value.__class__ = adopted.get(type(value), type(value))
        for name, part in tuple(value.__dict__.items()):
            value.__dict__[name] = adopt(part, done)
    done[id(value)] = result
    return result


class Module(plain.Module):
    """Base class of layers and models."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Buffer):
            return self.register_buffer(name, value, value.persistent)
        if isinstance(value, (_core.Tensor, plain.Module)):
            value = adopt(value, {})
        super().__setattr__(name, value)

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """A tensor that belongs to the module and is not trained."""
        value = finish(tensor) if type(tensor) is _core.Tensor else tensor
        super().register_buffer(name, value, persistent)

    def register_parameter(self, name: str, param: Any) -> None:
        """The same as assigning it."""
        self.__dict__.pop(name, None)
        setattr(self, name, param)

    def add_module(self, name: str, module: Any) -> None:
        """The same as assigning it."""
        setattr(self, name, module)

    register_module = add_module

    def get_parameter(self, target: str) -> Any:
        """The parameter at a path."""
        return dict(self.named_parameters())[target]

    def get_buffer(self, target: str) -> Any:
        """The buffer at a path."""
        return dict(self.named_buffers())[target]

    def get_submodule(self, target: str) -> Any:
        """The module at a path."""
        return dict(self.named_modules())[target]

    @property
    def _parameters(self) -> dict[str, Any]:
        return {n: v for n, v in self.__dict__.items() if isinstance(v, Parameter)}

    @property
    def _modules(self) -> dict[str, Any]:
        return {n: v for n, v in self.__dict__.items() if isinstance(v, plain.Module)}

    @property
    def _buffers(self) -> dict[str, Any]:
        return {n: self.__dict__[n] for n in self._buffer_names if n in self.__dict__}

    def state_dict(self, *args: Any, prefix: str = "", keep_vars: bool = False) -> Any:
        """The values of parameters and buffers by path."""
        found = self._state(prefix)
        return OrderedDict((k, v if keep_vars else v.detach()) for k, v in found.items())

    def load_state_dict(self, state: Any, strict: bool = True, assign: bool = False) -> Any:
        """Gives parameters and buffers the values in ``state``; RuntimeError where it misfits."""
        own = self._state("")
        fitted = {
            k: _core.astype(tg.asarray(v).detach(), own[k].dtype) if k in own else v
            for k, v in state.items()
        }
        try:
            return super().load_state_dict(fitted, strict)
        except ValueError as fault:
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}: {fault}"
            ) from None

    def to(self, *targets: Any, **kwargs: Any) -> Any:
        """Casts parameters and buffers; the parameters stay the objects they are."""
        dtype, where = kwargs.get("dtype"), kwargs.get("device")
        for target in targets:
            if isinstance(target, tg.DType):
                dtype = target
            elif isinstance(target, str):
                where = target
        for tensor in [*self.parameters(), *self.buffers()]:
            floating = tg.isdtype(tensor.dtype, ("real floating", "complex floating"))
            fresh = tensor.detach().to(where or "cpu", dtype if floating and dtype else None)
            if fresh.dtype != tensor.dtype or fresh.device != tensor.device:
                _core._replace_value(tensor, fresh)
        return self

    def float(self) -> Any:
        """As float32."""
        return self.to(tg.float32)

    def double(self) -> Any:
        """As float64."""
        return self.to(tg.float64)

    def half(self) -> Any:
        """As float16."""
        return self.to(tg.float16)

    def bfloat16(self) -> Any:
        """As bfloat16."""
        return self.to(tg.bfloat16)

    def type(self, dst_type: Any) -> Any:
        """As another dtype."""
        return self.to(dst_type)

    def cpu(self) -> Any:
        """On the CPU."""
        return self.to("cpu")

    def cuda(self, *_: Any) -> Any:
        """An error: there is no CUDA device."""
        raise not_supported("nn.Module.cuda", "Tegula computes on the CPU")

    def compile(self, *_: Any, **__: Any) -> None:
        """Nothing: use tegula.jit on the training step."""

    def register_forward_hook(self, hook: Callable[..., Any], **_: Any) -> Any:
        """Calls ``hook(module, args, result)`` after each forward."""
        return super().register_forward_hook(hook)

    def register_forward_pre_hook(self, hook: Callable[..., Any], **_: Any) -> Any:
        """Calls ``hook(module, args)`` before each forward."""
        return super().register_forward_pre_hook(hook)

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """Each parameter, a shared one once."""
        return super().parameters(recurse)

    def __repr__(self) -> str:
        head = f"{type(self).__name__}({self.extra_repr()}"
        lines = []
        for name, child in self.named_children():
            lines += f"({name}): {child!r}".split("\n")
        return head + ("\n" + "".join(f"  {line}\n" for line in lines) if lines else "") + ")"


class ParameterList(Module):
    """Parameters in a list."""

    def __init__(self, values: Any = ()) -> None:
        super().__init__()
        self.extend(values)

    def append(self, value: Any) -> Any:
        """Adds one at the end; returns self."""
        setattr(self, str(len(self)), value if isinstance(value, Parameter) else Parameter(value))
        return self

    def extend(self, values: Any) -> Any:
        """Adds several at the end; returns self."""
        for value in values:
            self.append(value)
        return self

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._parameters.values()))

    def __getitem__(self, index: int) -> Any:
        return list(self._parameters.values())[index]

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, str(index % len(self)), value)


class ParameterDict(Module):
    """Parameters by name."""

    def __init__(self, values: Any = None) -> None:
        super().__init__()
        self.update(values or {})

    def update(self, values: Any) -> None:
        """Adds those of a mapping."""
        for key, value in dict(values).items():
            self[key] = value

    def __getitem__(self, key: str) -> Any:
        return self._parameters[key]

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self, key, value if isinstance(value, Parameter) else Parameter(value))

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __contains__(self, key: str) -> bool:
        return key in self._parameters

    def keys(self) -> Any:
        """The names."""
        return self._parameters.keys()

    def values(self) -> Any:
        """The parameters."""
        return self._parameters.values()

    def items(self) -> Any:
        """Both."""
        return self._parameters.items()
