"""``Module``, the base of every layer and model, and ``Parameter``, a tensor that it trains."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import tegula as tg
from tegula._core import Tensor, _bind_all, _depend, _is_tracing, _note_mode_change
from tegula.nn._hooks import BackwardCall, Hook, Hooks

Self = TypeVar("Self", bound="Module")

LoadResult = namedtuple("LoadResult", ["missing_keys", "unexpected_keys"])


class Parameter(Tensor):
    """A tensor that a ``Module`` lists among its parameters and an optimizer updates.

    Args:
        data: its first value, of a floating dtype if it shall be trained.
        requires_grad: whether ``backward()`` computes its gradient.
    """

    def __new__(cls, data: Any, requires_grad: bool = True) -> Parameter:
        """A new leaf that holds the value of ``data``."""
        self = Tensor.__new__(cls, tg.asarray(data).detach())
        self.requires_grad = requires_grad
        return self

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Module:
    """Base class of layers and models.

    A subclass assigns its parameters, buffers and submodules to attributes and defines
    ``forward``; calling the module calls ``forward``. An attribute that is a ``Parameter`` is a
    parameter and one that is a ``Module`` is a submodule, so nothing is registered twice.

    Example:
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.fc = nn.Linear(4, 2)
        ...     def forward(self, x):
        ...         return self.fc(x).tanh()
    """

    training: bool = True
    # Name of each buffer and whether state_dict() holds it; a module's own dict once it has any.
    _buffer_names: Mapping[str, bool] = {}
    _hooks: dict[str, Hooks] | None = None
    # Of a copy made by tg.tree: where something else than a tensor stands for one, and whether that
    # is a parameter; whether a function being traced made the copy, which then ends with the trace.
    _stand_ins: Mapping[str, bool] = {}
    _made_in_trace = False

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What ``forward`` returns, with the hooks around it if there are any."""
        if _is_tracing():
            self._depend_on_mode()
        if self._hooks is None:
            return self.forward(*args, **kwargs)
        return self._call_with_hooks(args, kwargs)

    def _depend_on_mode(self) -> None:
        """Has the function that is being traced traced anew when the mode is another."""
        if not self._made_in_trace:
            _depend(self, "training", self.training, True)

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        hooks = self._hooks or Hook.none()
        for before in tuple(hooks["before"].values()):
            changed = before(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        backward = None
        if hooks["backward"] and tg.is_grad_enabled():
            backward = BackwardCall(self, hooks["backward"])
            args = backward.watch_arguments(args)
        result = self.forward(*args, **kwargs)
        for after in tuple(hooks["after"].values()):
            changed = after(self, args, result)
            if changed is not None:
                result = changed
        return result if backward is None else backward.watch_result(result)

    # ---- state ---------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "training":
            _note_mode_change()
        old = self.__dict__.get(name)
        if value is not old and value is not None:
            if isinstance(old, Parameter) and not isinstance(value, Parameter):
                raise TypeError(
                    f"cannot assign {type(value).__name__} to the parameter {name!r} of "
                    f"{type(self).__name__}: assign a Parameter or None, or write its value with "
                    f"`with tg.no_grad(): module.{name}[...] = value`"
                )
            if name in self._buffer_names and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign {type(value).__name__} to the buffer {name!r} of "
                    f"{type(self).__name__}: assign a Tensor or None"
                )
        if isinstance(old, Tensor) and name in self._buffer_names and _is_tracing():
            old._bind(value)  # the buffer that is there when the traced function runs
        else:
            object.__setattr__(self, name, value)

    def _check_name(self, name: str, what: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{what}: the name must be a str, not {type(name).__name__}")
        if not name or "." in name:
            raise ValueError(f"{what}: the name must be non-empty and without '.', got {name!r}")
        reserved = name in self._buffer_names or self.__dict__.get(name, self) is None
        if hasattr(self, name) and not reserved:
            raise ValueError(f"{what}: {type(self).__name__} already has an attribute {name!r}")

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Makes ``self.name`` a buffer: state that is saved and moved, but not trained.

        Args:
            name: the attribute's name.
            tensor: its value; None reserves the name.
            persistent: whether ``state_dict()`` holds it.

        Raises:
            TypeError: ``tensor`` is neither a Tensor nor None.
            ValueError: the name is empty, has a dot or is taken.
        """
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"register_buffer: {name!r} must be a Tensor or None, not {type(tensor).__name__}"
            )
        self._check_name(name, "register_buffer")
        self.__dict__["_buffer_names"] = {**self._buffer_names, name: persistent}
        self.__dict__[name] = tensor

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """The same as ``self.name = parameter``, for names made at run time.

        Raises:
            TypeError: ``parameter`` is neither a Parameter nor None.
            ValueError: the name is empty, has a dot or is taken.
        """
        if parameter is not None and not isinstance(parameter, Parameter):
            raise TypeError(
                f"register_parameter: {name!r} must be a Parameter or None, "
                f"not {type(parameter).__name__}"
            )
        self._check_name(name, "register_parameter")
        self.__dict__[name] = parameter

    def add_module(self, name: str, module: Module | None) -> None:
        """The same as ``self.name = module``, for names made at run time.

        Raises:
            TypeError: ``module`` is neither a Module nor None.
            ValueError: the name is empty, has a dot or is taken.
        """
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"add_module: {name!r} must be a Module, not {type(module).__name__}")
        self._check_name(name, "add_module")
        self.__dict__[name] = module

    register_module = add_module

    # ---- traversal -----------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of each direct submodule, in the order of assignment."""
        for name, value in tuple(self.__dict__.items()):
            if isinstance(value, Module):
                yield name, value

    def children(self) -> Iterator[Module]:
        """Each direct submodule."""
        for _, module in self.named_children():
            yield module

    def _all_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """(path, module) of this module and all below it, shared ones at each of their places."""
        stack = [(prefix, self)]
        while stack:
            path, module = stack.pop()
            yield path, module
            dot = f"{path}." if path else ""
            stack.extend([(dot + name, child) for name, child in module.named_children()][::-1])

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """(path, module) of this module (path "") and all below it, each module once."""
        seen = set()
        for path, module in self._all_modules(prefix):
            if id(module) not in seen:
                seen.add(id(module))
                yield path, module

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        for _, module in self.named_modules():
            yield module

    def _own(self, recurse: bool, prefix: str) -> Iterator[tuple[str, Module]]:
        return self.named_modules(prefix) if recurse else iter([(prefix, self)])

    def named_parameters(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter) of each parameter, a shared one once."""
        seen = set()
        for path, module in self._own(recurse, prefix):
            for name, value in module.__dict__.items():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{path}.{name}" if path else name), value

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Each parameter, a shared one once."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """(path, tensor) of each buffer that is not None, a shared one once."""
        seen = set()
        for path, module in self._own(recurse, prefix):
            for name in module._buffer_names:
                value = module.__dict__.get(name)
                if value is not None and id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{path}.{name}" if path else name), value

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Each buffer that is not None."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    # ---- saving and loading --------------------------------------------------------------

    def _state(self, prefix: str) -> dict[str, Tensor]:
        """The live handles behind ``state_dict``: parameters, then persistent buffers."""
        state: dict[str, Tensor] = {}
        for path, module in self._all_modules(prefix):
            dot = f"{path}." if path else ""
            own = module.__dict__
            state.update({dot + n: v for n, v in own.items() if isinstance(v, Parameter)})
            for name, persistent in module._buffer_names.items():
                if persistent and own.get(name) is not None:
                    state[dot + name] = own[name]
        return state

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """The values of all parameters and persistent buffers, by path.

        They are the values of now: training on does not change them.
        """
        return {name: tensor.detach() for name, tensor in self._state(prefix).items()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> LoadResult:
        """Gives parameters and buffers the values in ``state`` (tensors or NumPy arrays).

        Nothing is changed unless everything fits. Optimizers that hold the parameters go on
        with the new values.

        Args:
            state: path → value, as from ``state_dict()`` or ``tg.load``.
            strict: whether missing and unexpected names are errors. Shapes and dtypes must
                always agree.

        Returns:
            ``(missing_keys, unexpected_keys)``, two lists.

        Raises:
            TypeError: ``state`` is no mapping.
            ValueError: a name is missing or unexpected, or a shape or dtype differs; the
                message lists every one.
        """
        if not isinstance(state, Mapping):
            raise TypeError(
                f"load_state_dict: the state must be a mapping of names to tensors, "
                f"not {type(state).__name__}"
            )
        own = self._state("")
        missing = [name for name in own if name not in state]
        unexpected = [name for name in state if name not in own]
        values = {name: tg.asarray(state[name]).detach() for name in own if name in state}
        faults = []
        if strict and missing:
            faults.append("missing in the state: " + ", ".join(missing))
        if strict and unexpected:
            faults.append("unexpected in the state: " + ", ".join(unexpected))
        for name, value in values.items():
            for what in ("shape", "dtype"):
                mine, theirs = getattr(own[name], what), getattr(value, what)
                if mine != theirs:
                    faults.append(f"{what} of {name}: {mine} in the model, {theirs} in the state")
        if faults:
            raise ValueError(
                f"load_state_dict: the state does not fit {type(self).__name__}:\n  "
                + "\n  ".join(faults)
            )
        with tg.no_grad():
            _bind_all([own[name] for name in values], list(values.values()))
        return LoadResult(missing, unexpected)

    # ---- modes and conversions -----------------------------------------------------------

    def train(self: Self, mode: bool = True) -> Self:
        """Sets training mode (dropout drops, batch norms use the batch's statistics)."""
        if not isinstance(mode, bool):
            raise TypeError(f"train: mode must be a bool, not {type(mode).__name__}")
        for module in self.modules():
            module.__dict__["training"] = mode
        _note_mode_change()
        return self

    def eval(self: Self) -> Self:
        """Sets evaluation mode: the same as ``train(False)``."""
        return self.train(False)

    def apply(self: Self, function: Callable[[Module], Any]) -> Self:
        """Calls ``function`` on every submodule, then on this module."""
        for module in list(self.modules())[::-1]:
            function(module)
        return self

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Sets ``requires_grad`` of every parameter, for instance to freeze the module."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients (or sets those there are to zero)."""
        for parameter in self.parameters():
            clear_grad(parameter, set_to_none)

    def to(self: Self, *targets: Any, device: Any = None, dtype: Any = None) -> Self:
        """Moves parameters and buffers to a device and casts the floating ones to a dtype.

        Parameters become new objects (shared ones stay shared) and lose their gradients, so
        make the optimizer afterwards.

        Args:
            targets: a device, a dtype, or both, as in ``model.to("cpu", tg.float16)``.
            device: the device, by name.
            dtype: the dtype, by name; it must be a floating one.

        Raises:
            TypeError: ``dtype`` is no floating dtype.
        """
        for target in targets:
            if isinstance(target, tg.DType):
                dtype = target
            else:
                device = target
        if dtype is not None and dtype not in FLOATING:
            raise TypeError(f"Module.to: the dtype must be a floating one, not {dtype}")

        def convert(tensor: Tensor) -> Tensor:
            value = tensor.detach()
            if device is not None:
                value = value.to(device)
            if dtype is not None and value.dtype in FLOATING and value.dtype != dtype:
                value = value.astype(dtype)
            return value

        done: dict[int, Tensor] = {}
        for module in self.modules():
            for name, value in tuple(module.__dict__.items()):
                if isinstance(value, Parameter):
                    if id(value) not in done:
                        done[id(value)] = Parameter(convert(value), value.requires_grad)
                elif name in module._buffer_names and value is not None:
                    done.setdefault(id(value), convert(value))
                else:
                    continue
                module.__dict__[name] = done[id(value)]
        return self

    # ---- hooks ---------------------------------------------------------------------------

    def _register_hook(self, kind: str, function: Callable[..., Any]) -> Hook:
        if not callable(function):
            raise TypeError(f"a hook must be callable, not {type(function).__name__}")
        if self._hooks is None:
            self.__dict__["_hooks"] = Hook.none()
        handle = Hook(self, kind)
        self.__dict__["_hooks"][kind][handle] = function
        return handle

    def register_forward_pre_hook(self, function: Callable[..., Any]) -> Hook:
        """Calls ``function(module, args)`` before each forward; what it returns, unless None,
        replaces the positional arguments. Returns a handle with ``remove()``.
        """
        return self._register_hook("before", function)

    def register_forward_hook(self, function: Callable[..., Any]) -> Hook:
        """Calls ``function(module, args, result)`` after each forward; what it returns, unless
        None, replaces the result. Returns a handle with ``remove()``.
        """
        return self._register_hook("after", function)

    def register_full_backward_hook(self, function: Callable[..., Any]) -> Hook:
        """Calls ``function(module, grad_input, grad_output)`` in each backward pass through a call
        of the module; what it returns, unless None, replaces ``grad_input``.

        ``grad_output`` is a tuple of the gradients of the tensors that the call returned (of the
        leaves of that tree), ``grad_input`` of the positional arguments; None stands for what is
        no tensor or has no gradient. The function runs while the backward pass is recorded, on
        gradients that are not computed yet, under ``tg.jit`` when the function is traced. Where no
        argument requires grad it runs as soon as ``grad_output`` is there.

        Returns a handle with ``remove()``.

        Raises:
            TypeError: ``function`` is not callable; in the backward pass: it returned neither None
                nor a tensor or a tuple of them.
            ValueError: in the backward pass: the tuple it returned is of another length, or a
                gradient of another shape.
        """
        return self._register_hook("backward", function)

    # ---- printing ------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """The layer's own settings, for ``repr``; subclasses define it."""
        return ""

    def __repr__(self) -> str:
        count = sum(parameter.size for parameter in self.parameters())
        note = f"  # {count:,} parameters" if count else ""
        head = f"{type(self).__name__}({self.extra_repr()}"
        lines = []
        for name, child in self.named_children():
            lines += f"({name}): {child!r}".split("\n")
        if not lines:
            return f"{head}){note}"
        return f"{head}{note}\n" + "".join(f"  {line}\n" for line in lines) + ")"


def clear_grad(parameter: Tensor, set_to_none: bool) -> None:
    """Drops a gradient, or sets it to zero if there is one."""
    if set_to_none or parameter.grad is None:
        parameter.grad = None
    else:
        parameter.grad = tg.zeros_like(parameter.grad)


FLOATING = (tg.float16, tg.bfloat16, tg.float32, tg.float64)
