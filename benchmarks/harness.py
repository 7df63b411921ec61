"""The C++ kernel harness: a process that runs steps of the CPU back end (kernels/main.cc)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.kernel import Kernel, Limit, Recorded, Step
from benchmarks.peers import ROOT, PeerError, Process

PROGRAM = ROOT / os.environ.get("BUILD", "build/release") / "tegula_bench"
TIMEOUT = 120.0


class NoKernel(PeerError):  # noqa: N818 - what is missing, not what went wrong
    """The CPU back end has no such kernel, or the processor no such instruction."""


def _listed(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers)) or "-"


class Harness(Process):
    """The harness with as many threads as processors; holds the operands of one case."""

    def __init__(self, cpus: Sequence[int], wrapper: Sequence[str] = ()) -> None:
        """``wrapper`` is a command that runs the program, such as Valgrind's."""
        if not PROGRAM.exists():
            raise PeerError(
                f"{PROGRAM} is not there: run `bash scripts/build.sh -DTEGULA_BENCH=ON`"
            )
        super().__init__("the kernel harness", [*wrapper, PROGRAM], cpus, TIMEOUT)
        self.threads = len(cpus)

    def command(self, line: str) -> list[str]:
        """The words of the answer.

        Raises:
            NoKernel: "unsupported …".
            PeerError: "error …", or the process ended.
        """
        status, *words = self.ask(line).split(" ")
        if status == "unsupported":
            raise NoKernel(" ".join(words))
        if status != "ok":
            raise PeerError(f"tegula_bench: {line.splitlines()[0]}: {' '.join(words)}")
        return words

    def isa(self) -> str:
        return self.command("isa")[0]

    def load(self, kernel: Kernel, folder: Path) -> None:
        """Makes the operands; those that are inputs get the values that ``folder`` has."""
        self.command("clear")
        self.command(f"conv {kernel.algorithm}")
        for name, array in kernel.arrays.items():
            shape, strides = _listed(array.shape), _listed(array.strides)
            self.command(f"tensor {name} {array.dtype} {shape} strides {strides}")
        self.refresh(kernel, folder)

    def refresh(self, kernel: Kernel, folder: Path) -> None:
        """First values again, for steps that work in place."""
        for name in kernel.arrays:
            if (folder / f"{name}.npy").exists():
                self.command(f"load {name} {folder / name}.npy")

    def steps(self, steps: Sequence[Step | Recorded]) -> None:
        """Replaces the steps."""
        self.command("steps")
        for step in steps:
            operands = f"{' '.join(step.inputs)} -> {' '.join(step.outputs)}"
            if isinstance(step, Recorded):
                self.command("\n".join([f"record {operands}", *step.lines, "end"]))
            elif step.kind == "tile":
                self.command(f"tile {operands}\n{step.program.strip()}\nend")
            else:
                self.command(
                    f"step {step.kind} {operands} attrs {_listed(step.attrs)} "
                    f"dynamic {_listed(step.dynamic)}"
                )

    def run(self) -> None:
        self.command("run")

    def save(self, name: str, path: Path) -> None:
        self.command(f"save {name} {path}")

    def time(self, seconds: float) -> Figure:
        """Seconds a run."""
        median, low, high = map(float, self.command(f"time {seconds}")[:3])
        return Figure(median, low, high)

    def limit(self, limit: Limit, seconds: float) -> float:
        """10⁹ units a second of the best way to reach the limit: of memory in the median, since its
        speed varies by itself; of arithmetic at best, since only disturbances lower it.
        """
        each = seconds / len(limit.measured)
        word = 2 if limit.unit == "GFLOP/s" else 0  # of median, low, high
        return max(float(self.command(f"limit {x} {each}")[word]) for x in limit.measured)
