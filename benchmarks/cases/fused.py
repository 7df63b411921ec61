"""Work that memory or transcendental functions bound, and that a framework should fuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.kernel import (
    Array,
    Kernel,
    Peer,
    Recorded,
    Step,
    Target,
    below,
    constant,
    normal,
    traffic,
)
from benchmarks.peer_calls import (
    jax_call,
    jax_gradient,
    onnx_nodes,
    torch_call,
    torch_compiled,
    torch_gradient,
)

METHOD = (
    "Float32 throughout. The hand-fused loops (`benchmarks/kernels/reference_loops.cc`) do exactly "
    "the case's work with vector instructions; they run in the same process. The limit is a pass "
    "that only moves the same bytes. Tegula runs the steps that its planner makes of the public "
    "operations."
)
LEARNING_RATE, BETAS, EPS, DECAY = 1e-3, (0.9, 0.999), 1e-8, 1e-2
Lines = tuple[str, ...]
FUSED = Target(loop=0.9, ratio={"torch.compile": 1.0, "PyTorch": 2.0})


def _elementwise(x: Array, reads: int, writes: int) -> dict[str, Any]:
    return {
        "limit": traffic(reads, writes, x.bytes),
        "bytes": float((reads + writes) * x.bytes),
    }


# AdamW


def _torch_adamw(fused: bool, compiled: bool = False) -> Peer:
    def setup(torch: Any, p: Any, g: Any) -> Callable[[], Any]:
        p.requires_grad_()
        p.grad = g
        optimizer = torch.optim.AdamW([p], LEARNING_RATE, BETAS, EPS, DECAY, fused=fused or None)
        step = torch.compile(optimizer.step) if compiled else optimizer.step

        def run() -> Any:
            step()
            return p

        return run

    return Peer("torch", setup)


def _jax_adamw() -> Peer:
    def setup(jax: Any, p: Any, g: Any) -> Callable[[], Any]:
        np = jax.numpy

        def update(p: Any, g: Any, m: Any, v: Any, t: Any) -> Any:
            m = BETAS[0] * m + (1 - BETAS[0]) * g
            v = BETAS[1] * v + (1 - BETAS[1]) * g * g
            size = np.sqrt(v / (1 - BETAS[1] ** t)) + EPS
            p = p * (1 - LEARNING_RATE * DECAY) - LEARNING_RATE * m / (1 - BETAS[0] ** t) / size
            return p, m, v

        compiled = jax.jit(update, donate_argnums=(0, 2, 3))
        state = [p, np.zeros_like(p), np.zeros_like(p), 0]

        def run() -> Any:
            p, m, v, t = state
            state[:] = [*jax.block_until_ready(compiled(p, g, m, v, t + 1.0)), t + 1]
            return state[0]

        return run

    return Peer("jax", setup)


def adamw(count: int) -> Kernel:
    numbers = {"rate": LEARNING_RATE, "beta1": BETAS[0], "beta2": BETAS[1], "eps": EPS,
               "decay": DECAY, "step": 1.0}  # fmt: skip
    x = Array((count,), fill=normal)
    operands = (*numbers, "p", "g", "m", "v")
    return Kernel(
        title=f"AdamW, {count // 1_000_000} M",
        arrays={name: Array((), "float64", constant(value)) for name, value in numbers.items()}
        | {"p": x, "g": x, "m": Array((count,)), "v": Array((count,))},
        inputs=("p", "g"),
        outputs=("p",),
        steps=(Step("adam", operands, ("p", "m", "v"), (1, 2)),),
        loop=Step("reference.adamw", operands, ("p", "m", "v")),
        limit=traffic(4, 3, x.bytes, inplace=True),
        operations=14.0 * count,
        bytes=7.0 * x.bytes,
        peers={
            "PyTorch": _torch_adamw(False),
            "PyTorch fused": _torch_adamw(True),
            "torch.compile": _torch_adamw(False, compiled=True),
            "JAX": _jax_adamw(),
        },
        target=FUSED,
    )


# Softmax and layer norm


def softmax(rows: int, length: int, definition: Lines = ("y = softmax x -1",)) -> Kernel:
    """``definition`` makes y of x."""
    x = Array((rows, length), fill=normal)
    run = lambda torch, x: torch.softmax(x, -1)  # noqa: E731
    return Kernel(
        title=f"softmax {rows}×{length}",
        arrays={"x": x, "y": x},
        inputs=("x",),
        outputs=("y",),
        steps=(Recorded(("x",), ("y",), definition),),
        loop=Step("reference.softmax", ("x",), ("y",)),
        operations=5.0 * rows * length,
        peers={
            "PyTorch": torch_call(run),
            "torch.compile": torch_compiled(run),
            "JAX": jax_call(lambda jax, x: jax.nn.softmax(x)),
            "ONNX Runtime": onnx_nodes(("Softmax", ("x0",), {"axis": -1})),
        },
        target=FUSED,
        **_elementwise(x, 1, 1),
    )


def _jax_layer_norm(jax: Any, x: Any, w: Any, b: Any) -> Any:
    mean = x.mean(-1, keepdims=True)
    apart = x - mean
    return apart * jax.lax.rsqrt((apart * apart).mean(-1, keepdims=True) + 1e-5) * w + b


def layer_norm(rows: int, length: int, definition: Lines = ("y = layer_norm x 1 w b",)) -> Kernel:
    """``definition`` makes y of x, w and b."""
    x = Array((rows, length), fill=normal)
    row = Array((length,), fill=normal)
    run = lambda torch, x, w, b: torch.layer_norm(x, (length,), w, b)  # noqa: E731
    return Kernel(
        title=f"layer norm {rows}×{length}",
        arrays={"x": x, "w": row, "b": row, "y": x},
        inputs=("x", "w", "b"),
        outputs=("y",),
        steps=(Recorded(("x", "w", "b"), ("y",), definition),),
        loop=Step("reference.layer_norm", ("x", "w", "b"), ("y",)),
        operations=8.0 * rows * length,
        peers={
            "PyTorch": torch_call(run),
            "torch.compile": torch_compiled(run),
            "JAX": jax_call(_jax_layer_norm),
            "ONNX Runtime": onnx_nodes(("LayerNormalization", ("x0", "x1", "x2"), {})),
        },
        target=FUSED,
        **_elementwise(x, 1, 1),
    )


# The tail of a layer: tanh-GELU of a product plus a bias


def _torch_gelu(torch: Any, x: Any, b: Any) -> Any:
    return torch.nn.functional.gelu(x + b, approximate="tanh")


def gelu(
    rows: int,
    length: int,
    forward: Lines = ("t = add x b", "y = gelu t approximate='tanh'"),
) -> list[Kernel]:
    """``forward`` makes y of x and b."""
    x = Array((rows, length), fill=normal)
    b = Array((length,), fill=normal)
    with_jax = lambda jax, x, b: jax.nn.gelu(x + b, approximate=True)  # noqa: E731
    return [
        Kernel(
            title=f"GELU tail {rows}×{length}, forward",
            arrays={"x": x, "b": b, "y": x},
            inputs=("x", "b"),
            outputs=("y",),
            steps=(Recorded(("x", "b"), ("y",), forward),),
            loop=Step("reference.gelu", ("x", "b"), ("y",)),
            operations=11.0 * rows * length,
            peers={
                "PyTorch": torch_call(_torch_gelu),
                "torch.compile": torch_compiled(_torch_gelu),
                "JAX": jax_call(with_jax),
                "ONNX Runtime": onnx_nodes(
                    ("Add", ("x0", "x1"), {}), ("Gelu", ("y0",), {"approximate": "tanh"})
                ),
            },
            target=FUSED,
            **_elementwise(x, 1, 1),
        ),
        Kernel(
            title=f"GELU tail {rows}×{length}, backward",
            arrays={"x": x, "b": b, "dy": x, "dx": x},
            inputs=("x", "b", "dy"),
            outputs=("dx",),
            steps=(
                Recorded(
                    ("x", "b", "dy"),
                    ("dx",),
                    ("parameters x", *forward, "dx = gradients y dy x"),
                ),
            ),
            loop=Step("reference.gelu_grad", ("dy", "x", "b"), ("dx",)),
            operations=20.0 * rows * length,
            peers={
                "PyTorch": torch_gradient(_torch_gelu, 1),
                "torch.compile": torch_gradient(_torch_gelu, 1, compiled=True),
                "JAX": jax_gradient(with_jax, 1),
            },
            target=FUSED,
            **_elementwise(x, 2, 1),
        ),
    ]


# Cross-entropy


def _torch_cross_entropy(torch: Any, x: Any, labels: Any) -> Any:
    return torch.nn.functional.cross_entropy(x, labels)


def _torch_loss_and_gradient(compiled: bool) -> Peer:
    def setup(torch: Any, x: Any, labels: Any) -> Callable[[], Any]:
        torch._dynamo.reset()
        forward = lambda x: _torch_cross_entropy(torch, x, labels)  # noqa: E731
        if compiled:
            forward = torch.compile(forward, dynamic=False)
        x.requires_grad_()

        def run() -> Any:
            with torch.enable_grad():
                loss = forward(x)
            return loss, *torch.autograd.grad(loss, x)

        return run

    return Peer("torch", setup)


def _jax_cross_entropy(jax: Any, x: Any, labels: Any) -> Any:
    picked = jax.numpy.take_along_axis(x, labels[:, None], 1)[:, 0]
    return (jax.nn.logsumexp(x, 1) - picked).mean()


def cross_entropy(
    rows: int, classes: int, forward: Lines = ("loss = cross_entropy x labels",)
) -> list[Kernel]:
    """``forward`` makes the loss of x and labels."""
    x = Array((rows, classes), fill=normal)
    labels = Array((rows,), "int64", below(classes))
    return [
        Kernel(
            title=f"cross-entropy {rows}×{classes}, forward",
            arrays={"x": x, "labels": labels, "loss": Array(())},
            inputs=("x", "labels"),
            outputs=("loss",),
            steps=(Recorded(("x", "labels"), ("loss",), forward),),
            operations=4.0 * rows * classes,
            peers={
                "PyTorch": torch_call(_torch_cross_entropy),
                "torch.compile": torch_compiled(_torch_cross_entropy),
                "JAX": jax_call(_jax_cross_entropy),
            },
            target=Target(ratio=FUSED.ratio),
            **_elementwise(x, 1, 0),
        ),
        Kernel(
            title=f"cross-entropy {rows}×{classes}, forward and backward",
            arrays={"x": x, "labels": labels, "loss": Array(()), "dx": x},
            inputs=("x", "labels"),
            outputs=("loss", "dx"),
            steps=(
                Recorded(
                    ("x", "labels"),
                    ("loss", "dx"),
                    ("parameters x", *forward, "dx = gradients loss - x"),
                ),
            ),
            loop=Step("reference.cross_entropy", ("x", "labels"), ("loss", "dx")),
            operations=6.0 * rows * classes,
            peers={
                "PyTorch": _torch_loss_and_gradient(compiled=False),
                "torch.compile": _torch_loss_and_gradient(compiled=True),
                "JAX": jax_call(
                    lambda jax, x, labels: jax.value_and_grad(
                        lambda x: _jax_cross_entropy(jax, x, labels)
                    )(x)
                ),
            },
            target=FUSED,
            **_elementwise(x, 1, 1),
        ),
    ]


KERNELS = [
    adamw(10_000_000),
    softmax(6144, 256),
    layer_norm(1024, 384),
    layer_norm(8192, 1024),
    *gelu(4096, 1536),
    *cross_entropy(1024, 8192),
]
