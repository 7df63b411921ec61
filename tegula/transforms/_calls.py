"""What the derivatives share: a call of a function by whose arguments one differentiates."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from tegula import _core, tree
from tegula._core import Tensor, enable_grad


class _Nesting(threading.local):
    """How many derivatives of this thread are being computed, one within the other."""

    depth = 0


_nesting = _Nesting()

FLOATING = frozenset({"float16", "bfloat16", "float32", "float64"})
INEXACT = FLOATING | {"complex64", "complex128"}
# A complex function's Jacobian is not one matrix of complex numbers, unless it is holomorphic.
_REAL_ONLY = frozenset({"jacfwd", "jacrev"})


def name_of(fn: Any) -> str:
    """What errors call a function."""
    return str(getattr(fn, "__qualname__", None) or type(fn).__name__)


def numbered(op: str, argnums: int | Sequence[int], count: int) -> tuple[int, ...]:
    """``argnums`` as indices of ``count`` arguments."""
    numbers = (argnums,) if isinstance(argnums, int) else argnums
    for n in numbers:
        if isinstance(n, bool) or not isinstance(n, int):
            raise TypeError(f"{op}: argnums must be an int or a sequence of ints, not {argnums!r}")
        if not -count <= n < count:
            raise ValueError(f"{op}: argnums has {n}, but there are {count} arguments")
    result = tuple(n % count for n in numbers)
    for n in result:
        if result.count(n) > 1:
            raise ValueError(f"{op}: argnums names argument {n} twice")
    return result


def fitted(op: str, structure: tree.Structure, given: Any, name: str, what: str) -> list[Any]:
    """What of a tree stands at each leaf of a structure; errors name it and what it belongs to."""
    try:
        return structure.flatten_up_to(given, name=name)
    except ValueError as error:
        text = str(error).removeprefix("tree.flatten_up_to: ")
        raise ValueError(f"{op}: {text.replace('the structure', what)}") from None


def require_callable(op: str, fn: Any) -> None:
    """Refuses what is no function."""
    if not callable(fn):
        raise TypeError(f"{op}: needs a function, got {type(fn).__name__}")


def _variable(x: Tensor) -> Tensor:
    """The value of x as a variable to differentiate by, still connected to where x came from."""
    if x.requires_grad and _core.is_grad_enabled():
        return _core._alias(x)
    return x.detach().requires_grad_()


class Call:
    """A call of ``fn``, whose arguments ``numbers`` are variables.

    Attributes:
        variables: one for each leaf of these arguments, in order.
        differentiable: whether the derivatives are to have derivatives themselves: where they are
            nested, and where an argument or a tensor from outside that ``fn`` reads requires grad.
    """

    def __init__(
        self, op: str, fn: Callable[..., Any], args: Sequence[Any], numbers: Sequence[int]
    ) -> None:
        self.op, self.fn = op, fn
        self.variables: list[Tensor] = []
        self.paths: list[str] = []
        self.structures: list[tree.Structure] = []
        self.args = list(args)
        for n in numbers:
            leaves, structure = tree.flatten(args[n])
            paths = [f"argument {n}{path}" for path in structure.paths()]
            if not leaves:
                raise TypeError(
                    f"{op} of {name_of(fn)}: argument {n} must be a tensor or hold tensors, "
                    f"not {type(args[n]).__name__}"
                )
            variables = [self._leaf(x, path) for x, path in zip(leaves, paths, strict=True)]
            self.args[n] = structure.unflatten(variables)
            self.variables += variables
            self.paths += paths
            self.structures.append(structure)
        self.connected = _core.is_grad_enabled()
        nested = _nesting.depth > 0 or any(not x.is_leaf for x in self.variables)
        self.differentiable = self.connected and nested

    def _kinds(self) -> frozenset[str]:
        return FLOATING if self.op in _REAL_ONLY else INEXACT

    def _leaf(self, x: Any, path: str) -> Tensor:
        if isinstance(x, float):
            x = _core.asarray(x, dtype=_core.float32)
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{self.op} of {name_of(self.fn)}: {path} must be a tensor or hold tensors, "
                f"not {type(x).__name__}; derivatives are by floating tensors and floats"
            )
        if x.dtype.name not in self._kinds():
            raise TypeError(
                f"{self.op} of {name_of(self.fn)}: {path} is {x.dtype.name}, and only floating "
                "tensors have derivatives; pass it as another argument, or cast it"
            )
        return _variable(x)

    def run(self, kwargs: dict[str, Any], has_aux: bool) -> tuple[Any, Any]:
        """What the function returns, and what it returns beside it."""
        _nesting.depth += 1
        try:
            with enable_grad():
                result = self.fn(*self.args, **kwargs)
        finally:
            _nesting.depth -= 1
        if self.connected and not self.differentiable:
            found = [x for x in tree.leaves(result) if isinstance(x, Tensor)]
            self.differentiable = _core._depends_on_others(found, self.variables)
        if not has_aux:
            return result, None
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"{self.op} of {name_of(self.fn)}: with has_aux it must return a pair, "
                f"not {type(result).__name__}"
            )
        return result

    def outputs(self, result: Any) -> tuple[list[Tensor], tree.Structure]:
        """The leaves of a result, which must be floating tensors."""
        leaves, structure = tree.flatten(result)
        for x, path in zip(leaves, structure.paths(), strict=True):
            if not isinstance(x, Tensor) or x.dtype.name not in self._kinds():
                kind = x.dtype.name if isinstance(x, Tensor) else type(x).__name__
                raise TypeError(
                    f"{self.op} of {name_of(self.fn)}: it must return floating tensors, but its "
                    f"result{path} is {kind}; return that as aux, with has_aux=True"
                )
        return leaves, structure

    def handed_out(self, x: Tensor) -> Tensor:
        """A value for the caller: without a history that nobody asked for."""
        return x if self.differentiable else x.detach()

    def trees(self, leaves: Sequence[Any]) -> tuple[Any, ...]:
        """One value for each variable, in the form of the arguments."""
        result, at = [], 0
        for structure in self.structures:
            count = structure.num_leaves
            result.append(structure.unflatten(leaves[at : at + count]))
            at += count
        return tuple(result)

    def is_differentiable_now(self, given: Sequence[Tensor]) -> bool:
        """Whether a derivative taken later along ``given`` is to have derivatives."""
        connected = _core.is_grad_enabled() and any(x.requires_grad for x in given)
        return self.differentiable or _nesting.depth > 0 or connected


def or_zeros(x: Tensor | None, like: Tensor) -> Tensor:
    """x, or zeros where nothing flows."""
    return _core.zeros_like(like.detach()) if x is None else x


def matched(
    op: str, given: Any, structure: tree.Structure, like: Sequence[Tensor], name: str, what: str
) -> list[Tensor]:
    """The leaves of a tree of directions, each of the shape and dtype of what it belongs to."""
    leaves = structure._match(given, op, name, what, None)
    result = []
    for x, y, path in zip(leaves, like, structure.paths(), strict=True):
        if isinstance(x, (int, float)) and not isinstance(x, bool) and y.shape == ():
            x = _core.full((), x, dtype=y.dtype)
        if not isinstance(x, Tensor):
            raise TypeError(f"{op}: {name}{path} must be a Tensor, not {type(x).__name__}")
        if x.shape != y.shape or x.dtype != y.dtype:
            raise ValueError(
                f"{op}: {name}{path} is {x.dtype.name} of shape {x.shape}, but {what}{path} "
                f"{y.dtype.name} of shape {y.shape}"
            )
        result.append(x)
    return result


def basis(x: Tensor) -> Tensor:
    """Every unit tensor of x's shape, stacked in front."""
    return _core.reshape(_core.eye(x.size, dtype=x.dtype), (x.size, *x.shape))


class FlatFunction:
    """``fn`` as a function of the tensors among its arguments, which returns a list of tensors.

    Attributes:
        places: where in the arguments' leaves the tensors are.
        structure: of what fn returned, once it has been called.
    """

    def __init__(
        self, op: str, fn: Callable[..., Any], leaves: Sequence[Any], arguments: tree.Structure
    ) -> None:
        self.op, self.fn, self.leaves, self.arguments = op, fn, leaves, arguments
        self.places = [i for i, x in enumerate(leaves) if isinstance(x, Tensor)]
        self.structure: tree.Structure | None = None

    def __call__(self, *tensors: Tensor) -> list[Tensor]:
        given = list(self.leaves)
        for i, x in zip(self.places, tensors, strict=True):
            given[i] = x
        positional, named = self.arguments.unflatten(given)
        found, self.structure = tree.flatten(self.fn(*positional, **named))
        pairs = zip(found, self.structure.paths(), strict=True)
        return [self._result(x, path) for x, path in pairs]

    def _result(self, x: Any, path: str) -> Tensor:
        if isinstance(x, (bool, int, float)):
            return _core.asarray(x)
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{self.op}: it must return tensors, but its result{path} is {type(x).__name__}"
            )
        return x
