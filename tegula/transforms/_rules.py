"""Derivatives that users write for functions of their own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from tegula import _core, tree
from tegula._core import Tensor, enable_grad, no_grad
from tegula._host import TensorSpec
from tegula.transforms._calls import INEXACT, fitted, name_of, or_zeros, require_callable


def stop_gradient(x: Any) -> Any:
    """The same values, through which no derivative flows; of a tree its tensors."""
    return tree.map(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, x)


class _Flat:
    """The tensors of a tree, and how to put others in their places."""

    def __init__(self, given: Any) -> None:
        self.leaves, self.structure = tree.flatten(given)
        self.places = [i for i, x in enumerate(self.leaves) if isinstance(x, Tensor)]
        self.tensors = [self.leaves[i] for i in self.places]

    def release(self) -> _Flat:
        """Keeps what the tensors are like instead of them: the engine holds those it needs."""
        for i in self.places:
            self.leaves[i] = TensorSpec(self.leaves[i].shape, self.leaves[i].dtype)
        self.tensors = []
        return self

    def paths(self) -> list[str]:
        paths = self.structure.paths()
        return [paths[i] for i in self.places]

    def build(self, tensors: Sequence[Any]) -> Any:
        leaves = list(self.leaves)
        for i, x in zip(self.places, tensors, strict=True):
            leaves[i] = x
        return self.structure.unflatten(leaves)


def _flows(x: Any) -> bool:
    return x.dtype.name in INEXACT


def _checked(where: str, given: Any, flat: _Flat, name: str, what: str) -> list[Tensor | None]:
    """What a rule gave for the tensors of a tree: None for none, else of their shape and dtype."""
    found = fitted(where, flat.structure, given, f"{name.rstrip()}s", f"{what.rstrip()}s")
    result: list[Tensor | None] = []
    for i, path in zip(flat.places, flat.paths(), strict=True):
        part, x = found[i], flat.leaves[i]
        if part is None or not _flows(x):
            result.append(None)
            continue
        if not isinstance(part, Tensor):
            raise TypeError(
                f"{where}: {name}{path} must be a Tensor or None, not {type(part).__name__}"
            )
        if part.shape != x.shape or part.dtype != x.dtype:
            raise ValueError(
                f"{where}: {name}{path} is {part.dtype.name} of shape {part.shape}, but {what}"
                f"{path} is {x.dtype.name} of shape {x.shape}"
            )
        result.append(part)
    return result


def _pulled(
    ends: Sequence[Tensor | None],
    upstream: Sequence[Tensor | None],
    variables: Sequence[Tensor | None],
    differentiable: bool,
) -> list[Tensor | None]:
    """What flows from upstream at the ends into the variables."""
    pairs = [
        (y, g)
        for y, g in zip(ends, upstream, strict=True)
        if y is not None and g is not None and y.requires_grad
    ]
    wanted = [x for x in variables if x is not None and x.requires_grad]
    if not pairs or not wanted:
        return [None] * len(variables)
    gradients = iter(
        _core.gradients(
            [y for y, _ in pairs],
            [g for _, g in pairs],
            wanted,
            retain_graph=True,
            create_graph=differentiable,
        )
    )
    return [next(gradients) if x is not None and x.requires_grad else None for x in variables]


class _Rules:
    """The rules of one call as the engine asks for them (src/graph/custom_rules.h)."""

    kinds: tuple[str, ...] = ()
    vjp_uses = 0x7FFFFFFF  # every value that it was recorded with

    def has(self, kind: str) -> bool:
        return kind in self.kinds


class _VjpRules(_Rules):
    kinds = ("vjp",)

    def __init__(self, bwd: Callable[..., Any], name: str, args: _Flat, kept: _Flat, out: _Flat):
        self.bwd, self.name, self.args, self.kept, self.out = bwd, name, args, kept, out
        for flat in (args, kept, out):
            flat.release()

    def vjp(
        self, inputs: list[Tensor], outputs: list[Tensor], upstream: list[Tensor | None]
    ) -> list[Tensor | None]:
        """Gradients of the arguments; none of what was kept."""
        count = len(self.args.places)
        flowing = [
            or_zeros(g, y) if _flows(y) else None for g, y in zip(upstream, outputs, strict=True)
        ]
        given = self.bwd(self.kept.build(inputs[count:]), self.out.build(flowing))
        where = f"custom_vjp of {self.name}"
        if not isinstance(given, (tuple, list)):
            raise TypeError(
                f"{where}: bwd must return a tuple with a gradient for each argument, "
                f"not {type(given).__name__}"
            )
        like = self.args
        gradients = _checked(where, tuple(given), like, "the gradient ", "the argument ")
        return gradients + [None] * (len(inputs) - count)


class _KeptRules(_Rules):
    """Of what ``fwd`` keeps, which second derivatives see varying: by way of ``fwd`` itself."""

    kinds = ("vjp",)

    def __init__(self, fwd: Callable[..., Any], args: _Flat) -> None:
        self.fwd, self.args = fwd, args

    def vjp(
        self, inputs: list[Tensor], outputs: list[Tensor], upstream: list[Tensor | None]
    ) -> list[Tensor | None]:
        """Gradients of the arguments."""
        differentiable = _core.is_grad_enabled()
        with enable_grad():
            variables = [_core._alias(x) for x in inputs]
            found = _Flat(self.fwd(*self.args.build(variables))[1]).tensors
        return _pulled(found, upstream, variables, differentiable)


class custom_vjp:  # noqa: N801 - a decorator
    """A function with a derivative of your own, for reverse mode.

    ``fn`` alone says what is computed. ``defvjp(fwd, bwd)`` gives the derivative:
    ``fwd(*args) -> (result, kept)`` computes the same result and keeps what the derivative needs, a
    tree; ``bwd(kept, upstream) -> (gradient of each argument, ...)``, with None for none. Both are
    written with Tegula's operations. Forward mode is derived from ``bwd``, which is linear in
    ``upstream``, and so are batches.

    No gradient flows to tensors that ``fn`` reads from outside: pass them as arguments.

    Args:
        fn: a function of positional arguments, trees of tensors and other values.

    Raises:
        NotImplementedError: called before ``defvjp``.
        TypeError, ValueError: a rule returns another number, shape or dtype than it must.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        require_callable("custom_vjp", fn)
        self.fn = fn
        self.rules: tuple[Callable[..., Any], Callable[..., Any]] | None = None
        functools.update_wrapper(self, fn)

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Sets the forward function that keeps, and the backward one."""
        require_callable("custom_vjp.defvjp", fwd)
        require_callable("custom_vjp.defvjp", bwd)
        self.rules = (fwd, bwd)

    def __call__(self, *args: Any) -> Any:
        name = name_of(self.fn)
        if self.rules is None:
            raise NotImplementedError(
                f"custom_vjp of {name}: has no derivative yet; call {name}.defvjp(fwd, bwd)"
            )
        given = _Flat(tuple(args))
        if not _core.is_grad_enabled() or not any(x.requires_grad for x in given.tensors):
            return self.fn(*args)
        fwd, bwd = self.rules
        with no_grad():
            pair = fwd(*given.build([x.detach() for x in given.tensors]))
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(
                f"custom_vjp of {name}: fwd must return a pair, the result and what is kept, "
                f"not {type(pair).__name__}"
            )
        out, kept = _Flat(pair[0]), _Flat(pair[1])
        values, kept_values = out.tensors, kept.tensors
        if not values:
            return pair[0]
        if kept_values:
            rules_of_kept = _KeptRules(fwd, _Flat(tuple(args)).release())
            kept_values = _core._with_rules(kept_values, given.tensors, rules_of_kept)
        inputs = given.tensors + list(kept_values)
        rules = _VjpRules(bwd, name, given, kept, out)
        return out.build(_core._with_rules(values, inputs, rules))


class _JvpRules(_Rules):
    kinds = ("jvp", "vjp")

    def __init__(self, rule: Callable[..., Any], name: str, args: _Flat, out: _Flat) -> None:
        self.rule, self.name, self.args, self.out = rule, name, args, out
        args.release()
        out.release()

    def jvp(
        self, inputs: list[Tensor], outputs: list[Tensor], tangents: list[Tensor | None]
    ) -> list[Tensor | None]:
        """Tangents of the outputs."""
        where = f"custom_jvp of {self.name}"
        along = [
            or_zeros(t, x) if _flows(x) else None for t, x in zip(tangents, inputs, strict=True)
        ]
        pair = self.rule(self.args.build(inputs), self.args.build(along))
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(
                f"{where}: the rule must return a pair, the result and its tangent, "
                f"not {type(pair).__name__}"
            )
        return _checked(where, pair[1], self.out, "the tangent", "the result")

    def vjp(
        self, inputs: list[Tensor], outputs: list[Tensor], upstream: list[Tensor | None]
    ) -> list[Tensor | None]:
        """Gradients of the arguments: the rule, which is linear in the tangents, transposed."""
        differentiable = _core.is_grad_enabled()
        with enable_grad():
            tangents = [
                _core.zeros_like(x.detach()).requires_grad_() if _flows(x) else None for x in inputs
            ]
            found = self.jvp(inputs, outputs, list(tangents))
        return _pulled(found, upstream, tangents, differentiable)


class custom_jvp:  # noqa: N801 - a decorator
    """A function with a derivative of your own, for forward mode and, transposed, for reverse mode.

    ``defjvp(rule)`` gives it: ``rule(primals, tangents) -> (result, tangent of the result)``, where
    primals and tangents are tuples like the arguments. It is written with Tegula's operations and
    linear in the tangents.

    No derivative flows to tensors that ``fn`` reads from outside: pass them as arguments.

    Args:
        fn: a function of positional arguments, trees of tensors and other values.

    Raises:
        NotImplementedError: called before ``defjvp``.
        TypeError, ValueError: the rule returns another number, shape or dtype than it must.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        require_callable("custom_jvp", fn)
        self.fn = fn
        self.rule: Callable[..., Any] | None = None
        functools.update_wrapper(self, fn)

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Sets the rule; returns it, so it serves as a decorator."""
        require_callable("custom_jvp.defjvp", rule)
        self.rule = rule
        return rule

    def __call__(self, *args: Any) -> Any:
        name = name_of(self.fn)
        if self.rule is None:
            raise NotImplementedError(
                f"custom_jvp of {name}: has no derivative yet; call {name}.defjvp(rule)"
            )
        given = _Flat(tuple(args))
        if not _core.is_grad_enabled() or not any(x.requires_grad for x in given.tensors):
            return self.fn(*args)
        with no_grad():
            out = _Flat(self.fn(*given.build([x.detach() for x in given.tensors])))
        values, inputs = out.tensors, given.tensors
        if not values:
            return out.structure.unflatten(out.leaves)
        rules = _JvpRules(self.rule, name, given, out)
        return out.build(_core._with_rules(values, inputs, rules))
