"""What a piece of program becomes: its graph, the plans made of it, and what their steps cost."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, overload

from tegula import _core
from tegula.io import AtomicFile
from tegula.profiler import Event, profile

__all__ = ["Explanation", "Node", "Plan", "Step", "explain"]


@dataclass(frozen=True)
class Node:
    """A recorded operation.

    Attributes:
        number: its place in recorded order.
        operation: the primitive's name.
        attributes: its attributes, as text.
        inputs: the values it reads: a node's number (with ".k" for its k-th output), "leafN" for a
            tensor that was there before, "scalarN" for a number.
        types: dtype and shape of each output.
        kept: whether an output lives on after the plan.
        line: of the program, that recorded it.
    """

    number: int
    operation: str
    attributes: str
    inputs: tuple[str, ...]
    types: tuple[str, ...]
    kept: bool
    line: str


@dataclass(frozen=True)
class Step:
    """A step of a plan: one call of a kernel.

    Attributes:
        number: its place in the plan.
        operations: the kernel's kind; of a tile program, "tile" and its instructions.
        algorithm: what the kernel chose, "" if it had no choice.
        nodes: numbers of the nodes that it computes.
        again: those of them that an earlier step computes too: they are made again where that
            moves fewer bytes, or needs less memory, than storing them would.
        reads: operands: where they lie, dtype, shape.
        writes: results, likewise.
        bytes: read and written, as if by no cache.
        flops: floating-point operations, about.
        predicted_us: microseconds, as the planner estimates them for one thread.
        measured_us: microseconds it took, the mean over the plan's runs.
        threads: how many took part.
        stage: steps of the same stage are small and may run at once, on a thread each.
        together: how many steps the stage has; a step alone in its stage has all threads.
        program: the tile program, "" for other kernels.
        lines: of the program, that recorded what it computes.
    """

    number: int
    operations: str
    algorithm: str
    nodes: tuple[int, ...]
    again: tuple[int, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    bytes: float
    flops: float
    predicted_us: float
    measured_us: float
    threads: int
    stage: int
    together: int
    program: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """A plan that ran.

    Attributes:
        device: where.
        leaves: name and content of each value that was there before.
        nodes: the graph.
        steps: in the order in which they ran.
        arena_bytes: memory for values between its steps.
        in_place: results that took over the memory of an input.
        runs: how often it ran.
    """

    device: str
    leaves: tuple[tuple[str, str], ...]
    nodes: tuple[Node, ...]
    steps: tuple[Step, ...]
    arena_bytes: int
    in_place: int
    runs: int

    @property
    def measured_us(self) -> float:
        """Microseconds of all its steps."""
        return sum(step.measured_us for step in self.steps)

    def __str__(self) -> str:
        title = (
            f"plan on {self.device}: {len(self.nodes)} nodes in {len(self.steps)} steps, "
            f"{self.measured_us / 1e3:.3f} ms, arena {_core._readable_bytes(self.arena_bytes)}, "
            f"{self.in_place} results in place"
        )
        if self.runs > 1:
            title += f", {self.runs} runs"
        rows = [
            f"{'':>4} {'us':>10} {'predicted':>10} {'threads':>7} {'MB':>9} {'MFLOP':>9} "
            f"{'GB/s':>6} {'GFLOP/s':>8}  step"
        ]
        rows += [_row(step, self.nodes) for step in self.steps]
        return "\n".join([title, *rows])


@dataclass
class Explanation:
    """What ``tg.explain(function, ...)`` found; ``print`` shows it as tables.

    Attributes:
        plans: in the order in which they first ran.
        result: what the function returned.
        events: everything that was measured, as in ``tg.profiler``.
        threads: the threads' names, by number.
    """

    plans: list[Plan] = field(default_factory=list)
    result: Any = None
    events: list[Event] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.plans)) or "nothing was computed"

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """One page that needs no network: the tables, each plan's graph with its fused groups, and
        the timeline. Written to ``path``, atomically, if given; returned in any case.
        """
        from tegula._explain_html import page

        text = page(self)
        if path is not None:
            with AtomicFile(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
                file.write(text)
        return text


def nodes_of(described: Iterable[tuple[Any, ...]]) -> tuple[Node, ...]:
    """The nodes as the engine describes them."""
    return tuple(
        Node(i, operation, attributes, tuple(inputs), tuple(types), kept, line)
        for i, (operation, attributes, inputs, types, kept, line) in enumerate(described)
    )


def short(text: str, limit: int) -> str:
    """The text, cut where it is longer than ``limit``."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _row(step: Step, nodes: tuple[Node, ...]) -> str:
    rate = max(step.measured_us, 1e-9) * 1e3
    shape = step.writes[0].rsplit(":", 1)[-1] if step.writes else ""
    what = f"{short(step.operations, 60)} {shape}"
    if step.algorithm:
        what += f" [{step.algorithm}]"
    if step.together > 1:
        what += f" (stage of {step.together})"
    if step.again:
        what += f" (again: {short(' '.join(nodes[n].operation for n in step.again), 40)})"
    place = step.lines[-1] if step.lines else ""
    more = f" (+{len(step.lines) - 1} lines)" if len(step.lines) > 1 else ""
    return (
        f"{step.number:4} {step.measured_us:10.1f} {step.predicted_us:10.1f} {step.threads:7} "
        f"{step.bytes / 1e6:9.3f} {step.flops / 1e6:9.3f} {step.bytes / rate:6.1f} "
        f"{step.flops / rate:8.1f}  {what}  {place}{more}"
    ).rstrip()


def _threads(step: Event, shares: list[Event]) -> int:
    helping = {
        s.thread
        for s in shares
        if s.name != "steps at once" and s.begin < step.end and s.end > step.begin
    }
    return len(helping | {step.thread})


def _plans(described: list[tuple[Any, ...]], events: list[Event]) -> list[Plan]:
    shares = [event for event in events if event.kind == "share"]
    ran: dict[tuple[int, int], list[Event]] = {}
    runs: dict[int, int] = {}
    for event in events:
        if event.kind == "step":
            ran.setdefault((event.plan, event.step), []).append(event)
        elif event.kind == "run":
            runs[event.plan] = runs.get(event.plan, 0) + 1
    plans = []
    for p, (device, leaves, nodes, steps, arena_bytes, in_place) in enumerate(described):
        made = []
        together = Counter(step[-1] for step in steps)
        computed: set[int] = set()
        for s, (_, operations, program, of, reads, writes, moved, flops, cost, stage) in enumerate(
            steps
        ):
            seen = ran.get((p, s), [])
            made.append(
                Step(
                    number=s,
                    operations=operations,
                    algorithm=seen[-1].algorithm if seen else "",
                    nodes=tuple(of),
                    again=tuple(n for n in of if n in computed),
                    reads=tuple(reads),
                    writes=tuple(writes),
                    bytes=moved,
                    flops=flops,
                    predicted_us=cost,
                    measured_us=sum(e.microseconds for e in seen) / max(len(seen), 1),
                    threads=max((_threads(e, shares) for e in seen), default=0),
                    stage=stage,
                    together=together[stage],
                    program=program,
                    lines=seen[-1].lines if seen else (),
                )
            )
            computed.update(of)
        plans.append(
            Plan(device, tuple(leaves), nodes_of(nodes), tuple(made), arena_bytes, in_place,
                 runs.get(p, 0))
        )  # fmt: skip
    return plans


def _explain_call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Explanation:
    _core.submit()  # what is pending is not the function's
    _core._start_describing_plans()
    try:
        with profile() as taken:
            result = function(*args, **kwargs)
    finally:
        described = _core._stop_describing_plans()
    plans = _plans(described, taken.events)
    return Explanation(plans, result, taken.events, taken.threads)


@overload
def explain(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Explanation: ...
@overload
def explain(*values: Any, graph: bool = False, programs: bool = False) -> str: ...
def explain(
    *args: Any, graph: bool = False, programs: bool = False, **kwargs: Any
) -> Explanation | str:
    """What becomes of a piece of program.

    ``explain(function, *args, **kwargs)`` calls the function once and says what it computed: the
    graph, and for each step of each plan its kernel, operands, bytes, operations, predicted and
    measured time, threads and source lines. ``print`` it, read its fields, or draw it with
    ``to_html()``. A jitted function shows the plan it replays.

    ``explain(*tensors)`` gives the plan that evaluating them and all else that is pending would
    run, as text; nothing is computed. ``graph`` shows the recorded nodes before it, ``programs``
    the tile programs in full.

    Raises:
        RuntimeError: a profile is being taken already.
        TypeError: tensors are asked for, and something else is given.
    """
    if args and callable(args[0]) and not isinstance(args[0], _core.Tensor):
        return _explain_call(*args, **kwargs)
    if kwargs:
        raise TypeError(f"explain: unexpected argument {next(iter(kwargs))!r}")
    return _core._explain(*args, graph=graph, programs=programs)
