"""The machine: what it is, and what it can do at most."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import Harness, NoKernel
from benchmarks.peers import ROOT


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(": ", 1)[1]
    return platform.machine()


def _output(*command: str | Path) -> str:
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return run.stdout.strip() if run.returncode == 0 else "unknown"


def describe(peers_python: Path | None) -> dict[str, str]:
    """Processor, system, how busy it is, versions of Tegula and PyTorch, and the commit."""
    facts = {
        "processor": _processor(),
        "processors": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "commit": _output("git", "rev-parse", "--short", "HEAD"),
    }
    if _output("git", "status", "--porcelain", "--untracked-files=no"):
        facts["commit"] += " with changes"
    code = "import numpy, {0}; print({0}.__version__, '(NumPy', numpy.__version__ + ')')"
    pythons = {"tegula": Path(sys.executable)} | ({"torch": peers_python} if peers_python else {})
    for framework, python in pythons.items():
        facts[framework] = _output(python, "-c", code.format(framework))
    isa = "import tegula as tg; print(tg.isa()['used'])"
    facts["instruction set"] = _output(sys.executable, "-c", isa)
    return facts


# The machine's limits that are shown for themselves: by name, the harness's commands.
_L2, _DRAM = 128 << 10, 128 << 20  # bytes of each array, for one thread
LIMITS = {
    "FMA f32, AVX-512 (GFLOP/s)": "fma avx512.f32",
    "FMA f32, AVX2": "fma avx2.f32",
    "multiply and add f32, baseline": "fma baseline.f32",
    "FMA f64, AVX-512": "fma avx512.f64",
    "FMA f64, AVX2": "fma avx2.f64",
    "dot bf16, AVX-512": "dot avx512.bf16",
    "dot int8, AVX-512": "dot avx512.int8",
    "matrix bf16, AMX": "dot amx.bf16",
    "matrix int8, AMX": "dot amx.int8",
    "read, L2 (GB/s)": f"memory 1,0,{_L2}",
    "write, L2": f"memory 0,1,{_L2}",
    "copy, L2": f"memory 1,1,{_L2}",
    "read, DRAM": f"memory 1,0,{_DRAM}",
    "write with plain stores, DRAM": f"memory 0,1,{_DRAM}",
    "write with non-temporal stores, DRAM": f"memory 0,1,{_DRAM},nt",
    "copy with plain stores, DRAM": f"memory 1,1,{_DRAM}",
    "copy with non-temporal stores, DRAM": f"memory 1,1,{_DRAM},nt",
    "4 read, 3 written in place, DRAM": f"memory 4,3,{_DRAM // 4},inplace",
}
# Memory traffic that plain stores to memory outside the cache cause: every line is read first.
WITH_ALLOCATE = {"write with plain stores, DRAM": 2.0, "copy with plain stores, DRAM": 1.5}


def limits(seats: Sequence[Harness], seconds: float = 0.05) -> dict[str, dict[str, float]]:
    """By name, then by number of threads; what the processor lacks is left out."""
    found: dict[str, dict[str, float]] = {}
    for name, command in LIMITS.items():
        for harness in seats:
            with contextlib.suppress(NoKernel):
                median, _, high, _ = harness.command(f"limit {command} {seconds}")
                rate = float(median if command.startswith("memory") else high)  # as Harness.limit
                found.setdefault(name, {})[str(harness.threads)] = rate
    for name, factor in WITH_ALLOCATE.items():
        found[f"{name}, fetching counted"] = {k: factor * v for k, v in found[name].items()}
    return found
