"""``python -m benchmarks [name ...]``: measures, prints tables and records the results."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import counts, kernel_results, machine, models, peers, report, roofline
from benchmarks.cases import CASES, FAMILIES, Family
from benchmarks.check import regressions
from benchmarks.harness import NoKernel
from benchmarks.measure import Measurement, cpus
from benchmarks.peers import PeerError
from benchmarks.sitting import Sitting

BUSY = 0.7  # load average above which times say little
ROUNDS, SECONDS = 5, 0.05  # of kernel cases: rounds, and how long a variant is timed in each


def _arguments(given: list[str]) -> argparse.Namespace:
    there = [*FAMILIES, *CASES]
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", help=f"which of: {', '.join(there)} (default: all)")
    parser.add_argument("--rounds", type=int, help="rounds of every case (default: its own)")
    parser.add_argument("--threads", type=int, default=2, help="most threads of each framework")
    parser.add_argument("--quick", action="store_true", help="2 short rounds, for a first look")
    parser.add_argument("--only", default="", help="kernel cases whose title has this text")
    parser.add_argument("--no-peers", action="store_true", help="measure Tegula alone")
    parser.add_argument(
        "--aside",
        action="store_true",
        help="another or a busy machine: quickest calls, in a table beside ours",
    )
    parser.add_argument("--no-save", action="store_true", help="only print the tables")
    parser.add_argument(
        "--check", action="store_true", help="fail where a stored run of this machine was faster"
    )
    options = parser.parse_args(given)
    unknown = set(options.cases) - set(there)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(there)}")
    options.cases = options.cases or there
    if options.quick:
        options.rounds = options.rounds or 2
    return options


class Run:
    """What one call of the program measures."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.cpus = cpus(options.threads)
        self.python = None if options.no_peers else peers.peers_python()
        self.failures: list[str] = []
        self.versions: dict[str, str] = {}
        self.limits: dict[str, dict[str, float]] = {}

    def fail(self, message: str) -> None:
        print(f"benchmarks: {message}", file=sys.stderr)
        self.failures.append(message)

    def families(self, names: list[str]) -> dict[str, list[kernel_results.Record]]:
        if not names:
            return {}
        counts = range(1, self.options.threads + 1)
        frameworks = peers.frameworks(self.python) if self.python else []
        with Sitting(
            self.python, frameworks, self.cpus, counts, self.folder, self.options.aside
        ) as sitting:
            self.versions = sitting.versions()
            self.limits = machine.limits([seat.harness for seat in sitting.seats])
            return {name: self._family(sitting, FAMILIES[name]) for name in names}

    def _family(self, sitting: Sitting, family: Family) -> list[kernel_results.Record]:
        rows: list[kernel_results.Record] = []
        rounds = self.options.rounds or ROUNDS
        seconds = SECONDS / 2 if self.options.quick else SECONDS
        for kernel in family.kernels:
            if self.options.only not in kernel.title:
                continue
            print(f"{family.name}: {kernel.title}", file=sys.stderr)
            try:
                made = kernel_results.records(
                    kernel, sitting.measure(family.name, kernel, rounds, seconds)
                )
            except NoKernel as missing:
                made = [kernel_results.absent(kernel, f"not there yet: {missing}")]
            except PeerError as error:
                made = [kernel_results.absent(kernel, f"failed: {error}")]
                self.fail(f"{family.name}, {kernel.title}: {error}")
            for row in made:
                if row.get("too_fast"):
                    self.fail(
                        f"{row['title']}: {row['fraction']:.2f} of {row['limit']}: one of the two "
                        "is measured or counted wrongly"
                    )
            rows += made
        print(*kernel_results.lines(rows), sep="\n", flush=True)
        return rows

    def programs(self, names: list[str]) -> dict[str, list[dict[str, Any]]]:
        pythons = {"tegula": Path(sys.executable)}
        if self.python:
            pythons |= dict.fromkeys(peers.frameworks(self.python), self.python)
        measurement = Measurement(pythons, {models.DATA_FOLDER: str(self.folder)}, self.cpus)
        if any(CASES[name].needs_data for name in names):
            models.write_demo_data(self.folder)
        measured = {}
        for name in names:
            try:
                results = measurement.run(CASES[name], self.options.rounds)
            except PeerError as error:
                self.fail(str(error))
                continue
            measured[name] = [report.record(result) for result in results]
            print(*report.lines(measured[name]), sep="\n", flush=True)
        return measured


def main(given: list[str]) -> int:
    options = _arguments(given)
    with tempfile.TemporaryDirectory(prefix="tegula-bench-") as folder:
        run = Run(options, Path(folder))
        facts = machine.describe(run.python)
        if float(facts["load"]) > BUSY:
            print(f"benchmarks: the machine is busy (load {facts['load']})", file=sys.stderr)
        families = run.families([name for name in options.cases if name in FAMILIES])
        cases = run.programs([name for name in options.cases if name in CASES])
        counted = counts.count(list(families), run.folder) if counts.available() else {}
    result = {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "command": " ".join(["python -m benchmarks", *given]),
        "threads": options.threads,
        "aside": options.aside,
        "machine": facts | run.versions,
        "limits": run.limits,
        "families": families,
        "cases": cases,
    }
    if options.check:
        slower = regressions(result, report.read_history())
        for message in [*slower, *counts.grown(counted, counts.stored())]:
            run.fail(message)
    elif (families or cases) and not options.no_save:
        report.save(result)
        counts.save(counted)
        roofline.draw(report.read_history())
        print(f"written: {report.TABLE}")
    return 1 if run.failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except PeerError as error:
        sys.exit(f"benchmarks: {error}")
