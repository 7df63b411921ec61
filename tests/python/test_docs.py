"""Every Python block of the documentation runs. The blocks of a page share one namespace.

A block that starts with ``>>>`` is a doctest: what it prints is compared as well. A block of
another language with a file name after it is in that file when the Python runs.
"""

import doctest
import re
from pathlib import Path

import pytest

import tegula as tg

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^```\w+ ([\w.]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(text: str) -> list[tuple[int, str]]:
    """(line of its first statement, code) of each Python block."""
    return [(text.count("\n", 0, m.start(1)) + 1, m[1]) for m in BLOCK.finditer(text)]


def run_page(name: str, text: str) -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    for line, code in blocks(text):
        if code.lstrip().startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(code, namespace, name, name, line - 1)
            said: list[str] = []
            runner = doctest.DocTestRunner(optionflags=OPTIONS)
            runner.run(test, out=said.append, clear_globs=False)
            if said:
                pytest.fail("".join(said), pytrace=False)
            namespace.update(test.globs)
        else:
            # Blank lines in front make a traceback name the line of the page.
            exec(compile("\n" * (line - 1) + code, name, "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_code_of(page, tmp_path, monkeypatch):
    text = page.read_text()
    if not blocks(text):
        pytest.skip("no Python blocks")
    monkeypatch.chdir(tmp_path)
    for name, content in FILE.findall(text):
        (tmp_path / name).write_text(content)
    tg.submit()  # what another page has left pending is not this one's
    tg.synchronize()
    run_page(str(page), text)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_of(page):
    prose = BLOCK.sub("", page.read_text())
    targets = [t for t in LINK.findall(prose) if "://" not in t]
    broken = [t for t in targets if not (page.parent / t).exists()]
    assert not broken, f"{page.relative_to(ROOT)}: these links lead nowhere: {broken}"


def test_a_wrong_page_fails():
    page = "# A page\n\n```python\nx = 1\n```\n\n```python\n>>> x\n{}\n```\n"
    run_page("page", page.format("1"))
    with pytest.raises(pytest.fail.Exception, match="Expected"):
        run_page("page", page.format("2"))
    with pytest.raises(ZeroDivisionError):
        run_page("page", "```python\n1 / 0\n```\n")
