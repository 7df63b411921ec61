"""From a graph to a plan: the first time and again."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.case import Case, Row, Runner, Variant

NODES = 1000
REPEATS = 10


def _chain(tg: Any, x: Any, w: Any) -> list[Any]:
    """Elementwise operations one after the other."""
    for i in range(NODES // 2):
        x = tg.tanh(x) + w if i % 2 else tg.exp(x) * w
    return [x]


def _mixed(tg: Any, x: Any, w: Any) -> list[Any]:
    """Blocks of a product, a normalisation and an activation; every tenth value is kept."""
    kept = []
    for _ in range(NODES // 10):
        h = x @ w  # 1
        h = h - tg.max(h, axis=1, keepdims=True)  # 3
        e = tg.exp(h)  # 4
        e = e / tg.sum(e, axis=1, keepdims=True)  # 6
        x = tg.tanh(e + x) * w + e  # 10
        kept.append(x)
    return kept


GRAPHS = {"chain": _chain, "mixed": _mixed}


def _tegula() -> Runner:
    import tegula as tg

    def milliseconds(graph: str, device: str, hit: bool) -> float:
        x, w = (tg.asarray(np.ones((8, 8), np.float32), device=device) for _ in range(2))
        best = float("inf")
        for _ in range(REPEATS):
            if not hit:
                tg.clear_plan_cache()
            wanted = GRAPHS[graph](tg, x, w)
            before = tg.plan_cache_stats()
            start = time.perf_counter()
            tg.eval(wanted)
            best = min(best, time.perf_counter() - start)
            after = tg.plan_cache_stats()
            if after["nodes"] != NODES or after["misses"] - before["misses"] != (not hit):
                raise RuntimeError(f"{graph}: expected {NODES} nodes in one plan, got {after}")
        return 1e3 * best

    def measure() -> dict[str, float]:
        metrics = {}
        for graph in GRAPHS:
            for device in ("null", "cpu"):
                metrics[f"{graph} {device} miss"] = milliseconds(graph, device, hit=False)
                metrics[f"{graph} {device} hit"] = milliseconds(graph, device, hit=True)
            metrics[f"{graph} cpu plan"] = (
                metrics[f"{graph} cpu miss"] - metrics[f"{graph} cpu hit"]
            )
        return metrics

    return Runner(measure)


def _rows(graph: str, title: str) -> list[Row]:
    return [
        Row(f"plan-cache miss, {title}", f"{graph} null miss", "ms", theirs=None,
            target="at most 2 ms", met=lambda ours, _: ours <= 2),
        Row(f"plan-cache hit, {title}", f"{graph} null hit", "ms", theirs=None,
            target="at most 0.2 ms", met=lambda ours, _: ours <= 0.2),
        Row(f"miss less hit on cpu, {title}", f"{graph} cpu plan", "ms", theirs=None,
            target="at most 2 ms", met=lambda ours, _: ours <= 2),
    ]  # fmt: skip


CASE = Case(
    name="planning",
    method=(
        f"`tg.eval` of a pending graph of {NODES} nodes on 8 × 8 tensors, the best of {REPEATS} in "
        "each round: with the plan cache cleared (miss) and with the plan in it (hit). On the "
        "device \"null\", which computes nothing, that is the time to take the graph, find or make "
        "the plan, lay out memory and submit. On cpu the miss also prepares the kernels and both "
        "compute, so their difference is shown."
    ),
    variants=[Variant("Tegula", "tegula", _tegula)],
    rows=[
        *_rows("chain", "1,000 elementwise nodes"),
        *_rows("mixed", "1,000 nodes of products, reductions and activations"),
    ],
    rounds=5,
)  # fmt: skip
