"""What a kernel case states, in one place: the work, who else does it, its limit and its target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

import numpy as np

Fill = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.standard_normal(shape, dtype=np.float32)


def zeros(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.zeros(shape, np.float32)


def below(count: int) -> Fill:
    """Whole numbers from 0 to below ``count``."""
    return lambda random, shape: random.integers(0, count, shape)


def constant(value: float) -> Fill:
    return lambda random, shape: np.full(shape, value)


@dataclass(frozen=True)
class Array:
    """An operand.

    Attributes:
        shape: its sizes.
        dtype: Tegula's name of its element type.
        fill: its first values; they are rounded to ``dtype``.
        order: its axes from the slowest to the quickest in memory; () for row-major.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    fill: Fill = zeros
    order: tuple[int, ...] = ()

    @property
    def strides(self) -> tuple[int, ...]:
        """In elements."""
        steps, step = [0] * len(self.shape), 1
        for axis in reversed(self.order or range(len(self.shape))):
            steps[axis] = step
            step *= self.shape[axis]
        return tuple(steps)

    def values(self, random: np.random.Generator) -> np.ndarray:
        """First values, row-major; bfloat16 as the uint16 of its bits."""
        drawn = self.fill(random, self.shape)
        if self.dtype != "bfloat16":
            return np.ascontiguousarray(drawn.astype(self.dtype))
        bits = np.ascontiguousarray(drawn, np.float32).view(np.uint32)
        rounded = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
        return (rounded >> np.uint32(16)).astype(np.uint16)

    @property
    def bytes(self) -> int:
        sizes = {"bool": 1, "bfloat16": 2}
        return prod(self.shape) * (sizes.get(self.dtype) or np.dtype(self.dtype).itemsize)


@dataclass(frozen=True)
class Step:
    """A step of the CPU back end: its kind, its operands' names and its words.

    A tile program has the kind "tile" and its text in ``program``.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: tuple[int, ...] = ()
    dynamic: tuple[int, ...] = ()
    program: str = ""


@dataclass(frozen=True)
class Recorded:
    """Public operations, one a line (kernels/recorded.h), of which the planner makes the steps."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Peer:
    """Another implementation: ``setup(framework, *inputs)`` gives a function of no arguments that
    does the work once and returns the outputs. peer_calls.py has the usual ones.
    """

    framework: Literal["torch", "jax", "onnxruntime"]
    setup: Callable[..., Callable[[], Any]]
    channels_last: bool = False


@dataclass(frozen=True)
class Limit:
    """What bounds a case: its name, and the harness's ``limit`` commands whose best it is."""

    name: str
    measured: tuple[str, ...]
    unit: Literal["GFLOP/s", "GB/s"]


FMA = Limit("FMA f32", ("fma f32",), "GFLOP/s")
FMA64 = Limit("FMA f64", ("fma f64",), "GFLOP/s")
DOT_BF16 = Limit("dot bf16", ("dot bf16",), "GFLOP/s")
DOT_INT8 = Limit("dot int8", ("dot int8",), "GFLOP/s")


def traffic(reads: int, writes: int, bytes_each: int, inplace: bool = False) -> Limit:
    """Passes that read and write so many arrays of so many bytes, with the better of plain and
    non-temporal stores.
    """
    megabytes = f"{bytes_each / 1e6:.3g} MB"
    command = f"memory {reads},{writes},{bytes_each}"
    if inplace:
        return Limit(f"{reads} read {writes} written in place, {megabytes}",
                     (f"{command},inplace",), "GB/s")  # fmt: skip
    if writes == 0:
        return Limit(f"read {megabytes}", (command,), "GB/s")
    name = "copy" if (reads, writes) == (1, 1) else f"{reads} read {writes} written,"
    return Limit(f"{name} {megabytes}", (command, f"{command},nt"), "GB/s")


@dataclass(frozen=True)
class Target:
    """What must be reached; None and {} for what is not asked.

    Attributes:
        fraction: of the limit, with 1 and with 2 threads.
        loop: of the speed of the hand-fused loop.
        ratio: how many times as fast as peers, by name.
        speedup: of 2 threads over 1.
    """

    fraction: tuple[float, float] | None = None
    loop: float | None = None
    ratio: Mapping[str, float] = field(default_factory=dict)
    speedup: float | None = None


@dataclass(frozen=True)
class Kernel:
    """A case that runs in the C++ harness.

    Attributes:
        title: what it is, unique in its family.
        arrays: every operand by name.
        inputs: those the peers get, in this order.
        outputs: those compared with what the peers return; () where values are random.
        steps: what Tegula runs.
        limit: what bounds it.
        work: what one run does, in the limit's unit: operations or bytes read and written.
        peers: by the name in the table.
        loop: the hand-fused loop, if there is one.
        target: what must be reached.
        operations, bytes: for the roofline; ``work`` is one of them.
        tolerance: largest difference of outputs, relative to the largest value.
        algorithm: how 3×3 convolutions are computed, as tg.set_conv_algorithm has it.
    """

    title: str
    arrays: Mapping[str, Array]
    inputs: Sequence[str]
    outputs: Sequence[str]
    steps: Sequence[Step | Recorded]
    limit: Limit
    operations: float
    bytes: float
    peers: Mapping[str, Peer] = field(default_factory=dict)
    loop: Step | None = None
    target: Target = Target()
    tolerance: float = 1e-4
    algorithm: str = "winograd2"

    @property
    def work(self) -> float:
        return self.operations if self.limit.unit == "GFLOP/s" else self.bytes
