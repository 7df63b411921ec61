"""Matrix products in float32."""

from __future__ import annotations

from typing import Any

from benchmarks.kernel import FMA, Array, Kernel, Step, Target, normal, traffic
from benchmarks.peer_calls import jax_call, onnx_nodes, torch_call

METHOD = (
    "Products of float32 matrices into memory that is there already. Sizes are rows × columns × "
    "depth; T marks an operand stored transposed. A linear layer's passes are x·Wᵀ (forward), "
    "dy·W (input gradient) and dyᵀ·x (weight gradient)."
)


def _times(_: Any, a: Any, b: Any) -> Any:
    return a @ b


def _swap(transposed: int, x: Any) -> Any:
    return x.swapaxes(-1, -2) if transposed else x


def product(
    title: str, m: int, n: int, k: int, target: Target, transposed: str = "nn", batch: int = 1
) -> Kernel:
    """``transposed`` has an n or t for each operand."""
    lead = (batch,) if batch > 1 else ()
    ta, tb = (int(c == "t") for c in transposed)
    a = Array((*lead, k, m) if ta else (*lead, m, k), fill=normal)
    b = Array((*lead, n, k) if tb else (*lead, k, n), fill=normal)

    def run(_: Any, a: Any, b: Any) -> Any:
        return _swap(ta, a) @ _swap(tb, b)

    peers = {"PyTorch": torch_call(run), "JAX": jax_call(run)}
    if transposed == "nn":
        peers["ONNX Runtime"] = onnx_nodes(("MatMul", ("x0", "x1"), {}))
    return Kernel(
        title=title,
        arrays={"a": a, "b": b, "c": Array((*lead, m, n))},
        inputs=("a", "b"),
        outputs=("c",),
        steps=(Step("matmul", ("a", "b"), ("c",), (ta, tb)),),
        limit=FMA,
        operations=2.0 * batch * m * n * k,
        bytes=4.0 * batch * (m * k + k * n + m * n),
        peers=peers,
        target=target,
    )


def _cube(size: int, one: float, two: float) -> Kernel:
    return product(f"{size}³", size, size, size, Target((one, two), ratio={"PyTorch": 1.0}))


def _linear(m: int, n: int, k: int) -> list[Kernel]:
    target = Target((0.88, 0.86), ratio={"PyTorch": 1.0})
    name = f"linear {m}×{n}×{k}"
    return [
        product(f"{name}, forward", m, n, k, target, "nt"),
        product(f"{name}, input gradient", m, k, n, target, "nn"),
        product(f"{name}, weight gradient", n, k, m, target, "tn"),
    ]


def _matvec(size: int) -> Kernel:
    return Kernel(
        title=f"matrix {size}² times vector",
        arrays={
            "a": Array((size, size), fill=normal),
            "x": Array((size, 1), fill=normal),
            "y": Array((size, 1)),
        },
        inputs=("a", "x"),
        outputs=("y",),
        steps=(Step("matmul", ("a", "x"), ("y",), (0, 0)),),
        limit=traffic(1, 0, 4 * size * size),
        operations=2.0 * size * size,
        bytes=4.0 * size * size,
        peers={
            "PyTorch": torch_call(_times),
            "JAX": jax_call(_times),
            "ONNX Runtime": onnx_nodes(("MatMul", ("x0", "x1"), {})),
        },
        target=Target((0.9, 0.9), ratio={"PyTorch": 1.0}),
    )


# Small products stay on one thread, so the second adds nothing to be asked for.
_SMALL = Target((0.90, 0.0), ratio={"PyTorch": 1.0})
_SMALL_TRANSPOSED = Target((0.70, 0.0), ratio={"PyTorch": 1.0})

KERNELS = [
    product("64³", 64, 64, 64, _SMALL),
    product("64³ T·", 64, 64, 64, _SMALL_TRANSPOSED, "tn"),
    product("64³ ·T", 64, 64, 64, _SMALL_TRANSPOSED, "nt"),
    product("128³", 128, 128, 128, _SMALL),
    product("128³ T·", 128, 128, 128, _SMALL_TRANSPOSED, "tn"),
    product("128³ ·T", 128, 128, 128, _SMALL_TRANSPOSED, "nt"),
    _cube(256, 0.92, 0.86),
    _cube(512, 0.92, 0.86),
    _cube(1024, 0.90, 0.86),
    _cube(2048, 0.90, 0.86),
    *_linear(1024, 1152, 384),
    *_linear(1024, 384, 1536),
    *_linear(1024, 8192, 384),
    *_linear(128, 512, 784),
    product("24 × (256×256×64)", 256, 256, 64, Target((0.85, 0.0)), batch=24),
    product("32×64×64", 32, 64, 64, Target(ratio={"PyTorch": 2.5})),
    _matvec(4096),
]
