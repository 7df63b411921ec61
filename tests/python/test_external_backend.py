"""A device can live outside of Tegula's tree: tests/external_backend brings one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / os.environ.get("BUILD", "build/release") / "libtegula_core.a"


def find_cmake() -> str | None:
    beside = Path(sys.executable).parent / "cmake"
    return str(beside) if beside.exists() else shutil.which("cmake")


@pytest.mark.skipif("TEGULA_SANITIZED" in os.environ, reason="the engine is built for sanitizers")
@pytest.mark.skipif(not shutil.which("c++"), reason="no C++ compiler here")
@pytest.mark.skipif(find_cmake() is None, reason="no CMake here")
@pytest.mark.skipif(not LIBRARY.exists(), reason="libtegula_core.a is not built here")
def test_a_backend_from_outside(tmp_path):
    cmake = find_cmake()
    configure = [cmake, "-S", ROOT / "tests/external_backend", "-B", tmp_path]
    configure += ["-DCMAKE_BUILD_TYPE=Release", f"-DTEGULA_SOURCE={ROOT / 'src'}"]
    configure += [f"-DTEGULA_LIBRARY={LIBRARY}"]
    for command in (configure, [cmake, "--build", tmp_path]):
        run = subprocess.run(command, capture_output=True, text=True, timeout=240)
        assert run.returncode == 0, run.stdout + run.stderr
    program = tmp_path / "toy_backend"
    run = subprocess.run([program], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "FAILED" not in run.stdout
    assert run.stdout.count("ok:") == 5
