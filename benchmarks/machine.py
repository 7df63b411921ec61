"""The machine: what it is, and what it can do at most."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = Path(__file__).with_name("peaks.cc")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(": ", 1)[1]
    return platform.machine()


def _output(*command: str | Path) -> str:
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return run.stdout.strip() if run.returncode == 0 else "unknown"


def describe(pythons: dict[str, Path]) -> dict[str, str]:
    """Processor, system, how busy it is, versions of what is measured, and the commit."""
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
    for framework, python in pythons.items():
        facts[framework] = _output(python, "-c", code.format(framework))
    isa = "import tegula as tg; print(tg.isa()['used'])"
    facts["instruction set"] = _output(pythons["tegula"], "-c", isa)
    return facts


def peaks(cpus: list[int]) -> dict[str, float]:
    """Measured limits with all given processors: GFLOP/s of fused multiply-adds, GB/s of reading
    and of copying memory. Empty where there is no compiler.
    """
    compiler = shutil.which("c++")
    if compiler is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peaks"
        command = [compiler, "-std=c++20", "-O3", "-march=native", "-pthread"]
        if subprocess.run([*command, SOURCE, "-o", program]).returncode:
            return {}
        run = subprocess.run(
            [program, str(len(cpus))],
            capture_output=True,
            text=True,
            check=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )
    lines = (line.rsplit(" ", 1) for line in run.stdout.splitlines())
    return {name: float(value) for name, value in lines}
