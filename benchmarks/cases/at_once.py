"""Work of many small independent parts: what running them at once brings."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.case import Case, Row, Runner, Variant

BRANCHES, WIDTH, BATCH = 8, 64, 32
LAYERS = (96, 96, 96, 96, 10)  # of the perceptron
PARAMETERS, LENGTH = 200, 1000
STEPS, WARM_UP = 100, 30
Work = Callable[[], Any]


def _arrays() -> dict[str, Any]:
    """Weights and inputs, the same for all."""
    random = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return (random.normal(size=shape) / shape[-1] ** 0.5).astype(np.float32)

    return {
        "x": normal(BATCH, WIDTH) * WIDTH**0.5,
        "branches": [[normal(WIDTH, WIDTH) for _ in range(3)] for _ in range(BRANCHES)],
        "batch": normal(BATCH, LAYERS[0]) * LAYERS[0] ** 0.5,
        "layers": [normal(a, b) for a, b in itertools.pairwise(LAYERS)],
        "parameters": [normal(LENGTH) for _ in range(PARAMETERS)],
    }


def _runner(works: dict[str, Work], result: dict[str, Callable[[], float]]) -> Runner:
    outputs = []
    for name, work in works.items():
        work()
        outputs.append(result[name]())
        for _ in range(WARM_UP):
            work()
        result[name]()

    def measure() -> dict[str, float]:
        metrics = {}
        for name, work in works.items():
            start = time.perf_counter()
            for _ in range(STEPS):
                work()
            result[name]()
            metrics[name] = 1e6 * (time.perf_counter() - start) / STEPS
        return metrics

    return Runner(measure, outputs)


def _tegula(threads: int) -> Runner:
    import tegula as tg
    from tegula import nn, optim

    tg.set_num_threads(threads)
    arrays = _arrays()
    kept: dict[str, tg.Tensor] = {}
    x = tg.asarray(arrays["x"])
    branches = [[tg.asarray(w) for w in branch] for branch in arrays["branches"]]
    batch = tg.asarray(arrays["batch"])
    layers = [nn.Parameter(tg.asarray(w)) for w in arrays["layers"]]
    parameters = [nn.Parameter(tg.asarray(w)) for w in arrays["parameters"]]
    optimizer = optim.AdamW(parameters)
    for p in parameters:
        p.grad = p.detach() * 0.5

    @tg.jit
    def forward(x: tg.Tensor) -> tg.Tensor:
        ends = []
        for branch in branches:
            h = x
            for w in branch:
                h = tg.tanh(h @ w)
            ends.append(h)
        return sum(ends[1:], start=ends[0])

    @tg.jit
    def backward(batch: tg.Tensor) -> tg.Tensor:
        for w in layers:
            w.grad = None
        h = batch
        for w in layers[:-1]:
            h = tg.relu(h @ w)
        loss = ((h @ layers[-1]) ** 2).mean()
        loss.backward()
        return loss

    update = tg.jit(optimizer.step)

    def run_forward() -> None:
        kept["forward"] = forward(x)
        tg.submit()

    def run_backward() -> None:
        kept["backward"] = backward(batch)

    def run_update() -> None:
        update()

    return _runner(
        {"branches": run_forward, "gradients": run_backward, "updates": run_update},
        {
            "branches": lambda: kept["forward"].sum().item(),
            "gradients": lambda: sum(w.grad.sum().item() for w in layers),
            "updates": lambda: sum(p.sum().item() for p in parameters[:3]),
        },
    )


def _torch(threads: int) -> Runner:
    import torch

    torch.set_num_threads(threads)
    arrays = _arrays()
    kept: dict[str, torch.Tensor] = {}
    x = torch.from_numpy(arrays["x"])
    branches = [[torch.from_numpy(w) for w in branch] for branch in arrays["branches"]]
    batch = torch.from_numpy(arrays["batch"])
    layers = [torch.nn.Parameter(torch.from_numpy(w)) for w in arrays["layers"]]
    parameters = [torch.nn.Parameter(torch.from_numpy(w)) for w in arrays["parameters"]]
    optimizer = torch.optim.AdamW(parameters, fused=True)
    for p in parameters:
        p.grad = p.detach() * 0.5

    def run_forward() -> None:
        ends = []
        for branch in branches:
            h = x
            for w in branch:
                h = torch.tanh(h @ w)
            ends.append(h)
        kept["forward"] = sum(ends[1:], start=ends[0])

    def run_backward() -> None:
        for w in layers:
            w.grad = None
        h = batch
        for w in layers[:-1]:
            h = torch.relu(h @ w)
        ((h @ layers[-1]) ** 2).mean().backward()

    def run_update() -> None:
        optimizer.step()

    return _runner(
        {"branches": run_forward, "gradients": run_backward, "updates": run_update},
        {
            "branches": lambda: kept["forward"].sum().item(),
            "gradients": lambda: sum(w.grad.sum().item() for w in layers),
            "updates": lambda: sum(p.sum().item() for p in parameters[:3]),
        },
    )


TITLES = {
    "branches": f"{BRANCHES} branches of 3 layers, {BATCH}×{WIDTH}, forward",
    "gradients": f"forward and backward of a perceptron {'–'.join(map(str, LAYERS))}, {BATCH} rows",
    "updates": f"AdamW of {PARAMETERS} parameters of {LENGTH} numbers",
}

CASE = Case(
    name="at_once",
    method=(
        f"Mean of {STEPS} calls in a row, the result of the last read. Under `tg.jit`; PyTorch "
        "eager, `fused=True`. Steps of a plan that do not depend on each other and are too small "
        "to be split run at the same time."
    ),
    variants=[
        Variant("Tegula", "tegula", partial(_tegula, 2)),
        Variant("Tegula, 1 thread", "tegula", partial(_tegula, 1)),
        Variant("PyTorch", "torch", partial(_torch, 2)),
    ],
    rows=[
        row
        for metric, title in TITLES.items()
        for row in (
            Row(title, metric, "µs"),
            Row("the same, 2 threads for 1", metric, "µs", theirs="Tegula, 1 thread"),
        )
    ],
)
