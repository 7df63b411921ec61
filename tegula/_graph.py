"""``tg.graph``: the graph that a function records, to look at and to run in part."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from tegula import _core, tree
from tegula._core import Tensor
from tegula._explain import nodes_of, short
from tegula._host import TensorSpec

__all__ = ["Graph", "Input", "graph"]


@dataclass(frozen=True)
class Input:
    """A value that is there before the graph runs.

    Attributes:
        name: as nodes refer to it, "leaf0" or "scalar0".
        alias: of an argument, where it is in the call: "x", "batch[0]"; else as ``name``.
        content: dtype and shape, or the value of a number.
        origin: "argument", "captured" (a tensor from outside), "gradient" (of one), "setting" (a
            number that is read at each run) or "constant".
    """

    name: str
    alias: str
    content: str
    origin: str


class Graph:
    """What a function records, made by ``tg.graph``; ``print`` lists it.

    Attributes:
        inputs: the values it begins with.
        nodes: its operations, in recorded order.
        results: names of the tensors that the function returns.
        writes: names of the tensors from outside that it writes to, and of their new values.
    """

    def __init__(self, traced: _core._Graph, names: Sequence[str]) -> None:
        self._traced = traced
        self.inputs = tuple(
            Input(name, names[leaf] if leaf >= 0 else name, content, origin)
            for name, content, origin, leaf in traced.leaves()
        )
        self.nodes = nodes_of(traced.nodes())
        self.results = tuple(traced.results())
        self.writes = tuple(traced.writes())

    def __str__(self) -> str:
        title = f"graph: {len(self.nodes)} nodes, {len(self.inputs)} inputs"
        lines = [title]
        for x in self.inputs:
            alias = f" {x.alias}" if x.alias != x.name else ""
            lines.append(f"  {x.name}: {x.content}, {x.origin}{alias}")
        for node in self.nodes:
            attributes = f" [{node.attributes}]" if node.attributes else ""
            read = f" ({', '.join(node.inputs)})" if node.inputs else ""
            lines.append(
                f"  {node.number}: {node.operation}{attributes}{read} -> {', '.join(node.types)}"
                f"{'  # ' + node.line if node.line else ''}"
            )
        lines.append(f"  returns {', '.join(self.results) or 'no tensor'}")
        lines += [f"  {value} is written to {name}" for name, value in self.writes]
        return "\n".join(lines)

    def dot(self) -> str:
        """The graph in the language of Graphviz."""
        lines = ["digraph {", '  node [shape=box, fontname="monospace", fontsize=10];']
        for x in self.inputs:
            lines.append(f"  {x.name} [{_label(x.alias, x.content)}, style=rounded];")
        for node in self.nodes:
            label = _label(f"{node.number} {node.operation}", *node.types, node.line)
            outline = ", penwidth=2" if node.kept else ""
            lines.append(f"  n{node.number} [{label}{outline}];")
            for name in node.inputs:
                source = name if name[0].isalpha() else "n" + name.split(".")[0]
                lines.append(f"  {source} -> n{node.number};")
        return "\n".join([*lines, "}"]) + "\n"

    @overload
    def evaluate(self, fetch: str | int, feed: Mapping[str | int, Any] = ...) -> Tensor: ...
    @overload
    def evaluate(
        self,
        fetch: list[str | int] | tuple[str | int, ...] | None = ...,
        feed: Mapping[str | int, Any] = ...,
    ) -> tuple[Tensor, ...]: ...
    def evaluate(self, fetch: Any = None, feed: Mapping[str | int, Any] | None = None) -> Any:
        """Some values of the graph from others; what they do not need is not computed.

        Args:
            fetch: a value, or several: a node's number, "3.1" for an output of a node with
                several, or an input's name. By default what the function returns.
            feed: values that are given, by the same names; arguments also by their place in the
                call ("x"). Any value may be given, not only inputs. Tensors from outside that are
                not given have the values they have now; numbers those of the trace.

        Returns:
            A tensor, or a tuple of them; recorded like any operations, so gradients flow.

        Raises:
            ValueError: an argument is needed and not given, a name is not known, or a value has
                another shape or dtype.
        """
        feed = feed or {}
        single = isinstance(fetch, (str, int))
        wanted = self.results if fetch is None else [fetch] if single else fetch
        given = [self._place(name) for name in feed]
        values = [
            self._fitting(name, place, value)
            for (name, value), place in zip(feed.items(), given, strict=True)
        ]
        found = self._traced.evaluate(given, values, [self._place(name) for name in wanted])
        return found[0] if single else tuple(found)

    def _place(self, name: str | int) -> tuple[int, int]:
        """As the engine names values: (node or -1, output or leaf)."""
        text = str(name)
        for i, x in enumerate(self.inputs):
            if text in (x.name, x.alias):
                return -1, i
        number, _, output = text.partition(".")
        if number.isdigit() and int(number) < len(self.nodes) and (output or "0").isdigit():
            place = int(number), int(output or 0)
            if place[1] < len(self.nodes[place[0]].types):
                return place
        raise ValueError(f"graph: there is no value {name!r}; print(graph) lists them")

    def _fitting(self, name: str | int, place: tuple[int, int], value: Any) -> Tensor:
        x = value if isinstance(value, Tensor) else _core.asarray(value)
        number, index = place
        if number < 0 and self.inputs[index].name.startswith("scalar"):
            return x
        content = self.inputs[index].content if number < 0 else self.nodes[number].types[index]
        if f"{x.dtype.name}{x.shape}" != content.split(", may")[0]:
            raise ValueError(
                f"graph: {name!r} is {content}, and cannot be given as {x.dtype.name}{x.shape}"
            )
        return x


def _label(*lines: str) -> str:
    texts = [short(line, 60).replace("\\", "\\\\").replace('"', '\\"') for line in lines if line]
    return 'label="' + "\\n".join(texts) + '"'


def _filled(item: Any) -> Any:
    """The argument with a tensor in place of each TensorSpec; the same one if it holds none."""

    def is_spec(item: Any) -> bool:
        return isinstance(item, TensorSpec)

    def holds_none(item: Any) -> bool:
        return is_spec(item) or not any(map(is_spec, tree.leaves(item, is_leaf=is_spec)))

    def fill(leaf: Any) -> Any:
        return _core.zeros(leaf.shape, dtype=leaf.dtype) if is_spec(leaf) else leaf

    return tree.map(fill, item, is_leaf=holds_none)


def _names(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[str]:
    try:
        bound = inspect.signature(function).bind_partial(*args)
        parameters = [*bound.arguments]
    except (TypeError, ValueError):
        parameters = []
    starred = parameters and len(args) > len(parameters)
    names: list[str] = []
    for i, value in enumerate(args):
        path = parameters[i] if i < len(parameters) and not starred else f"args[{i}]"
        names += [path + place for place in _core._argument_paths(value)]
    for key, value in kwargs.items():
        names += [key + place for place in _core._argument_paths(value)]
    return names


def graph(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Graph:
    """The graph that ``function(*args, **kwargs)`` records, traced as by ``tg.jit``; nothing is
    computed, and tensors keep what they hold.

    Args:
        function: to trace.
        *args: tensors, or a ``tg.TensorSpec`` in place of each; anything else as it is.
        **kwargs: likewise.

    Raises:
        TraceError: the function reads a value.
    """
    args, kwargs = _filled((args, kwargs))
    names = _names(function, args, kwargs)
    return Graph(_core._Graph(function, args, kwargs), names)
