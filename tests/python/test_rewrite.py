"""The error for a value that is not known while tracing prints how to do without it. What it prints
is put in place of the lines it names, and must do what the function did."""

from __future__ import annotations

import ast
import importlib.util
import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tegula as tg

# Functions of a tensor of two numbers that jit refuses.
CASES = {
    "assigned in both": """
        y = x * 2
        if y.sum() > 0:
            y = y + 1  # a comment
            z = y * 3
        else:
            z = y - 1
        return y, z
    """,
    "one expression": """
        if x.sum() > 0:
            y = x + 1
        else:
            y = x - 1
        return y
    """,
    "without else": """
        y = x
        if x.sum() > 0:
            y += 1
        return y
    """,
    "several statements, without else": """
        y, n = x, x.sum()
        if n > 0:
            t = y * y
            y = t + n
        return y
    """,
    "elements": """
        y = x * 1
        if x.max() > 1.5:
            y[0] = y[1] * 2
        return y
    """,
    "returned": """
        if x.sum() > 0:
            return x * 2
        return -x
    """,
    "returned after more": """
        if x.sum() > 0:
            x = x + 1
            return x * 2
        y = x * x
        return y - 1
    """,
    "and": """
        if x.sum() > 0 and x.max() < 5:
            y = x + 1
        else:
            y = x
        return y
    """,
    "not, or, a chain": """
        if not 0 < x.sum() < 3 or x[0] > 9:
            y = x + 1
        else:
            y = x
        return y
    """,
    "a sum as condition": """
        if x.sum():
            y = x + 1
        else:
            y = x
        return y
    """,
    "an expression": """
        return (x if x.max() > 1 else -x) + 1
    """,
    "an expression of and": """
        big = x.max() > 1 and x.min() > 0
        return tg.where(big, x, 0)
    """,
    "while": """
        while (x * x).sum() < 100:
            x = x * 2
        return x
    """,
    "while of several": """
        n = tg.asarray(0)
        while x.max() < 100:
            t = x + 1
            x = t * 2
            n = n + 1
        return x, n
    """,
    "range": """
        for i in range(int(abs(x).sum())):
            y = x + i
            x = y * 0.5
        return x
    """,
    "a float": """
        y = x * float(x.sum())
        return y
    """,
    "an item": """
        return x * x.sum().item() + 1
    """,
    "assert": """
        assert x.max() < 1000, "too large"
        return x * 2
    """,
    "raise": """
        if x.max() > 1000:
            raise ValueError("too large")
        return x * 2
    """,
}

# What has no short rewriting gets the general advice alone.
WITHOUT = {
    "break": """
        for i in range(3):
            if x.sum() > 0:
                break
            x = x + 1
        return x
    """,
    "attributes": """
        class State:
            pass
        state = State()
        if x.sum() > 0:
            state.x = x
        return x
    """,
    "yield": """
        def rows(x):
            if x.sum() > 0:
                yield x
        return list(rows(x))
    """,
}


def load(path: Path, lines: list[str]) -> Any:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.function


def lines_of(body: str, package: str = "tg") -> list[str]:
    head = ["import tegula" if package == "tegula" else f"import tegula as {package}", ""]
    text = textwrap.dedent(body).strip().replace("tg.", package + ".")
    return [*head, "def function(x):", *textwrap.indent(text, "    ").split("\n")]


def error_of(function: Any) -> str:
    with pytest.raises(tg.TraceError) as error:
        tg.jit(function)(tg.asarray([1.0, 2.0]))
    return str(error.value)


@pytest.mark.parametrize("name", CASES)
def test_what_is_printed_does_what_the_function_did(tmp_path: Path, name: str) -> None:
    lines = lines_of(CASES[name])
    function = load(tmp_path / "before.py", lines)
    found = re.search(
        r"In place of lines? (\d+)(?: to (\d+))? write.*?\n\n(.*)\Z", error_of(function), re.S
    )
    assert found
    first, last = int(found[1]), int(found[2] or found[1])
    new = lines[: first - 1] + found[3].split("\n") + lines[last:]
    rewritten = load(tmp_path / "after.py", new)
    for values in ([1.0, 2.0], [-3.0, 1.0], [0.0, 0.0], [10.0, -2.0], [30.0, 40.0]):
        x = tg.asarray(values)
        if name.startswith("while") and x.max() <= 0:
            continue
        expected = function(x * 1)
        for way in (rewritten, tg.jit(rewritten)):
            got = way(x * 1)
            pairs = zip(got, expected, strict=True) if isinstance(got, tuple) else [(got, expected)]
            for a, b in pairs:
                np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_the_line_alone_is_enough(tmp_path: Path, name: str) -> None:
    """Python 3.10 knows no columns."""
    from tegula._rewrite import _advice

    lines = lines_of(CASES[name])
    text = error_of(load(tmp_path / "before.py", lines))
    found = re.search(r"at before\.py:(\d+)", text)
    assert found
    line = (int(found[1]), 0)
    advice = _advice(ast.parse("\n".join(lines)), line, line)
    assert advice
    assert text.endswith(advice)


@pytest.mark.parametrize("name", WITHOUT)
def test_where_there_is_none_the_error_is_short(tmp_path: Path, name: str) -> None:
    text = error_of(load(tmp_path / "before.py", lines_of(WITHOUT[name])))
    assert "choose with tg.where" in text
    assert "In place of" not in text


def test_the_package_has_the_name_it_was_imported_by(tmp_path: Path) -> None:
    for package in ("tegula", "tg", "other"):
        text = error_of(load(tmp_path / f"{package}_.py", lines_of(CASES["returned"], package)))
        assert f"return {package}.cond(x.sum() > 0" in text


def test_a_print_and_a_mask(tmp_path: Path) -> None:
    text = error_of(load(tmp_path / "a.py", lines_of("print('x', x)\nreturn x")))
    assert "tg.debug.print('{} {}', 'x', x)" in text
    text = error_of(load(tmp_path / "b.py", lines_of("return x[x > 0]")))
    assert "return tg.where(x > 0, x, 0)" in text


def test_a_check_that_was_an_assert_fails(tmp_path: Path) -> None:
    lines = lines_of(CASES["raise"])
    text = error_of(load(tmp_path / "before.py", lines))
    (new,) = [line for line in text.split("\n") if line.startswith("    tg.debug.check")]
    checked = load(tmp_path / "after.py", [*lines[:3], new, *lines[5:]])
    assert tg.jit(checked)(tg.asarray([1.0, 2.0])).tolist() == [2.0, 4.0]
    with pytest.raises(AssertionError, match="too large"):
        tg.jit(checked)(tg.asarray([1.0, 2000.0])).numpy()
    with pytest.raises(AssertionError):
        tg.synchronize()


def test_without_a_source_there_is_no_advice() -> None:
    scope: dict[str, Any] = {}
    exec("def f(x):\n    return x if x.sum() > 0 else -x\n", scope)
    text = error_of(scope["f"])
    assert "choose with tg.where" in text
    assert "In place of" not in text
