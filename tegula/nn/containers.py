"""Modules that hold modules: in sequence, in a list, in a dict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tegula.nn.module import Module


class _Numbered(Module):
    """Submodules under the attribute names "0", "1", …"""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def _renumber(self, modules: list[Module]) -> None:
        for name, _ in tuple(self.named_children()):
            del self.__dict__[name]
        for module in modules:
            self.append(module)

    def _name(self, index: int) -> str:
        count = len(self)
        if not isinstance(index, int):
            raise TypeError(f"{type(self).__name__} index must be an int or a slice, not {index!r}")
        if not -count <= index < count:
            raise IndexError(
                f"{type(self).__name__} index {index} is out of range ({count} modules)"
            )
        return str(index % count)

    def append(self, module: Module) -> Any:
        """Adds a module at the end; returns self."""
        if not isinstance(module, Module):
            raise TypeError(
                f"{type(self).__name__} holds modules, not {type(module).__name__}"
                + (": pass them one by one" if isinstance(module, (list, tuple)) else "")
            )
        self.__dict__[str(len(self))] = module
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Adds modules at the end; returns self."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Puts a module before position ``index``."""
        modules = list(self)
        modules.insert(index, module)
        self._renumber(modules)

    def __len__(self) -> int:
        return sum(1 for _ in self.named_children())

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            part = type(self).__new__(type(self))
            part.extend(list(self)[index])
            return part
        return self.__dict__[self._name(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__} holds modules, not {type(module).__name__}")
        self.__dict__[self._name(index)] = module

    def __delitem__(self, index: int) -> None:
        name = self._name(index)
        self._renumber([m for n, m in self.named_children() if n != name])


class Sequential(_Numbered):
    """Modules called one after the other, each with what the one before returned.

    Args:
        modules: the modules, or one mapping of names to modules.
    """

    def __init__(self, *modules: Any) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            super().__init__()
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            super().__init__(modules)

    def _name(self, index: int) -> str:
        # The names may be the user's own.
        return [name for name, _ in self.named_children()][int(super()._name(index))]

    def forward(self, x: Any) -> Any:
        """``modules[-1](… modules[1](modules[0](x)))``."""
        for module in tuple(self.__dict__.values()):
            if isinstance(module, Module):
                x = module(x)
        return x


class ModuleList(_Numbered):
    """A list of modules whose parameters belong to the module that holds it."""


class ModuleDict(Module):
    """A dict of modules whose parameters belong to the module that holds it."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Adds or replaces modules."""
        for name, module in dict(modules).items():
            self[name] = module

    def __getitem__(self, name: str) -> Module:
        module = self.__dict__.get(name)
        if not isinstance(module, Module):
            raise KeyError(name)
        return module

    def __setitem__(self, name: str, module: Module) -> None:
        if isinstance(self.__dict__.get(name), Module):
            del self.__dict__[name]
        self.add_module(name, module)

    def __delitem__(self, name: str) -> None:
        self[name]
        del self.__dict__[name]

    def __contains__(self, name: object) -> bool:
        return any(name == key for key in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[str]:
        for name, _ in self.named_children():
            yield name

    def keys(self) -> list[str]:
        """The names."""
        return list(self)

    def values(self) -> list[Module]:
        """The modules."""
        return list(self.children())

    def items(self) -> list[tuple[str, Module]]:
        """(name, module) pairs."""
        return list(self.named_children())
