"""Where the parts of ``tegula.compat.torch`` put their functions and methods."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from tegula import _core
from tegula.compat.torch import _table
from tegula.compat.torch._tensor import Tensor

F = TypeVar("F", bound=Callable[..., Any])

functions: dict[str, Any] = dict(_table.functions)
methods: dict[str, Any] = dict(_table.methods)
in_place: set[str] = set(_table.in_place)


def function(f: F) -> F:
    """A function of ``torch``."""
    functions[f.__name__] = f
    return f


def method(f: F) -> F:
    """A method of ``torch.Tensor``."""
    methods[f.__name__] = f
    return f


def both(f: F) -> F:
    """A function of ``torch`` and a method of its tensors."""
    methods[f.__name__] = f
    functions[f.__name__] = f
    return f


def everywhere(f: F) -> F:
    """The same, and a method in place."""
    in_place.add(f.__name__)
    return both(f)


def need(operation: str, name: str, instead: str = "") -> Any:
    """The operation of the table; NotImplementedError naming PyTorch's function without it."""
    found = getattr(_core, _table.known_name(operation).replace(".", "_"), None)
    if found is None:
        raise not_supported(name, instead or f"Tegula has no operation {operation!r} yet")
    return found


def not_supported(name: str, instead: str = "") -> NotImplementedError:
    """The error for what PyTorch has and this module has not."""
    hint = f"; {instead}" if instead else ""
    return NotImplementedError(f"torch.{name} is not supported by tegula.compat.torch{hint}")


def naming(f: Any, name: str) -> Any:
    """The function with ``out=``, a look at ``device=``, and errors that name it."""

    def placed(*args: Any, **kwargs: Any) -> Any:
        place = str(kwargs.get("device") or "cpu").partition(":")[0]
        if place != "cpu":
            _core.zeros((), device=place)  # an error where there is none
        out = kwargs.pop("out", None)
        result = f(*args, **kwargs)
        return result if out is None else _core._write_out(out, result, name)

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            if not kwargs:
                return f(*args)
            if "out" in kwargs or "device" in kwargs:
                return placed(*args, **kwargs)
            return f(*args, **kwargs)
        except (AttributeError, KeyError, AssertionError, UnboundLocalError) as error:
            if isinstance(error, AttributeError) and "torch" in str(error):
                raise
            kinds = ", ".join(type(a).__name__ for a in (*args, *kwargs.values()))
            raise TypeError(
                f"torch.{name}: an argument is of a wrong kind (got {kinds}): {error}"
            ) from None

    return call


class _Names:
    def __getattr__(self, name: str) -> Any:
        found = functions.get(name) or functions.get(name + "_")
        if found is None:
            raise not_supported(name, f"Tegula has no operation for it: {_table.missing.get(name)}")
        return found


t: Any = _Names()


def write(x: Tensor, value: Any, name: str) -> Any:
    """Writes a value into a tensor; returns the tensor."""
    return _core._write_in_place(x, value, name)


def dims_of(x: Any, dim: Any) -> tuple[int, ...]:
    """Axes as non-negative ints; all for None."""
    if x.ndim == 0:
        return ()
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return tuple(range(x.ndim))
    dims = dim if isinstance(dim, (tuple, list)) else (dim,)
    return tuple(axis_of(x.ndim, d) for d in dims)


def axis_of(ndim: int, dim: int) -> int:
    """One axis as a non-negative int; a 0-d tensor counts as one of one axis."""
    count = max(ndim, 1)
    if not -count <= dim < count:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-count}, {count - 1}], "
            f"but got {dim})"
        )
    return dim % count
