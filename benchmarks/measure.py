"""Runs a case: the rounds of its variants take turns, and their outputs are compared first."""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.case import Case, Row, Variant
from benchmarks.figures import Figure
from benchmarks.peers import PeerError, Worker

SETTLE_SECONDS = 0.05  # lets the threads of the variant before stop spinning
ABSOLUTE = 1e-5  # differences below this are none

Samples = dict[str, dict[str, list[float]]]  # by variant and metric


@dataclass(frozen=True)
class Result:
    """A row with its figures; ``met`` is None where there is no target or nothing to compare."""

    row: Row
    ours: Figure
    theirs: Figure | None

    @property
    def ratio(self) -> float | None:
        if self.theirs is None:
            return None
        return self.row.ratio(self.ours.median, self.theirs.median)

    @property
    def met(self) -> bool | None:
        if self.row.met is None or (self.row.theirs is not None and self.theirs is None):
            return None
        theirs = self.theirs.median if self.theirs else math.nan
        return self.row.met(self.ours.median, theirs)


def median_microseconds(call: Callable[[], object], seconds: float) -> float:
    """The median time of the calls that take so many seconds, three at least, after a first one."""
    call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e6 * statistics.median(times)


def cpus(threads: int) -> list[int]:
    """The processors every worker is pinned to."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < threads:
        raise PeerError(f"{threads} processors are needed, there are {len(available)}")
    return available[:threads]


class Measurement:
    """Measures cases with the given interpreters (by framework)."""

    def __init__(
        self, pythons: dict[str, Path], environment: dict[str, str], cpus: Sequence[int]
    ) -> None:
        self.pythons, self.environment, self.cpus = pythons, environment, cpus

    def run(self, case: Case, rounds: int | None = None) -> list[Result]:
        """The rows of a case; variants whose framework is not there are left out.

        Raises:
            PeerError: a worker failed, or outputs differ.
        """
        variants = [v for v in case.variants if v.framework in self.pythons]
        samples: Samples = {v.name: {} for v in variants}
        count = rounds or case.rounds
        if case.fresh:
            self._fresh_rounds(case, variants, samples, count)
        else:
            self._turns(case, variants, samples, count)
        return [r for row in case.rows if (r := _result(row, samples)) is not None]

    def _worker(self, case: Case, variant: Variant) -> Worker:
        python = self.pythons[variant.framework]
        return Worker(python, case.name, variant.name, self.cpus, self.environment, case.timeout)

    def _turns(self, case: Case, variants: Sequence[Variant], samples: Samples, count: int) -> None:
        with contextlib.ExitStack() as stack:
            workers = [stack.enter_context(self._worker(case, v)) for v in variants]
            _compare(case, variants, [w.outputs for w in workers])
            for i in range(count):
                print(f"{case.name}: round {i + 1} of {count}", file=sys.stderr)
                for variant, worker in zip(variants, workers, strict=True):
                    time.sleep(SETTLE_SECONDS)
                    _add(samples[variant.name], worker.round())

    def _fresh_rounds(
        self, case: Case, variants: Sequence[Variant], samples: Samples, count: int
    ) -> None:
        for i in range(count):
            print(f"{case.name}: round {i + 1} of {count}", file=sys.stderr)
            outputs = []
            for variant in variants:
                with self._worker(case, variant) as worker:
                    outputs.append(worker.outputs)
                    _add(samples[variant.name], worker.round())
            _compare(case, variants, outputs)


def _add(samples: dict[str, list[float]], metrics: dict[str, float]) -> None:
    for name, value in metrics.items():
        samples.setdefault(name, []).append(value)


def _compare(case: Case, variants: Sequence[Variant], outputs: Sequence[Sequence[float]]) -> None:
    """Raises PeerError unless all variants compute the same."""
    first: dict[str, tuple[str, Sequence[float]]] = {}
    for variant, values in zip(variants, outputs, strict=True):
        name, expected = first.setdefault(variant.work, (variant.name, values))
        if len(values) != len(expected):
            raise PeerError(f"{case.name}: {variant.name} has {len(values)} outputs")
        for i, (a, b) in enumerate(zip(expected, values, strict=True)):
            if not math.isclose(a, b, rel_tol=case.tolerance, abs_tol=ABSOLUTE):
                raise PeerError(
                    f"{case.name}: output {i} is {a} with {name} and {b} with "
                    f"{variant.name}: they do not compute the same, so no time counts"
                )


def _result(row: Row, samples: Samples) -> Result | None:
    ours = samples[row.ours].get(row.metric)
    theirs = samples.get(row.theirs or "", {}).get(row.metric)
    if not ours:
        return None
    return Result(row, Figure.of(ours), Figure.of(theirs) if theirs else None)
