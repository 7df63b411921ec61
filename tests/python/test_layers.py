"""The layers of docs/design.md hold: nothing depends upward, and no file outgrows a reader."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ["base", "runtime", "graph", "ops", "transform", "plan", "backend", "python"]
MAX_LINES = 600
OPTIONAL = {"matplotlib", "ml_dtypes", "safetensors"}  # extras: imported inside functions only


def tracked(*patterns: str) -> list[Path]:
    """The files of the repository, new ones included, ignored ones not."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    try:
        names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        paths = [ROOT / name for name in names.splitlines()]
    except (OSError, subprocess.CalledProcessError):  # an unpacked archive
        paths = [p for pattern in patterns for p in ROOT.glob(pattern.replace("*", "**/*", 1))]
    return sorted(p for p in paths if p.is_file())


def includes(text: str) -> list[tuple[int, str, str]]:
    """(line, '"' or '<', path) of each #include."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if match:
            found.append((number, match[1], match[2]))
    return found


def include_faults(path: str, text: str) -> list[str]:
    """What is wrong with the includes of ``path`` (relative to src/)."""
    faults = []
    layer = path.split("/")[0]
    for number, quote, target in includes(text):
        where = f"src/{path}:{number}: includes {target}"
        if quote == '"':
            other = target.split("/")[0]
            if other not in LAYERS:
                faults.append(f"{where}: write it relative to src/, or with <> if it is not ours")
            elif LAYERS.index(other) > LAYERS.index(layer):
                faults.append(f"{where}: {layer} may not depend on {other}")
            elif layer == other == "backend" and target.split("/")[1] not in (
                path.split("/")[1],
                target.split("/")[-1],
            ):
                faults.append(f"{where}: one backend may not depend on another")
        elif target == "Python.h" or target.startswith("nanobind/"):
            if layer != "python":
                faults.append(f"{where}: Python is known to src/python alone")
        elif target.startswith("hwy/") and not path.startswith("backend/cpu/"):
            faults.append(f"{where}: Highway is known to src/backend/cpu alone")
    return faults


def imports(tree: ast.AST) -> list[tuple[int, str, str, bool]]:
    """(line, module, name or '', whether at import time) of each import."""
    found: list[tuple[int, str, str, bool]] = []

    def visit(node: ast.AST, at_import: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend((node.lineno, alias.name, "", at_import) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found.extend((node.lineno, module, alias.name, at_import) for alias in node.names)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        ):
            at_import = False
        for child in ast.iter_child_nodes(node):
            visit(child, at_import)

    visit(tree, True)
    return found


def private(dotted: str) -> bool:
    return any(p.startswith("_") and not p.endswith("__") for p in dotted.split(".") if p)


def front_end_faults(path: str, text: str) -> list[str]:
    """What is wrong with the imports of a file of tegula/."""
    faults = []
    for line, module, _, at_import in imports(ast.parse(text)):
        top = module.split(".")[0]
        if module.startswith(".") or top in {"tegula", "numpy"} or top in sys.stdlib_module_names:
            continue
        if top not in OPTIONAL:
            faults.append(f"{path}:{line}: {top} is not a dependency of Tegula")
        elif at_import:
            faults.append(
                f"{path}:{line}: {top} is optional; import it in the function that uses it"
            )
    return faults


def user_code_faults(path: str, text: str) -> list[str]:
    """What is wrong in a file that stands for a user's own: private names of Tegula."""
    faults = []
    tree = ast.parse(text)
    names = {"tegula"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {a.asname for a in node.names if a.asname and a.name.split(".")[0] == "tegula"}
    for line, module, name, _ in imports(tree):
        if module.split(".")[0] == "tegula" and private(f"{module}.{name}"):
            faults.append(f"{path}:{line}: imports the private name {module}.{name}".rstrip("."))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and private(node.attr):
            root: ast.expr = node
            while isinstance(root, ast.Attribute):
                root = root.value
            if isinstance(root, ast.Name) and root.id in names:
                faults.append(f"{path}:{node.lineno}: uses the private name {node.attr}")
    return faults


def check(faults: list[str]) -> None:
    if faults:
        pytest.fail("\n".join(faults), pytrace=False)


def test_no_upward_include():
    src = ROOT / "src"
    check(
        [
            fault
            for path in tracked("src/*.h", "src/*.cc")
            for fault in include_faults(path.relative_to(src).as_posix(), path.read_text())
        ]
    )


def test_includes_exist():
    missing = [
        f"{path.relative_to(ROOT)}:{number}: no such file: src/{target}"
        for path in tracked("src/*.h", "src/*.cc", "tests/cpp/*.cc")
        for number, quote, target in includes(path.read_text())
        if quote == '"'
        and not (ROOT / "src" / target).is_file()
        and not (path.parent / target).is_file()
    ]
    check(missing)


def test_every_source_belongs_to_a_layer():
    src = ROOT / "src"
    strays = [
        f"{path.relative_to(ROOT)}: not in one of {LAYERS}"
        for path in tracked("src/*.h", "src/*.cc")
        if path.relative_to(src).parts[0] not in LAYERS
    ]
    check(strays)


def test_front_end_imports_only_numpy_at_import():
    check(
        [
            fault
            for path in tracked("tegula/*.py")
            for fault in front_end_faults(path.relative_to(ROOT).as_posix(), path.read_text())
        ]
    )


def test_examples_and_benchmarks_use_no_private_name():
    check(
        [
            fault
            for path in tracked("examples/*.py", "benchmarks/*.py")
            for fault in user_code_faults(path.relative_to(ROOT).as_posix(), path.read_text())
        ]
    )


def test_files_are_a_page_or_two():
    patterns = [
        f"{d}/*.{e}"
        for d in ("src", "tegula", "tests", "examples", "benchmarks", "scripts")
        for e in ("h", "cc", "py", "sh")
    ]
    long = {p: len(p.read_text().splitlines()) for p in tracked(*patterns)}
    check(
        [
            f"{p.relative_to(ROOT)}: {n} lines; split it by family (at most {MAX_LINES})"
            for p, n in long.items()
            if n > MAX_LINES
        ]
    )


@pytest.mark.parametrize(
    ("path", "text", "fault"),
    [
        ("base/shape.cc", '#include "graph/node.h"', "base may not depend on graph"),
        ("ops/basic.cc", '#include "plan/plan.h"', "ops may not depend on plan"),
        ("plan/plan.cc", '#include "plan.h"', "relative to src/"),
        ("plan/plan.cc", "#include <nanobind/nanobind.h>", "src/python alone"),
        ("plan/plan.cc", "#  include <hwy/highway.h>", "src/backend/cpu alone"),
        ("backend/null/null.cc", '#include "backend/cpu/kernels.h"', "one backend"),
        ("backend/cpu/gemm.cc", '#include "backend/cpu/kernels.h"', None),
        ("backend/cpu/gemm.cc", '#include "base/dtype.h"\n#include <vector>', None),
    ],
)
def test_the_check_finds_a_bad_include(path, text, fault):
    faults = include_faults(path, text)
    assert (fault in "\n".join(faults)) if fault else faults == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("import torch", "not a dependency"),
        ("import safetensors.numpy", "is optional"),
        ("def f():\n  import safetensors", None),
        ("from . import nn\nimport json\nfrom tegula import _core", None),
    ],
)
def test_the_check_finds_a_bad_import(text, fault):
    faults = front_end_faults("tegula/x.py", text)
    assert (fault in "\n".join(faults)) if fault else faults == []


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("import tegula as tg\ntg._core.ops()", False),
        ("from tegula import _core", False),
        ("from tegula._core import ops", False),
        ("import tegula as tg\ntg.nn.Linear(1, 2).__class__\nself._x = 1", True),
    ],
)
def test_the_check_finds_a_private_name(text, good):
    assert (user_code_faults("examples/x.py", text) == []) == good
