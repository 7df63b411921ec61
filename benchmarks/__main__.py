"""``python -m benchmarks [case ...]``: measures, prints a table and records the results."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import machine, models, report
from benchmarks.cases import CASES
from benchmarks.measure import Measurement
from benchmarks.peers import PeerError, torch_python

BUSY = 0.7  # load average above which times say little


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", help=f"which of: {', '.join(CASES)} (default: all)")
    parser.add_argument("--rounds", type=int, help="rounds of every case (default: its own)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each framework")
    parser.add_argument("--no-torch", action="store_true", help="measure Tegula alone")
    parser.add_argument("--no-save", action="store_true", help="only print the table")
    options = parser.parse_args(given)
    unknown = set(options.cases) - set(CASES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(CASES)}")
    return options


def main(given: list[str]) -> int:
    options = _arguments(given)
    pythons = {"tegula": Path(sys.executable)}
    if not options.no_torch:
        pythons["torch"] = torch_python()
    failed = False
    measured: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="tegula-bench-") as folder:
        environment = {models.DATA_FOLDER: folder}
        measurement = Measurement(pythons, environment, options.threads)
        names = options.cases or list(CASES)
        if any(CASES[name].needs_data for name in names):
            models.write_demo_data(Path(folder))
        facts = machine.describe(pythons)
        if float(facts["load"]) > BUSY:
            print(f"benchmarks: the machine is busy (load {facts['load']})", file=sys.stderr)
        limits = machine.peaks(measurement.cpus)
        for name in names:
            try:
                results = measurement.run(CASES[name], options.rounds)
            except PeerError as error:
                print(f"benchmarks: {error}", file=sys.stderr)
                failed = True
                continue
            measured[name] = [report.record(result) for result in results]
            print(*report.lines(measured[name]), sep="\n", flush=True)
    if measured and not options.no_save:
        report.save(
            {
                "date": time.strftime("%Y-%m-%d %H:%M"),
                "command": " ".join(["python -m benchmarks", *given]),
                "threads": options.threads,
                "machine": facts,
                "peaks": limits,
                "cases": measured,
            }
        )
        print(f"written: {report.TABLE}")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except PeerError as error:
        sys.exit(f"benchmarks: {error}")
