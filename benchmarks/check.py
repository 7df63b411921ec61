"""Whether Tegula has become slower than in a stored run of the same kind of machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.figures import Figure, slower

MARGIN = 0.05  # growth of a time that is not called a regression, beyond the noise
SAME = ("processor", "processors", "instruction set")


def same_machine(a: Mapping[str, str], b: Mapping[str, str]) -> bool:
    return all(a[fact] == b[fact] for fact in SAME)


def _times(run: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str, int], Figure]]:
    """Seconds of every kernel row, in units of what the limit measured beside it allows: clocks
    and neighbours that slow both are no regression.
    """
    for family, rows in run.get("families", {}).items():
        for row in rows:
            if "absent" not in row:
                least = row["work"] / 1e9 / row["limit_rate"]["median"]
                relative = {name: value / least for name, value in row["ours"].items()}
                yield (family, row["title"], row["threads"]), Figure(**relative)


def regressions(run: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> list[str]:
    """What to say of each row that became slower."""
    before: dict[tuple[str, str, int], Figure] = {}
    for old in history:
        if same_machine(old["machine"], run["machine"]):
            before |= dict(_times(old))
    messages = []
    for key, now in _times(run):
        then = before.get(key)
        if then is not None and slower(now, then, MARGIN):
            family, title, threads = key
            messages.append(
                f"{family}, {title}, {threads} threads: {now.median / then.median:.2f} times the "
                f"stored time (noise {now.noise:.0%} and {then.noise:.0%})"
            )
    return messages
