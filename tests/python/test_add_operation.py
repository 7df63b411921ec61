"""docs/add-an-operation.md: the operations it adds build, and the table-driven tests take them.

The composite is compiled by itself and linked with the engine that is built already. The
primitive's changes are applied to a copy of the tree, where what they touch is compiled again.
Neither changes the tree.
"""

import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/add-an-operation.md").read_text()
BUILD = ROOT / os.environ.get("BUILD", "build/release")
COMMANDS = BUILD / "compile_commands.json"


def needs_build(test):
    built = COMMANDS.exists() and (BUILD / "CMakeFiles/_core.dir").is_dir()
    for missing, reason in [
        (not built, "the extension is not built here"),
        (not shutil.which("c++"), "no C++ compiler here"),
        ("TEGULA_SANITIZED" in os.environ, "the engine is built for sanitizers"),
    ]:
        test = pytest.mark.skipif(missing, reason=reason)(test)
    return test


needs_git = pytest.mark.skipif(not shutil.which("git"), reason="no git here")


def section(heading: str) -> str:
    """The text of one section of the page."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"the page has no section {heading!r}"
    return found[1]


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run(*command: str | Path, **options) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, **options)
    assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


class Extension:
    """A tegula package in `site` whose extension has some objects more, or other ones."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.site = folder, folder / "site"
        entries = json.loads(COMMANDS.read_text())
        self.commands = {Path(e["file"]): shlex.split(e["command"]) for e in entries}
        command = next(iter(self.commands.values()))
        self.compiler = command[: [part.startswith("-") for part in command].index(True)]
        self.objects = {  # of the engine and the bindings, by their source
            file: BUILD / command[command.index("-o") + 1]
            for file, command in self.commands.items()
            if file.is_relative_to(ROOT / "src")
        }

    def compile(self, source: Path, like: Path, src: Path = ROOT / "src") -> Path:
        """Compiles `source` as `like` was, with the headers in `src`; not optimised."""
        target = self.folder / (str(source.relative_to(self.folder)).replace("/", "_") + ".o")
        command = [part.replace(str(ROOT / "src"), str(src)) for part in self.commands[like]]
        run(*command[: command.index("-o")], "-O0", "-o", target, "-c", source)
        return target

    def link(self, objects: list[Path]) -> None:
        package = self.site / "tegula"
        package.mkdir(parents=True)
        for path in (ROOT / "tegula").iterdir():
            if path.suffix not in {".so", ".pyi"} and path.name != "__pycache__":
                (package / path.name).symlink_to(path)
        library = package / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}"
        nanobind = BUILD / "libnanobind-static.a"
        run(*self.compiler, "-shared", "-o", library, *objects, nanobind, "-lpthread")

    def python(self, *arguments: str | Path) -> str:
        env = {**os.environ, "PYTHONPATH": str(self.site)}
        env.pop("PYTEST_ADDOPTS", None)
        return run(sys.executable, *arguments, cwd=self.site, env=env)

    def check(self, name: str, text: str) -> None:
        """The tests of every operation for `name`, then the page's own sessions with it."""
        where = self.python("-c", f"import tegula; tegula.{name}; print(tegula._core.__file__)")
        assert where.startswith(str(self.site))
        options = ["-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml", "--rootdir", ROOT]
        tests = ROOT / "tests/python/test_ops.py"
        report = self.python("-m", "pytest", *options, tests, "-k", name)
        assert int(re.search(r"(\d+) passed", report)[1]) >= 10, report
        session = self.folder / "session.txt"
        session.write_text("\n".join(blocks("pycon", text)))
        self.python("-m", "doctest", "-o", "NORMALIZE_WHITESPACE", session)


@needs_build
def test_the_composite_builds_and_joins_the_table(tmp_path):
    text = section("A composite")
    (code,) = blocks("cpp", text)
    row = re.search(r"^    \{\.name.*?\},\n", code, re.MULTILINE | re.DOTALL)[0]
    assert row.count("\n") <= 10, "a declaration of ten lines at most"
    extension = Extension(tmp_path)
    source = tmp_path / "more_activations.cc"
    source.write_text(code)
    made = extension.compile(source, like=ROOT / "src/ops/neural.cc")
    extension.link([*extension.objects.values(), made])
    extension.check("squareplus", text)


def apply_changes(folder: Path, *options: str) -> None:
    patch = "".join(blocks("diff", section("A primitive")))
    env = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    run("git", "apply", *options, "-", input=patch, cwd=folder, env=env)


@needs_git
def test_the_primitives_changes_fit_the_tree():
    apply_changes(ROOT, "--check")


@needs_git
@needs_build
@pytest.mark.slow
def test_the_primitive_builds_and_joins_the_table(tmp_path):
    tree = tmp_path / "tree"
    for folder in ("src", "tests/cpp"):
        shutil.copytree(ROOT / folder, tree / folder)
    apply_changes(tree)
    extension = Extension(tmp_path)
    changed = [p for p in extension.objects if reads_tile_header(p)]
    changed.append(ROOT / "src/ops/elementwise.cc")
    if Path("/usr/include/doctest/doctest.h").exists():
        changed += [ROOT / "tests/cpp/main.cc", ROOT / "tests/cpp/test_tile_ops.cc"]

    def compile(path: Path) -> Path:
        like = path if path in extension.objects else ROOT / "src/ops/neural.cc"
        return extension.compile(tree / path.relative_to(ROOT), like, tree / "src")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = dict(zip(changed, pool.map(compile, changed), strict=True))
    objects = {**extension.objects, **made}
    extension.link([o for p, o in objects.items() if p.is_relative_to(ROOT / "src")])
    extension.check("cbrt", section("A primitive"))
    if ROOT / "tests/cpp/main.cc" in made:
        program = tmp_path / "tests"
        bindings = ROOT / "src/python"
        parts = [o for p, o in objects.items() if not p.is_relative_to(bindings)]
        run(*extension.compiler, "-o", program, *parts, "-lpthread")
        report = run(program, "--test-case=*transcendental*")
        assert "SUCCESS" in report


@functools.cache
def reads_tile_header(path: Path) -> bool:
    """Whether a source includes plan/tile.h, through other headers or not."""
    if path == ROOT / "src/plan/tile.h":
        return True
    inner = re.findall(r'^#include "(.*)"', path.read_text(), re.MULTILINE)
    return any(reads_tile_header(ROOT / "src" / i) for i in inner if (ROOT / "src" / i).exists())
