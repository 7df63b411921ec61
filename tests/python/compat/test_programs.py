"""Programs in plain PyTorch style, run under ``tegula.compat.torch`` and, where it is there, torch.

Each file of programs/ has ``run(torch, fill) -> list of numbers``; ``fill`` gives the parameters of
a module the same values under both.
"""

from __future__ import annotations

import importlib.util
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tegula.compat.torch as compat

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"program_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.run


def filler(torch: Any) -> Any:
    def fill(module: Any) -> None:
        with torch.no_grad():
            for i, parameter in enumerate(module.parameters()):
                count = math.prod(parameter.shape)
                fan = max(1, count // max(1, parameter.shape[0]))
                values = np.sin(np.arange(count) * 1.7 + i) / math.sqrt(fan)
                parameter.copy_(torch.tensor(values.reshape(parameter.shape), dtype=torch.float32))

    return fill


# What torch 2.13.0 computes, so that a run without torch compares too.
EXPECTED = Path(__file__).parent / "expected.txt"


def expected(name: str) -> list[float]:
    found = re.search(rf"^{name}: (.*)$", EXPECTED.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"no line for {name} in {EXPECTED}"
    return [float(word) for word in found[1].split()]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_compat_computes_what_torch_computed(path: Path) -> None:
    compat.manual_seed(0)
    numbers = load(path)(compat, filler(compat))
    assert all(math.isfinite(n) for n in numbers)
    np.testing.assert_allclose(numbers, expected(path.stem), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_torch_computes_the_same(path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch to compare with")
    numbers = load(path)(torch, filler(torch))
    np.testing.assert_allclose(numbers, expected(path.stem), rtol=1e-4, atol=1e-5)
