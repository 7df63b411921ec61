"""Every operation of the table under every transform. An operation joins by its row alone.

The end of a run that has these tests prints how many entries passed each check.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import samples

import tegula as tg
from tegula import _core

OPS = {op.name: op for op in _core.ops()}
DRAWS = {name for name, op in OPS.items() if op.reference.startswith("random.")}
SAMPLES = [
    (n, text) for n, op in OPS.items() if n not in DRAWS for text in samples.sample_texts(op)
]
SMOOTH_TOLERANCE = 1e-10
EXAMPLES = 3
STEP = 1e-5

# Their shapes depend on values, which a function being traced does not have.
_UNIQUE = {"unique_all", "unique_values", "unique_counts", "unique_inverse"}
_POSITIONS = {"nonzero", "argwhere", "flatnonzero", "masked_select"}
READS_VALUES = {"bincount", *_POSITIONS, *_UNIQUE}


class Entry:
    """One sample of an operation as a function of its arrays."""

    def __init__(self, name: str, text: str, dtype: str = "float64") -> None:
        self.name, self.text = name, text
        self.args, self.kwargs = samples.read_sample(text, dtype)
        self.arrays: list[np.ndarray] = []

        def take(value: Any) -> Any:
            if not isinstance(value, np.ndarray):
                return value
            self.arrays.append(value)
            return _Place(len(self.arrays) - 1)

        self.form = samples.tree_map(take, (self.args, self.kwargs))
        self.floating = [i for i, x in enumerate(self.arrays) if x.dtype.kind in "fc"]

    def __call__(self, *tensors: Any) -> tuple[tg.Tensor, ...]:
        """The results, for other tensors in the places of the arrays."""

        def fill(value: Any) -> Any:
            return tensors[value.index] if isinstance(value, _Place) else value

        args, kwargs = samples.tree_map(fill, self.form)
        result = samples.operation(self.name)(*args, **kwargs)
        return tuple(result) if isinstance(result, (tuple, list)) else (result,)

    def tensors(self) -> list[tg.Tensor]:
        return [tg.asarray(x) for x in self.arrays]

    def other_arrays(self, example: int) -> list[np.ndarray]:
        """Arrays of the same shapes and kinds for another example."""
        if example == 0:
            return self.arrays
        makers = samples.Makers("float64", zlib.crc32(self.text.encode()) + example)
        args, kwargs = makers.read(self.text)
        found: list[np.ndarray] = []
        samples.tree_map(
            lambda x: found.append(x) if isinstance(x, np.ndarray) else None, (args, kwargs)
        )
        return found

    def of_floats(self) -> tuple[Any, list[tg.Tensor]]:
        """The results that have derivatives, as a function of the floating arguments; and those."""
        fixed = self.tensors()

        def results(*floats: tg.Tensor) -> tuple[tg.Tensor, ...]:
            given = list(fixed)
            for i, x in zip(self.floating, floats, strict=True):
                given[i] = x
            return self(*given)

        floats = [fixed[i] for i in self.floating]
        leaves = [tg.asarray(x).detach().requires_grad_() for x in floats]
        flows = [k for k, y in enumerate(results(*leaves)) if y.requires_grad]

        def function(*floats: tg.Tensor) -> tuple[tg.Tensor, ...]:
            every = results(*floats)
            return tuple(every[k] for k in flows)

        return function, floats

    def reads_values(self) -> bool:
        if self.arrays[0].size == 0:
            return False
        if self.name == "histogram":
            bins = self.args[1] if len(self.args) > 1 else 10
            return np.ndim(bins) == 0 and len(self.args) < 3
        if self.name == "histogram2d":
            return len(self.args) < 4
        if self.name == "repeat":
            return np.ndim(self.args[1]) > 0
        return self.name in READS_VALUES


class _Place:
    def __init__(self, index: int) -> None:
        self.index = index


def _has_derivatives(name: str, text: str) -> bool:
    entry = Entry(name, text)
    if not OPS[name].differentiable or not entry.floating:
        return False
    if not all(np.isfinite(entry.arrays[i]).all() for i in entry.floating):
        return False  # no slope to compare with
    function, floats = entry.of_floats()
    return bool(function(*floats))


DIFFERENTIABLE = [sample for sample in SAMPLES if _has_derivatives(*sample)]
TRACED = [sample for sample in DIFFERENTIABLE if not Entry(*sample).reads_values()]


def directions(tensors: Sequence[tg.Tensor], seed: int) -> tuple[tg.Tensor, ...]:
    rng = np.random.default_rng(seed)

    def direction(x: tg.Tensor) -> tg.Tensor:
        d = np.asarray(rng.standard_normal(x.shape))
        is_complex = x.dtype == tg.complex128
        return tg.asarray(d + 1j * rng.standard_normal(x.shape) if is_complex else d)

    return tuple(direction(x) for x in tensors)


def inner(a: Sequence[Any], b: Sequence[Any]) -> float:
    return sum(float(np.vdot(np.asarray(x), np.asarray(y)).real) for x, y in zip(a, b, strict=True))


def assert_same(got: Any, want: Any, what: str, tolerance: float = SMOOTH_TOLERANCE) -> None:
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    assert got.dtype == want.dtype, f"{what}: {got.dtype}, expected {want.dtype}"
    finite = want[np.isfinite(want)] if want.dtype.kind in "fc" else want
    scale = float(np.max(np.abs(finite * 1.0), initial=1e-30))
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale, err_msg=what)


def scalar_of(function: Any, weights: Sequence[tg.Tensor]) -> Any:
    """The sum of the results times fixed weights."""

    def total(*floats: tg.Tensor) -> tg.Tensor:
        parts = [
            tg.real(tg.conj(w) * y).sum() for y, w in zip(function(*floats), weights, strict=True)
        ]
        return sum(parts[1:], parts[0])

    return total


def scalarized(entry: Entry) -> tuple[Any, list[tg.Tensor]]:
    function, primals = entry.of_floats()
    return scalar_of(function, directions(function(*primals), 7)), primals


# ---- forward mode ------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "text"), DIFFERENTIABLE)
def test_jvp_is_the_slope(name, text):
    function, primals = Entry(name, text).of_floats()
    for seed in range(2):
        along = directions(primals, seed)
        values, slopes = tg.jvp(function, primals, along)
        above = function(*[x + STEP * t for x, t in zip(primals, along, strict=True)])
        below = function(*[x - STEP * t for x, t in zip(primals, along, strict=True)])
        for y, plain in zip(values, function(*primals), strict=True):
            assert_same(y, plain, f"{name}({text}): value", 1e-12)
        for slope, up, down in zip(slopes, above, below, strict=True):
            difference = (np.asarray(up) - np.asarray(down)) / (2 * STEP)
            scale = max(1.0, float(np.max(np.abs(difference), initial=0)))
            np.testing.assert_allclose(
                np.asarray(slope), difference, rtol=1e-5, atol=1e-6 * scale, err_msg=text
            )


@pytest.mark.parametrize(("name", "text"), DIFFERENTIABLE)
def test_vjp_is_the_transpose_of_jvp(name, text):
    function, primals = Entry(name, text).of_floats()
    along = directions(primals, 1)
    _, slopes = tg.jvp(function, primals, along)
    values, pull = tg.vjp(function, *primals)
    upstream = directions(values, 2)
    forward, reverse = inner(upstream, slopes), inner(pull(upstream), along)
    assert abs(forward - reverse) <= 1e-10 * max(1.0, abs(forward)), (forward, reverse)


SEVERAL = [sample for sample in DIFFERENTIABLE if len(Entry(*sample).floating) > 1]


@pytest.mark.parametrize(("name", "text"), SEVERAL)
def test_vjp_of_each_argument_alone(name, text):
    """A rule that is asked for one gradient gives it as where it is asked for all."""
    total, primals = scalarized(Entry(name, text))
    every = tg.grad(total, argnums=tuple(range(len(primals))))(*primals)
    for i, want in enumerate(every):
        alone = tg.grad(total, argnums=i)(*primals)
        # Of terms that cancel nothing is left but rounding.
        scale = max(float(np.max(np.abs(np.asarray(want)), initial=0)), 1.0)
        np.testing.assert_allclose(
            np.asarray(alone), np.asarray(want), rtol=1e-10, atol=1e-12 * scale, err_msg=text
        )


# ---- batches -----------------------------------------------------------------------------------
def subsets(count: int) -> list[tuple[int, ...]]:
    if count > 3:
        return [(i,) for i in range(count)] + [tuple(range(count))]
    every = range(1, count + 1)
    return [s for size in every for s in itertools.combinations(range(count), size)]


def stacked(entry: Entry) -> list[list[np.ndarray]]:
    """For each array, what it is in each example."""
    return list(zip(*[entry.other_arrays(b) for b in range(EXAMPLES)], strict=True))


WITH_ARRAYS = [(name, text) for name, text in SAMPLES if Entry(name, text).arrays]


@pytest.mark.parametrize(("name", "text"), WITH_ARRAYS)
def test_vmap_is_a_loop(name, text):
    entry = Entry(name, text)
    examples = stacked(entry)
    if entry.reads_values():
        with pytest.raises(tg.TraceError):
            tg.vmap(entry)(*[tg.asarray(np.stack(x)) for x in examples])
        return
    for chosen in subsets(len(examples)):
        axes = tuple(0 if i in chosen else None for i in range(len(examples)))
        given = [tg.asarray(np.stack(x) if i in chosen else x[0]) for i, x in enumerate(examples)]
        got = tg.vmap(entry, in_axes=axes)(*given)
        loop = []
        for b in range(EXAMPLES):
            one = [tg.asarray(x[b if i in chosen else 0]) for i, x in enumerate(examples)]
            loop.append(entry(*one))
        for k, y in enumerate(got):
            want = np.stack([np.asarray(results[k]) for results in loop])
            assert_same(y, want, f"{name}({text}), batched {chosen}", 1e-12)


@pytest.mark.parametrize(("name", "text"), TRACED)
def test_vmap_of_grad_and_grad_of_vmap(name, text):
    entry = Entry(name, text)
    function, primals = entry.of_floats()
    weights = directions(function(*primals), 7)
    total = scalar_of(function, weights)
    numbers = tuple(range(len(primals)))
    gradient = tg.grad(total, argnums=numbers)
    examples = [np.stack(x) for i, x in enumerate(stacked(entry)) if i in entry.floating]
    loop = [gradient(*[tg.asarray(x[b]) for x in examples]) for b in range(EXAMPLES)]
    want = [np.stack([np.asarray(g[i]) for g in loop]) for i in numbers]
    given = [tg.asarray(x) for x in examples]
    inside = tg.vmap(gradient)(*given)
    outside = tg.grad(lambda *xs: tg.vmap(total)(*xs).sum(), argnums=numbers)(*given)
    for a, b, w in zip(inside, outside, want, strict=True):
        assert_same(a, w, f"{name}({text}): vmap of grad")
        assert_same(b, w, f"{name}({text}): grad of vmap")


# ---- jit ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "text"), WITH_ARRAYS)
def test_jit_changes_no_bit(name, text):
    entry = Entry(name, text)
    if entry.reads_values():
        with pytest.raises(tg.TraceError):
            tg.jit(entry)(*entry.tensors())
        return
    for got, want in zip(tg.jit(entry)(*entry.tensors()), entry(*entry.tensors()), strict=True):
        assert np.asarray(got).tobytes() == np.asarray(want).tobytes(), f"{name}({text})"


@pytest.mark.parametrize(("name", "text"), TRACED)
def test_jit_of_derivatives_changes_no_bit(name, text):
    entry = Entry(name, text)
    total, primals = scalarized(entry)
    gradient = tg.grad(total, argnums=tuple(range(len(primals))))
    for got, want in zip(tg.jit(gradient)(*primals), gradient(*primals), strict=True):
        assert np.asarray(got).tobytes() == np.asarray(want).tobytes(), f"{name}({text})"


# ---- second derivatives ------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "text"), DIFFERENTIABLE)
def test_second_derivatives_agree(name, text):
    """Forward over reverse, reverse over reverse, and forward over forward."""
    total, primals = scalarized(Entry(name, text))
    numbers = tuple(range(len(primals)))
    along, across = directions(primals, 3), directions(primals, 4)
    gradient = tg.grad(total, argnums=numbers)
    forward = inner(tg.jvp(gradient, primals, along)[1], across)

    def slope(*xs: tg.Tensor) -> tg.Tensor:
        parts = [tg.real(tg.conj(t) * g).sum() for g, t in zip(gradient(*xs), along, strict=True)]
        return sum(parts[1:], parts[0])

    reverse = inner(tg.grad(slope, argnums=numbers)(*primals), across)
    _, twice = tg.jvp(lambda *xs: tg.jvp(total, xs, along)[1], primals, across)
    scale = max(1.0, abs(reverse))
    assert abs(forward - reverse) <= 1e-9 * scale, (forward, reverse)
    assert abs(float(twice) - reverse) <= 1e-9 * scale, (float(twice), reverse)
