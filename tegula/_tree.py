"""Nests of lists, tuples, namedtuples and dicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tegula._core import Tensor


def map_tree(function: Callable[[Any], Any], tree: Any, kind: type = Tensor) -> Any:
    """The same nest with the objects of a kind in it replaced; containers without any stay
    themselves.
    """
    if isinstance(tree, kind):
        return function(tree)
    if isinstance(tree, dict):
        items = [map_tree(function, value, kind) for value in tree.values()]
        if _same(items, list(tree.values())):
            return tree
        return dict(zip(tree, items, strict=True))
    if isinstance(tree, (list, tuple)):
        items = [map_tree(function, value, kind) for value in tree]
        if _same(items, tree):
            return tree
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    return tree


def _same(a: list[Any], b: Any) -> bool:
    return all(x is y for x, y in zip(a, b, strict=True))
