"""Sums of segments, bags of embeddings and histograms beside PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.case import Case, Row, Runner, Variant
from benchmarks.measure import median_microseconds

EDGES, NODES, FEATURES = 10_000_000, 1_000_000, 64
BAGS, IN_A_BAG = 100_000, 32
COUNTED, BINS = 10_000_000, 256
SEGMENTS, EMBEDDING, HISTOGRAM = "segment sum", "embedding bag", "histogram"
TITLES = [SEGMENTS, EMBEDDING, HISTOGRAM]
SECONDS = 0.5  # for each call


def _arguments() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    return {
        "edges": random.standard_normal((EDGES, FEATURES), np.float32),
        "nodes": random.integers(0, NODES, EDGES),
        "table": random.standard_normal((NODES, FEATURES), np.float32),
        "bags": random.integers(0, NODES, (BAGS, IN_A_BAG)),
        "counted": random.standard_normal(COUNTED, np.float32),
    }


def _runner(calls: dict[str, Callable[[], Any]]) -> Runner:
    outputs = [float(np.asarray(call()).astype(np.float64).std()) for call in calls.values()]
    return Runner(
        lambda: {title: median_microseconds(call, SECONDS) / 1000 for title, call in calls.items()},
        outputs,
    )


def _tegula(threads: int) -> Runner:
    import tegula as tg

    tg.set_num_threads(threads)
    x = {name: tg.asarray(array) for name, array in _arguments().items()}

    def timed(function: Callable[[], Any]) -> Callable[[], Any]:
        def call() -> Any:
            y = function()
            tg.eval(y)
            tg.synchronize()
            return y

        return call

    return _runner({
        SEGMENTS: timed(lambda: tg.segment_sum(x["edges"], x["nodes"], NODES)),
        EMBEDDING: timed(lambda: tg.embedding_bag(x["table"], x["bags"], mode="sum")),
        HISTOGRAM: timed(lambda: tg.histogram(x["counted"], BINS, (-5.0, 5.0))[0]),
    })  # fmt: skip


def _torch(threads: int, adds: str = "scatter_add_") -> Runner:
    import torch

    torch.set_num_threads(threads)
    x = {name: torch.from_numpy(array) for name, array in _arguments().items()}

    def segments() -> Any:
        blank = torch.zeros(NODES, FEATURES)
        if adds == "index_add_":
            return blank.index_add_(0, x["nodes"], x["edges"])
        return blank.scatter_add_(0, x["nodes"][:, None].expand(EDGES, FEATURES), x["edges"])

    bags = torch.nn.functional.embedding_bag
    return _runner({
        SEGMENTS: segments,
        EMBEDDING: lambda: bags(x["bags"], x["table"], mode="sum"),
        HISTOGRAM: lambda: torch.histc(x["counted"], BINS, -5.0, 5.0),
    })  # fmt: skip


def _ends(threads: int) -> str:
    return "" if threads == 1 else f", {threads} threads"


CASE = Case(
    name="scatter",
    method=(
        f"Float32. `segment sum` adds {EDGES:,} rows of {FEATURES} into {NODES:,} by random ids; "
        f"PyTorch with `scatter_add_` of expanded ids and with `index_add_`. `embedding bag` adds "
        f"up {IN_A_BAG} random rows of {NODES:,} for each of {BAGS:,} bags; `histogram` counts "
        f"{COUNTED:,} numbers in {BINS} bins (`histc`). The median of the calls of half a second."
    ),
    variants=[
        *(Variant(f"Tegula{_ends(n)}", "tegula", partial(_tegula, n)) for n in (1, 2)),
        *(Variant(f"PyTorch{_ends(n)}", "torch", partial(_torch, n)) for n in (1, 2)),
        *(Variant(f"PyTorch index_add_{_ends(n)}", "torch", partial(_torch, n, "index_add_"))
          for n in (1, 2)),
    ],
    rows=[
        *(Row(f"{title}{_ends(n) or ', 1 thread'}", title, "ms", ours=f"Tegula{_ends(n)}",
              theirs=f"PyTorch{_ends(n)}", target="PyTorch's time",
              met=lambda ours, theirs: ours <= theirs) for title in TITLES for n in (1, 2)),
        *(Row(f"{SEGMENTS}{_ends(n) or ', 1 thread'}, beside index_add_", SEGMENTS, "ms",
              ours=f"Tegula{_ends(n)}", theirs=f"PyTorch index_add_{_ends(n)}",
              target="PyTorch's time", met=lambda ours, theirs: ours <= theirs) for n in (1, 2)),
    ],
    rounds=2,
    tolerance=1e-3,
)  # fmt: skip
