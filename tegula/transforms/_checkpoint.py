"""Recomputation: less memory for the backward pass, for more time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any

from tegula import _core, tree
from tegula.transforms._calls import FlatFunction, name_of, require_callable

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
    elif isinstance(policy, str) or not isinstance(policy, Collection):
        raise TypeError(
            f"{op}: policy must be names of operations or a function of a name, not {policy!r}"
        )
    else:
        keeps = frozenset(policy).__contains__

    @functools.wraps(fn)
    def recomputed(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = tree.flatten((list(args), kwargs))
        flat = FlatFunction(op, fn, leaves, structure)
        values = _core._checkpoint(flat, [leaves[i] for i in flat.places], keeps)
        assert flat.structure is not None
        return flat.structure.unflatten(values)

    return recomputed


checkpoint.CONTRACTIONS = CONTRACTIONS  # type: ignore[attr-defined]
