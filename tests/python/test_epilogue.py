"""Elementwise programs that ride on products and convolutions give the bits of separate steps.

The reference is the same expression, evaluated after every operation, so that nothing can ride.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tegula as tg
import tegula.nn.functional as F

DTYPES = [tg.float32, tg.float64, tg.float16, tg.bfloat16]


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    before = tg.get_num_threads()
    yield
    tg.set_num_threads(before)


def normal(shape: tuple[int, ...], seed: int, dtype: tg.DType = tg.float32) -> tg.Tensor:
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return done(tg.asarray(values).to(dtype))


def done(x: tg.Tensor) -> tg.Tensor:
    tg.eval(x)
    return x


def bits(x: tg.Tensor) -> bytes:
    return x.to(tg.float64).numpy().tobytes()


def check(expression: Callable[[Callable[[tg.Tensor], tg.Tensor]], list[tg.Tensor]]) -> None:
    """`expression` is given what to do with every value on the way."""
    want = [bits(x) for x in expression(done)]
    for threads in (1, 2, 3, 8):
        tg.set_num_threads(threads)
        got = expression(lambda x: x)
        tg.eval(*got)
        assert [bits(x) for x in got] == want


ACTIVATIONS: list[Callable[[tg.Tensor], tg.Tensor]] = [
    F.relu,
    F.gelu,
    F.silu,
    tg.tanh,
    tg.sigmoid,
    lambda x: tg.where(x > 0.5, x, 0.1),
    lambda x: x.to(tg.float16).to(tg.float32),
]


@settings(max_examples=60, deadline=None)
@given(
    m=st.integers(1, 90),
    k=st.integers(1, 70),
    n=st.integers(1, 150),
    batch=st.sampled_from([(), (3,), (2, 2)]),
    shared=st.booleans(),
    transposed=st.booleans(),
    dtype=st.sampled_from(DTYPES),
    activation=st.sampled_from(ACTIVATIONS),
    rest=st.sampled_from(["full", "row", "column", "transposed", "batch", "none"]),
    keeps=st.booleans(),
)
def test_products(
    m: int,
    k: int,
    n: int,
    batch: tuple[int, ...],
    shared: bool,
    transposed: bool,
    dtype: tg.DType,
    activation: Callable[[tg.Tensor], tg.Tensor],
    rest: str,
    keeps: bool,
) -> None:
    x = normal((*batch, m, k), 1, dtype)
    w = normal((n, k) if transposed else (k, n), 2, dtype)
    if not shared:
        w = normal((*batch, *w.shape), 3, dtype)
    if transposed:
        w = done(tg.matrix_transpose(w))
    bias = normal((n,), 4, dtype)
    shapes = {
        "full": (*batch, m, n),
        "row": (n,),
        "column": (m, 1),
        "transposed": (*batch, n, m),
        "batch": (*(1 for _ in batch), m, n),
        "none": (1,),
    }
    other = normal(shapes[rest], 5, dtype)
    if rest == "transposed":
        other = done(tg.matrix_transpose(other))

    def expression(at: Callable[[tg.Tensor], tg.Tensor]) -> list[tg.Tensor]:
        product = at(x @ w)
        before = at(product + bias)
        result = at(at(activation(before)) * other)
        return [result, product, before] if keeps else [result]

    check(expression)


@settings(max_examples=60, deadline=None)
@given(
    images=st.integers(1, 3),
    channels=st.sampled_from([1, 3, 8, 16, 40]),
    outputs=st.sampled_from([1, 4, 16, 33, 64]),
    height=st.integers(5, 20),
    width=st.integers(5, 20),
    taps=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 1, 2]),
    depthwise=st.booleans(),
    last=st.booleans(),
    dtype=st.sampled_from(DTYPES),
    activation=st.sampled_from(ACTIVATIONS),
    keeps=st.booleans(),
)
def test_convolutions(
    images: int,
    channels: int,
    outputs: int,
    height: int,
    width: int,
    taps: int,
    stride: int,
    depthwise: bool,
    last: bool,
    dtype: tg.DType,
    activation: Callable[[tg.Tensor], tg.Tensor],
    keeps: bool,
) -> None:
    groups = channels if depthwise else 1
    outputs = channels if depthwise else outputs
    if last:
        x = tg.permute_dims(normal((images, height, width, channels), 1, dtype), (0, 3, 1, 2))
    else:
        x = normal((images, channels, height, width), 1, dtype)
    w = normal((outputs, channels // groups, taps, taps), 2, dtype)
    scale = normal((outputs, 1, 1), 3, dtype)

    def convolve() -> tg.Tensor:
        return F.conv2d(x, w, stride=stride, padding=taps // 2, groups=groups)

    residual = normal(tuple(convolve().shape), 4, dtype)

    def expression(at: Callable[[tg.Tensor], tg.Tensor]) -> list[tg.Tensor]:
        y = at(convolve())
        normalised = at(at(y * scale) + scale)
        result = at(activation(at(normalised + residual)))
        return [result, y] if keeps else [result]

    check(expression)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("taps", [1, 3])
def test_input_gradients(dtype: tg.DType, taps: int) -> None:
    """A gradient that reaches an activation is masked as soon as it is there."""
    x, w = normal((2, 16, 12, 12), 1, dtype), normal((24, 16, taps, taps), 2, dtype)
    v = normal((24 * 144, 40), 3, dtype)

    def gradients(ride: bool) -> list[bytes]:
        inner, weight, last = (t.detach().requires_grad_() for t in (x, w, v))
        hidden = F.relu(F.conv2d(F.relu(inner), weight, padding=taps // 2))
        if not ride:
            tg.eval(hidden)
        (F.gelu(hidden.reshape(2, -1)) @ last).sum().backward()
        grads = [t.grad for t in (inner, weight, last)]
        return [bits(g) for g in grads]

    want = gradients(False)
    for threads in (1, 2, 3, 8):
        tg.set_num_threads(threads)
        assert gradients(True) == want


@pytest.mark.parametrize("algorithm", ["direct", "winograd2", "winograd4"])
def test_winograd(algorithm: str) -> None:
    x, w, b = normal((2, 64, 30, 27), 1), normal((80, 64, 3, 3), 2), normal((80, 1, 1), 3)
    before = tg.get_conv_algorithm()
    tg.set_conv_algorithm(algorithm)
    try:
        check(lambda at: [at(F.relu(at(at(F.conv2d(x, w, padding=1)) + b)))])
    finally:
        tg.set_conv_algorithm(before)


def test_dequantisation() -> None:
    rng = np.random.default_rng(0)
    x = tg.asarray(rng.integers(-128, 128, (50, 200), dtype=np.int8))
    w = tg.asarray(rng.integers(-128, 128, (200, 96), dtype=np.int8))
    scale, bias = normal((96,), 1), normal((96,), 2)

    def expression(at: Callable[[tg.Tensor], tg.Tensor]) -> list[tg.Tensor]:
        sums = at(tg.matmul(x, w, dtype=tg.int32))
        return [at(at(at(sums.to(tg.float32)) * scale) + bias)]

    check(expression)
    y = tg.matmul(x, w, dtype=tg.int32).to(tg.float32) * scale + bias
    assert "1 steps" in tg.explain(y)


def test_dropout_rides() -> None:
    x, w = normal((64, 48), 1), normal((48, 96), 2)
    tg.manual_seed(0)
    together = F.dropout(x @ w, 0.3)
    plan = tg.explain(together)
    tg.manual_seed(0)
    product = done(x @ w)
    assert bits(together) == bits(F.dropout(product, 0.3))
    assert plan.count("matmul") == 1
    assert "  1 matmul" in plan
    assert plan.startswith("plan on cpu: 2 steps")


def test_eval_batch_norm_rides_on_its_convolution() -> None:
    conv, norm = tg.nn.Conv2d(16, 24, 3, padding=1, bias=False), tg.nn.BatchNorm2d(24)
    norm.eval()
    tg.eval(*conv.parameters(), *norm.parameters())
    x = normal((2, 16, 10, 10), 1)
    with tg.no_grad():
        plan = tg.explain(F.relu(norm(conv(x))))
    steps = [line.split() for line in plan.splitlines()[1:]]
    carried = [step for step in steps if step[1] == "conv"]
    assert len(carried) == 1
    assert {"multiply", "add", "where"} <= set(carried[0])


def test_an_empty_result_beside_one_that_is_not_carries_nothing():
    pytest.importorskip("scipy")
    full = tg.linalg.svd(tg.zeros((3, 0)), full_matrices=True)
    assert tg.abs(full.Vh).numpy().shape == (0, 0)
    assert full.U.shape == (3, 3)
