"""The page on what of PyTorch ``tegula.compat.torch`` has; make_reference.py writes it.

From PyTorch's public names (tegula/compat/torch/_names.txt) and the last run of PyTorch's sample
inputs (tests/opinfo/results.json, written by tests/opinfo/run.py --write).
"""

import importlib
import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "tests/opinfo/results.json"


def _has(module: str, name: str) -> bool:
    if module == "torch.Tensor":
        place: object = importlib.import_module("tegula.compat.torch").Tensor
    else:
        place = importlib.import_module(module.replace("torch", "tegula.compat.torch", 1))
    try:
        getattr(place, name)
    except (AttributeError, NotImplementedError):
        return False
    return True


def _names() -> str:
    from tegula.compat.torch._missing import names

    rows, missing = [], []
    for module, listed in names().items():
        try:
            absent = [n for n in listed if not _has(module, n)]
        except ModuleNotFoundError:
            absent = listed
        rows.append(f"| `{module}` | {len(listed) - len(absent)} | {len(listed)} |")
        if absent:
            missing.append(f"### Not in `{module}`\n\n{', '.join(f'`{n}`' for n in absent)}")
    head = "| module | names here | names in PyTorch |\n|---|---|---|\n"
    return head + "\n".join(rows) + "\n\n" + "\n\n".join(missing)


def _samples() -> str:
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    counts = {kind: len(found[kind]) for kind in ("matched", "mismatched", "missing")}
    total = sum(counts.values())
    lines = [
        f"Of the {total} entries of PyTorch {found['torch']}'s `op_db` that run in float32 on the "
        f"CPU, {counts['matched']} match in value and, where PyTorch has one, in gradient; "
        f"{counts['mismatched']} differ and {counts['missing']} are missing.",
        "### Differing\n\n| entry | how |\n|---|---|",
    ]
    lines[-1] += "".join(
        f"\n| `{name}` | {why.replace('|', ' ')} |" for name, why in found["mismatched"].items()
    )
    lines.append("### Missing\n\n" + ", ".join(f"`{name}`" for name in found["missing"]))
    lines.append("### Matching\n\n" + ", ".join(f"`{name}`" for name in found["matched"]))
    return "\n\n".join(lines)


def coverage_page() -> str:
    """The page as Markdown."""
    return (
        "# What of PyTorch is there\n\n"
        "`tegula.compat.torch` ([how it works](../compat-torch.md)) beside PyTorch's public names "
        "and PyTorch's own sample inputs.\n\n## Sample inputs\n\n"
        f"{_samples()}\n\n## All names\n\n{_names()}\n"
    )
