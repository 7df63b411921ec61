"""Training an LSTM."""

from __future__ import annotations

from benchmarks.cases.training import training_case

CASE = training_case(
    "lstm",
    "an LSTM (128 to 256) between an embedding and a linear layer, on 64 × 32 tokens of 1000",
    target=1.8,
    steps=5,
)
