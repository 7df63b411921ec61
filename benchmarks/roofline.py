"""The roofline picture: what every kernel case reaches, by its operations per byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import FAMILIES
from benchmarks.report import latest_runs

PICTURE = Path(__file__).with_name("roofline.png")
BANDWIDTHS = {"read, L2 (GB/s)": "L2", "read, DRAM": "DRAM"}
PEAKS = {
    "matrix int8, AMX": "int8 matrix",
    "matrix bf16, AMX": "bf16 matrix",
    "dot int8, AVX-512": "int8 dot",
    "dot bf16, AVX-512": "bf16 dot",
    "FMA f32, AVX-512 (GFLOP/s)": "f32 FMA",
    "FMA f32, AVX2": "f32 FMA",
}
COLOURS = ("#3b6fb6", "#c8553d", "#4d9a6a", "#8b5fbf", "#c99a2e", "#5a5a5a", "#1f9ea8")


def draw(history: Sequence[Mapping[str, Any]], path: Path = PICTURE) -> None:
    """Writes the picture of the latest runs; does nothing where there is nothing to show."""
    limits = [run["limits"] for run in history if run.get("limits") and not run.get("aside")]
    if not limits:
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    latest = latest_runs(history)
    figure, panels = pyplot.subplots(1, 2, figsize=(13, 5.6), sharey=True)
    for panel, threads in zip(panels, (1, 2), strict=True):
        _roofs(panel, limits[-1], str(threads))
        for family, colour in zip(FAMILIES, COLOURS, strict=False):
            rows = latest[family]["families"][family] if family in latest else []
            points = [
                (row["operations"] / row["bytes"], row["operations"] / 1e9 / row["ours"]["median"])
                for row in rows
                if row.get("threads") == threads and row["operations"]
            ]
            if points:
                panel.scatter(*zip(*points, strict=True), s=22, color=colour, label=family,
                              alpha=0.85, linewidths=0, zorder=3)  # fmt: skip
        panel.set(xscale="log", yscale="log", xlabel="operations per byte read and written",
                  title=f"{threads} thread" + "s" * (threads > 1))  # fmt: skip
        panel.grid(True, which="major", color="#e4e4e4", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("10⁹ operations a second")
    panels[0].legend(frameon=False, loc="lower right", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _roofs(panel: Any, limits: Mapping[str, Mapping[str, float]], threads: str) -> None:
    peaks: dict[str, float] = {}
    for name, label in PEAKS.items():
        if threads in limits.get(name, {}):
            peaks.setdefault(label, limits[name][threads])
    if not peaks:
        return
    top, lowest = max(peaks.values()), 0.05
    for name, label in BANDWIDTHS.items():
        slope = limits[name][threads]
        panel.plot([lowest, top / slope], [lowest * slope, top], color="#909090", linewidth=1)
        panel.annotate(f"{label} {slope:.0f} GB/s", (lowest, lowest * slope), fontsize=8,
                       color="#606060", xytext=(2, 4), textcoords="offset points",
                       rotation=45, rotation_mode="anchor",
                       transform_rotates_text=True)  # fmt: skip
    for label, peak in peaks.items():
        panel.plot([peak / limits["read, L2 (GB/s)"][threads], 2000], [peak, peak],
                   color="#909090", linewidth=1)  # fmt: skip
        panel.annotate(f"{label} {peak:.0f}", (2000, peak), fontsize=8, color="#606060",
                       xytext=(0, 3), textcoords="offset points", ha="right")  # fmt: skip
