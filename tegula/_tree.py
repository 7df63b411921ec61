"""Nests of lists, tuples, namedtuples and dicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tegula._core import Tensor


def map_tree(function: Callable[[Any], Any], tree: Any, kind: type = Tensor) -> Any:
    """The same nest with the objects of a kind in it replaced."""
    if isinstance(tree, kind):
        return function(tree)
    if isinstance(tree, dict):
        return {key: map_tree(function, value, kind) for key, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):  # a namedtuple
        return type(tree)(*[map_tree(function, value, kind) for value in tree])
    if isinstance(tree, (list, tuple)):
        return type(tree)([map_tree(function, value, kind) for value in tree])
    return tree
