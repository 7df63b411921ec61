"""Single operations at the sizes that matter, beside the machine's limits."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.case import Case, Row, Runner, Variant

SECONDS = 0.05  # a measurement repeats its operation for about so long


@dataclass(frozen=True)
class Kernel:
    """An operation on float32 arrays of the given shapes.

    ``run`` gets the framework's functions by name and the arrays. ``work`` is what one run does,
    in floating-point operations or, for what memory limits, in bytes read and written.
    """

    shapes: tuple[tuple[int, ...], ...]
    run: Callable[[dict[str, Callable[..., Any]], Any], Any]
    work: float
    unit: str = "GFLOP/s"


def _matmul(m: int, n: int, k: int) -> Kernel:
    return Kernel(((m, k), (k, n)), lambda f, x: x[0] @ x[1], 2.0 * m * n * k)


def _conv(batch: int, channels: int, size: int, filters: int) -> Kernel:
    work = 2.0 * batch * filters * size * size * channels * 9
    shapes = ((batch, channels, size, size), (filters, channels, 3, 3))
    return Kernel(shapes, lambda f, x: f["conv"](*x), work)


KERNELS = {
    "matmul 512³": _matmul(512, 512, 512),
    "matmul 1024³": _matmul(1024, 1024, 1024),
    "matmul 128×128×1568": _matmul(128, 128, 1568),
    "conv 3×3, 128×1×28×28 to 16": _conv(128, 1, 28, 16),
    "conv 3×3, 128×16×14×14 to 32": _conv(128, 16, 14, 32),
    "conv 3×3, 16×64×56×56 to 64": _conv(16, 64, 56, 64),
    "softmax 6144×256": Kernel(
        ((6144, 256),), lambda f, x: f["softmax"](x[0]), 2.0 * 4 * 6144 * 256, "GB/s"
    ),
    "layer norm 1024×384": Kernel(
        ((1024, 384), (384,), (384,)), lambda f, x: f["layer_norm"](*x), 2.0 * 4 * 1024 * 384,
        "GB/s",
    ),
    "tanh(x * y + z), 4M elements": Kernel(
        ((1 << 22,),) * 3, lambda f, x: f["tanh"](x[0] * x[1] + x[2]), 4.0 * 4 * (1 << 22), "GB/s"
    ),
    "sum of 16M elements": Kernel(((1 << 24,),), lambda f, x: x[0].sum(), 4.0 * (1 << 24), "GB/s"),
}  # fmt: skip
ADAMW_ELEMENTS = 10_000_000
ADAMW_BYTES = 7 * 4 * ADAMW_ELEMENTS  # reads four arrays, writes three


def _rate(run: Callable[[], None], work: float) -> float:
    """Work per nanosecond over repeated runs."""
    count, elapsed = 1, 0.0
    while True:
        start = time.perf_counter()
        for _ in range(count):
            run()
        elapsed = time.perf_counter() - start
        if elapsed >= SECONDS:
            return work * count / elapsed / 1e9
        count = max(2 * count, int(1.2 * count * SECONDS / elapsed))


def _runner(
    functions: dict[str, Callable[..., Any]],
    make: Callable[[np.ndarray], Any],
    finish: Callable[[Any], None],
    adamw_step: Callable[[], None],
) -> Runner:
    random = np.random.default_rng(0)
    inputs = {
        name: [make(random.uniform(-1, 1, shape).astype(np.float32)) for shape in kernel.shapes]
        for name, kernel in KERNELS.items()
    }
    outputs = []
    for name, kernel in KERNELS.items():
        result = kernel.run(functions, inputs[name]).reshape((-1,))
        outputs += result[:: max(result.shape[0] // 7, 1)].tolist()

    def measure() -> dict[str, float]:
        rates = {
            name: _rate(lambda k=kernel, n=name: finish(k.run(functions, inputs[n])), kernel.work)
            for name, kernel in KERNELS.items()
        }
        return rates | {"adamw": _rate(adamw_step, ADAMW_BYTES)}

    return Runner(measure, outputs)


def _tegula() -> Runner:
    import tegula as tg

    parameter = tg.zeros(ADAMW_ELEMENTS).requires_grad_()
    gradient = tg.ones(ADAMW_ELEMENTS)
    optimizer = tg.optim.AdamW([parameter])

    def adamw_step() -> None:
        parameter.grad = gradient
        optimizer.step()
        tg.synchronize()

    functions: dict[str, Callable[..., Any]] = {
        "conv": lambda x, w: tg.conv2d(x, w, padding=1),
        "softmax": lambda x: tg.softmax(x, axis=-1),
        "layer_norm": lambda x, w, b: tg.layer_norm(x, 1, w, b),
        "tanh": tg.tanh,
    }
    return _runner(functions, tg.asarray, tg.eval, adamw_step)


def _torch() -> Runner:
    import torch
    from torch.nn import functional

    parameter = torch.zeros(ADAMW_ELEMENTS, requires_grad=True)
    parameter.grad = torch.ones(ADAMW_ELEMENTS)
    optimizer = torch.optim.AdamW([parameter], fused=True)

    functions: dict[str, Callable[..., Any]] = {
        "conv": lambda x, w: functional.conv2d(x, w, padding=1),
        "softmax": lambda x: torch.softmax(x, -1),
        "layer_norm": lambda x, w, b: functional.layer_norm(x, (x.shape[-1],), w, b),
        "tanh": torch.tanh,
    }
    with torch.no_grad():
        return _runner(functions, torch.from_numpy, lambda result: None, optimizer.step)


CASE = Case(
    name="kernels",
    method=(
        f"Each operation alone, repeated for at least {SECONDS} s, its result made anew each time; "
        "Tegula evaluates after each. Rates count the operation's own arithmetic, or the bytes it "
        "must read and write; compare them with the machine's limits below."
    ),
    variants=[Variant("Tegula", "tegula", _tegula), Variant("PyTorch", "torch", _torch)],
    rows=[
        *(Row(name, name, kernel.unit, "higher") for name, kernel in KERNELS.items()),
        Row("AdamW, 10M elements", "adamw", "GB/s", "higher"),
    ],
    rounds=5,
)
