"""Recurrent layers over a sequence."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.kernel import FMA, Array, Kernel, Recorded, Target, normal
from benchmarks.peer_calls import torch_call, torch_gradient

METHOD = (
    "One layer over a sequence of (steps × rows × features), as many hidden units as features, "
    "float32, with biases. Operations are those of the products with both weights, twice as many "
    "backward. Backward is the pass alone, to the input and all weights; what the forward pass "
    "keeps for it is there."
)


def _weights(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """As layers start: uniform within ±1 / sqrt(hidden units)."""
    bound = shape[-1] ** -0.5
    return random.uniform(-bound, bound, shape)


def _layer(name: str, gates: int, states: int, steps: int, rows: int, size: int) -> list[Kernel]:
    x, state = Array((steps, rows, size), fill=normal), Array((rows, size), fill=normal)
    w, b = Array((gates * size, size), fill=_weights), Array((gates * size,), fill=normal)
    start = ("h0", "c0")[:states]
    learned = {"x": x, "w_ih": w, "w_hh": w, "b_ih": b, "b_hh": b}
    arrays = learned | dict.fromkeys(start, state)
    last = " ".join(f"last{i}" for i in range(states))
    call = f"y {last} = {name} x {' '.join(start)} w_ih w_hh b_ih b_hh"
    work = 4.0 * steps * rows * gates * size * size

    def run(torch: Any, x: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, *given: Any) -> Any:
        given = tuple(state[None] for state in given)
        first = given if states > 1 else given[0]
        parameters = (w_ih, w_hh, b_ih, b_hh)
        return getattr(torch, name)(x, first, parameters, True, 1, 0.0, True, False, False)[0]

    title = f"{name.upper()} {steps} × {rows} × {size}"
    gradients = {f"d{key}": value for key, value in learned.items()}
    seeded = (*arrays, "dy")
    wanted = " ".join(learned)
    return [
        Kernel(
            title=f"{title}, forward",
            arrays=arrays | {"y": x},
            inputs=tuple(arrays),
            outputs=("y",),
            steps=(Recorded(tuple(arrays), ("y",), (call,)),),
            limit=FMA,
            operations=work,
            bytes=2.0 * x.bytes + 2.0 * w.bytes,
            peers={"PyTorch": torch_call(run)},
            target=Target(ratio={"PyTorch": 1.0}),
        ),
        Kernel(
            title=f"{title}, backward",
            arrays=arrays | {"dy": x} | gradients,
            inputs=seeded,
            outputs=tuple(gradients),
            steps=(
                Recorded(
                    seeded,
                    tuple(gradients),
                    (
                        f"parameters {wanted}",
                        call,
                        "evaluate y",
                        f"{' '.join(gradients)} = gradients y dy {wanted}",
                    ),
                ),
            ),
            limit=FMA,
            operations=2.0 * work,
            bytes=4.0 * x.bytes + 4.0 * w.bytes,
            peers={"PyTorch": torch_gradient(run, len(learned))},
            target=Target(ratio={"PyTorch": 1.0}),
        ),
    ]


KERNELS = [
    kernel
    for name, gates, states in (("lstm", 4, 2), ("gru", 3, 1))
    for sizes in ((64, 32, 256), (128, 8, 128))
    for kernel in _layer(name, gates, states, *sizes)
]
