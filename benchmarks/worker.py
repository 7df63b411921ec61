"""A process that measures one variant: reads requests from stdin, answers in JSON lines.

Started by ``measure.py`` as ``python -m benchmarks.worker CASE VARIANT``. What the frameworks
print goes to stderr, so that the answers stay clean.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from benchmarks.case import Variant


def _find(case: str, variant: str) -> Variant:
    module = importlib.import_module(f"benchmarks.cases.{case}")
    variants: Sequence[Variant] = module.CASE.variants
    return next(v for v in variants if v.name == variant)


def answers() -> TextIO:
    """The real stdout; everything else that is printed goes to stderr."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return channel


def main(case: str, variant: str) -> None:
    channel = answers()
    found = _find(case, variant)
    if found.framework == "torch":
        import torch

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    runner = found.make()
    print(json.dumps({"outputs": [float(x) for x in runner.outputs]}), file=channel)
    for _ in sys.stdin:
        print(json.dumps(runner.round()), file=channel)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
