"""The benchmarks, by name."""

from __future__ import annotations

from benchmarks.case import Case
from benchmarks.cases import (
    bits,
    demo,
    kernels,
    memory,
    package,
    planning,
    recording,
    tiny_step,
)

CASES: dict[str, Case] = {
    module.CASE.name: module.CASE
    for module in (recording, tiny_step, demo, planning, memory, bits, package, kernels)
}
