"""Modules as functions of their parameters and buffers: as trees, and by ``functional_call``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tegula import _core
from tegula._core import Tensor
from tegula.nn.module import FLOATING, Module, Parameter

# A place of a tensor: a module and the name of an attribute.
Slot = tuple[Module, str]


def _is_parameter(module: Module, name: str, value: Any) -> bool:
    return isinstance(value, Parameter) or module._stand_ins.get(name, False)


def _is_buffer(module: Module, name: str, value: Any) -> bool:
    in_use = value is not None or name in module._stand_ins
    return in_use and name in module._buffer_names


def _slots(module: Module) -> Iterator[tuple[str, Slot, bool]]:
    """(path, slot, whether it is a parameter) of each parameter, then of each buffer, shared ones
    at each of their places.
    """
    modules = list(module._all_modules())
    for is_wanted in (_is_parameter, _is_buffer):
        for path, owner in modules:
            dot = f"{path}." if path else ""
            for name, value in owner.__dict__.items():
                if is_wanted(owner, name, value):
                    yield dot + name, (owner, name), is_wanted is _is_parameter


class _Layout:
    """All of a module but its parameters and buffers."""

    def __init__(self, module: Module) -> None:
        modules = list(module.modules())
        numbers = {id(m): i for i, m in enumerate(modules)}
        # The attributes of each module, without tensors and submodules; where these belong.
        self.modules = [(type(m), dict(m.__dict__)) for m in modules]
        self.children = [
            (i, name, numbers[id(child)])
            for i, m in enumerate(modules)
            for name, child in m.named_children()
        ]
        self.paths: list[str] = []
        self.leaves: list[Any] = []
        # (module, attribute, leaf, whether it is a parameter)
        self.slots: list[tuple[int, str, int, bool]] = []
        leaf_of: dict[int, int] = {}
        seen = set()
        for path, (owner, name), is_parameter in _slots(module):
            number, value = numbers[id(owner)], owner.__dict__[name]
            if (number, name) in seen:  # of a module that is there twice
                continue
            seen.add((number, name))
            if id(value) not in leaf_of or not isinstance(value, Tensor):
                leaf_of[id(value)] = len(self.leaves)
                self.leaves.append(value)
                self.paths.append(path)
            self.slots.append((number, name, leaf_of[id(value)], is_parameter))
        self._clear([(number, name) for number, name, _, _ in self.slots])
        self._clear([(number, name) for number, name, _ in self.children])

    def _clear(self, places: list[tuple[int, str]]) -> None:
        for number, name in places:
            self.modules[number][1][name] = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Layout) and self._signature() == other._signature()

    def __hash__(self) -> int:
        return hash(tuple(self.paths))

    def __repr__(self) -> str:
        return f"<{self.modules[0][0].__name__} of {', '.join(self.paths)}>"

    def _signature(self) -> tuple[Any, ...]:
        return [kind for kind, _ in self.modules], self.children, self.paths, self.slots

    def make(self, leaves: Sequence[Any]) -> Module:
        modules = []
        for kind, attributes in self.modules:
            module: Module = object.__new__(kind)
            module.__dict__.update(attributes)
            module.__dict__.pop("_stand_ins", None)
            if module._hooks is not None:
                module.__dict__["_hooks"] = {k: dict(v) for k, v in module._hooks.items()}
            if module._made_in_trace or _core._is_tracing():
                module.__dict__["_made_in_trace"] = _core._is_tracing()
            modules.append(module)
        for parent, name, child in self.children:
            modules[parent].__dict__[name] = modules[child]
        owned: dict[int, Any] = {}
        for number, name, leaf, is_parameter in self.slots:
            value = leaves[leaf]
            own = modules[number].__dict__
            if isinstance(value, Tensor):
                own[name] = owned.setdefault(leaf, _handle(value, is_parameter))
            else:
                own[name] = value
                own["_stand_ins"] = {**own.get("_stand_ins", {}), name: is_parameter}
        return modules[0]


def _handle(value: Tensor, is_parameter: bool) -> Tensor:
    """A handle of its own to the same value."""
    kind = type(value) if isinstance(value, Parameter) == is_parameter else Tensor
    if is_parameter and kind is Tensor:
        kind = Parameter
    return Tensor.__new__(kind, value)


def _flatten(module: Module) -> tuple[list[Any], _Layout, list[str]]:
    if _core._is_tracing():
        for m in module.modules():
            m._depend_on_mode()
    layout = _Layout(module)
    leaves, layout.leaves = layout.leaves, []
    return leaves, layout, [f".{path}" for path in layout.paths]


_core._register_module(Module, _flatten, _Layout.make)


def functional_call(
    module: Module,
    params_and_buffers: Mapping[str, Tensor] | Module | Sequence[Mapping[str, Tensor] | Module],
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """What ``module(*args, **kwargs)`` returns with these tensors in place of its own.

    As ``torch.func.functional_call``. Nothing is copied; afterwards, also after an exception, the
    module has its own tensors again. Gradients flow to the tensors given, and what the module
    writes to its buffers is written to those given.

    Args:
        module: the module. Meanwhile it is not to be called from another thread.
        params_and_buffers: tensors by name, as ``dict(module.named_parameters())``; or a module of
            the same names, such as ``tg.tree.map`` makes; or several of these. Parameters and
            buffers that are not named stay. A tensor that the module shares between several
            places is replaced at all of them.
        *args: what the module is called with.
        **kwargs: likewise.

    Raises:
        TypeError: a value is no Tensor, or of another dtype (but one floating dtype may stand for
            another), or ``params_and_buffers`` is none of these.
        ValueError: the module has no parameter or buffer of a name, a shape differs, or a shared
            tensor is given two values.
    """
    if not isinstance(module, Module):
        raise TypeError(f"functional_call: module must be a Module, not {type(module).__name__}")
    given = _collect(params_and_buffers)
    places = {path: slot for path, slot, _ in _slots(module)}
    _check(module, given, places)

    by_tensor: dict[int, tuple[str, Tensor]] = {}
    for name, value in given.items():
        owner, attribute = places[name]
        other, earlier = by_tensor.setdefault(id(owner.__dict__[attribute]), (name, value))
        if earlier is not value:
            raise ValueError(
                f"functional_call: {other} and {name} of {type(module).__name__} are one tensor "
                "and must be given the same value"
            )
    own = []
    for _, (owner, attribute), is_parameter in _slots(module):
        mine = owner.__dict__[attribute]
        if id(mine) in by_tensor:
            value = by_tensor[id(mine)][1]
            if is_parameter and not isinstance(value, Parameter):
                value = _handle(value, True)
            own.append((owner.__dict__, attribute, mine, value))
    try:
        for attributes, name, _, value in own:
            attributes[name] = value
        return module(*args, **kwargs)
    finally:
        for attributes, name, mine, _ in own:
            attributes[name] = mine


def _collect(params_and_buffers: Any) -> dict[str, Any]:
    parts = params_and_buffers if isinstance(params_and_buffers, (list, tuple)) else None
    given: dict[str, Any] = {}
    for part in [params_and_buffers] if parts is None else parts:
        if isinstance(part, Module):
            part = {path: owner.__dict__[name] for path, (owner, name), _ in _slots(part)}
        if not isinstance(part, Mapping):
            raise TypeError(
                "functional_call: params_and_buffers must be a mapping of names to tensors or a "
                f"Module, not {type(part).__name__}"
            )
        twice = sorted(given.keys() & part.keys())
        if twice:
            raise ValueError(f"functional_call: given twice: {', '.join(map(str, twice))}")
        given.update(part)
    return given


def _check(module: Module, given: Mapping[str, Any], places: Mapping[str, Slot]) -> None:
    kind = type(module).__name__
    unknown = [str(name) for name in given if name not in places]
    if unknown:
        raise ValueError(
            f"functional_call: {kind} has no parameter or buffer {', '.join(unknown)}; it has "
            f"{', '.join(places) or 'none'}"
        )
    for name, value in given.items():
        owner, attribute = places[name]
        mine = owner.__dict__[attribute]
        if not isinstance(value, Tensor):
            raise TypeError(f"functional_call: {name} must be a Tensor, not {type(value).__name__}")
        if value.shape != mine.shape:
            raise ValueError(
                f"functional_call: {name} has shape {mine.shape} in {kind}, the tensor given "
                f"{value.shape}"
            )
        floating = all(t.dtype in FLOATING for t in (mine, value))
        if value.dtype != mine.dtype and not floating:
            raise TypeError(
                f"functional_call: {name} is {mine.dtype} in {kind}, the tensor given {value.dtype}"
            )
