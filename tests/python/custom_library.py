"""Compiling libraries of custom operations for the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tegula as tg

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/custom_op"

needs_compiler = pytest.mark.skipif(not shutil.which("c++"), reason="no C++ compiler here")

HEAD = "#include <tegula/custom_op.h>\n"


def compile_library(folder: Path, name: str, source: str, *options: str) -> Path:
    """The shared library lib`name`.so of a C++ source."""
    path = folder / f"{name}.cc"
    path.write_text(source)
    target = folder / f"lib{name}.so"
    command = ["c++", "-std=c++17", "-O1", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror"]
    command += [f"-I{tg.custom_op_include()}", *options, str(path), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return target


def build_example(folder: Path) -> Path:
    """A copy of the example, built by its own script."""
    copy = folder / "custom_op"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    site = str(Path(tg.__file__).parents[1])
    env = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": site}
    done = subprocess.run(["sh", "build.sh"], cwd=copy, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return copy
