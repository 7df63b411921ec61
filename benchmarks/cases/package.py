"""What installing and importing costs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.case import Case, Row, Runner, Variant

ROOT = Path(__file__).parents[2]
MB = 1e6


def _import_milliseconds(module: str) -> float:
    code = (
        "import time, numpy; start = time.perf_counter(); "
        f"import {module}; print(1e3 * (time.perf_counter() - start))"
    )
    command = [sys.executable, "-c", code]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _wheel_megabytes() -> float:
    """The size of the wheel, built as a user's pip would."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "--disable-pip-version-check", "-q"]
        command += ["--no-build-isolation", "--no-deps", "-w", folder, str(ROOT)]
        subprocess.run(command, check=True, stdout=sys.stderr)
        (wheel,) = Path(folder).glob("*.whl")
        return wheel.stat().st_size / MB


def _tegula() -> Runner:
    if not shutil.which("c++"):
        raise RuntimeError("the wheel cannot be built: there is no C++ compiler")
    wheel = _wheel_megabytes()
    _import_milliseconds("tegula")
    return Runner(lambda: {"import": _import_milliseconds("tegula"), "wheel": wheel})


def _torch() -> Runner:
    _import_milliseconds("torch")
    return Runner(lambda: {"import": _import_milliseconds("torch")})


CASE = Case(
    name="package",
    method=(
        "Import: a fresh interpreter that has imported NumPy imports the framework; byte code and "
        "files are cached. Wheel: `pip wheel` of this tree."
    ),
    variants=[Variant("Tegula", "tegula", _tegula), Variant("PyTorch", "torch", _torch)],
    rows=[
        Row("import beyond NumPy's", "import", "ms",
            target="at most 50 ms", met=lambda ours, _: ours <= 50),
        Row("wheel", "wheel", "MB", theirs=None,
            target="at most 15 MB", met=lambda ours, _: ours <= 15 * 2**20 / MB),
    ],
    rounds=9,
    timeout=1800,
)  # fmt: skip
