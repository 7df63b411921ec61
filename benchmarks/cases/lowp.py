"""Matrix products of narrow types."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.kernel import DOT_BF16, DOT_INT8, Array, Kernel, Step, Target, normal
from benchmarks.peer_calls import jax_call, torch_call

METHOD = (
    "Products of bfloat16 matrices, whose result is bfloat16, and of int8 matrices, whose result "
    "is int32. The limit is the peak of the dot instructions where the processor has them, and of "
    "AMX's matrix instructions where the instruction set in use is `amx`."
)


def _small(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.integers(-100, 100, shape)


def _bf16(size: int, target: Target) -> Kernel:
    square = (size, size)

    def run(_: Any, a: Any, b: Any) -> Any:
        return a @ b

    return Kernel(
        title=f"bf16 {size}³",
        arrays={
            "a": Array(square, "bfloat16", normal),
            "b": Array(square, "bfloat16", normal),
            "c": Array(square, "bfloat16"),
        },
        inputs=("a", "b"),
        outputs=("c",),
        steps=(Step("matmul", ("a", "b"), ("c",), (0, 0)),),
        limit=DOT_BF16,
        operations=2.0 * size**3,
        bytes=6.0 * size**2,
        peers={"PyTorch": torch_call(run), "JAX": jax_call(run)},
        target=target,
        tolerance=1e-2,
    )


def _int8(size: int, target: Target) -> Kernel:
    square = (size, size)

    def with_jax(jax: Any, a: Any, b: Any) -> Any:
        return jax.lax.dot(a, b, preferred_element_type=jax.numpy.int32)

    return Kernel(
        title=f"int8 {size}³",
        arrays={
            "a": Array(square, "int8", _small),
            "b": Array(square, "int8", _small),
            "c": Array(square, "int32"),
        },
        inputs=("a", "b"),
        outputs=("c",),
        steps=(Step("matmul", ("a", "b"), ("c",), (0, 0)),),
        limit=DOT_INT8,
        operations=2.0 * size**3,
        bytes=6.0 * size**2,
        peers={
            "PyTorch": torch_call(lambda torch, a, b: torch._int_mm(a, b)),
            "JAX": jax_call(with_jax),
        },
        target=target,
        tolerance=0.0,
    )


_FIRST = Target((0.90, 0.0), ratio={"PyTorch": 1.0})
_LARGER = Target((0.85, 0.0), ratio={"PyTorch": 1.0})

KERNELS = [
    *(_bf16(n, _FIRST if n == 512 else _LARGER) for n in (512, 1024, 2048)),
    *(_int8(n, _FIRST if n == 512 else _LARGER) for n in (512, 1024, 2048)),
]
