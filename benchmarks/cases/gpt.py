"""Training a transformer of 6 blocks."""

from __future__ import annotations

from benchmarks.cases.training import training_case

CASE = training_case(
    "gpt",
    "a transformer of 6 blocks (width 384, 6 heads) on 4 × 256 tokens of 8192",
    target=2.3,
    steps=1,
)
