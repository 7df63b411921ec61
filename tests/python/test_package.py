"""What a user installs: quick to import, light, small, and complete."""

import importlib.metadata
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import tegula as tg

ROOT = Path(__file__).parents[2]
MAX_IMPORT_MS = 50.0
MAX_BYTES = 15 * 2**20
# Parts of the standard library that cost more than they bring at import.
HEAVY = {"asyncio", "concurrent", "email", "http", "multiprocessing", "sqlite3", "ssl", "unittest",
         "urllib.request", "xml"}  # fmt: skip
SANITIZED = "TEGULA_SANITIZED" in os.environ


def python(code: str, *options: str, **variables: str) -> str:
    command = [sys.executable, *options, "-c", code]
    environment = {**os.environ, **variables}
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=120, env=environment
    ).stdout


@pytest.mark.skipif(SANITIZED, reason="times mean nothing under a sanitizer")
def test_import_is_quick(tmp_path):
    # Compiled once, as when installed, even where the environment forbids to keep byte code.
    kept = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    code = (
        "import time, numpy; start = time.perf_counter(); import tegula;"
        "print(1e3 * (time.perf_counter() - start))"
    )
    python(code, **kept)  # byte code written, files in the page cache
    # Another process may take the core for one round, hardly for all of three.
    medians = []
    for _ in range(3):
        medians.append(statistics.median(float(python(code, **kept)) for _ in range(7)))
        if medians[-1] <= MAX_IMPORT_MS:
            return
    pytest.fail(
        f"import tegula takes {min(medians):.0f} ms beyond numpy (at most {MAX_IMPORT_MS:.0f}); "
        "see `python -X importtime -c 'import tegula'`"
    )


def test_import_brings_nothing_heavier_than_numpy():
    code = "import json, sys, {}; print(json.dumps(sorted(sys.modules)))"
    before = set(json.loads(python(code.format("numpy"))))
    added = set(json.loads(python(code.format("numpy, tegula")))) - before
    foreign = {
        name
        for name in added
        if name.split(".")[0] not in sys.stdlib_module_names | {"tegula", "numpy"}
        and not name.startswith(("_sysconfigdata", "nanobind"))
    }
    heavy = {name for name in added if name in HEAVY or name.split(".")[0] in HEAVY}
    assert not foreign, f"import tegula brings {sorted(foreign)}"
    assert not heavy, f"import tegula brings {sorted(heavy)}: import them where they are used"


def test_import_leaves_the_process_alone():
    code = (
        "import numpy, os, signal, threading\n"
        "state = lambda: (dict(os.environ), signal.getsignal(signal.SIGINT))\n"
        "before = state()\n"
        "import tegula\n"
        "assert state() == before\n"
        "assert threading.active_count() == 1\n"
        "print('same')"
    )
    assert python(code).strip() == "same"


def extension() -> Path:
    import tegula._core

    return Path(tegula._core.__file__)


@pytest.mark.skipif(SANITIZED, reason="instrumented code is larger")
def test_extension_is_small(tmp_path):
    stripped = tmp_path / "core.so"
    if not shutil.which("strip"):
        pytest.skip("no strip here")
    subprocess.run(["strip", "-o", stripped, extension()], check=True)
    assert stripped.stat().st_size <= MAX_BYTES


@pytest.mark.skipif(not shutil.which("readelf"), reason="no readelf here")
def test_extension_needs_only_what_every_system_has():
    text = subprocess.run(
        ["readelf", "-d", extension()], capture_output=True, text=True, check=True
    ).stdout
    needed = set(re.findall(r"\(NEEDED\).*\[(.*?)\.so", text))
    usual = {"libc", "libm", "libstdc++", "libgcc_s", "libpthread", "libdl", "ld-linux-x86-64",
             "ld-linux-aarch64", "libasan", "libubsan"}  # fmt: skip
    assert needed <= usual, f"the extension also needs {sorted(needed - usual)}"


def test_version_is_stated_once():
    stated = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert stated
    assert tg.__version__ == stated[1] == importlib.metadata.version("tegula")


def test_types_ship():
    assert (ROOT / "tegula" / "py.typed").exists()
    if not SANITIZED:
        assert (ROOT / "tegula" / "_core.pyi").stat().st_size > 0


@pytest.mark.parametrize("command", [[sys.executable, "-m", "tegula"], ["tegula"]])
def test_command_line(command):
    if command == ["tegula"]:
        script = Path(sys.executable).parent / "tegula"
        if not script.exists():
            pytest.skip("installed without its command")
        command = [str(script)]
    run = subprocess.run([*command, "info"], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert tg.__version__ in run.stdout
    run = subprocess.run([*command, "nonsense"], capture_output=True, text=True, timeout=120)
    assert run.returncode == 2
    assert "nonsense" in run.stderr


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.skipif(SANITIZED, reason="the wheel is built without sanitizers")
def test_wheel(tmp_path):
    """The wheel builds, is small, holds all of tegula/ and works away from the source tree."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    build = ["wheel", "--no-build-isolation", "--no-deps", "-w", tmp_path, ROOT]
    subprocess.run([*pip, *build], check=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size <= MAX_BYTES
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {p.relative_to(ROOT).as_posix() for p in (ROOT / "tegula").rglob("*.py")}
    assert sources <= names
    assert {"tegula/_core.pyi", "tegula/py.typed"} <= names
    assert "tegula/include/tegula/custom_op.h" in names
    assert len([n for n in names if re.fullmatch(r"tegula/_core.*\.so", n)]) == 1

    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import tegula as tg;"
        "print(tg.__file__, float((tg.ones((2, 3)) + 1).sum().item()))"
    )
    where, total = python(code).split()
    assert Path(where).is_relative_to(site)
    assert float(total) == 12.0
