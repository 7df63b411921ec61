"""Trees: nests of containers with leaves in them, such as the parameters of a model.

Containers are lists, tuples, namedtuples, dicts, ``OrderedDict`` and ``defaultdict``, dataclasses,
``nn.Module`` (its parameters and buffers, by name), and the types given to ``register_node``.
``None`` is a container without children. Every other object is a leaf.

Leaves come in the order of their containers; of a dict, in the order of its keys. A path says
where one is: ``['layers'][3]['weight']``, with attributes as ``.weight``.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from tegula import _core
from tegula._core import Structure

__all__ = [
    "Structure",
    "flatten",
    "leaves",
    "map",
    "paths",
    "register_node",
    "structure",
]

IsLeaf = Callable[[Any], bool]


def flatten(tree: Any, is_leaf: IsLeaf | None = None) -> tuple[list[Any], Structure]:
    """The leaves of a tree, and how it is built.

    Args:
        tree: any object.
        is_leaf: called with every object of the tree before it is taken apart; where it is true,
            the object is a leaf.

    Returns:
        ``(leaves, structure)``; ``structure.unflatten(leaves)`` is the tree again.

    Raises:
        ValueError: containers are nested more than 64 deep.
        TypeError: a registered function returns what is no pair of children and data.
    """
    return _core._flatten(tree, is_leaf)


def leaves(tree: Any, is_leaf: IsLeaf | None = None) -> list[Any]:
    """The leaves of a tree, in order; see ``flatten``."""
    return _core._flatten(tree, is_leaf)[0]


def structure(tree: Any, is_leaf: IsLeaf | None = None) -> Structure:
    """How a tree is built; see ``flatten``."""
    return _core._flatten(tree, is_leaf)[1]


def paths(tree: Any, is_leaf: IsLeaf | None = None) -> list[str]:
    """Where each leaf is, in order: ``"['layers'][3]['weight']"``; ``""`` for a leaf alone."""
    return _core._flatten(tree, is_leaf)[1].paths()


def map(fn: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf | None = None) -> Any:
    """The tree with ``fn(leaf, *leaves_of_rest)`` in place of each leaf.

    Args:
        fn: called for each leaf, with the leaves at the same place of the other trees.
        tree: the first tree, whose containers the result has.
        *rest: trees of the same structure; their dicts may have the keys in another order.
        is_leaf: as of ``flatten``.

    Raises:
        ValueError: a tree of ``rest`` is built otherwise; names the place:
            ``rest[0]['layers'][3]['weight']``.
    """
    given, built = _core._flatten(tree, is_leaf)
    others = [
        built._match(other, "tree.map", f"rest[{i}]", "tree", is_leaf)
        for i, other in enumerate(rest)
    ]
    return built.unflatten([fn(*all) for all in zip(given, *others, strict=True)])


def register_node(
    type: type,
    flatten_fn: Callable[[Any], tuple[Any, ...]],
    unflatten_fn: Callable[[Any, tuple[Any, ...]], Any],
) -> None:
    """Makes a class a container, here and for every transform, ``tg.jit`` and control flow.

    Args:
        type: the class; those derived from it are registered by themselves.
        flatten_fn: takes an object, returns ``(children, data)``: its children, a sequence, and
            whatever else the object is made of, which is compared with ``==``. Or
            ``(children, data, names)`` with a str for each child that paths write for it, such as
            ``".weight"`` or ``"['a']"``; by default ``[0]``, ``[1]``, ….
        unflatten_fn: takes data and a tuple of as many children, returns an object. Children may be
            anything.

    Raises:
        TypeError: ``type`` is no class, or one that is a leaf or a container everywhere, such as
            ``list``, ``Tensor``, ``ndarray`` or a Module; or a function is not callable.
        ValueError: the class is registered already.
    """
    _core._register_node(type, flatten_fn, unflatten_fn)


def _register_dict(kind: type, data_of: Callable[[Any], Any], make: Callable[..., Any]) -> None:
    def take_apart(items: Any) -> tuple[Any, ...]:
        keys = tuple(items)
        return tuple(items.values()), (data_of(items), keys), tuple(f"[{key!r}]" for key in keys)

    def put_together(data: Any, children: Sequence[Any]) -> Any:
        return make(data[0], zip(data[1], children, strict=True))

    register_node(kind, take_apart, put_together)


_register_dict(OrderedDict, lambda _: None, lambda _, items: OrderedDict(items))
_register_dict(defaultdict, lambda items: items.default_factory, defaultdict)
