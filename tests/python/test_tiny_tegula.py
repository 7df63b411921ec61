"""The teaching page's framework: its rules against finite differences, its transforms against
Tegula's, in every order up to three deep."""

import importlib.util
import itertools
import re
from pathlib import Path

import numpy as np
import pytest

import tegula as tg

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "tiny_tegula.py"
PAGE = ROOT / "docs" / "how-it-works-in-300-lines.md"
spec = importlib.util.spec_from_file_location("tiny_tegula", SCRIPT)
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)

draw = np.random.default_rng(0)


def normal(*shape):
    return draw.normal(size=shape)


def positive(*shape):
    return draw.uniform(0.5, 2.0, size=shape)


def close(a, b, tolerance=1e-9):
    a, b = (x.numpy() if hasattr(x, "numpy") else x for x in (a, b))
    assert np.shape(a) == np.shape(b)
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_the_file_is_short():
    lines = SCRIPT.read_text().splitlines()
    assert len(lines) <= 300
    assert max(map(len, lines)) <= 100


def test_the_page_shows_all_of_the_file():
    text = PAGE.read_text()
    text = text[: text.index("## Training a network")]
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    shown = [line for block in blocks if not block.startswith(">>>") for line in block.split("\n")]
    lines = SCRIPT.read_text().splitlines()
    written = [line for line in lines if not line.startswith(("# ----", "# fmt"))]
    assert [line for line in shown if line] == [line for line in written if line]


def test_the_files_that_the_page_names_exist():
    table = PAGE.read_text().partition("## Where each part is")[2]
    for line in re.findall(r"^\|.*", table, re.MULTILINE):
        folder = ROOT
        for name in re.findall(r"`([\w/]+(?:\.\w+|/))`", line):
            path = folder / name if "/" not in name else ROOT / name
            assert path.exists(), f"{name}: {line}"
            folder = path if path.is_dir() else path.parent


# ---- every primitive -------------------------------------------------------------------------

# primitive, arguments, attributes, the same in NumPy. Integers and conditions have no gradient.
SAMPLES = [
    (tiny.add, [normal(3, 4), normal(4)], {}, np.add),
    (tiny.add, [normal(3, 1), normal()], {}, np.add),
    (tiny.multiply, [normal(2, 1, 4), normal(3, 1)], {}, np.multiply),
    (tiny.reciprocal, [positive(3, 4)], {}, np.reciprocal),
    (tiny.exp, [normal(3, 4)], {}, np.exp),
    (tiny.exp, [normal(2, 0)], {}, np.exp),
    (tiny.log, [positive(5)], {}, np.log),
    (tiny.sin, [normal(3, 4)], {}, np.sin),
    (tiny.greater, [normal(3, 4), normal(4)], {}, np.greater),
    (tiny.where, [normal(3, 4) > 0, normal(3, 1), normal()], {}, np.where),
    (tiny.matmul, [normal(2, 3), normal(3, 4)], {}, np.matmul),
    (tiny.matmul, [normal(5, 2, 3), normal(3, 4)], {}, np.matmul),
    (tiny.matmul, [normal(2, 3), normal(4, 1, 3, 1)], {}, np.matmul),
    (tiny.reduce_sum, [normal(2, 3, 4)], {"axes": (0, 2)}, lambda x: x.sum((0, 2), keepdims=True)),
    (tiny.reduce_sum, [normal()], {"axes": ()}, np.asarray),
    (tiny.broadcast_to, [normal(3, 1)], {"shape": (2, 3, 4)}, lambda x: x + np.zeros((2, 3, 4))),
    (tiny.reshape, [normal(3, 4)], {"shape": (2, 6)}, lambda x: x.reshape(2, 6)),
    (tiny.transpose, [normal(2, 3, 4)], {"axes": (1, 2, 0)}, lambda x: x.transpose(1, 2, 0)),
    (tiny.take, [normal(3, 4), np.array([2, 0, 2, -1])], {}, lambda x, i: np.take(x, i, 0)),
    (tiny.take, [normal(3), np.array(1)], {}, lambda x, i: x[i]),
    (tiny.put, [normal(2, 2, 3), np.array([[2, 0], [2, 1]])], {"size": 4}, None),
    (tiny.put, [normal(3), np.array(1)], {"size": 4}, None),
    (tiny.stack, [normal(3), normal(3)], {}, lambda *xs: np.stack(xs)),
]
IDS = [f"{i}-{sample[0].name}" for i, sample in enumerate(SAMPLES)]


def put(x, rows, size):
    out = np.zeros((size, *x.shape[rows.ndim :]))
    np.add.at(out, rows, x)
    return out


def with_smooth(primitive, args, attrs):
    """The function of the arguments that have a gradient, and these."""
    smooth = [i for i, x in enumerate(args) if x.dtype == float]

    def fn(*given):
        full = dict(enumerate(args)) | dict(zip(smooth, given, strict=True))
        return primitive(*full.values(), **attrs)

    return fn, tuple(args[i] for i in smooth)


def difference(fn, args, tangents, step=1e-5):
    """How fn moves when the arguments move: Richardson's extrapolation of central differences."""

    def central(h):
        ends = [fn(*(x + s * h * t for x, t in zip(args, tangents, strict=True))) for s in (1, -1)]
        return (ends[0].numpy() - ends[1].numpy()) / (2 * h)

    return (4 * central(step) - central(2 * step)) / 3


def test_every_primitive_has_a_sample():
    declared = {x.name for x in vars(tiny).values() if isinstance(x, tiny.Primitive)}
    assert declared == {primitive.name for primitive, *_ in SAMPLES}


@pytest.mark.parametrize(("primitive", "args", "attrs", "reference"), SAMPLES, ids=IDS)
class TestPrimitive:
    def test_value(self, primitive, args, attrs, reference):
        expected = reference(*args) if reference else put(*args, **attrs)
        out = primitive(*args, **attrs)
        assert out.array is None
        assert out.shape == expected.shape
        close(out, expected)

    def test_jvp_is_the_difference(self, primitive, args, attrs, reference):
        fn, smooth = with_smooth(primitive, args, attrs)
        tangents = tuple(normal(*x.shape) for x in smooth)
        value, moved = tiny.jvp(fn, smooth, tangents)
        close(value, fn(*smooth))
        if primitive is tiny.greater:
            close(moved, np.zeros(value.shape))
        else:
            close(moved, difference(fn, smooth, tangents), 1e-7)

    def test_vjp_is_the_transpose_of_jvp(self, primitive, args, attrs, reference):
        fn, smooth = with_smooth(primitive, args, attrs)
        tangents = tuple(normal(*x.shape) for x in smooth)
        moved = tiny.jvp(fn, smooth, tangents)[1].numpy()
        value, pullback = tiny.vjp(fn, *smooth)
        seed = normal(*value.shape)
        gradients = [g.numpy() for g in pullback(seed)]
        assert [g.shape for g in gradients] == [x.shape for x in smooth]
        there = sum(np.vdot(g, t) for g, t in zip(gradients, tangents, strict=True))
        close(there, np.vdot(seed, moved))

    def test_vmap_is_a_loop(self, primitive, args, attrs, reference):
        for mapped in itertools.product([True, False], repeat=len(args)):
            if not any(mapped):
                continue
            scales = np.array([1.0, 0.5, 2.0])
            pairs = list(zip(args, mapped, strict=True))
            batches = [
                np.stack([(x * s).astype(x.dtype) if x.dtype == float else x for s in scales])
                if m
                else x
                for x, m in pairs
            ]
            axes = tuple(0 if m else None for m in mapped)
            out = tiny.vmap(lambda *xs: primitive(*xs, **attrs), axes)(*batches)
            rows = [
                primitive(
                    *(x[i] if m else x for x, m in zip(batches, mapped, strict=True)), **attrs
                )
                for i in range(3)
            ]
            close(out, np.stack([row.numpy() for row in rows]))

    def test_jit_gives_the_same_bits(self, primitive, args, attrs, reference):
        fn, smooth = with_smooth(primitive, args, attrs)
        compiled = tiny.jit(fn)
        for _ in range(2):
            np.testing.assert_array_equal(compiled(*smooth).numpy(), fn(*smooth).numpy())


# ---- transforms of transforms ----------------------------------------------------------------


class Tiny:
    exp, log, sin, where, take, stack = map(
        staticmethod, (tiny.exp, tiny.log, tiny.sin, tiny.where, tiny.take, tiny.stack)
    )
    total = staticmethod(lambda x: x.sum(-1))
    reshape = staticmethod(lambda x, shape: tiny.reshape(x, shape=shape))
    swap = staticmethod(lambda x: tiny.transpose(x, axes=(1, 0)))


class Tegula:
    exp, log, sin, where = map(staticmethod, (tg.exp, tg.log, tg.sin, tg.where))
    take = staticmethod(lambda x, rows: tg.take(x, tg.asarray(rows), 0))
    stack = staticmethod(lambda *xs: tg.stack(xs))
    total = staticmethod(lambda x: x.sum(-1, keepdims=True))
    reshape = staticmethod(lambda x, shape: tg.reshape(x, shape))
    swap = staticmethod(lambda x: x.T)


W = normal(4, 4)
X = normal(4)
T = normal(4)
SCALES = [1.0, -0.5]


def smooth(lib, x, w):
    return lib.sin(x) * x + lib.exp(-(x * x)) / (x * x + 2.0) - x


def log_softmax(lib, x, w):
    y = lib.reshape(lib.reshape(x, (1, 4)) @ w, (4,))
    return lib.sin(y - lib.log(lib.total(lib.exp(y))))


def moved(lib, x, w):
    y = lib.take(x, np.array([3, 0, 0, 1]))
    y = lib.swap(lib.reshape(lib.stack(y * y, lib.sin(x)), (4, 2)))
    return lib.take(y, np.array(1)) * x


def chosen(lib, x, w):
    y = lib.where(x > 0.1, x * x * x, lib.sin(x))
    return y * lib.total(y)


PROGRAMS = [smooth, log_softmax, moved, chosen]

TINY = {
    "grad": lambda f: tiny.grad(lambda x: f(x).sum()),
    "jvp": lambda f: lambda x: tiny.jvp(f, (x,), (T,))[1],
    "vmap": lambda f: (
        lambda x: tiny.reshape(
            tiny.vmap(f)(tiny.stack(*(x * s for s in SCALES))).sum(0), shape=(4,)
        )
    ),
    "jit": tiny.jit,
}


def jvp_by_two_gradients(f):
    def moved(x):
        def flow(u):
            return (tg.grad(lambda y: (f(y) * u).sum())(x) * tg.asarray(T)).sum()

        return tg.grad(flow)(tg.ones(4, dtype=tg.float64))

    return moved


BY_HAND = {
    "grad": lambda f: tg.grad(lambda x: f(x).sum()),
    "jvp": jvp_by_two_gradients,
    "vmap": lambda f: lambda x: sum(f(x * s) for s in SCALES),
    "jit": lambda f: f,
}
STACKS = [names for depth in (0, 1, 2, 3) for names in itertools.product(TINY, repeat=depth)]


def applied(transforms, names, fn):
    for name in reversed(names):
        fn = transforms[name](fn)
    return fn


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("outer", [None, *TINY])
def test_any_order_gives_what_tegula_gives(program, outer):
    w = tg.asarray(W)

    def ours(x):
        return program(Tiny, x, W)

    def theirs(x):
        return program(Tegula, x, w)

    for names in STACKS:
        if names[:1] == ((outer,) if outer else ()):
            got = applied(TINY, names, ours)(X).numpy()
            expected = applied(BY_HAND, names, theirs)(tg.asarray(X)).numpy()
            scale = max(1.0, np.abs(expected).max())
            np.testing.assert_allclose(got / scale, expected / scale, atol=1e-10, err_msg=names)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_outer_derivative_is_the_difference_of_the_inner(program):
    for names in STACKS:
        if len(names) == 3:
            continue
        inner = applied(TINY, names, lambda x: program(Tiny, x, W))
        expected = difference(inner, (X,), (T,), 1e-4)
        scale = max(1.0, np.abs(expected).max())
        close(TINY["jvp"](inner)(X).numpy() / scale, expected / scale, 1e-7)
        close(np.vdot(TINY["grad"](inner)(X).numpy(), T) / scale, expected.sum() / scale, 1e-7)


def test_operators_on_either_side():
    x = tiny.node_of(np.array([[1.0, 2.0], [4.0, 8.0]]))
    array = np.array([[2.0, 3.0], [5.0, 7.0]])
    for a, b in [(x, array), (array, x), (x, 2.0), (2.0, x), (x, x)]:
        one, two = (v.numpy() if v is x else v for v in (a, b))
        close(a + b, one + two)
        close(a - b, one - two)
        close(a * b, one * two)
        close(a / b, one / two)
        close(a > b, one > two)
        close(a < b, one < two)
        if np.ndim(one) == np.ndim(two):
            close(a @ b, one @ two)
    close(-x, -x.numpy())
    assert repr(x.sum()) == "Node(15.0)"
    assert bool(x.sum() > 14.0)


def test_gradients_within_one_another_are_kept_apart():
    # The gradient by x of x times the gradient by y of x * y, which is x.
    outer = tiny.grad(lambda x: x * tiny.grad(lambda y: x * y)(1.0))
    close(outer(3.0), 6.0)
    crossed = tiny.grad(lambda x: tiny.jvp(lambda y: x * y * y, (x,), (1.0,))[1])
    close(crossed(3.0), 12.0)  # 2 x y, by x where y is the value of x: d(2 x x) / dx
    batch = tiny.grad(lambda w: tiny.vmap(lambda x: w * x * x)(np.arange(4.0)).sum())
    close(batch(2.0), 14.0)


def test_vmap_within_vmap():
    a, b = normal(3, 4), normal(2, 4)
    table = tiny.vmap(lambda x: tiny.vmap(lambda y: (x * y).sum())(b))(a)
    close(table, a @ b.T)
    table = tiny.vmap(tiny.vmap(tiny.matmul, (0, None)), (None, 0))(
        normal(2, 2, 3), normal(5, 3, 1)
    )
    assert table.shape == (5, 2, 2, 1)


def test_vmap_of_what_does_not_depend_on_the_batch():
    same, row = tiny.vmap(lambda x, y: (y * 2.0, x), (0, None))(normal(3), normal(2))
    assert (same.shape, row.shape) == ((3, 2), (3,))


def test_nested_arguments_and_results():
    def fn(params, x):
        (w, b), scale = params
        return [(w @ x + b) * scale, scale]

    params = [(normal(2, 3), normal(2, 1)), 2.0]
    x = normal(3, 1)
    value, pullback = tiny.vjp(fn, params, x)
    close(value[0], (params[0][0] @ x + params[0][1]) * 2.0)
    by_params, by_x = pullback([np.ones((2, 1)), 0.0])
    assert isinstance(by_params, list)
    assert isinstance(by_params[0], tuple)
    close(by_params[0][1], np.full((2, 1), 2.0))
    close(by_x, 2.0 * params[0][0].sum(0)[:, None])


def test_what_nobody_looks_at_is_not_computed():
    calls = []
    noisy = tiny.elementwise("noisy", lambda x: calls.append(x) or x, lambda g, out, x: (g,))
    x = noisy(normal(3))
    dead = noisy(x)
    tiny.sin(x).numpy()
    x.numpy()
    assert len(calls) == 1
    assert dead.array is None
    assert x.inputs == ()


def test_a_long_chain():
    x = tiny.node_of(1.0)
    for _ in range(5000):
        x = x + 1.0
    close(x, 5001.0)


def test_both_passes_of_vjp_share_values():
    calls = []

    def compute(x):
        calls.append(x)
        return np.exp(x)

    noisy = tiny.elementwise("noisy", compute, lambda g, out, x: (g * out,))
    value, pullback = tiny.vjp(noisy, 1.0)
    value.numpy()
    close(pullback(1.0)[0], np.exp(1.0))
    close(pullback(2.0)[0], 2 * np.exp(1.0))
    assert len(calls) == 1


def test_jit_records_once_for_each_form_and_shapes():
    seen = []

    @tiny.jit
    def fn(x):
        seen.append(x)
        return (x * x).sum() if not isinstance(x, tuple) else x[0]

    for size in (3, 3, 4, 3):
        close(fn(np.ones(size)), float(size))
    assert len(seen) == 2
    fn((np.ones(3),))
    fn((np.zeros(3),))
    assert len(seen) == 3
    close(tiny.grad(fn)(np.ones(3)), np.full(3, 2.0))
    close(tiny.vmap(fn)(np.ones((2, 3))), [3.0, 3.0])
    assert len(seen) == 3


def test_jit_of_a_function_that_uses_what_another_transform_records():
    close(tiny.grad(lambda x: tiny.jit(lambda y: x * y)(x))(3.0), 6.0)
    close(tiny.vmap(lambda x: tiny.jit(lambda y: x * y)(2.0))(np.arange(3.0)), [0.0, 2.0, 4.0])
    close(tiny.jit(lambda x: 5.0)(1.0), 5.0)


def test_arrays_are_copied():
    x = np.ones(3)
    y = tiny.node_of(x) + 1.0
    x[:] = 7.0
    close(y, np.full(3, 2.0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: tiny.grad(lambda x: x * x)(normal(3)),
            r"gradient of an output \(3,\) has shape \(\)",
        ),
        (lambda: tiny.grad(lambda x: x if x > 0 else -x)(1.0), "placeholder has no value"),
        (lambda: tiny.node_of(normal(3)) + normal(4), "broadcast"),
        (lambda: tiny.matmul(normal(3), normal(3)), r"matmul: \(3,\) and \(3,\) do not fit"),
        (lambda: tiny.matmul(normal(2, 3), normal(2, 3)), "matmul"),
        (lambda: tiny.reshape(normal(3), shape=(2, 2)), r"\(3,\) cannot be \(2, 2\)"),
        (lambda: tiny.vmap(tiny.add)(normal(2), normal(3)), "vmap: axes 0 of sizes .*, not of one"),
        (lambda: tiny.vmap(tiny.sin)(1.0), "vmap: axes 0 of sizes"),
        (lambda: tiny.vmap(tiny.sin, None)(normal(2)), "vmap: axes 0 of sizes"),
        (lambda: tiny.vmap(lambda x: tiny.take(x, 0))(normal(0, 2)), "take: a batch of nothing"),
        (lambda: tiny.jvp(tiny.sin, (1.0,), (normal(2),)), r"of an argument \(\) has shape \(2,\)"),
        (lambda: tiny.vmap(tiny.sin, 1)(normal(2, 2)), "an axis is 0 or None"),
        (lambda: tiny.jvp(tiny.sin, (1.0,), (1.0, 2.0)), "longer"),
        (lambda: tiny.vjp(tiny.sin, 1.0)[1]((1.0, 2.0)), "longer"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
