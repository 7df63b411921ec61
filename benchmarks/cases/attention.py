"""Scaled dot-product attention."""

from __future__ import annotations

from typing import Any

from benchmarks.kernel import FMA, Array, Kernel, Recorded, Target, normal
from benchmarks.peer_calls import jax_call, jax_gradient, torch_call, torch_gradient

METHOD = (
    "Attention of float32 queries, keys and values (1, heads, length, size), forward and backward. "
    "Backward is the pass alone; what the forward pass keeps for it is there. Operations are those "
    "of the products that the definition needs, a causal mask halving them: 4 × heads × length² × "
    "size forward, 2.5 times as many backward (the scores are computed again)."
)
CALL = "y = scaled_dot_product_attention q k v"


def _pair(heads: int, length: int, size: int, causal: bool) -> list[Kernel]:
    x = Array((1, heads, length, size), fill=normal)
    call = f"{CALL} is_causal={causal}"
    work = 4.0 * heads * length**2 * size / (2 if causal else 1)

    def with_torch(torch: Any, q: Any, k: Any, v: Any) -> Any:
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)

    def with_jax(jax: Any, *operands: Any) -> Any:
        q, k, v = (x.swapaxes(1, 2) for x in operands)
        return jax.nn.dot_product_attention(q, k, v, is_causal=causal).swapaxes(1, 2)

    title = f"{heads} × {length} × {size}{', causal' if causal else ''}"
    target = Target(ratio={"PyTorch": 2.0})
    qkv = {"q": x, "k": x, "v": x}
    backward = ("dq", "dk", "dv")
    return [
        Kernel(
            title=f"{title}, forward",
            arrays=qkv | {"y": x},
            inputs=("q", "k", "v"),
            outputs=("y",),
            steps=(Recorded(("q", "k", "v"), ("y",), (call,)),),
            limit=FMA,
            operations=work,
            bytes=4.0 * x.bytes,
            peers={"PyTorch": torch_call(with_torch), "JAX": jax_call(with_jax)},
            target=target,
        ),
        Kernel(
            title=f"{title}, backward",
            arrays=qkv | {"dy": x} | dict.fromkeys(backward, x),
            inputs=("q", "k", "v", "dy"),
            outputs=backward,
            steps=(
                Recorded(
                    ("q", "k", "v", "dy"),
                    backward,
                    ("parameters q k v", call, "evaluate y", "dq dk dv = gradients y dy q k v"),
                ),
            ),
            limit=FMA,
            operations=2.5 * work,
            bytes=8.0 * x.bytes,
            peers={"PyTorch": torch_gradient(with_torch, 3), "JAX": jax_gradient(with_jax, 3)},
            target=target,
        ),
    ]


KERNELS = [*_pair(24, 256, 64, causal=False), *_pair(12, 2048, 64, causal=True)]
