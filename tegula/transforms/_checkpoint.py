"""Recomputation: less memory for the backward pass, for more time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any

from tegula import _core, tree
from tegula._core import Tensor
from tegula.transforms._calls import name_of, require_callable

Policy = Collection[str] | Callable[[str], bool] | None

# What costs much time beside the memory of its result.
CONTRACTIONS = frozenset({"matmul", "conv", "attention", "lstm", "gru"})


def checkpoint(fn: Callable[..., Any], policy: Policy = None) -> Callable[..., Any]:
    """A function that does what ``fn`` does and keeps nothing inside it for the backward pass.

    Its arguments, and tensors from outside that it reads, are kept; what lies between is computed
    again when gradients are recorded (Chen et al., 2016), with the same random numbers.

    Args:
        fn: a function of trees of tensors that returns one.
        policy: which results to keep all the same: names of operations, as ``tg.explain`` shows
            them, or a function of a name. ``tg.checkpoint.CONTRACTIONS`` has those that cost most.

    Returns:
        A function of the same arguments, under every transform.

    Raises:
        TypeError: fn returns what is no tensor.
        TraceError: fn reads a value, or writes to a tensor from outside.
    """
    require_callable("checkpoint", fn)
    op = f"checkpoint of {name_of(fn)}"
    if policy is None:
        keeps: Callable[[str], bool] = lambda _: False  # noqa: E731
    elif callable(policy):
        keeps = policy
    else:
        keeps = frozenset(policy).__contains__

    @functools.wraps(fn)
    def recomputed(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = tree.flatten((list(args), kwargs))
        places = [i for i, x in enumerate(leaves) if isinstance(x, Tensor)]
        built: list[tree.Structure] = []

        def flat(*values: Tensor) -> list[Tensor]:
            given = list(leaves)
            for i, value in zip(places, values, strict=True):
                given[i] = value
            positional, named = structure.unflatten(given)
            found, result = tree.flatten(fn(*positional, **named))
            built[:] = [result]
            for x, path in zip(found, result.paths(), strict=True):
                if not isinstance(x, Tensor):
                    raise TypeError(
                        f"{op}: it must return tensors, but its result{path} is {type(x).__name__}"
                    )
            return found

        values = _core._checkpoint(flat, [leaves[i] for i in places], keeps)
        return built[0].unflatten(values)

    return recomputed


checkpoint.CONTRACTIONS = CONTRACTIONS  # type: ignore[attr-defined]
