"""What was measured of a kernel case as plain data, and as lines of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.figures import Figure
from benchmarks.kernel import Kernel, Target
from benchmarks.sitting import Measured

Record = dict[str, Any]


def _figure(values: Sequence[float]) -> dict[str, float]:
    return {name: float(f"{x:.5g}") for name, x in vars(Figure.of(values)).items()}


def _goals(
    target: Target, threads: int, fraction: float, ratios: Mapping[str, float],
    loop: float | None, speedup: float | None,
) -> Iterator[tuple[str, float, bool]]:  # fmt: skip
    """What is asked, what was reached, and whether that is enough."""
    if target.fraction is not None and (least := target.fraction[min(threads, 2) - 1]):
        yield f"≥ {least:.2f} of the limit", fraction, fraction >= least
    if target.loop is not None and loop is not None:
        yield f"≥ {target.loop} of the hand-fused loop", loop, loop >= target.loop
    for peer, least in target.ratio.items():
        if peer in ratios:
            yield f"≥ {least:g}× {peer}", ratios[peer], ratios[peer] >= least
    if target.speedup is not None and speedup is not None:
        yield f"≥ {target.speedup}× one thread", speedup, speedup >= target.speedup


def records(kernel: Kernel, measured: Mapping[int, Measured]) -> list[Record]:
    """One record for each number of threads."""
    made: list[Record] = []
    for threads, samples in measured.items():
        ours = Figure.of(samples.ours).median
        alone = Figure.of(measured[1].ours).median if 1 in measured else None
        speedup = alone / ours if alone is not None and threads > 1 else None
        fraction = samples.fraction(kernel.work).median
        loop = Figure.of(samples.loop).median / ours if samples.loop else None
        ratios = {name: Figure.of(times).median / ours for name, times in samples.peers.items()}
        goals = _goals(kernel.target, threads, fraction, ratios, loop, speedup)
        made.append({
            "title": kernel.title,
            "threads": threads,
            "unit": kernel.limit.unit,
            "work": kernel.work,
            "operations": kernel.operations,
            "bytes": kernel.bytes,
            "limit": kernel.limit.name,
            "limit_rate": _figure(samples.limit),
            "ours": _figure(samples.ours),
            "fraction": _figure([fraction])["median"],
            "too_fast": samples.too_fast(kernel.work),
            "loop": _figure(samples.loop) if samples.loop else None,
            "peers": {name: _figure(times) for name, times in samples.peers.items()},
            "speedup": speedup and round(speedup, 3),
            "goals": [[text, round(value, 4), met] for text, value, met in goals],
        })  # fmt: skip
    return made


def absent(kernel: Kernel, why: str) -> Record:
    """The record of a case that could not be measured."""
    return {"title": kernel.title, "absent": why}


def _time(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1 or unit == "µs":
            value = seconds * factor
            return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"
    raise AssertionError


def _spread(figure: Mapping[str, float]) -> str:
    least, most = (100 * (figure[end] / figure["median"] - 1) for end in ("low", "high"))
    return f"({least:+.0f} {most:+.0f} %)"


def _rate(record: Record) -> str:
    return f"{record['work'] / 1e9 / record['ours']['median']:.3g} {record['unit']}"


def _peers(record: Record) -> str:
    ours = record["ours"]["median"]
    return "; ".join(
        f"{name} {_time(figure['median'])} **{figure['median'] / ours:.2f}×**"
        for name, figure in record["peers"].items()
    ) or "–"  # fmt: skip


def best_ratio(record: Record) -> float | None:
    """How many times as fast as the fastest peer."""
    times = [figure["median"] for figure in record["peers"].values()]
    return min(times) / record["ours"]["median"] if times else None


def _goal(goal: Sequence[Any]) -> str:
    text, value, met = goal
    return f"{text}: " + ("met" if met else f"**missed** ({value:.2f})")


def lines(family: Sequence[Record]) -> list[str]:
    """The records of a family as a Markdown table."""
    table = [
        "| case | threads | Tegula | rate | of the limit | hand-fused loop | peers, "
        "and how many times as fast as they | best peer | target |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for record in family:
        if "absent" in record:
            table.append(f"| {record['title']} | | *{record['absent']}* | | | | | | |")
            continue
        ours = record["ours"]
        best = best_ratio(record)
        limit = f"{record['fraction']:.2f} of {record['limit']}"
        if record["too_fast"]:
            limit += " **above the limit: wrong**"
        loop = record["loop"]
        cells = [
            record["title"],
            str(record["threads"]),
            f"{_time(ours['median'])} {_spread(ours)}",
            _rate(record),
            limit,
            f"{loop['median'] / ours['median']:.2f} of its speed" if loop else "–",
            _peers(record),
            "–" if best is None else f"{best:.2f}×",
            "; ".join(_goal(goal) for goal in record["goals"]) or "–",
        ]
        table.append(f"| {' | '.join(cells)} |")
    return table
