"""What a second thread brings, alone and while another process takes half of its core."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.case import Case, Row, Runner, Variant
from benchmarks.cases import attention, conv, fused, gemm
from benchmarks.harness import Harness, NoKernel
from benchmarks.kernel import Kernel
from benchmarks.sitting import write_inputs

SECONDS = 0.2  # of each measurement; with the other process LOADED_SECONDS
LOADED_SECONDS = 1.0
BUSY = (
    "import time\n"
    "while True:\n"
    "    end = time.perf_counter() + 0.005\n"
    "    while time.perf_counter() < end: pass\n"
    "    time.sleep(0.005)\n"
)


def _find(kernels: list[Kernel], title: str) -> Kernel:
    return next(kernel for kernel in kernels if kernel.title == title)


KERNELS = {
    "matmul 512³": _find(gemm.KERNELS, "512³"),
    "matmul 1024³": _find(gemm.KERNELS, "1024³"),
    "conv 3×3 64@56²": _find(conv.KERNELS, "3×3 64@56², forward"),
    "softmax 6144×256": _find(fused.KERNELS, "softmax 6144×256"),
    "GELU tail": _find(fused.KERNELS, "GELU tail 4096×1536, forward"),
    "causal attention": _find(attention.KERNELS, "12 × 2048 × 64, causal, forward"),
}
LOADED = ("matmul 512³", "matmul 1024³", "conv 3×3 64@56²")


@contextmanager
def _half_taken(cpu: int) -> Iterator[None]:
    """Another process is busy on the processor for 5 ms of every 10."""
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY], preexec_fn=lambda: os.sched_setaffinity(0, [cpu])
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _make() -> Runner:
    cpus = sorted(os.sched_getaffinity(0))
    folder = tempfile.TemporaryDirectory(prefix="tegula-bench-")
    atexit.register(folder.cleanup)
    seats = {count: Harness(cpus[:count]) for count in (1, 2)}

    def load(kernel: Kernel) -> None:
        write_inputs(kernel, Path(folder.name))
        for harness in seats.values():
            harness.load(kernel, Path(folder.name))
            harness.steps(kernel.steps)
            harness.run()

    def measure() -> dict[str, float]:
        metrics = {}
        for name, kernel in KERNELS.items():
            try:
                load(kernel)
            except NoKernel:
                continue
            alone = seats[1].time(SECONDS).median
            two = seats[2].time(SECONDS).median
            alone = min(alone, seats[1].time(SECONDS).median)
            metrics[f"{name}, two"] = alone / two
            if name in LOADED:
                with _half_taken(cpus[1]):
                    disturbed = seats[2].time(LOADED_SECONDS)
                metrics[f"{name}, loaded"] = alone / disturbed.median
                metrics[f"{name}, worst"] = disturbed.high / disturbed.median
        return metrics

    return Runner(measure)


def _least(least: float, title: str, metric: str) -> Row:
    return Row(title, metric, "×", "higher", theirs=None, target=f"at least {least}×",
               met=lambda ours, _: ours >= least)  # fmt: skip


CASE = Case(
    name="threads",
    method=(
        "The kernel harness with one thread on one processor and with two on two: how many times "
        "as fast two are. Then the same while another process is busy on the second processor for "
        "5 ms of every 10, and the longest of those calls over their median. Memory-bound rows "
        "have no target here: theirs is the fraction of two threads' bandwidth, in their families."
    ),
    variants=[Variant("Tegula", "tegula", _make)],
    rows=[
        *(_least(1.85, f"{name}, 2 threads over 1", f"{name}, two")
          for name in ("matmul 512³", "matmul 1024³", "conv 3×3 64@56²", "causal attention")),
        *(Row(f"{name}, 2 threads over 1", f"{name}, two", "×", "higher", theirs=None)
          for name in ("softmax 6144×256", "GELU tail")),
        *(_least(1.3, f"{name}, half a core taken, 2 threads over 1", f"{name}, loaded")
          for name in LOADED),
        *(Row(f"{name}, half a core taken, longest call over the median", f"{name}, worst", "×",
              theirs=None, target="at most 3×", met=lambda ours, _: ours <= 3) for name in LOADED),
    ],
    rounds=3,
)  # fmt: skip
