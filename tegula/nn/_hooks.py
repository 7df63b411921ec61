"""Hooks on modules: their handles, and what calls those of the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tegula import _core, tree
from tegula._core import Tensor

if TYPE_CHECKING:
    from tegula.nn.module import Module

Hooks = dict["Hook", Callable[..., Any]]
Gradients = tuple[Tensor | None, ...]


class Hook:
    """What registering a hook returns: ``remove()`` takes the hook away again."""

    def __init__(self, module: Module, kind: str) -> None:
        self._module, self._kind = module, kind

    @staticmethod
    def none() -> dict[str, Hooks]:
        """A module's hooks by kind, when it has none."""
        return {"before": {}, "after": {}, "backward": {}}

    def remove(self) -> None:
        """Takes the hook away; a second call does nothing."""
        hooks = self._module._hooks
        if hooks is not None:
            hooks[self._kind].pop(self, None)
            if not any(hooks.values()):
                del self._module.__dict__["_hooks"]


class BackwardCall:
    """One call of a module whose full backward hooks wait for its gradients.

    Arguments and results pass through values of their own; the gradients of each side are there
    all at once where the backward pass reaches the first of them.
    """

    def __init__(self, module: Module, hooks: Hooks) -> None:
        self._module, self._hooks = module, hooks
        self._arguments = self._results = 0
        self._argument_places: list[int] = []
        self._result_places: list[int] = []
        self._grad_output: Gradients | None = None

    def watch_arguments(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self._arguments = len(args)
        own, self._argument_places = _watched(args, self._arguments_reached)
        return tuple(own)

    def watch_result(self, result: Any) -> Any:
        leaves, structure = tree.flatten(result)
        self._results = len(leaves)
        own, self._result_places = _watched(leaves, self._results_reached)
        return structure.unflatten(own) if self._result_places else result

    def _results_reached(self, gradients: list[Tensor | None]) -> None:
        self._grad_output = _spread(gradients, self._result_places, self._results)
        if not self._argument_places:
            self._run((None,) * self._arguments)

    def _arguments_reached(self, gradients: list[Tensor | None]) -> list[Tensor | None]:
        found = self._run(_spread(gradients, self._argument_places, self._arguments))
        return [found[place] for place in self._argument_places]

    def _run(self, grad_input: Gradients) -> Gradients:
        grad_output, self._grad_output = self._grad_output, None
        if grad_output is None:  # the gradients came past the results
            return grad_input
        for function in tuple(self._hooks.values()):
            changed = function(self._module, grad_input, grad_output)
            if changed is not None:
                grad_input = self._checked(changed, grad_input)
        return grad_input

    def _checked(self, changed: Any, grad_input: Gradients) -> Gradients:
        name = f"the full backward hook of {type(self._module).__name__}"
        given = changed if isinstance(changed, tuple) else (changed,)
        if len(given) != len(grad_input):
            raise ValueError(
                f"{name} returned {len(given)} gradients for {len(grad_input)} arguments"
            )
        for i, (new, old) in enumerate(zip(given, grad_input, strict=True)):
            if new is not None and not isinstance(new, Tensor):
                raise TypeError(
                    f"{name} must return tensors or None, gradient {i} is {type(new).__name__}"
                )
            if new is not None and old is not None and new.shape != old.shape:
                raise ValueError(
                    f"{name} returned shape {new.shape} for gradient {i} of shape {old.shape}"
                )
        return given


def _watched(
    values: Any, reached: Callable[[list[Tensor | None]], list[Tensor | None] | None]
) -> tuple[list[Any], list[int]]:
    """The values, those that require grad as values of their own, whose gradients reach a
    function together; and the places of these.
    """
    own = list(values)
    places = [i for i, x in enumerate(own) if isinstance(x, Tensor) and x.requires_grad]
    for i in places:
        own[i] = _core._alias(own[i])
    if places:
        _core._add_group_hook([own[i] for i in places], reached)
    return own, places


def _spread(gradients: list[Tensor | None], places: list[int], count: int) -> Gradients:
    found: list[Tensor | None] = [None] * count
    for place, gradient in zip(places, gradients, strict=True):
        found[place] = gradient
    return tuple(found)
