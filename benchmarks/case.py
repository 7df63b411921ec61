"""What a benchmark is: variants that take turns, and the rows they give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass
class Runner:
    """What a worker measures: one call of ``round`` gives each metric once.

    Before times count, the ``outputs`` of all variants are compared.
    """

    round: Callable[[], dict[str, float]]
    outputs: Sequence[float] = ()


@dataclass(frozen=True)
class Variant:
    """One way to do the work: a framework, and a function that makes its ``Runner``.

    Variants of one case do the same ``work``, unless it says otherwise; then only those with the
    same work are compared.
    """

    name: str
    framework: Literal["tegula", "torch", "jax"]
    make: Callable[[], Runner]
    work: str = ""


@dataclass(frozen=True)
class Row:
    """One line of the table: a metric of two variants and what the first should reach.

    Attributes:
        title: what is measured.
        metric: its name in what ``Runner.round`` returns.
        unit: "µs", "images/s", …
        better: whether "lower" or "higher" is better.
        ours: the variant of Tegula.
        theirs: the variant of PyTorch, if it has one.
        target: what should be reached, in words; "" for a row that is for information.
        met: whether the medians (ours, theirs) reach it.
    """

    title: str
    metric: str
    unit: str
    better: Literal["lower", "higher"] = "lower"
    ours: str = "Tegula"
    theirs: str | None = "PyTorch"
    target: str = ""
    met: Callable[[float, float], bool] | None = None

    def ratio(self, ours: float, theirs: float) -> float:
        """How many times as good as theirs ours is."""
        worse, better = (theirs, ours) if self.better == "lower" else (ours, theirs)
        return worse / better if better else float("inf")


@dataclass(frozen=True)
class Case:
    """A benchmark.

    Attributes:
        name: for the command line.
        method: how it is measured, for the reader of the results.
        variants: the ways to do the work.
        rows: what the table shows.
        rounds: how often each variant is measured.
        fresh: whether every round has a process of its own.
        tolerance: largest relative difference between the outputs of two variants.
        timeout: seconds a worker may take for one answer.
        needs_data: whether it reads Fashion-MNIST.
    """

    name: str
    method: str
    variants: Sequence[Variant]
    rows: Sequence[Row]
    rounds: int = 7
    fresh: bool = False
    tolerance: float = 1e-3
    timeout: float = 300
    needs_data: bool = False
