"""Measures kernel cases beside the peers and the machine's limits, all in one sitting.

One process for each framework and number of threads lives through all cases. In every round of a
case, and for each number of threads, the limit, Tegula, the hand-fused loop and each peer take
turns; before that, all outputs are compared.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import MOST_OF_LIMIT, Figure, difference
from benchmarks.harness import Harness, NoKernel
from benchmarks.kernel import Kernel
from benchmarks.peers import PeerError, Process

SETTLE_SECONDS = 0.02  # lets the threads of the process before stop spinning
TIMEOUT = 240.0


class Differs(PeerError):  # noqa: N818
    """Outputs are not the same, so no time counts."""


class PeerProcess(Process):
    """A framework's process (kernel_worker.py)."""

    def __init__(self, python: Path, framework: str, cpus: Sequence[int]) -> None:
        command = [python, "-m", "benchmarks.kernel_worker", framework]
        super().__init__(framework, command, cpus, TIMEOUT)
        self.version: str = json.loads(self.receive())["version"]

    def request(self, **what: Any) -> Any:
        """The answer. Raises PeerError when the framework cannot do it."""
        answer = json.loads(self.ask(json.dumps(what)))
        if "error" in answer:
            raise PeerError(f"{self.label}: {answer['error']}")
        return answer["ok"]


@dataclass
class Measured:
    """What the rounds of a case gave with one number of threads: seconds, by variant.

    Attributes:
        limit: of each round, in 10⁹ units a second.
        failed: why peers were left out.
    """

    ours: list[float] = field(default_factory=list)
    loop: list[float] = field(default_factory=list)
    peers: dict[str, list[float]] = field(default_factory=dict)
    limit: list[float] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def quickest(self) -> Measured:
        """The best of the rounds alone."""
        return Measured(
            [min(self.ours)],
            [min(self.loop)] if self.loop else [],
            {name: [min(times)] for name, times in self.peers.items()},
            [max(self.limit)],
            self.failed,
        )

    def fraction(self, work: float) -> Figure:
        """Of the limit, round by round."""
        pairs = zip(self.ours, self.limit, strict=True)
        return Figure.of([work / 1e9 / seconds / limit for seconds, limit in pairs])

    def too_fast(self, work: float) -> bool:
        """Whether more than the limit was reached, in the median and comparing the best rounds:
        then one of the two is measured or counted wrongly.
        """
        best = work / 1e9 / min(self.ours) / max(self.limit)
        return min(best, self.fraction(work).median) > MOST_OF_LIMIT


@dataclass
class Seat:
    """The processes that share a number of threads."""

    harness: Harness
    peers: dict[str, PeerProcess]  # by framework
    cpus: Sequence[int]

    @property
    def threads(self) -> int:
        return len(self.cpus)

    def revive(self) -> None:
        """A new harness where a kernel has ended the last one."""
        if self.harness.process.poll() is not None:
            self.harness = Harness(self.cpus)


class Sitting:
    """Holds the processes while cases are measured; a context manager."""

    def __init__(
        self,
        python: Path | None,
        frameworks: Sequence[str],
        cpus: Sequence[int],
        threads: Sequence[int],
        folder: Path,
        quickest: bool = False,
    ) -> None:
        self.folder = folder
        self.quickest = quickest  # calls count, where other programs disturb most; not medians
        self._stack = contextlib.ExitStack()
        self.seats: list[Seat] = []
        with self._stack:
            for count in threads:
                pinned = cpus[:count]
                enter = self._stack.enter_context
                peers = {
                    name: enter(PeerProcess(python, name, pinned))
                    for name in (frameworks if python else ())
                }
                self.seats.append(Seat(Harness(pinned), peers, pinned))
                self._stack.callback(lambda seat=self.seats[-1]: seat.harness.close())
            self._stack = self._stack.pop_all()

    def __enter__(self) -> Sitting:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def versions(self) -> dict[str, str]:
        """Of the frameworks."""
        return {name: peer.version for name, peer in self.seats[0].peers.items()}

    def measure(
        self, family: str, kernel: Kernel, rounds: int, seconds: float
    ) -> dict[int, Measured]:
        """By number of threads. A peer that cannot do the case is left out.

        Raises:
            NoKernel: Tegula cannot.
            Differs: outputs are not the same.
        """
        folder = self.folder / "case"
        write_inputs(kernel, folder)
        measured = {seat.threads: Measured() for seat in self.seats}
        try:
            for seat in self.seats:
                self._prepare(seat, family, kernel, folder, measured[seat.threads])
            for _ in range(rounds):
                for seat in self.seats:
                    _round(seat, kernel, seconds, measured[seat.threads], self.quickest)
        finally:
            for seat in self.seats:
                seat.revive()
                for peer in seat.peers.values():
                    peer.request(drop=True)
        if self.quickest:
            return {threads: samples.quickest() for threads, samples in measured.items()}
        return measured

    def _prepare(
        self, seat: Seat, family: str, kernel: Kernel, folder: Path, measured: Measured
    ) -> None:
        harness = seat.harness
        harness.load(kernel, folder)
        expected = dict(_outputs(harness, kernel, kernel.steps, folder))
        if kernel.loop is not None:
            harness.refresh(kernel, folder)
            loop = dict(_outputs(harness, kernel, [kernel.loop], folder))
            _compare(kernel, "the hand-fused loop", expected, loop)
        harness.steps(kernel.steps)
        for name, peer in kernel.peers.items():
            if peer.framework not in seat.peers:
                continue
            try:
                seat.peers[peer.framework].request(
                    load=[family, kernel.title, name], folder=str(folder)
                )
            except PeerError as error:
                measured.failed[name] = str(error)
                print(f"{kernel.title}: {name} left out: {error}", file=sys.stderr)
                continue
            theirs = {x: np.load(folder / f"{x}.{name}.npy") for x in kernel.outputs}
            _compare(kernel, name, expected, theirs)
            measured.peers[name] = []


def write_inputs(kernel: Kernel, folder: Path) -> None:
    """Draws the first values of all that no step writes first, into .npy files."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    random = np.random.default_rng(0)
    written = {x for step in kernel.steps for x in step.outputs} - set(kernel.inputs)
    for name, array in kernel.arrays.items():
        if name not in written:
            np.save(folder / f"{name}.npy", array.values(random))


def _outputs(
    harness: Harness, kernel: Kernel, steps: Sequence[Any], folder: Path
) -> Iterator[tuple[str, np.ndarray]]:
    harness.steps(steps)
    harness.run()
    for name in kernel.outputs:
        array, path = kernel.arrays[name], folder / f"{name}.tegula"
        harness.save(name, path)
        if array.dtype == "bfloat16":
            bits = np.fromfile(path, np.uint16).astype(np.uint32) << np.uint32(16)
            yield name, bits.view(np.float32).reshape(array.shape)
        else:
            yield name, np.fromfile(path, array.dtype).reshape(array.shape)


def _compare(
    kernel: Kernel, who: str, ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]
) -> None:
    for name, values in theirs.items():
        apart = difference(ours[name], values)
        if not apart <= kernel.tolerance:
            raise Differs(
                f"{name} of {who} is {apart:.1g} of the largest value away from Tegula's "
                f"(allowed: {kernel.tolerance:.0e}): another result, so no time counts"
            )


def _round(seat: Seat, kernel: Kernel, seconds: float, measured: Measured, quickest: bool) -> None:
    harness = seat.harness

    def ours() -> float:
        figure = harness.time(seconds)
        return figure.low if quickest else figure.median

    time.sleep(SETTLE_SECONDS)
    measured.limit.append(harness.limit(kernel.limit, seconds))
    measured.ours.append(ours())
    if kernel.loop is not None:
        harness.steps([kernel.loop])
        measured.loop.append(ours())
        harness.steps(kernel.steps)
    for name, samples in measured.peers.items():
        time.sleep(SETTLE_SECONDS)
        process = seat.peers[kernel.peers[name].framework]
        median, low, _ = process.request(time=seconds, peer=name)
        samples.append(low if quickest else median)


__all__ = ["Differs", "Measured", "NoKernel", "Sitting"]
