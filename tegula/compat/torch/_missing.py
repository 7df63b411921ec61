"""What is said about names that PyTorch has and ``tegula.compat.torch`` has not."""

from __future__ import annotations

import difflib
import functools
import sys
from pathlib import Path

from tegula.compat.torch import _table

_NEAREST = {
    "compile": "use tegula.jit on the training step",
    "jit": "use tegula.jit",
    "cuda": "Tegula computes on the CPU",
    "distributed": "there is one process",
    "quantize_per_tensor": "use float16 or bfloat16",
    "sparse_coo_tensor": "use a dense tensor",
}


class UnsupportedError(NotImplementedError, AttributeError):
    """PyTorch has it and this module has not; ``hasattr`` is False."""


@functools.cache
def names() -> dict[str, list[str]]:
    """PyTorch's public names by module, from _names.txt."""
    found: dict[str, list[str]] = {}
    module = ""
    text = Path(__file__).with_name("_names.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("["):
            module = line[1:-1]
            found[module] = []
        elif not line.startswith("#"):
            found[module] += line.split()
    return found


def absent(module: str, name: str) -> Exception:
    """The error for a name that is not here: NotImplementedError if PyTorch has it."""
    ours = sys.modules.get(module.replace("torch", "tegula.compat.torch", 1))
    known = name in names().get(module, ()) or name in _NEAREST
    if not known or name.startswith("_"):
        return AttributeError(f"module '{module}' has no attribute {name!r}")
    hint = _NEAREST.get(name)
    if hint is None and name in _table.missing:
        hint = f"Tegula has no operation {_table.missing[name]!r} yet"
    if hint is None and ours is not None:
        close = difflib.get_close_matches(name, [n for n in vars(ours) if n[0] != "_"], 1, 0.6)
        hint = f"the nearest name that works is {module}.{close[0]}" if close else None
    tail = f": {hint}" if hint else ""
    return UnsupportedError(f"{module}.{name} is not supported by tegula.compat.torch{tail}")
