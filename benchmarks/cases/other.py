"""Everything else: normalisation over a batch, pooling, sorting, indexing, copies, sums, random."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.kernel import Array, Kernel, Limit, Peer, Recorded, Target, below, normal, traffic
from benchmarks.peer_calls import jax_call, onnx_nodes, torch_call, torch_gradient

METHOD = (
    "Float32, unless said. The limit is a pass that only moves the bytes a case must read and "
    "write. Tegula runs the steps that its planner makes of the public operations."
)
HALF_MORE = Target(ratio={"PyTorch": 1.5})
NOTHING_ASKED = Target()
BANDWIDTH = Target((0.9, 0.9))
LAST = (0, 2, 3, 1)  # channels-last
Torch = Callable[..., Any]


def _case(
    title: str, arrays: Mapping[str, Array], lines: tuple[str, ...], inputs: tuple[str, ...],
    outputs: tuple[str, ...], limit: Limit, peers: Mapping[str, Peer],
    target: Target = NOTHING_ASKED, operations: float = 0.0, compared: bool = True,
) -> Kernel:  # fmt: skip
    operands = {*inputs, *outputs}
    return Kernel(
        title=title,
        arrays=arrays,
        inputs=inputs,
        outputs=outputs if compared else (),
        steps=(Recorded(inputs, outputs, lines),),
        limit=limit,
        operations=operations,
        bytes=float(sum(arrays[name].bytes for name in operands)),
        peers=peers,
        target=target,
    )


def _both(function: Torch) -> dict[str, Peer]:
    return {
        "PyTorch": torch_call(function),
        "PyTorch channels-last": torch_call(function, channels_last=True),
    }


def _batch_norm(channels: int, size: int) -> list[Kernel]:
    shape = (16, channels, size, size)
    x, w = Array(shape, fill=normal), Array((channels,), fill=normal)
    forward = "y = batch_norm x None None w b training=True"

    def run(torch: Any, x: Any, w: Any, b: Any) -> Any:
        return torch.batch_norm(x, w, b, None, None, True, 0.1, 1e-5, False)

    name = f"batch norm {channels}@{size}², training"
    gradients = {"dx": x, "dw": w, "db": w}
    return [
        _case(f"{name}, forward", {"x": x, "w": w, "b": w, "y": x}, (forward,), ("x", "w", "b"),
              ("y",), traffic(1, 1, x.bytes), _both(run), HALF_MORE),
        _case(
            f"{name}, backward", {"x": x, "w": w, "b": w, "dy": x} | gradients,
            ("parameters x w b", forward, "evaluate y", "dx dw db = gradients y dy x w b"),
            ("x", "w", "b", "dy"), ("dx", "dw", "db"), traffic(2, 1, x.bytes),
            {"PyTorch": torch_gradient(run, 3),
             "PyTorch channels-last": torch_gradient(run, 3, channels_last=True)},
            HALF_MORE,
        ),
    ]  # fmt: skip


def _pooling(
    kind: str, kernel: int, stride: int, padding: int, shape: tuple[int, ...] = (16, 64, 112)
) -> list[Kernel]:
    images, channels, extent = shape
    size = (extent + 2 * padding - kernel) // stride + 1
    x = Array((images, channels, extent, extent), fill=normal, order=LAST)
    y = Array((images, channels, size, size), fill=normal, order=LAST)
    forward = f"y = {kind}_pool2d x {kernel} {stride} {padding}"

    def run(torch: Any, x: Any) -> Any:
        pool = getattr(torch.nn.functional, f"{kind}_pool2d")
        return pool(x, kernel, stride, padding)

    name = f"{kind} pooling {kernel}×{kernel} stride {stride}, {channels}@{extent}²"
    return [
        _case(f"{name}, forward", {"x": x, "y": y}, (forward,), ("x",), ("y",),
              traffic(1, 1, x.bytes), _both(run), HALF_MORE),
        _case(f"{name}, backward", {"x": x, "dy": y, "dx": x},
              ("parameters x", forward, "evaluate y", "dx = gradients y dy x"),
              ("x", "dy"), ("dx",), traffic(2, 1, x.bytes),
              {"PyTorch": torch_gradient(run, 1),
               "PyTorch channels-last": torch_gradient(run, 1, channels_last=True)}, HALF_MORE),
    ]  # fmt: skip


def _embedding_gradient(entries: int, size: int, count: int) -> Kernel:
    weight, index = Array((entries, size), fill=normal), Array((count,), "int64", below(entries))
    dy = Array((count, size), fill=normal)

    def run(torch: Any, weight: Any, index: Any, dy: Any) -> Any:
        return torch.ops.aten.embedding_dense_backward(dy, index, entries, -1, False)

    return _case(
        f"embedding gradient, {count} of {entries}×{size}",
        {"weight": weight, "index": index, "dy": dy, "dweight": weight},
        ("parameters weight", "y = embedding weight index", "evaluate y",
         "dweight = gradients y dy weight"),
        ("weight", "index", "dy"), ("dweight",),
        traffic(1, 1, (dy.bytes + weight.bytes) // 2), {"PyTorch": torch_call(run)}, HALF_MORE,
    )  # fmt: skip


def _simple(
    title: str, x: Array, y: Array, lines: str, run: Torch, limit: Limit,
    target: Target = NOTHING_ASKED, more: Mapping[str, Peer] | None = None, operations: float = 0.0,
) -> Kernel:  # fmt: skip
    """One operand, one result; lines are parted by semicolons."""
    peers = {"PyTorch": torch_call(run), **(more or {})}
    return _case(title, {"x": x, "y": y}, tuple(lines.split("; ")), ("x",), ("y",), limit, peers,
                 target, operations)  # fmt: skip


def _random(kind: str, count: int) -> Kernel:
    y = Array((count,))
    draw = {"uniform": "rand", "normal": "randn"}[kind]
    return _case(
        f"random {kind}, {count >> 20} Mi", {"y": y}, (f"y = random_{kind} {count}",), (), ("y",),
        traffic(0, 1, y.bytes), {"PyTorch": torch_call(lambda torch: getattr(torch, draw)(count))},
        Target(ratio={"PyTorch": 1.0}), compared=False,
    )  # fmt: skip


_MANY = Array((1 << 24,), fill=normal)
_SQUARE = Array((4096, 4096), fill=normal)
_FOUR = Array((1 << 22,), fill=normal)

KERNELS = [
    *_batch_norm(64, 56),
    *_pooling("max", 2, 2, 0),
    *_pooling("max", 2, 2, 0, (128, 32, 28)),
    *_pooling("max", 3, 2, 1),
    *_pooling("avg", 2, 2, 0),
    _simple(
        "global average pooling 512@7²", Array((32, 512, 7, 7), fill=normal),
        Array((32, 512, 1, 1)), "y = adaptive_avg_pool2d x 1",
        lambda torch, x: torch.nn.functional.adaptive_avg_pool2d(x, 1),
        traffic(1, 0, 32 * 512 * 49 * 4), HALF_MORE,
    ),
    _embedding_gradient(20_000, 256, 16_384),
    _simple(
        "sum of 16 Mi", _MANY, Array(()), "y = sum x", lambda torch, x: x.sum(),
        traffic(1, 0, _MANY.bytes), BANDWIDTH,
        {"JAX": jax_call(lambda jax, x: x.sum())}, 1 << 24,
    ),
    _simple(
        "transposed copy of 4096²", _SQUARE, _MANY,
        f"t = permute_dims x 1,0; y = reshape t {1 << 24}",
        lambda torch, x: x.T.reshape(-1), traffic(1, 1, _SQUARE.bytes),
        Target(ratio={"PyTorch": 1.0}), {"JAX": jax_call(lambda jax, x: x.T.reshape(-1))},
    ),
    _simple(
        "cumulative sum of 4096 rows of 4096", _SQUARE, _SQUARE, "y = cumulative_sum x 1",
        lambda torch, x: x.cumsum(1), traffic(1, 1, _SQUARE.bytes),
        Target(ratio={"PyTorch": 1.0}), {"JAX": jax_call(lambda jax, x: x.cumsum(1))}, 1 << 24,
    ),
    _simple(
        "sort of 1 Mi", Array((1 << 20,), fill=normal), Array((1 << 20,)), "y = sort x",
        lambda torch, x: x.sort().values, traffic(1, 1, 4 << 20), Target(ratio={"PyTorch": 1.0}),
        {"JAX": jax_call(lambda jax, x: jax.numpy.sort(x))},
    ),
    _simple(
        "10 largest of 1000 rows of 10,000", Array((1000, 10_000), fill=normal),
        Array((1000, 10)), "y i = topk x 10", lambda torch, x: x.topk(10).values,
        traffic(1, 0, 40_000_000), Target(ratio={"PyTorch": 1.0}),
        {"JAX": jax_call(lambda jax, x: jax.lax.top_k(x, 10)[0])},
    ),
    _case(
        "50,000 rows of 100,000×256 gathered",
        {"x": Array((100_000, 256), fill=normal), "i": Array((50_000,), "int64", below(100_000)),
         "y": Array((50_000, 256))},
        ("y = take x i axis=0",), ("x", "i"), ("y",), traffic(1, 1, 51_200_000),
        {"PyTorch": torch_call(lambda torch, x, i: x[i]),
         "JAX": jax_call(lambda jax, x, i: x[i]),
         "ONNX Runtime": onnx_nodes(("Gather", ("x0", "x1"), {"axis": 0}))},
        Target(ratio={"PyTorch": 1.0}),
    ),
    _case(
        "tanh(x · y + z) of 4 Mi", {"x": _FOUR, "y": _FOUR, "z": _FOUR, "r": _FOUR},
        ("p = multiply x y", "q = add p z", "r = tanh q"), ("x", "y", "z"), ("r",),
        traffic(3, 1, _FOUR.bytes),
        {"PyTorch": torch_call(lambda torch, x, y, z: torch.tanh(x * y + z)),
         "JAX": jax_call(lambda jax, x, y, z: jax.numpy.tanh(x * y + z))},
        Target(ratio={"PyTorch": 2.0}), 3.0 * (1 << 22),
    ),
    _random("uniform", 1 << 24),
    _random("normal", 1 << 24),
]  # fmt: skip
