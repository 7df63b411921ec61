"""Random graphs: however they are cut into plans, values and gradients keep every bit.

Each seed makes a program of random operations, tensors being dropped and written in place on the
way. It is recorded once with everything evaluated after each operation, which is compared with
NumPy step by step, and again with nothing or something evaluated in between.
TEGULA_FUZZ_SEEDS=<n> runs more programs.
"""

import os
from collections.abc import Callable

import numpy as np
import pytest

import tegula as tg

SEEDS = int(os.environ.get("TEGULA_FUZZ_SEEDS", "150"))
PER_TEST = 25
Variables = dict[int, tg.Tensor]
DTYPES = ["float32"] * 4 + ["float64", "float64", "float16", "int64", "int32", "uint8", "bool"]
TOLERANCE = {"float64": 1e-9, "float32": 2e-5, "float16": 2e-2}
SMOOTH = ["sin", "cos", "tanh", "square", "negative"]
STEPPED = ["abs", "sign", "floor", "trunc", "isfinite"]
BINARY = ["add", "subtract", "multiply"]
STEPPED_BINARY = ["maximum", "minimum", "less", "equal"]


def dtype_of(x: tg.Tensor) -> str:
    return str(x.dtype).rsplit(".", 1)[-1]


def bits(x: tg.Tensor) -> tuple:
    a = np.array(x)
    nans = np.isnan(a)
    return a.shape, a.dtype, nans.tobytes(), np.where(nans, 0, a).astype(a.dtype).tobytes()


def wide(x: tg.Tensor) -> np.ndarray:
    """Its values, floating-point ones as float64."""
    a = np.array(x)
    return a.astype(np.float64) if a.dtype.kind == "f" else a


class Program:
    """Random steps, each done and checked against NumPy as it is made."""

    def __init__(self, seed: int, *, gradients: bool, smooth: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        self.gradients = gradients
        self.smooth = smooth
        self.steps: list[tuple[str, Callable[[Variables], None]]] = []
        self.leaves: dict[int, np.ndarray] = {}
        self.values: Variables = {}
        self.count = 0
        for _ in range(3):
            self.leaf()
        kinds = [
            self.unary, self.unary, self.binary, self.binary, self.scalar, self.reduction,
            self.reduction, self.reshape, self.permute, self.slice, self.slice, self.broadcast,
            self.concat, self.matmul, self.take, self.softmax, self.cumulative, self.where,
            self.assign, self.scatter, self.in_place, self.drop, self.drop, self.leaf,
        ]  # fmt: skip
        for _ in range(int(self.rng.choice([8, 16, 32]))):
            kinds[self.rng.integers(len(kinds))]()

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def pick(self) -> tuple[int, tg.Tensor, np.ndarray]:
        keys = list(self.values)
        if self.chance(0.5):
            keys = keys[-4:]
        if not keys:
            return self.pick_of(self.leaf())
        return self.pick_of(int(self.rng.choice(keys)))

    def pick_of(self, key: int) -> tuple[int, tg.Tensor, np.ndarray]:
        return key, self.values[key], wide(self.values[key])

    def do(
        self,
        name: str,
        step: Callable[[Variables], tg.Tensor],
        expected: np.ndarray | None = None,
        target: int | None = None,
    ) -> int:
        key = self.count if target is None else target
        self.count += target is None

        def run(values: Variables) -> None:
            values[key] = step(values)

        run(self.values)
        self.steps.append((f"v{key} = {name}", run))
        got = wide(self.values[key])
        if expected is not None:
            tolerance = TOLERANCE.get(dtype_of(self.values[key]), 0.0)
            scale = max(1.0, float(np.abs(expected).max(initial=0)))
            assert got.shape == np.shape(expected), name
            np.testing.assert_allclose(
                got, expected, rtol=tolerance, atol=tolerance * scale, err_msg=name
            )
        if got.size > 4000 or not np.all(np.abs(got.astype(np.float64)) < 100):
            self.drop(key)
        return key

    def leaf(self, shape: tuple[int, ...] | None = None, dtype: str | None = None) -> int:
        rng = self.rng
        if shape is None:
            shape = tuple(int(n) for n in rng.choice([1, 2, 3, 4, 9], int(rng.integers(0, 4))))
            if shape and not self.smooth and self.chance(0.2):
                shape = (*shape[:-1], int(rng.choice([0, 33, 70])))
        if self.smooth:
            dtype = "float64"
        dtype = dtype or str(rng.choice(DTYPES))
        floating = dtype.startswith("float")
        data = (
            rng.normal(size=shape)
            if floating
            else rng.integers(0, 2 if dtype == "bool" else 6, shape)
        )
        data = np.asarray(data).astype(dtype)
        traced = self.gradients and floating and self.chance(0.7)
        key = self.count
        if traced:
            self.leaves[key] = data

        def make(_: Variables) -> tg.Tensor:
            x = tg.asarray(data)
            return x.requires_grad_() if traced else x

        return self.do(f"leaf {dtype}{shape}", make)

    def unary(self) -> None:
        k, x, a = self.pick()
        name = str(self.rng.choice(SMOOTH if self.smooth else SMOOTH + STEPPED))
        if dtype_of(x) in TOLERANCE:
            self.do(f"{name}(v{k})", lambda v: getattr(tg, name)(v[k]), getattr(np, name)(a))

    def binary(self) -> None:
        k, x, a = self.pick()
        j, y, b = self.pick()
        try:
            if np.prod(np.broadcast_shapes(a.shape, b.shape)) > 4000:
                return
        except ValueError:
            shape = tuple(int(self.rng.choice([1, n])) for n in a.shape)
            j, y, b = self.pick_of(self.leaf(shape[int(self.rng.integers(a.ndim + 1)) :]))
        if j not in self.values:
            return
        name = str(self.rng.choice(BINARY if self.smooth else BINARY + STEPPED_BINARY))
        dtype = str(tg.result_type(x, y)).rsplit(".", 1)[-1]
        if dtype == "bool":
            name = "logical_xor"
        a, b = np.array(x).astype(dtype), np.array(y).astype(dtype)
        if dtype in TOLERANCE:
            a, b = a.astype(np.float64), b.astype(np.float64)
        self.do(
            f"{name}(v{k}, v{j})", lambda v: getattr(tg, name)(v[k], v[j]), getattr(np, name)(a, b)
        )

    def scalar(self) -> None:
        k, x, a = self.pick()
        number = [2, 3, 0.5, -0.25][self.rng.integers(4)]
        if dtype_of(x) in TOLERANCE:
            self.do(f"v{k} * {number} - v{k}", lambda v: v[k] * number - v[k], a * number - a)

    def reduction(self) -> None:
        k, x, a = self.pick()
        names = ["sum", "mean"] if self.smooth else ["sum", "mean", "max", "min", "any"]
        name = str(self.rng.choice(names))
        axes = tuple(int(i) for i in self.rng.permutation(a.ndim)[: self.rng.integers(a.ndim + 1)])
        axis = axes or None
        keep = self.chance(0.5)
        if (name != "sum" and a.size == 0) or (name != "any" and dtype_of(x) not in TOLERANCE):
            return
        self.do(
            f"{name}(v{k}, {axis}, {keep})",
            lambda v: getattr(tg, name)(v[k], axis=axis, keepdims=keep),
            getattr(np, name)(a, axis=axis, keepdims=keep),
        )

    def reshape(self) -> None:
        k, _, a = self.pick()
        shape, rest = [], a.size
        for n in (2, 3, 4):
            if rest and rest % n == 0 and self.chance(0.6):
                shape.append(n)
                rest //= n
        shape.insert(int(self.rng.integers(len(shape) + 1)), rest)
        to = tuple(shape)
        self.do(f"reshape(v{k}, {to})", lambda v: v[k].reshape(to), a.reshape(to))

    def permute(self) -> None:
        k, _, a = self.pick()
        axes = tuple(int(i) for i in self.rng.permutation(a.ndim))
        self.do(f"permute(v{k}, {axes})", lambda v: tg.permute_dims(v[k], axes), a.transpose(axes))

    def subscript(self, shape: tuple[int, ...]) -> tuple:
        items: list = []
        for n in shape:
            choice = self.rng.integers(5)
            if choice == 0 and n:
                items.append(int(self.rng.integers(-n, n)))
            elif choice == 1:
                items.append(slice(None, None, int(self.rng.choice([-1, 2, -2, 3]))))
            elif choice == 2:
                items.append(slice(int(self.rng.integers(-n - 1, n + 2)), None))
            else:
                items.append(slice(None))
        if self.chance(0.2):
            items.insert(int(self.rng.integers(len(items) + 1)), None)
        return tuple(items)

    def slice(self) -> None:
        k, _, a = self.pick()
        at = self.subscript(a.shape)
        self.do(f"v{k}[{at}]", lambda v: v[k][at], a[at])

    def broadcast(self) -> None:
        k, _, a = self.pick()
        shape = (2, *(3 if n == 1 else n for n in a.shape))
        if a.size < 200:
            expected = np.broadcast_to(a, shape)
            self.do(f"broadcast(v{k}, {shape})", lambda v: tg.broadcast_to(v[k], shape), expected)

    def concat(self) -> None:
        k, _, a = self.pick()
        if a.ndim:
            axis = int(self.rng.integers(a.ndim))
            self.do(
                f"concat(v{k}, v{k}, {axis})",
                lambda v: tg.concat([v[k], v[k]], axis=axis),
                np.concatenate([a, a], axis),
            )

    def matmul(self) -> None:
        k, x, a = self.pick()
        if a.ndim and dtype_of(x) in TOLERANCE:
            j = self.leaf((3, a.shape[-1]), dtype_of(x))
            if j in self.values:
                expected = a @ wide(self.values[j]).T
                self.do(f"v{k} @ v{j}.T", lambda v: v[k] @ v[j].T, expected)

    def take(self) -> None:
        k, _, a = self.pick()
        if a.ndim and a.size:
            axis = int(self.rng.integers(-a.ndim, a.ndim))
            at = self.rng.integers(-a.shape[axis], a.shape[axis], 4)
            self.do(
                f"take(v{k}, {at}, {axis})",
                lambda v: tg.take(v[k], tg.asarray(at), axis),
                np.take(a, at, axis),
            )

    def softmax(self) -> None:
        k, x, a = self.pick()
        if a.ndim and a.size and dtype_of(x) in TOLERANCE:
            axis = int(self.rng.integers(-a.ndim, a.ndim))
            e = np.exp(a - a.max(axis, keepdims=True))
            expected = e / e.sum(axis, keepdims=True)
            self.do(f"softmax(v{k}, {axis})", lambda v: tg.softmax(v[k], axis=axis), expected)

    def cumulative(self) -> None:
        k, x, a = self.pick()
        if a.ndim and dtype_of(x) in TOLERANCE:
            axis = int(self.rng.integers(-a.ndim, a.ndim))
            self.do(
                f"cumulative_sum(v{k}, {axis})",
                lambda v: tg.cumulative_sum(v[k], axis=axis),
                np.cumsum(a, axis),
            )

    def where(self) -> None:
        k, x, a = self.pick()
        if not self.smooth and dtype_of(x) in TOLERANCE:
            expected = np.where(a > 0.25, a, a[..., ::-1] if a.ndim else a)
            self.do(
                f"where(v{k} > 0.25, v{k}, flipped)",
                lambda v: tg.where(
                    v[k].detach() > 0.25, v[k], v[k][..., ::-1] if v[k].ndim else v[k]
                ),
                expected,
            )

    def writable(self) -> tuple[int, tg.Tensor, np.ndarray] | None:
        found = self.pick()
        return None if found[1].requires_grad and found[1].is_leaf else found

    def assign(self) -> None:
        found = self.writable()
        if found is None:
            return
        k, _, a = found
        at = self.subscript(a.shape)
        back = (slice(None, None, -1),) * a[at].ndim
        expected = a.copy()
        expected[at] = a[at][back]

        def step(v: Variables) -> tg.Tensor:
            x = v[k]
            x[at] = x[at][back]
            return x

        self.do(f"v{k}[{at}] = its own, reversed", step, expected, k)

    def scatter(self) -> None:
        found = self.writable()
        if found is None or not found[2].ndim or not found[2].size or found[2].dtype.kind == "b":
            return
        k, _, a = found
        at = self.rng.integers(-a.shape[0], a.shape[0], 3)
        expected = a.copy()
        expected[at] = a[at] + a[at]

        def step(v: Variables) -> tg.Tensor:
            x = v[k]
            x[tg.asarray(at)] += x[tg.asarray(at)]
            return x

        self.do(f"v{k}[{at}] += v{k}[{at}]", step, expected, k)

    def in_place(self) -> None:
        found = self.writable()
        if found is None or dtype_of(found[1]) not in TOLERANCE:
            return
        k, x, a = found
        j, y, b = self.pick()
        if b.shape != a.shape or dtype_of(y) != dtype_of(x):
            j, b = k, a

        def step(v: Variables) -> tg.Tensor:
            x = v[k]
            x += v[j]
            return x

        self.do(f"v{k} += v{j}", step, a + b, k)

    def drop(self, key: int | None = None) -> None:
        k = self.pick()[0] if key is None else key
        if k in self.leaves or k not in self.values:
            return
        self.steps.append((f"del v{k}", lambda v: v.__delitem__(k)))
        del self.values[k]

    def run(
        self, evaluate: Callable[[], bool], leaves: dict[int, np.ndarray] | None = None
    ) -> Variables:
        """The same steps again, on other values of the leaves where given."""
        values: Variables = {}
        for name, step in self.steps:
            step(values)
            key = int(name[1 : name.index(" ")]) if name[0] == "v" else -1
            if leaves and "= leaf" in name and key in leaves:
                values[key] = tg.asarray(leaves[key]).requires_grad_()
            if evaluate():
                tg.eval(*values.values())
        return values


def loss_of(values: Variables) -> tg.Tensor | None:
    parts = [
        (x.astype("float64") * (1 + 0.1 * (k % 7))).mean()
        for k, x in sorted(values.items())
        if x.requires_grad and x.size
    ]
    return sum(parts[1:], parts[0]) if parts else None


def gradients(program: Program, values: Variables) -> dict[int, tg.Tensor]:
    loss = loss_of(values)
    if loss is not None:
        loss.backward()
    return {k: values[k].grad for k in program.leaves if values[k].grad is not None}


def starts(count: int) -> list[int]:
    return list(range(0, count, PER_TEST))


@pytest.mark.parametrize("first", starts(SEEDS))
def test_every_way_of_cutting_a_graph_gives_the_same_bits(first: int):
    for seed in range(first, first + PER_TEST):
        program = Program(seed, gradients=seed % 2 == 0)
        expected = {k: bits(x) for k, x in program.values.items()}
        slopes = {k: bits(x) for k, x in gradients(program, program.values).items()}
        rng = np.random.default_rng(seed)
        ways: dict[str, Callable[[], bool]] = {
            "lazily": lambda: False,
            "at random": lambda rng=rng: bool(rng.random() < 0.2),
            "each": lambda: True,
        }
        for way, evaluate in ways.items():
            values = program.run(evaluate)
            got = {k: bits(x) for k, x in gradients(program, values).items()}
            assert got == slopes, f"seed {seed}: gradients, evaluated {way}"
            for k in rng.permutation(list(values)):
                assert bits(values[k]) == expected[k], f"seed {seed}: v{k}, evaluated {way}"


@pytest.mark.parametrize("first", starts(SEEDS))
def test_gradients_of_random_graphs_are_slopes(first: int):
    for seed in range(first, first + PER_TEST):
        program = Program(seed, gradients=True, smooth=True)
        slopes = gradients(program, program.values)
        if not slopes:
            continue
        rng = np.random.default_rng(seed)
        way = {k: rng.normal(size=g.shape) for k, g in slopes.items()}
        along = sum(float((np.array(g) * way[k]).sum()) for k, g in slopes.items())

        def loss_at(h: float, program: Program = program, way: dict = way) -> float:
            moved = {k: program.leaves[k] + h * d for k, d in way.items()}
            return float(loss_of(program.run(lambda: False, moved)))

        slope = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5
        assert slope == pytest.approx(along, rel=1e-5, abs=1e-5), f"seed {seed}"


# ---- What such programs once found --------------------------------------------------------------
def test_a_value_used_before_it_requires_grad_has_no_gradient_there():
    x, w = tg.ones(3), tg.ones(3).requires_grad_()
    tg.eval(x)
    y = x * (w * 3)
    tg.eval(y)  # w * 3 is kept nowhere
    x.requires_grad_()
    y.sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), [3, 3, 3])
    assert x.grad is None


def test_a_failed_plan_gives_no_shared_value_the_contents_it_was_to_replace():
    a, x = tg.asarray([1.0, 2.0, 3.0]), tg.zeros(3)
    tg.eval(a, x)
    t = a + 1
    x[...] = t
    failing = tg.take(a, tg.asarray([99]), 0)
    with pytest.raises(IndexError):
        tg.eval(failing)
    with pytest.raises(IndexError):
        t.numpy()
    with pytest.raises(IndexError):
        tg.synchronize()


def test_a_hook_that_uses_the_graph_up_is_told_so():
    w = tg.ones(3).requires_grad_()
    middle = tg.sin(w * 3)
    loss = (tg.exp(middle) * tg.tanh(middle)).sum()
    calls = []

    def hook(_: tg.Tensor) -> None:
        calls.append(1)
        if len(calls) == 1:
            loss.backward()

    middle.register_hook(hook)
    del middle
    tg.eval(loss)
    with pytest.raises(RuntimeError, match="earlier backward pass"):
        loss.backward()


def test_a_transposed_transpose_passes_gradients_through_both():
    x = tg.ones((2, 3)).requires_grad_()
    y = (x * 2).T
    y.retain_grad()
    seen = []
    y.register_hook(lambda g: seen.append(g.shape))
    (y.T * 3).sum().backward()
    np.testing.assert_array_equal(y.grad.numpy(), np.full((3, 2), 3))
    assert seen == [(3, 2)]


def test_copysign_has_a_derivative_for_its_second_operand_alone():
    sign = tg.asarray([-1.0, 2.0]).requires_grad_()
    tg.copysign(tg.asarray([1.0, 2.0]), sign).sum().backward()
    np.testing.assert_array_equal(sign.grad.numpy(), [0, 0])
