"""What a program's time goes to: recording, planning, and every step on every thread.

Traces are in the Trace Event Format, which Perfetto (https://ui.perfetto.dev) and Chrome open.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tegula import _core
from tegula.io import AtomicFile

__all__ = ["Event", "Profile", "profile"]


@dataclass(frozen=True)
class Event:
    """Something that took time.

    Attributes:
        kind: "record", "plan" (one was made), "find" (one was found again), "run", "step",
            "share" (a worker's part of a step) or "wait" (for values).
        name: of a step, its operations and the shape of its result.
        begin: microseconds since the profile began.
        end: likewise.
        thread: number of the thread.
        bytes: read and written by a step, as if by no cache.
        flops: floating-point operations of a step, about.
        count: operations recorded, planned or computed; steps of a run.
        lines: of the program, that recorded what a step computes.
        plan: number of the plan that was run, or a step is of, under ``tg.explain``; else -1.
        step: number of a step in its plan.
        algorithm: what the step's kernel chose, "" if it had no choice.
    """

    kind: str
    name: str
    begin: float
    end: float
    thread: int
    bytes: float
    flops: float
    count: int
    lines: tuple[str, ...]
    plan: int = -1
    step: int = -1
    algorithm: str = ""

    @property
    def microseconds(self) -> float:
        """How long it took."""
        return self.end - self.begin


@dataclass
class Profile:
    """What ``profile()`` notes; complete when its ``with`` block ends.

    Attributes:
        events: in the order in which they ended.
        threads: the threads' names, by number.
    """

    events: list[Event] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)

    @property
    def steps(self) -> list[Event]:
        """The steps that ran."""
        return [event for event in self.events if event.kind == "step"]

    def total(self, kind: str) -> float:
        """Microseconds of all events of a kind."""
        return sum(event.microseconds for event in self.events if event.kind == kind)

    def by_operation(self, limit: int = 20) -> str:
        """A table of the steps, those of one name together, the longest first."""
        return self._table(lambda event: (event.name,), "step", limit)

    def by_line(self, limit: int = 20) -> str:
        """A table by line of the program; a step of several lines counts in equal parts."""
        return self._table(lambda event: event.lines or ("?",), "line", limit)

    def _table(self, keys: Callable[[Event], tuple[str, ...]], title: str, limit: int) -> str:
        rows: dict[str, list[float]] = {}
        for event in self.steps:
            names = keys(event)
            for name in names:
                row = rows.setdefault(name, [0.0, 0.0, 0.0, 0.0])
                for i, value in enumerate((1.0, event.microseconds, event.bytes, event.flops)):
                    row[i] += value if i == 0 else value / len(names)
        whole = sum(row[1] for row in rows.values()) or 1.0
        lines = [f"{'calls':>7} {'total us':>10} {'share':>6} {'GB/s':>7} {'GFLOP/s':>8}  {title}"]
        ranked = sorted(rows.items(), key=lambda item: -item[1][1])
        for name, (calls, us, moved, flops) in ranked[:limit]:
            rate = max(us, 1e-9) * 1e3
            lines.append(
                f"{calls:7.0f} {us:10.1f} {us / whole:6.1%} {moved / rate:7.1f} "
                f"{flops / rate:8.1f}  {name}"
            )
        if len(ranked) > limit:
            lines.append(f"… and {len(ranked) - limit} more")
        return "\n".join(lines)

    def __str__(self) -> str:
        parts = [
            f"{kind} {self.total(kind) / 1e3:.2f} ms"
            for kind in ("record", "plan", "find", "run", "wait")
        ]
        return f"{', '.join(parts)}; {len(self.steps)} steps\n\n{self.by_operation()}"

    def trace(self) -> dict[str, Any]:
        """The events as a dict in the Trace Event Format (JSON object form)."""
        names = [
            {"ph": "M", "name": "thread_name", "pid": 1, "tid": i, "args": {"name": name}}
            for i, name in enumerate(self.threads)
        ]
        return {"traceEvents": [*names, *self._spans()], "displayTimeUnit": "ns"}

    def _spans(self) -> Iterator[dict[str, Any]]:
        for event in sorted(self.events, key=lambda e: (e.begin, -e.end)):
            details: dict[str, Any] = {"count": event.count}
            if event.kind == "step":
                details |= {"bytes": event.bytes, "flops": event.flops, "lines": event.lines}
            yield {
                "ph": "X",
                "name": event.name,
                "cat": event.kind,
                "pid": 1,
                "tid": event.thread,
                "ts": event.begin,
                "dur": event.microseconds,
                "args": details,
            }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes ``trace()`` as JSON, atomically."""
        with AtomicFile(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            json.dump(self.trace(), file)


def _event(
    kind: str, name: str, begin: float, end: float, thread: int, moved: float, flops: float,
    count: int, lines: str, plan: int, step: int, algorithm: str,
) -> Event:  # fmt: skip
    return Event(
        kind, name, begin, end, thread, moved, flops, count, tuple(lines.splitlines()), plan, step,
        algorithm,
    )  # fmt: skip


@contextmanager
def profile() -> Iterator[Profile]:
    """Notes what the ``with`` block has recorded, planned and run, on every thread.

    Work still outstanding at the block's end is waited for. Each step is charged to the lines of
    the program that recorded it.

    Raises:
        RuntimeError: a profile is being taken already.
    """
    result = Profile()
    _core.synchronize()
    _core._start_profile()
    try:
        yield result
    finally:
        try:
            _core.submit()
            _core.synchronize()
        finally:
            events, result.threads = _core._stop_profile()
            result.events = [_event(*event) for event in events]
