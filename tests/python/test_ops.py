"""Every operation of the table: its value against NumPy and SciPy, its derivative against finite
differences, odd memory layouts against plain ones. An operation joins by its row alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
import samples
import scipy.special
import scipy.stats

import tegula as tg
from tegula import _core

OPS = {op.name: op for op in _core.ops()}
SAMPLES = [(name, text) for name, op in OPS.items() for text in samples.sample_texts(op)]
# Draws are checked for what they promise, in test_random.py.
DRAWS = {name for name, op in OPS.items() if op.reference.startswith("random.")}
# Their results jump where a quotient is nearly whole.
STEPS = {"nextafter", "astype", "floor_divide", "remainder", "trunc_divide"}
RELATIVE = {"float64": 1e-6}  # of a row's tolerance, which is for float32
# Second derivatives that are no use to check: piecewise linear in what they depend on, or the
# finite difference of a difference is too rough.
_SMOOTH = """multiply divide exp tanh sigmoid log sqrt rsqrt reciprocal pow sin erf square matmul
conv2d avg_pool2d max_pool2d sum prod mean var softmax log_softmax logsumexp gelu silu layer_norm
rms_norm batch_norm cross_entropy scaled_dot_product_attention take take_along_axis put_along_axis
scatter_add index_add concat pad sort cumulative_sum linear binary_cross_entropy_with_logits where
tril reshape permute_dims broadcast_to flip roll"""
SMOOTH = _SMOOTH.split()
function = samples.operation


def test_each_name_is_declared_once():
    assert len(OPS) == len(_core.ops())


def expected(name: str, args: tuple, kwargs: dict) -> Any:
    text = OPS[name].reference or f"numpy.{name}"
    names = {"numpy": np, "scipy": scipy, "reference": reference}
    with np.errstate(all="ignore"):
        return eval(text, names)(*args, **kwargs)


def to_tensor(value: Any) -> Any:
    return tg.asarray(value) if isinstance(value, np.ndarray) else value


def run(name: str, args: tuple, kwargs: dict) -> Any:
    return function(name)(*samples.tree_map(to_tensor, args), **samples.tree_map(to_tensor, kwargs))


def arrays(result: Any) -> list[np.ndarray]:
    return [np.asarray(x) for x in samples.leaves(result)]


def assert_close(got: np.ndarray, want: Any, tolerance: float, what: str) -> None:
    want = np.asarray(want)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    if got.dtype.kind in "biu":
        np.testing.assert_array_equal(got, want, err_msg=what)
        return
    scale = float(np.max(np.abs(want[np.isfinite(want)]), initial=1e-30))
    wide = np.complex128 if got.dtype.kind == "c" else np.float64
    np.testing.assert_allclose(
        got.astype(wide), want.astype(wide), rtol=tolerance, atol=tolerance * scale,
        err_msg=what,
    )  # fmt: skip


# ---- The rows ---------------------------------------------------------------------------------
@pytest.mark.parametrize("name", OPS)
def test_a_row_says_what_is_needed(name):
    op = OPS[name]
    assert op.doc.endswith("."), "a documentation of whole sentences"
    assert op.samples, "samples"
    assert op.reference or hasattr(np, name), "a reference"
    assert callable(function(name))
    if op.method:
        assert hasattr(tg.Tensor, name)


def test_names_are_given_once():
    names = [op.name for op in _core.ops()]
    assert len(names) == len(set(names))


# ---- Values -----------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "text"), SAMPLES)
def test_value(name, text, dtype):
    if name in DRAWS:
        pytest.skip("random")
    args, kwargs = samples.read_sample(text, dtype)
    got = run(name, args, kwargs)
    assert isinstance(got, (tuple, list)) == OPS[name].returns_tuple
    want = samples.leaves(expected(name, args, kwargs))
    got = arrays(got)
    assert len(got) == len(want)
    for k, axis in reference.VECTORS.get(name, {}).items():
        got[k] = reference.turned(got[k], want[k], axis)
    for g, w in zip(got, want, strict=True):
        tolerance = OPS[name].tolerance * RELATIVE.get(str(g.dtype), 1.0)
        assert_close(g, w, tolerance, f"{name}({text}) in {dtype}")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", OPS)
def test_16_bit_floats(name, dtype):
    """Computed from rounded arguments, the result is float32's to the precision of the dtype."""
    if name in DRAWS or name in STEPS:
        pytest.skip("not a rounding of the exact result")
    text = samples.sample_texts(OPS[name])[0]
    args, kwargs = samples.read_sample(text, "float32")

    def narrow(value: Any) -> Any:
        floating = isinstance(value, np.ndarray) and value.dtype.kind == "f"
        return tg.astype(tg.asarray(value), dtype) if floating else to_tensor(value)

    def widen(value: Any) -> Any:
        return tg.astype(value, "float32") if isinstance(value, tg.Tensor) and str(
            value.dtype
        ).endswith(dtype) else value  # fmt: skip

    small = samples.tree_map(narrow, args), samples.tree_map(narrow, kwargs)
    got = samples.tree_map(widen, function(name)(*small[0], **small[1]))
    want = function(name)(*samples.tree_map(widen, small[0]), **samples.tree_map(widen, small[1]))
    for g, w in zip(arrays(got), arrays(want), strict=True):
        assert_close(g, w, 4e-3 if dtype == "float16" else 4e-2, f"{name}({text}) in {dtype}")


INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
_UNARY = "negative abs square bitwise_invert sum prod max min argmax sort argsort flip"
_BINARY = """add subtract multiply maximum minimum equal less floor_divide remainder bitwise_and
bitwise_xor matmul where take concat cumulative_sum"""


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", (_UNARY + " " + _BINARY).split())
def test_integers(name, dtype):
    rng = np.random.default_rng(3)
    a = rng.integers(0 if dtype[0] == "u" else -11, 11, (4, 4)).astype(dtype)
    b = rng.integers(1, 5, (4, 4)).astype(dtype)
    special = {
        "where": (a > 2, a, b),
        "take": (a, b),
        "concat": ([a, b],),
        "cumulative_sum": (a, 0),
    }
    args = special.get(name, (a,) if name in _UNARY.split() else (a, b))
    got = np.asarray(run(name, args, {}))
    want = np.asarray(expected(name, args, {}))
    np.testing.assert_array_equal(got, want)
    assert got.dtype == want.dtype


# ---- Derivatives ------------------------------------------------------------------------------
DIFFERENTIABLE = [(n, t) for n, t in SAMPLES if OPS[n].differentiable and t != "special()"]
STEP = 1e-6


class Slope:
    """A call as a function of all its floating-point arguments together, made a number by fixed
    random weights; differentiated along one random direction."""

    def __init__(self, name: str, args: tuple, kwargs: dict) -> None:
        self.name, self.args, self.kwargs = name, args, kwargs
        self.rng = np.random.default_rng(5)
        self.inputs = [x for x in samples.leaves((args, kwargs)) if self._varies(x)]
        # Results that no derivative flows from, such as running statistics, weigh nothing.
        weigh = [y.requires_grad for y in self._results([leaf(x) for x in self.inputs])]
        self.weights = [
            self._normal(y) * flows
            for y, flows in zip(self._results(self.inputs), weigh, strict=True)
        ]

    @staticmethod
    def _varies(x: Any) -> bool:
        return isinstance(x, np.ndarray) and x.dtype in (np.float64, np.complex128)

    def _normal(self, like: Any) -> np.ndarray:
        """Random numbers of the same shape, complex where those of `like` are."""
        x = self.rng.standard_normal(like.shape)
        return x + 1j * self.rng.standard_normal(like.shape) if is_complex(like) else x

    def _results(self, inputs: list[Any]) -> list[tg.Tensor]:
        left = iter(inputs)
        args, kwargs = samples.tree_map(
            lambda x: to_tensor(next(left) if self._varies(x) else x), (self.args, self.kwargs)
        )
        result = samples.leaves(function(self.name)(*args, **kwargs))
        return [y for y in result if y.dtype in (tg.float64, tg.complex128)]

    def __call__(self, inputs: list[Any]) -> tg.Tensor:
        total = tg.asarray(np.zeros(()))
        for y, w in zip(self._results(inputs), self.weights, strict=True):
            total = total + tg.real(tg.conj(tg.asarray(w)) * y).sum()
        return total

    def gradients(self, inputs: list[tg.Tensor], create_graph: bool = False) -> list[tg.Tensor]:
        """By the operation's rule; `inputs` are leaves."""
        return gradients(self(inputs), inputs, create_graph)

    def directions(self) -> list[np.ndarray]:
        return [self._normal(x) for x in self.inputs]


def gradients(
    loss: tg.Tensor, inputs: list[tg.Tensor], create_graph: bool = False
) -> list[tg.Tensor]:
    for x in inputs:
        x.grad = None
    if loss.requires_grad:
        loss.backward(create_graph=create_graph)
    return [tg.zeros_like(x) if x.grad is None else x.grad for x in inputs]


def leaf(x: np.ndarray) -> tg.Tensor:
    t = tg.asarray(x)
    t.requires_grad = True
    return t


def moved(inputs: list[np.ndarray], by: list[np.ndarray], step: float) -> list[np.ndarray]:
    return [np.asarray(x + step * d) for x, d in zip(inputs, by, strict=True)]


def is_complex(x: Any) -> bool:
    return x.dtype in (np.complex128, tg.complex128)


def inner(a: list[Any], b: list[np.ndarray]) -> float:
    """The sum of products of all parts."""
    return sum(float(np.vdot(np.asarray(x), y).real) for x, y in zip(a, b, strict=True))


def assert_slopes_agree(rule: float, difference: float, what: str, tolerance: float) -> None:
    assert abs(rule - difference) <= tolerance * max(1.0, abs(rule), abs(difference)), (
        f"{what}: the rule gives a slope of {rule}, finite differences {difference}"
    )


@pytest.mark.parametrize(("name", "text"), DIFFERENTIABLE)
def test_derivative(name, text):
    slope = Slope(name, *samples.read_sample(text, "float64"))
    if not slope.inputs:
        pytest.skip("no floating-point argument")
    rule = slope.gradients([leaf(x) for x in slope.inputs])
    for g, x in zip(rule, slope.inputs, strict=True):
        assert g.shape == x.shape
    for _ in range(3):
        by = slope.directions()
        above = float(slope(moved(slope.inputs, by, STEP)))
        below = float(slope(moved(slope.inputs, by, -STEP)))
        assert_slopes_agree(
            inner(rule, by), (above - below) / (2 * STEP), f"{name}({text})", 1e-6
        )  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [s for s in DIFFERENTIABLE if s[0] in SMOOTH])
def test_second_derivative(name, text):
    slope = Slope(name, *samples.read_sample(text, "float64"))
    if not slope.inputs:
        pytest.skip("no floating-point argument")
    by = slope.directions()

    def gradient_along(inputs: list[tg.Tensor], create_graph: bool) -> tg.Tensor:
        total = tg.asarray(np.zeros(()))
        for g, d in zip(slope.gradients(inputs, create_graph), by, strict=True):
            total = total + tg.real(tg.conj(tg.asarray(d)) * g).sum()
        return total

    inputs = [leaf(x) for x in slope.inputs]
    total = gradient_along(inputs, create_graph=True)
    rule = gradients(total, inputs)
    along = slope.directions()
    above = float(gradient_along([leaf(x) for x in moved(slope.inputs, along, STEP)], False))
    below = float(gradient_along([leaf(x) for x in moved(slope.inputs, along, -STEP)], False))
    assert_slopes_agree(inner(rule, along), (above - below) / (2 * STEP), f"{name}({text})", 1e-5)


def test_running_product_has_its_derivative_at_zeros():
    for line in ([2.0, 0.0, 3.0, 4.0], [0.0, 0.0, 3.0], [1.0, 2.0, 0.0]):
        x = leaf(np.array(line))
        (got,) = gradients(tg.cumulative_prod(x).sum(), [x])
        count = len(line)
        want = [
            sum(np.prod(np.delete(line[: j + 1], i)) for j in range(i, count)) for i in range(count)
        ]
        np.testing.assert_allclose(np.asarray(got), want)


def test_only_the_last_of_equal_indices_has_a_derivative():
    v = leaf(np.array([1.0, 2.0, 3.0]))
    y = tg.put_along_axis(tg.asarray(np.zeros(4)), tg.asarray([1, 1, 3]), v)
    (g,) = gradients(y.sum(), [v])
    np.testing.assert_array_equal(np.asarray(g), [0, 1, 1])


# ---- Layouts ----------------------------------------------------------------------------------
def transposed(x: np.ndarray) -> tg.Tensor:
    axes = tuple(range(x.ndim))[::-1]
    return tg.permute_dims(tg.asarray(x.transpose(axes).copy()), axes)


def sliced(x: np.ndarray) -> tg.Tensor:
    wide = np.full([2 * n + 3 for n in x.shape], 77, x.dtype)
    where = tuple(slice(2, 2 + 2 * n, 2) for n in x.shape)
    wide[where] = x
    return tg.asarray(wide)[where]


def reversed_(x: np.ndarray) -> tg.Tensor:
    return tg.flip(tg.asarray(np.flip(x).copy()))


def pending(x: np.ndarray) -> tg.Tensor:
    """Not computed yet, and seen through a view of what is not computed."""
    t = transposed(x)
    return tg.where(tg.asarray(True), t, t)


LAYOUTS = {"transposed": transposed, "sliced": sliced, "reversed": reversed_, "pending": pending}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", [n for n in OPS if n not in DRAWS])
def test_layout(name, layout):
    for text in samples.sample_texts(OPS[name]):
        args, kwargs = samples.read_sample(text)

        def odd(value: Any) -> Any:
            return LAYOUTS[layout](value) if isinstance(value, np.ndarray) else value

        got = function(name)(*samples.tree_map(odd, args), **samples.tree_map(odd, kwargs))
        tolerance = OPS[name].tolerance
        plain = arrays(run(name, args, kwargs))
        for g, p in zip(arrays(got), plain, strict=True):
            assert_close(g, p, tolerance, f"{name}({text}), {layout}")


@pytest.mark.parametrize("name", [n for n in OPS if n not in DRAWS])
def test_broadcast_operands(name):
    """An operand repeated by strides of 0 is as good as a copy of it."""
    for text in samples.sample_texts(OPS[name]):
        args, kwargs = samples.read_sample(text)
        if not args or not isinstance(args[0], np.ndarray) or args[0].ndim == 0:
            continue
        first = args[0][:1]
        # A matrix of equal rows.
        singular = name.startswith("linalg.") and (args[0].ndim == 2 or "tensor" in name)
        if args[0].shape[0] == 0 or singular:
            continue
        wide = np.broadcast_to(first, args[0].shape)
        thin = tg.broadcast_to(tg.asarray(first.copy()), args[0].shape)
        rest = samples.tree_map(to_tensor, args[1:])
        got = arrays(function(name)(thin, *rest, **samples.tree_map(to_tensor, kwargs)))
        plain = arrays(run(name, (wide.copy(), *args[1:]), kwargs))
        for g, p in zip(got, plain, strict=True):
            assert_close(g, p, OPS[name].tolerance, f"{name}({text}), broadcast")


_ANY_SHAPE = "exp tanh sign square abs add multiply maximum less"


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 1)])
@pytest.mark.parametrize("name", _ANY_SHAPE.split())
def test_0_d_and_empty(name, shape):
    x = np.full(shape, 0.5, np.float32)
    args = (x,) if name in "exp tanh sign square abs" else (x, x)
    assert_close(np.asarray(run(name, args, {})), expected(name, args, {}), 1e-6, name)


_OF_NOTHING = "sum prod any all mean"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", _OF_NOTHING.split())
def test_reductions_of_nothing(name):
    x = np.zeros((3, 0, 2), np.float32)
    for axis in (None, 1, (0, 1), 0):
        got = np.asarray(function(name)(tg.asarray(x), axis))
        np.testing.assert_array_equal(got, getattr(np, name)(x, axis=axis))


# ---- Large shapes cross the boundaries of blocks, tiles and pieces of work -----------------------
@pytest.mark.parametrize("shape", [(1023,), (4097,), (129, 257), (3, 70000)])
def test_large(shape):
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    t = tg.asarray(x)
    np.testing.assert_allclose(np.asarray(tg.exp(t)), np.exp(x), rtol=1e-6)
    np.testing.assert_allclose(float(t.sum()), x.sum(dtype=np.float64), rtol=1e-4, atol=1e-2)
    np.testing.assert_array_equal(np.asarray(tg.sort(t)), np.sort(x))
    np.testing.assert_allclose(
        np.asarray(tg.cumulative_sum(t, -1)), np.cumsum(x.astype(np.float64), -1), atol=2e-2
    )
    np.testing.assert_array_equal(np.asarray(tg.argmax(t, -1)), np.argmax(x, -1))
    np.testing.assert_allclose(np.asarray((t * 2 + 1).max(0)), (x * 2 + 1).max(0), rtol=1e-6)
