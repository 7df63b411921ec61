"""PyTorch's own sample inputs under ``tegula.compat.torch``: values and gradients compared.

Run with an interpreter that has torch, Tegula on its path:

    PYTHONPATH=. PYTHON tests/opinfo/run.py [--samples N] [--write FILE] [NAME ...]

For each entry of ``op_db`` that supports float32 on the CPU: all its samples (or the first N), in
PyTorch and in the compat layer. Random entries compare shapes and dtypes only.
"""

from __future__ import annotations

import argparse
import collections
import json
import signal
import sys
import types
import warnings
from typing import Any

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db

import tegula.compat.torch as compat

warnings.filterwarnings("ignore")
RANDOM = [
    "bernoulli",
    "cauchy",
    "exponential",
    "geometric",
    "log_normal",
    "normal",
    "multinomial",
    "rand",
    "randn",
    "randint",
    "rand_like",
    "randn_like",
    "randint_like",
    "uniform",
    "empty",
    "empty_like",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "empty_permuted",
    "nn.functional.dropout",
    "nn.functional.dropout2d",
    "nn.functional.dropout3d",
    "nn.functional.alpha_dropout",
    "nn.functional.feature_alpha_dropout",
    "nn.functional.rrelu",
    "randperm",
    "pca_lowrank",
    "svd_lowrank",
]


class Mismatch(Exception):
    """The two differ."""


def convert(x: Any) -> Any:
    if isinstance(x, torch.Tensor):
        plain = x.detach().resolve_conj().resolve_neg()
        if x.is_sparse or x.layout != torch.strided:
            raise NotImplementedError("sparse tensors")
        array = plain.contiguous()
        array = array.float().numpy() if x.dtype == torch.bfloat16 else array.numpy()
        made = compat.from_numpy(array)
        if x.dtype == torch.bfloat16:
            made = made.bfloat16()
        return made.requires_grad_() if x.requires_grad else made
    if isinstance(x, torch.dtype):
        return getattr(compat, str(x).removeprefix("torch."))
    if isinstance(x, torch.device):
        return compat.device(str(x))
    if isinstance(x, (torch.memory_format, torch.layout)):
        return None
    if type(x) in (list, tuple) or isinstance(x, torch.Size):
        return (list if type(x) is list else tuple)(convert(v) for v in x)
    if isinstance(x, dict):
        return {k: convert(v) for k, v in x.items()}
    if isinstance(x, types.FunctionType):
        return moved(x)
    return x


def moved(f: Any) -> Any:
    """The function with this module where it says torch."""
    world = {**f.__globals__, "torch": compat}
    if "F" in world:
        world["F"] = compat.nn.functional
    return types.FunctionType(f.__code__, world, f.__name__, f.__defaults__, f.__closure__)


def find(entry: Any) -> Any:
    """The same operation in the compat layer."""
    if isinstance(entry.op, types.FunctionType) and "<lambda>" in entry.op.__name__:
        return moved(entry.op)
    place: Any = compat
    try:
        for part in entry.name.split("."):
            place = getattr(place, part)
        if not callable(place):
            raise AttributeError(entry.name)
        return place
    except (NotImplementedError, AttributeError) as e:
        method = getattr(compat.Tensor, entry.name, None)
        if callable(method):
            return method
        if isinstance(entry.op, types.FunctionType) and entry.op.__module__.startswith(
            "torch.test"
        ):
            return moved(entry.op)
        raise NotImplementedError(str(e)) from None


def flat(x: Any) -> list[Any]:
    if isinstance(x, (tuple, list)):
        return [v for item in x for v in flat(item)]
    if isinstance(x, dict):
        return [v for item in x.values() for v in flat(item)]
    return [x]


def compare(
    what: str, theirs: Any, mine: Any, tolerance: tuple[float, float], random: bool
) -> None:
    if not isinstance(theirs, torch.Tensor):
        if isinstance(theirs, (bool, int, float)) and theirs != mine and not random:
            raise Mismatch(f"{what}: {theirs} expected, got {mine}")
        return
    if not isinstance(mine, compat.Tensor):
        raise Mismatch(f"{what}: a tensor expected, got {type(mine).__name__}")
    if tuple(theirs.shape) != tuple(mine.shape):
        raise Mismatch(f"{what}: shape {tuple(theirs.shape)} expected, got {tuple(mine.shape)}")
    if str(theirs.dtype).removeprefix("torch.") != mine.dtype.name:
        raise Mismatch(f"{what}: dtype {theirs.dtype} expected, got {mine.dtype.name}")
    if random:
        return
    a, b = theirs.detach().resolve_conj().resolve_neg(), mine.detach()
    if a._is_zerotensor():
        a = torch.zeros(a.shape, dtype=a.dtype)
    left = a.float().numpy() if a.dtype == torch.bfloat16 else a.numpy()
    right = b.float().numpy() if a.dtype == torch.bfloat16 else b.numpy()
    if not np.allclose(right, left, *tolerance, equal_nan=True):
        off = np.argwhere(~np.isclose(right, left, *tolerance, equal_nan=True))[0]
        pair = f"{left[tuple(off)]} expected, got {right[tuple(off)]}"
        raise Mismatch(f"{what}: at {tuple(off)} of {left.shape}: {pair}")


def leaves(*trees: Any) -> list[Any]:
    return [x for x in flat(trees) if hasattr(x, "requires_grad") and x.requires_grad]


def run_sample(entry: Any, ours: Any, sample: Any) -> None:
    random = entry.name in RANDOM
    given = (sample.input, list(sample.args), dict(sample.kwargs))
    x, args, kwargs = convert(given)
    expected = entry.op(sample.input, *sample.args, **sample.kwargs)
    got = ours(x, *args, **kwargs)
    expected, got = (sample.output_process_fn_grad(v) for v in (expected, got))
    theirs, mine = flat(expected), flat(got)
    if len(theirs) != len(mine):
        raise Mismatch(f"{len(theirs)} results expected, got {len(mine)}")
    for i, (a, b) in enumerate(zip(theirs, mine, strict=True)):
        compare(f"result {i}", a, b, (1e-4, 1e-5), random)
    if not entry.supports_autograd or random:
        return
    wanted, inputs = leaves(*given), leaves(x, args, kwargs)
    pairs = [
        (a, b)
        for a, b in zip(theirs, mine, strict=True)
        if isinstance(a, torch.Tensor) and a.requires_grad
    ]
    if not pairs or not wanted:
        return
    rng = np.random.default_rng(0)
    seeds = [rng.standard_normal(tuple(a.shape)).astype(np.float32) for a, _ in pairs]
    theirs = torch.autograd.grad(
        [a for a, _ in pairs],
        wanted,
        [
            torch.from_numpy(np.asarray(s)).to(a.dtype)
            for s, (a, _) in zip(seeds, pairs, strict=True)
        ],
        allow_unused=True,
    )
    # A result that depends on no input has no gradient here and a gradient of zeros there.
    varying = [(s, b) for s, (_, b) in zip(seeds, pairs, strict=True) if b.requires_grad]
    mine = [None] * len(wanted)
    if varying:
        mine = compat.autograd.grad(
            [b for _, b in varying],
            inputs,
            [compat.from_numpy(np.asarray(s)).to(b.dtype) for s, b in varying],
            allow_unused=True,
        )
    for i, (a, b, w) in enumerate(zip(theirs, mine, wanted, strict=True)):
        a = torch.zeros_like(w) if a is None else a
        b = compat.zeros(tuple(w.shape), dtype=convert(w.dtype)) if b is None else b
        compare(f"gradient {i}", a, b, (1e-3, 1e-4), False)


def late(*_: Any) -> None:
    raise TimeoutError("took more than 60 s")


def run_entry(entry: Any, limit: int) -> tuple[str, str]:
    """("matched" or "mismatched" or "missing", why)."""
    try:
        ours = find(entry)
    except NotImplementedError as e:
        return "missing", str(e)
    count = 0
    try:
        signal.alarm(60)
        for sample in entry.sample_inputs(
            "cpu", torch.float32, requires_grad=entry.supports_autograd
        ):
            if count == limit:
                break
            count += 1
            run_sample(entry, ours, sample)
    except NotImplementedError as e:
        return "missing", f"{e}"
    except Exception as e:
        text = f"sample {count}: {type(e).__name__}: {e}".replace("\n", " ")
        return "mismatched", text[:300]
    finally:
        signal.alarm(0)
    return "matched", f"{count} samples"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--samples", type=int, default=-1)
    parser.add_argument("--write")
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, late)
    torch.manual_seed(0)
    found: dict[str, dict[str, str]] = {"matched": {}, "mismatched": {}, "missing": {}}
    with_gradient = 0
    for entry in op_db:
        name = entry.name + (f".{entry.variant_test_name}" if entry.variant_test_name else "")
        if options.names and not any(n in name for n in options.names):
            continue
        if torch.float32 not in entry.dtypes:
            continue
        kind, why = run_entry(entry, options.samples)
        found[kind][name] = why
        with_gradient += kind == "matched" and entry.supports_autograd
        if options.names or kind == "mismatched":
            print(f"{kind}: {name}: {why}", flush=True)
    wanting = collections.Counter(found["missing"].values())
    for why, times in wanting.most_common(60):
        print(f"missing x{times}: {why}")
    counts = {kind: len(names) for kind, names in found.items()}
    print(f"{sum(counts.values())} entries: {counts}; matched with a gradient: {with_gradient}")
    if options.write:
        with open(options.write, "w", encoding="utf-8") as file:
            json.dump({"torch": torch.__version__, **found}, file, indent=1, sort_keys=True)
            file.write("\n")


if __name__ == "__main__":
    sys.exit(main())
