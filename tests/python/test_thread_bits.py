"""Every kernel gives the same bits with 1, 2, 3 and 8 threads, run after run, at sizes that are
split; and one operation at a time gives those of one plan."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bits import same

import tegula as tg
from tegula import nn, optim

F = nn.functional
Case = Callable[[], Any]
CASES: dict[str, Case] = {}


def case(f: Case) -> Case:
    CASES[f.__name__] = f
    return f


def normal(*shape: int, dtype: str = "float32") -> tg.Tensor:
    values = np.random.default_rng(sum(shape)).normal(size=shape)
    return tg.asarray(values).to(getattr(tg, dtype))


def integers(high: int, *shape: int) -> tg.Tensor:
    return tg.asarray(np.random.default_rng(sum(shape)).integers(0, high, shape))


def with_gradients(f: Callable[..., tg.Tensor], *args: tg.Tensor) -> list[tg.Tensor]:
    """The result, and the gradient of each argument for an upstream one that varies."""
    for x in args:
        x.requires_grad_()
    y = f(*args)
    y.backward(tg.reshape(tg.cos(tg.arange(y.size, dtype=tg.float32)), y.shape).to(y.dtype))
    return [y.detach(), *(x.grad for x in args if x.grad is not None)]


@case
def elementwise() -> Any:
    a, b = normal(700, 1100), normal(1100)
    return with_gradients(lambda a, b: tg.gelu(a * b + 1) / (tg.exp(-a) + 2), a, b)


@case
def reductions() -> Any:
    x = normal(300, 50, 70)
    sums = [x.sum(axis=k) for k in [None, 0, 1, 2, (0, 1), (1, 2), (0, 2)]]
    flat = tg.reshape(x, (-1,))
    return [*sums, x.max(axis=1), x.prod(axis=2), flat.sum(), flat.mean(), x.var(axis=(0, 2))]


@case
def plain_definitions() -> Any:
    def norm(x: tg.Tensor) -> tg.Tensor:
        e = tg.exp(x - x.max(axis=-1, keepdims=True))
        s = e / e.sum(axis=-1, keepdims=True)
        return (s - s.mean(axis=0)) * tg.rsqrt(s.var(axis=0) + 1e-5)

    return with_gradients(norm, normal(1000, 257))


@case
def products() -> Any:
    a, b = normal(301, 403), normal(403, 205)
    both = with_gradients(lambda a, b: tg.relu(a @ b + 1), a, b)
    batched = tg.matmul(normal(12, 65, 130), normal(12, 130, 70))
    low = tg.matmul(normal(301, 400, dtype="bfloat16"), normal(400, 200, dtype="bfloat16"))
    whole = tg.matmul(integers(100, 300, 400).to(tg.int8), integers(100, 400, 200).to(tg.int8))
    vector = tg.matmul(normal(2000, 700), normal(700))
    return [*both, batched, low, whole, vector, a.to(tg.float64) @ b.to(tg.float64)]


@case
def convolutions() -> Any:
    x, w, b = normal(8, 16, 33, 35), normal(24, 16, 3, 3), normal(24)
    found = with_gradients(lambda x, w, b: tg.relu(tg.conv2d(x, w, b, padding=1)), x, w, b)
    for options in ({"stride": 2}, {"groups": 4}, {"dilation": 2}):
        w = normal(24, 16 // options.get("groups", 1), 3, 3)
        found += with_gradients(
            lambda x, w, o=options: tg.conv2d(x, w, **o), normal(8, 16, 33, 35), w
        )
    long = with_gradients(lambda x, w: tg.conv1d(x, w), normal(9, 16, 1500), normal(24, 16, 5))
    deep = with_gradients(lambda x, w: tg.conv_transpose2d(x, w, stride=2), normal(8, 16, 19, 21),
                          normal(16, 12, 3, 3))  # fmt: skip
    return [*found, *long, *deep]


@case
def pools() -> Any:
    x = normal(16, 32, 40, 41)
    found = with_gradients(lambda x: tg.max_pool2d(x, 3, stride=2), x)
    return [*found, *with_gradients(lambda x: tg.avg_pool2d(x, 2), normal(16, 32, 40, 42))]


@case
def norms() -> Any:
    x, w, b = normal(900, 384), normal(384), normal(384)
    rows = with_gradients(lambda x, w, b: tg.layer_norm(x, 1, w, b), x, w, b)
    batch = nn.BatchNorm2d(32)
    images = with_gradients(lambda x: batch(x), normal(16, 32, 30, 31))
    groups = with_gradients(lambda x: tg.group_norm(x, 4), normal(16, 32, 30, 32))
    return [*rows, *images, *groups, batch.running_mean, batch.running_var]


@case
def attention() -> Any:
    heads = [normal(2, 6, 150 + k, 32) for k in range(2)]
    heads = [heads[0], heads[1], heads[1] + 1]
    return with_gradients(lambda q, k, v: tg.scaled_dot_product_attention(q, k, v), *heads)


@case
def losses() -> Any:
    labels = integers(1000, 600)
    return with_gradients(lambda x: tg.cross_entropy(x, labels), normal(600, 1000))


@case
def recurrent() -> Any:
    found = []
    for layer in (nn.LSTM(48, 96), nn.GRU(48, 96)):
        found += with_gradients(lambda x, layer=layer: layer(x)[0], normal(30, 16, 48))
        found += [p.grad for p in layer.parameters()]
    return found


@case
def indexed() -> Any:
    table, rows = normal(3000, 128), integers(3000, 5000)
    found = with_gradients(lambda t: tg.take(t, rows, 0), table)
    x, columns = normal(2000, 300), integers(300, 2000, 40)
    found += with_gradients(lambda x: tg.take_along_axis(x, columns, 1), x)
    joined = with_gradients(
        lambda a, b: tg.concat([a, b, a], 1), normal(900, 200), normal(900, 300)
    )
    y = normal(900, 500)
    y[10:800, 3:400:2] = tg.zeros(())
    return [*found, *joined, y]


@case
def reduced_by_index() -> Any:
    x, ids, table = normal(90_000, 20), integers(700, 90_000), normal(900, 40)
    found = []
    for reduce in (tg.segment_sum, tg.segment_max, tg.segment_prod, tg.segment_mean):
        found += with_gradients(lambda x, f=reduce: f(tg.cos(x), ids, 700), x)
    columns = integers(300, 400, 500)
    for reduce in ("amin", "prod"):
        found += with_gradients(
            lambda x, y, how=reduce: tg.scatter_reduce(tg.cos(x), columns, tg.cos(y), how),
            normal(400, 300), normal(400, 500),
        )  # fmt: skip
    for mode in ("sum", "mean", "max"):
        found += with_gradients(
            lambda w, how=mode: tg.embedding_bag(w, integers(900, 4000, 9), mode=how), table
        )
    return found


@case
def sorted_() -> Any:
    x = normal(200, 5000)
    long = tg.reshape(x, (-1,))
    found = [tg.sort(x), tg.argsort(x), tg.sort(long), *tg.topk(x, 7), tg.argmax(x, axis=1)]
    found += [tg.cumulative_sum(x, axis=1), tg.cumulative_sum(long), tg.cumulative_sum(x, axis=0)]
    edges = tg.sort(normal(64))
    return [*found, tg.searchsorted(edges, long), tg.nonzero(x > 2), tg.argmin(long)]


@case
def counted() -> Any:
    n = integers(500, 300_000)
    return [tg.bincount(n), *tg.histogram(normal(300_000), 50)]


@case
def random() -> Any:
    tg.manual_seed(3)
    draws = [tg.random.normal((700, 900)), tg.random.uniform((700, 900))]
    return [*draws, tg.random.randint(0, 99, (500, 600)), tg.dropout(draws[0], 0.3)]


@case
def updates() -> Any:
    found = []
    for make in (
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: optim.AdamW(p, lr=0.01),
    ):
        p = nn.Parameter(normal(500, 700))
        optimizer = make([p])
        for _ in range(3):
            p.grad = tg.sin(p.detach())
            optimizer.step()
        found.append(p.detach())
    return found


@case
def control() -> Any:
    w = normal(200, 200) * 0.05
    last, ys = tg.scan(
        lambda h, x: (tg.tanh(h @ w + x),) * 2, tg.zeros((64, 200)), normal(9, 64, 200)
    )
    grown = tg.while_loop(lambda x: x.sum() < 1e9, lambda x: x * 1.5 + 1, tg.ones((300, 300)))
    chosen = tg.cond(last.sum() > 0, lambda: tg.exp(last), lambda: tg.sin(last))
    return [last, ys, grown, chosen]


@case
def host() -> Any:
    x = normal(300, 400)
    y = tg.host_call(np.sin, tg.TensorSpec(x.shape, "float32"), x)
    return [tg.after(x + 1, y), y]


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = tg.get_num_threads()
    yield
    tg.set_num_threads(before)


def run(name: str) -> Any:
    tg.manual_seed(0)
    found = CASES[name]()
    tg.eval(found)
    return found


@pytest.mark.parametrize("name", CASES)
def test_any_number_of_threads(name: str) -> None:
    expected = None
    for count in (1, 2, 3, 8, 8, 2):
        tg.set_num_threads(count)
        found = run(name)
        if expected is None:
            expected = found
        same(found, expected)


@pytest.mark.parametrize("name", CASES)
def test_one_operation_at_a_time(name: str) -> None:
    expected = run(name)
    with tg.debug_nans():  # evaluates after every operation
        same(run(name), expected)


def test_no_kernel_is_left_out() -> None:
    folder = Path(__file__).parents[2] / "src/backend/cpu"
    known = {"tile"}
    users = {"custom_call", "custom_kernel"}  # see test_custom_op.py, test_custom_kernels.py
    for path in folder.rglob("*.cc"):
        for table in re.findall(r"KernelEntry \w+\[\] = \{\n(.*?)\n\};", path.read_text(), re.S):
            known |= set(re.findall(r'^ *\{"(\w+)"', table, re.M))
    assert len(known) > 30
    seen = set()
    for name in CASES:
        with tg.profiler.profile() as taken:
            run(name)
        for step in taken.steps:
            first = re.split(r"[ \[]", step.name)[0]
            seen.add("tile" if first not in known else first)
    assert known - seen == users
