"""The benchmarks, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from benchmarks.case import Case
from benchmarks.cases import (
    arrays,
    at_once,
    attention,
    bits,
    compat,
    conv,
    demo,
    fft,
    first_call,
    fused,
    gemm,
    gpt,
    linalg,
    lowp,
    lstm,
    memory,
    other,
    package,
    plain,
    planning,
    recording,
    recurrent,
    resnet,
    scatter,
    shapes,
    spatial,
    threads,
    tiny_step,
    transforms,
)
from benchmarks.kernel import Kernel


@dataclass(frozen=True)
class Family:
    """Kernel cases that are measured and shown together."""

    name: str
    method: str
    kernels: Sequence[Kernel]

    @classmethod
    def of(cls, module: ModuleType) -> Family:
        return cls(module.__name__.rsplit(".", 1)[1], module.METHOD, module.KERNELS)


# Run from Python, whole programs among them.
CASES: dict[str, Case] = {
    module.CASE.name: module.CASE
    for module in (
        threads,
        at_once,
        recording,
        compat,
        tiny_step,
        demo,
        resnet,
        gpt,
        lstm,
        first_call,
        shapes,
        planning,
        memory,
        bits,
        transforms,
        arrays,
        scatter,
        linalg,
        fft,
        spatial,
        package,
    )
}
KERNEL_MODULES = (gemm, lowp, conv, fused, plain, attention, recurrent, other)
# Run in the kernel harness.
FAMILIES: dict[str, Family] = {
    family.name: family for family in (Family.of(module) for module in KERNEL_MODULES)
}
