"""The reference pages that `make docs` writes from the operations' declarations."""

import importlib.util
import re
from pathlib import Path

import pytest

from tegula import _core

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    spec = importlib.util.spec_from_file_location("refs", ROOT / "scripts/make_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("reference")
    (folder / "gone.md").write_text("a family that is no more")
    module.write_reference(folder)
    return folder


def test_every_operation_has_an_entry(folder):
    text = "".join(page.read_text() for page in folder.glob("*.md") if page.name != "index.md")
    entries = re.findall(r"^## ([\w.]+)$", text, re.MULTILINE)
    assert sorted(entries) == sorted(op.name for op in _core.ops())
    for op in _core.ops():
        assert op.doc in text


def test_links_lead_somewhere(folder):
    pages = {page.name: page.read_text() for page in folder.glob("*.md")}
    assert "gone.md" not in pages
    for target, _, anchor in re.findall(r"\]\((\w[\w-]*\.md)(#(\w+))?\)", pages["index.md"]):
        assert not anchor or f"## {anchor}\n" in pages[target].replace(".", "")
