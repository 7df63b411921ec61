"""Writes the reference pages of all operations: ``make_reference.py FOLDER``.

One page per family and an index, from the operations' own declarations. Each operation's first
sample is run, and the page says what came out.
"""

import inspect
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/python"))

sys.path.insert(0, str(ROOT / "scripts"))

import samples  # noqa: E402
from torch_coverage import coverage_page  # noqa: E402

import tegula as tg  # noqa: E402
from tegula import _core  # noqa: E402

MAKERS = """Arguments of the examples: `f(3, 4)` is normal numbers of that shape, `c` complex ones,
`pos` positive ones, `unit` ones in (-0.9, 0.9), `ints(low, high, ...)` integers, `mask` bools,
`square(2, 3)` two regular 3 by 3 matrices, `spd` and `hpd` positive definite ones, `special()`
numbers with NaN and infinities among them. `Tensor` arguments may be numbers, arrays and nested
lists; `ints` is an int or several; `?` allows None.
"""


def public_name(op: Any) -> str:
    """Where users find the operation."""
    if "." in op.name or hasattr(tg, op.name):
        return f"tg.{op.name}"
    return f"tg.random.{op.name.removeprefix('random_')}"


def summary(result: Any) -> str:
    """The dtypes and shapes of a result."""
    texts = [f"{x.dtype.name} {x.shape}" for x in samples.leaves(result)]
    return texts[0] if isinstance(result, tg.Tensor) else f"({', '.join(texts)})"


def example(op: Any) -> str:
    text = samples.sample_texts(op)[0]
    args, kwargs = samples.read_sample(text)
    result = samples.operation(op.name)(*args, **kwargs)
    return f"`{public_name(op)}({text})` gives {summary(result)}."


def entry(op: Any) -> str:
    notes = ["Also a method of `Tensor`."] if op.method else []
    notes += ["Differentiable."] if op.differentiable else []
    name = public_name(op)
    call = f"{name}({op.declaration})"
    if name.startswith("tg.random."):  # a Python function with defaults of its own
        signature = inspect.signature(getattr(tg.random, name.split(".")[-1]))
        call = name + str(signature).replace("'", "")
    if op.returns_tuple:
        call += " -> list" if op.returns_list else " -> tuple"
    parts = [f"## {op.name}", f"```text\n{call}\n```", op.doc, " ".join([example(op), *notes])]
    return "\n\n".join(parts)


def page_name(family: str) -> str:
    return family.lower().replace(" ", "-") + ".md"


def write_reference(folder: Path) -> list[Path]:
    """Writes the pages, removes those of families that are gone, returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    families = {title: list(rows) for title, rows in groupby(_core.ops(), key=lambda op: op.family)}
    index = (
        "# All operations\n\nWhat of PyTorch `tegula.compat.torch` has is on "
        "[its own page](compat-torch.md).\n\n"
    )
    index += "| family | operations |\n|---|---|\n"
    pages = {}
    for title, rows in sorted(families.items()):
        page = page_name(title)
        names = ", ".join(f"[{op.name}]({page}#{op.name.replace('.', '')})" for op in rows)
        index += f"| [{title}]({page}) | {names} |\n"
        pages[page] = f"# {title}\n\n{MAKERS}\n" + "\n\n".join(map(entry, rows)) + "\n"
    pages["index.md"] = index
    pages["compat-torch.md"] = coverage_page()
    for old in folder.glob("*.md"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        (folder / name).write_text(text)
    return [folder / name for name in pages]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write_reference(Path(sys.argv[1]))
