"""Training ResNet-18."""

from __future__ import annotations

from benchmarks.cases.training import training_case

CASE = training_case(
    "resnet",
    "ResNet-18 on 32 images of 3 × 32 × 32",
    target=1.6,
    steps=2,
    checked=2,  # the loss soon falls to nothing, where rounding decides
)
