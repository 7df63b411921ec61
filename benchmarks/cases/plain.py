"""The cases of ``fused.py`` written as plain definitions, in the caches and in memory."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.cases.fused import (
    BETAS,
    DECAY,
    EPS,
    LEARNING_RATE,
    adamw,
    cross_entropy,
    gelu,
    layer_norm,
    softmax,
)
from benchmarks.kernel import Array, Kernel, Recorded, Target, traffic

METHOD = (
    "As `fused`, but Tegula is given the textbook's definitions (`x - max`, `exp`, `sum`, …), one "
    "arithmetic operation at a time; what makes one program of them is the planner alone. Peers "
    "and hand-fused loops are the same. Sizes that fit the caches and sizes that do not."
)
PLAIN = Target(loop=0.85, ratio={"torch.compile": 1.0})

SOFTMAX = (
    "top = max x -1 keepdims=True",
    "apart = subtract x top",
    "e = exp apart",
    "total = sum e -1 keepdims=True",
    "y = divide e total",
)
LAYER_NORM = (
    "mean = mean x -1 keepdims=True",
    "apart = subtract x mean",
    "square = multiply apart apart",
    "variance = mean square -1 keepdims=True",
    "more = add variance 1e-5",
    "scale = rsqrt more",
    "normal = multiply apart scale",
    "scaled = multiply normal w",
    "y = add scaled b",
)
GELU = (
    "t = add x b",
    "square = multiply t t",
    "cube = multiply square t",
    "part = multiply cube 0.044715",
    "sum = add t part",
    "inner = multiply sum 0.7978845608028654",
    "bent = tanh inner",
    "more = add bent 1",
    "half = multiply t 0.5",
    "y = multiply half more",
)
CROSS_ENTROPY = (
    "top = max x -1 keepdims=True",
    "apart = subtract x top",
    "e = exp apart",
    "total = sum e -1 keepdims=True",
    "log = log total",
    "column = expand_dims labels 1",
    "picked = take_along_axis apart column 1",
    "losses = subtract log picked",
    "loss = mean losses",
)
ADAMW = (
    f"m1 = multiply m {BETAS[0]}",
    f"g1 = multiply g {1 - BETAS[0]}",
    "m2 = add m1 g1",
    f"v1 = multiply v {BETAS[1]}",
    "gg = multiply g g",
    f"g2 = multiply gg {1 - BETAS[1]}",
    "v2 = add v1 g2",
    f"vc = divide v2 {1 - BETAS[1]}",
    "root = sqrt vc",
    f"size = add root {EPS}",
    f"mc = multiply m2 {LEARNING_RATE / (1 - BETAS[0])}",
    "move = divide mc size",
    f"shrunk = multiply p {1 - LEARNING_RATE * DECAY}",
    "p2 = subtract shrunk move",
)


def _adamw(count: int) -> Kernel:
    """The first step; new values beside the old, so it moves more than the update in place."""
    kernel = adamw(count)
    operands, results = ("p", "g", "m", "v"), ("p2", "m2", "v2")
    return replace(
        kernel,
        arrays={**kernel.arrays, **{name: Array((count,)) for name in results}},
        outputs=("p2",),
        steps=(Recorded(operands, results, ADAMW),),
        limit=traffic(4, 3, 4 * count),
        loop=None,
    )


def _plain(kernel: Kernel) -> Kernel:
    loop = 0.85 if kernel.loop else None
    return replace(kernel, target=replace(PLAIN, loop=loop))


KERNELS = [
    _plain(kernel)
    for kernel in (
        _adamw(10_000_000),
        softmax(256, 256, SOFTMAX),
        softmax(32768, 1024, SOFTMAX),
        layer_norm(256, 384, LAYER_NORM),
        layer_norm(32768, 1024, LAYER_NORM),
        *gelu(64, 1536, GELU),
        *gelu(16384, 1536, GELU),
        *cross_entropy(64, 1024, CROSS_ENTROPY),
        *cross_entropy(4096, 8192, CROSS_ENTROPY),
    )
]
