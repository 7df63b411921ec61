"""The results as JSON (a history) and as a table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES
from benchmarks.measure import Figure, Result

HISTORY = Path(__file__).with_name("results.json")
TABLE = Path(__file__).with_name("RESULTS.md")
HEADER = """# Benchmarks

Written by `make bench`; do not edit. Every figure is the median over the rounds, the range of the
rounds in brackets. *Ratio* says how many times as good as PyTorch Tegula is: above 1 Tegula is
ahead. Both frameworks run in processes of their own, pinned to the same {threads} processors with
{threads} threads each, and their rounds take turns.
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
        "| case | target | Tegula | PyTorch | ratio | |",
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
    """Appends a run to the history and writes the table of each case's latest run."""
    history = [*read_history(), run]
    HISTORY.write_text(json.dumps(history, indent=1, ensure_ascii=False) + "\n")
    TABLE.write_text(render(history))


def _about(run: Mapping[str, Any]) -> str:
    facts = run["machine"]
    text = (
        f"{run['date']}, commit {facts['commit']}, {facts['processor']} "
        f"({facts['processors']} processors, {facts['memory']}, {facts['system']}; load average "
        f"{facts['load']} before), {facts['instruction set']}, "
        f"Python {facts['python']}, Tegula {facts['tegula']}, "
        f"PyTorch {facts.get('torch', 'not measured')}; `{run['command']}`"
    )
    if run["peaks"]:
        limits = ", ".join(f"{name} {number(value)}" for name, value in run["peaks"].items())
        text += f". Limits measured then: {limits}"
    return text + "."


def render(history: Sequence[Mapping[str, Any]]) -> str:
    """RESULTS.md: for each case the latest run that has it."""
    latest = {case: run for run in history for case in run["cases"]}
    parts = [HEADER.format(threads=history[-1]["threads"])]
    runs: list[Mapping[str, Any]] = []
    for name, case in CASES.items():
        if name not in latest:
            continue
        run = latest[name]
        if run not in runs:
            runs.append(run)
        rows = run["cases"][name]
        title = f"## {name}" + (f" (run {runs.index(run) + 1})" if len(latest) else "")
        parts.append("\n".join([title, "", case.method, "", *lines(rows), ""]))
    about = [f"{i}. {_about(run)}" for i, run in enumerate(runs, 1)]
    return "\n".join([*parts, "## Runs", "", *about, ""])
