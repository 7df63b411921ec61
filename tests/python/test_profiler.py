"""The profiler: every step, its line, its thread; traces that a viewer opens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tegula as tg
from tegula import profiler


def work(x: tg.Tensor) -> tg.Tensor:
    y = tg.tanh(x @ x)
    return y.sum()


def test_steps_lines_and_phases() -> None:
    x = tg.ones((64, 64))
    tg.eval(x)
    with profiler.profile() as taken:
        for _ in range(3):
            work(x).item()
    kinds = {event.kind for event in taken.events}
    assert {"record", "run", "step"} <= kinds
    assert kinds & {"plan", "find"}
    assert len(taken.steps) % 3 == 0
    product = next(event for event in taken.steps if event.name.startswith("matmul"))
    assert product.flops == 2 * 64**3
    assert product.name.endswith("(64, 64)")
    assert [line.split(":")[0] for line in product.lines] == ["test_profiler.py"]
    assert product.lines[0].endswith("in work")
    for event in taken.events:
        assert 0 <= event.begin <= event.end
        assert event.thread < len(taken.threads)
    recorded = [event for event in taken.events if event.kind == "record"]
    assert all(event.count >= 3 for event in recorded)


def test_runs_hold_their_steps() -> None:
    x = tg.ones(1000)
    with profiler.profile() as taken:
        for _ in range(4):
            x = tg.sin(x) * 2
            tg.eval(x)
    runs = [event for event in taken.events if event.kind == "run"]
    for step in taken.steps:
        assert any(
            run.thread == step.thread and run.begin <= step.begin and step.end <= run.end
            for run in runs
        )


def test_what_a_jitted_function_runs() -> None:
    f = tg.jit(work)
    f(tg.ones((8, 8)))
    with profiler.profile() as taken:
        f(tg.ones((8, 8))).item()
    assert any(line.endswith("in work") for event in taken.steps for line in event.lines)


def test_tables(capsys: Any) -> None:
    with profiler.profile() as taken:
        work(tg.ones((8, 8))).item()
    assert "matmul (8, 8)" in taken.by_operation()
    assert "in work" in taken.by_line()
    assert "… and" in taken.by_operation(limit=1) or len(taken.steps) < 2
    print(taken)
    assert "steps" in capsys.readouterr().out


def test_a_trace_in_the_trace_event_format(tmp_path: Path) -> None:
    tg.set_num_threads(2)
    with profiler.profile() as taken:
        tg.eval(tg.ones((512, 512)) @ tg.ones((512, 512)))
    taken.save(tmp_path / "trace.json")
    trace = json.loads((tmp_path / "trace.json").read_text())
    events = trace["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M"}
    assert "caller" in names.values() or "tegula-queue" in names.values()
    spans = [e for e in events if e["ph"] == "X"]
    assert len(spans) == len(taken.events)
    for span in spans:
        assert span["dur"] >= 0
        assert span["tid"] in names
    step = next(s for s in spans if s["cat"] == "step" and s["name"].startswith("matmul"))
    assert step["args"]["flops"] == 2 * 512**3


def test_one_profile_at_a_time_and_none_left_by_an_error() -> None:
    busy = pytest.raises(RuntimeError, match="being taken already")
    with profiler.profile(), busy, profiler.profile():
        pass
    with pytest.raises(KeyError), profiler.profile():
        raise KeyError("mine")
    with profiler.profile() as taken:
        pass
    assert taken.steps == []


def test_an_unprofiled_run_notes_nothing() -> None:
    with profiler.profile() as taken:
        pass
    tg.eval(tg.ones(3) + 1)
    assert taken.events == [e for e in taken.events if e.kind == "wait"]
