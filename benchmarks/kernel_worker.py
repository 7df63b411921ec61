"""A process that times kernel cases with one framework.

Started by ``sitting.py`` as ``python -m benchmarks.kernel_worker NAME``. It reads requests from
stdin and answers each with a line, both JSON: {"load": [family, title,
peer], "folder": ...} computes once and writes the outputs to the folder; {"time": seconds, "peer":
name} gives [median, low, high] seconds a call; {"drop": true} forgets the case. What the
frameworks print goes to stderr.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import FAMILIES
from benchmarks.kernel import Array, Kernel
from benchmarks.worker import answers

SHORTEST = 20e-6  # as in kernels/workbench.cc: calls shorter than this are timed in batches


class TorchArrays:
    """Arrays of PyTorch; gradients are recorded only where a case asks for it."""

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        torch.set_grad_enabled(False)
        self.module = torch

    def make(self, values: np.ndarray, array: Array, channels_last: bool) -> Any:
        x = self.module.from_numpy(values)
        if array.dtype == "bfloat16":
            x = x.view(self.module.bfloat16)
        if channels_last and x.dim() == 4:
            x = x.contiguous(memory_format=self.module.channels_last)
        return x

    def read(self, x: Any) -> np.ndarray:
        if x.dtype == self.module.bfloat16:
            x = x.float()
        values: np.ndarray = x.detach().contiguous().numpy()
        return values


class JaxArrays:
    """Arrays of JAX. It takes its number of threads from the processors it is pinned to."""

    def __init__(self) -> None:
        os.environ["JAX_PLATFORMS"] = "cpu"
        import jax

        self.module = jax

    def make(self, values: np.ndarray, array: Array, channels_last: bool) -> Any:
        x = self.module.numpy.asarray(values)
        return x.view(self.module.numpy.bfloat16) if array.dtype == "bfloat16" else x

    def read(self, x: Any) -> np.ndarray:
        return np.asarray(x.astype(np.float32) if x.dtype == "bfloat16" else x)


class OnnxArrays:
    """Values bound to a session of ONNX Runtime, so that calls copy nothing."""

    def __init__(self) -> None:
        import onnxruntime

        self.module = onnxruntime

    def make(self, values: np.ndarray, array: Array, channels_last: bool) -> Any:
        return self.module.OrtValue.ortvalue_from_numpy(values)

    def read(self, x: Any) -> np.ndarray:
        values: np.ndarray = x.numpy()
        return values


FRAMEWORKS: dict[str, Callable[[], Any]] = {
    "torch": TorchArrays,
    "jax": JaxArrays,
    "onnxruntime": OnnxArrays,
}


def find(family: str, title: str) -> Kernel:
    return next(k for k in FAMILIES[family].kernels if k.title == title)


def time_calls(call: Callable[[], Any], seconds: float) -> list[float]:
    """Median, lowest and highest seconds a call, over calls or batches for so long."""
    clock, batch = time.perf_counter, 1
    while True:
        start = clock()
        for _ in range(batch):
            call()
        elapsed = clock() - start
        if elapsed >= seconds:  # one call is all there is time for
            return [elapsed / batch] * 3
        if elapsed >= SHORTEST:
            break
        batch *= 2
    times: list[float] = []
    end = clock() + seconds
    last = clock()
    while not times or last < end:
        start = last
        for _ in range(batch):
            call()
        last = clock()
        times.append((last - start) / batch)
    times.sort()
    return [times[len(times) // 2], times[0], times[-1]]


class Server:
    """Answers requests with the arrays of one framework."""

    def __init__(self, framework: str) -> None:
        self.arrays = FRAMEWORKS[framework]()
        self.calls: dict[str, Callable[[], Any]] = {}

    def load(self, family: str, title: str, name: str, folder: Path) -> None:
        kernel = find(family, title)
        peer = kernel.peers[name]
        inputs = [
            self.arrays.make(np.load(folder / f"{x}.npy"), kernel.arrays[x], peer.channels_last)
            for x in kernel.inputs
        ]
        call = peer.setup(self.arrays.module, *inputs)
        result = call()
        outputs = result if isinstance(result, (tuple, list)) else (result,)
        for output, value in zip(kernel.outputs, outputs, strict=False):
            np.save(folder / f"{output}.{name}.npy", self.arrays.read(value))
        self.calls[name] = call

    def answer(self, request: dict[str, Any]) -> Any:
        if "load" in request:
            family, title, name = request["load"]
            self.load(family, title, name, Path(request["folder"]))
        elif "time" in request:
            return time_calls(self.calls[request["peer"]], request["time"])
        else:
            self.calls.clear()
        return None


def main(framework: str) -> None:
    channel = answers()
    server = Server(framework)
    print(json.dumps({"version": version(framework)}), file=channel)
    for line in sys.stdin:
        try:
            answer = {"ok": server.answer(json.loads(line))}
        except Exception as error:  # a case this framework cannot do must not end the others
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=channel)


def version(framework: str) -> str:
    found: str = importlib.import_module(framework).__version__
    return found


if __name__ == "__main__":
    main(sys.argv[1])
