"""The results as JSON (a history) and as a table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import kernel_results
from benchmarks.cases import CASES, FAMILIES
from benchmarks.figures import Figure
from benchmarks.measure import Result

HISTORY = Path(__file__).with_name("results.json")
TABLE = Path(__file__).with_name("RESULTS.md")
KEPT_RUNS = 40
HEADER = """# Benchmarks

Written by `make bench`; do not edit. Every framework runs in processes of its own, pinned to the
same processors with the same number of threads, and their rounds take turns. Outputs are compared
before any time counts. Every figure is the median over the rounds.

* **Kernels** run in a C++ harness (`benchmarks/kernels/`), without recording or planning. Times are
  followed by the lowest and highest round. Each row names its *limit*, which is measured in every
  round just before; *of the limit* is the fraction reached. *Best peer* says how many times as fast
  as the fastest peer Tegula is.
* **Programs** run from Python. The range of the rounds is in brackets, *ratio* says how many times
  as good as the peer Tegula is.

Above 1× Tegula is ahead.
"""


def number(value: float) -> str:
    """Three significant digits, or a whole number."""
    if value == 0 or math.isinf(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{digits}f}"
    whole, _, decimals = text.partition(".")
    return text if decimals.strip("0") else whole


def _figure(figure: Mapping[str, float] | None, unit: str) -> str:
    if figure is None:
        return "–"
    text = f"{number(figure['median'])} {unit}".rstrip()
    if number(figure["low"]) != number(figure["high"]):
        text += f" ({number(figure['low'])}–{number(figure['high'])})"
    return text


def _figure_json(figure: Figure | None) -> dict[str, float] | None:
    return None if figure is None else vars(figure).copy()


def record(result: Result) -> dict[str, Any]:
    """A row as plain data."""
    row = result.row
    return {
        "title": row.title,
        "unit": row.unit,
        "target": row.target,
        "peer": row.theirs,
        "tegula": _figure_json(result.ours),
        "pytorch": _figure_json(result.theirs),
        "ratio": result.ratio,
        "met": result.met,
    }


def lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows as a Markdown table."""
    table = [
        "| case | target | Tegula | peer | ratio | |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        ratio = "–" if row["ratio"] is None else f"{number(row['ratio'])}×"
        met = {None: "", True: "met", False: "**missed**"}[row["met"]]
        ours, theirs = (_figure(row[name], row["unit"]) for name in ("tegula", "pytorch"))
        table.append(f"| {row['title']} | {row['target']} | {ours} | {theirs} | {ratio} | {met} |")
    return table


def read_history() -> list[dict[str, Any]]:
    """All recorded runs, oldest first."""
    history: list[dict[str, Any]] = json.loads(HISTORY.read_text()) if HISTORY.exists() else []
    return history


def save(run: dict[str, Any]) -> None:
    """Appends a run to the history and writes the tables of each case's latest run."""
    history = bounded([*read_history(), run])
    HISTORY.write_text(json.dumps(history, separators=(",", ":"), ensure_ascii=False) + "\n")
    TABLE.write_text(render(history))


def _parts(run: Mapping[str, Any]) -> dict[str, Any]:
    """The families and cases of a run that there still are."""
    known = {**FAMILIES, **CASES}
    return {k: v for k, v in {**run.get("families", {}), **run["cases"]}.items() if k in known}


def latest_runs(history: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """By family or case, the latest run that has it, of those that are not aside."""
    return {name: run for run in history if not run.get("aside") for name in _parts(run)}


def aside_runs(history: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """By family or case and by machine, the latest run that was measured aside."""
    return {
        (name, f"{run['machine']['processor']}, {run['machine']['instruction set']}"): run
        for run in history
        if run.get("aside")
        for name in _parts(run)
    }


def bounded(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last runs, and those older that are the latest of some case."""
    needed = [*latest_runs(history).values(), *aside_runs(history).values()]
    first = len(history) - KEPT_RUNS
    return [run for i, run in enumerate(history) if i >= first or run in needed]


def _about(run: Mapping[str, Any]) -> str:
    facts = dict(run["machine"])
    versions = ", ".join(
        f"{name} {facts[key]}"
        for name, key in (
            ("Tegula", "tegula"), ("PyTorch", "torch"), ("JAX", "jax"),
            ("ONNX Runtime", "onnxruntime"),
        )
        if key in facts
    )  # fmt: skip
    return (
        f"{run['date']}, commit {facts['commit']}, {facts['processor']} "
        f"({facts['processors']} processors, {facts['memory']}, {facts['system']}; load average "
        f"{facts['load']} before), {facts['instruction set']}, Python {facts['python']}, "
        f"{versions}; `{run['command']}`."
    )


def _limits(limits: Mapping[str, Mapping[str, float]]) -> list[str]:
    threads = sorted({count for rates in limits.values() for count in rates})
    table = [
        "## Limits",
        "",
        "What the machine could do at most in the latest run "
        "(`benchmarks/kernels/machine_limits.h`). Memory rates count the bytes a program reads and "
        "writes; *fetching counted* adds the lines that plain stores fetch before they write.",
        "",
        f"| | {' | '.join(f'threads: {count}' for count in threads)} |",
        "|---" * (1 + len(threads)) + "|",
    ]
    for name, rates in limits.items():
        cells = (number(rates[count]) if count in rates else "–" for count in threads)
        table.append(f"| {name} | {' | '.join(cells)} |")
    return [*table, ""]


def _aside(run: Mapping[str, Any]) -> str:
    """What a section of rows measured aside says of them."""
    return (
        f"Another machine than that of the other tables, with a load average of "
        f"{run['machine']['load']} before. Other programs disturbed it, "
        "so times are those of the quickest call in all rounds, of everyone alike; those of many "
        "milliseconds have waited all the same."
    )


def render(history: Sequence[Mapping[str, Any]]) -> str:
    """RESULTS.md: for each family and case the latest run that has it."""
    latest = latest_runs(history)
    parts = [HEADER]
    limits = [run["limits"] for run in history if run.get("limits") and not run.get("aside")]
    if limits:
        parts += ["![Roofline](roofline.png)", "", *_limits(limits[-1])]
    runs: list[Mapping[str, Any]] = []
    methods = {name: part.method for name, part in FAMILIES.items()}
    methods |= {name: part.method for name, part in CASES.items()}

    def section(name: str, title: str, text: str, run: Mapping[str, Any]) -> list[str]:
        if run not in runs:
            runs.append(run)
        rows = _parts(run)[name]
        table = kernel_results.lines(rows) if name in FAMILIES else lines(rows)
        return [f"## {title} (run {runs.index(run) + 1})", "", text, "", *table, ""]

    aside = aside_runs(history)
    for name, method in methods.items():
        if name in latest:
            parts += section(name, name, method, latest[name])
        for (family, machine), run in aside.items():
            if family == name:
                parts += section(name, f"{name} on {machine}", _aside(run), run)
    about = [f"{i}. {_about(run)}" for i, run in enumerate(runs, 1)]
    return "\n".join([*parts, "## Runs", "", *about, ""])
