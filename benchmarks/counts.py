"""Instructions of small kernels, counted by callgrind: unlike times, they repeat exactly.

Valgrind shows the program a processor with AVX2, so that is the instruction set counted.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.cases import FAMILIES
from benchmarks.harness import Harness, NoKernel
from benchmarks.kernel import Kernel
from benchmarks.sitting import write_inputs

STORED = Path(__file__).with_name("instructions.json")
COUNTED = {
    "gemm": ("64³", "64³ T·", "64³ ·T", "128³", "32×64×64", "linear 128×512×784, forward"),
    "fused": ("softmax 6144×256", "layer norm 1024×384"),
    "attention": ("24 × 256 × 64, forward",),
}
MARGIN = 0.02  # growth that is no regression
RUNS = 4


def available() -> bool:
    return shutil.which("valgrind") is not None


def _instructions(kernel: Kernel, folder: Path, runs: int) -> int:
    log = folder / "callgrind.log"
    command = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
               f"--log-file={log}")  # fmt: skip
    with Harness([0], command) as harness:
        harness.load(kernel, folder / "case")
        harness.steps(kernel.steps)
        for _ in range(runs):
            harness.run()
    found = re.search(r"Collected : (\d+)", log.read_text())
    assert found is not None
    return int(found[1])


def count(families: Sequence[str], folder: Path) -> dict[str, int]:
    """Instructions of one run, by family and title, of those of ``COUNTED`` in ``families``."""
    counts = {}
    for family in families:
        for kernel in FAMILIES[family].kernels:
            if kernel.title in COUNTED.get(family, ()):
                write_inputs(kernel, folder / "case")
                try:
                    first, all_runs = (_instructions(kernel, folder, n) for n in (1, 1 + RUNS))
                except NoKernel:
                    continue
                counts[f"{family}: {kernel.title}"] = (all_runs - first) // RUNS
    return counts


def stored() -> dict[str, int]:
    counts: dict[str, int] = json.loads(STORED.read_text()) if STORED.exists() else {}
    return counts


def save(counts: Mapping[str, int]) -> None:
    """Replaces what was counted before of the same cases."""
    STORED.write_text(json.dumps(stored() | counts, indent=1, ensure_ascii=False) + "\n")


def grown(now: Mapping[str, int], before: Mapping[str, int]) -> list[str]:
    """What to say of each case that takes more instructions."""
    return [
        f"{title}: {count:,} instructions, {before[title]:,} before"
        for title, count in now.items()
        if title in before and count > before[title] * (1 + MARGIN)
    ]
