"""Resizing of images and sums of products, beside PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.case import Case, Row, Runner, Variant
from benchmarks.measure import median_microseconds

IMAGES = (64, 3, 512, 512)
PRODUCTS = {
    "einsum of a chain": ("ij,jk,kl->il", ((1024, 512), (512, 1024), (1024, 64))),
    "einsum of a batch": ("bij,bjk,bkl->bil", ((64, 128, 128), (64, 128, 128), (64, 128, 128))),
    "einsum, bilinear": ("ni,oij,nj->no", ((256, 128), (64, 128, 128), (256, 128))),
}
SIZES = (256, 1024)
SECONDS = 0.5  # for each call


def _titles() -> list[str]:
    resizes = [f"bilinear, 512 to {size}" for size in SIZES]
    return [*resizes, *(f"{title}, gradient" for title in resizes), *PRODUCTS]


def _random(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def _runner(calls: dict[str, Callable[[], Any]]) -> Runner:
    outputs = [float(np.asarray(call()).astype(np.float64).std()) for call in calls.values()]
    return Runner(
        lambda: {t: median_microseconds(call, SECONDS) / 1000 for t, call in calls.items()},
        outputs,
    )


def _tegula() -> Runner:
    import tegula as tg

    x = tg.asarray(_random(*IMAGES))

    def timed(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        def call() -> Any:
            y = function(*arguments)
            tg.eval(y)
            tg.synchronize()
            return y

        return call

    calls: dict[str, Callable[[], Any]] = {}
    for size in SIZES:

        def resized(image: Any, size: int = size) -> Any:
            return tg.interpolate(image, size, mode="bilinear")

        upstream = tg.asarray(_random(*IMAGES[:2], size, size))

        def gradient(image: Any, g: Any, resized: Callable[[Any], Any] = resized) -> Any:
            return tg.vjp(resized, image)[1](g)[0]

        calls[f"bilinear, 512 to {size}"] = timed(resized, x)
        calls[f"bilinear, 512 to {size}, gradient"] = timed(gradient, x, upstream)
    for title, (subscripts, shapes) in PRODUCTS.items():
        calls[title] = timed(tg.einsum, subscripts, *(tg.asarray(_random(*s)) for s in shapes))
    return _runner(calls)


def _torch() -> Runner:
    import torch

    x = torch.from_numpy(_random(*IMAGES))
    leaf = x.clone().requires_grad_()
    interpolate = torch.nn.functional.interpolate
    calls: dict[str, Callable[[], Any]] = {}
    for size in SIZES:
        upstream = torch.from_numpy(_random(*IMAGES[:2], size, size))

        def resized(size: int = size) -> Any:
            return interpolate(x, size=size, mode="bilinear")

        y = interpolate(leaf, size=size, mode="bilinear")

        def gradient(y: Any = y, g: Any = upstream) -> Any:
            return torch.autograd.grad(y, leaf, g, retain_graph=True)[0]

        calls[f"bilinear, 512 to {size}"] = resized
        calls[f"bilinear, 512 to {size}, gradient"] = gradient
    for title, (subscripts, shapes) in PRODUCTS.items():
        operands = [torch.from_numpy(_random(*s)) for s in shapes]

        def product(subscripts: str = subscripts, operands: list[Any] = operands) -> Any:
            return torch.einsum(subscripts, *operands)

        calls[title] = product
    return _runner(calls)


CASE = Case(
    name="spatial",
    method=(
        "64 images of 3 × 512 × 512 resized, and the gradient alone; sums of products of three "
        "operands. float32. The median of the calls of half a second, each waited for."
    ),
    variants=[
        Variant("Tegula", "tegula", _tegula),
        Variant("PyTorch", "torch", _torch),
    ],
    rows=[
        Row(title, title, "ms", target="PyTorch's time",
            met=lambda ours, theirs: ours <= theirs)
        for title in _titles()
    ],
    rounds=2,
    tolerance=1e-3,
)  # fmt: skip
