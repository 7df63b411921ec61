"""More than 2**31 elements, where the memory is there: no index is 32 bits wide."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import tegula as tg

ROW = 715_827_883
N = 3 * ROW  # 2**31 + 1
AT = 2**31 - 1  # the last element but one
NEEDED = 14 << 30


def available() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        kibibytes = dict(line.split(":") for line in lines)["MemAvailable"]
        return int(kibibytes.split()[0]) << 10
    except OSError:
        return 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(available() < NEEDED, reason="needs 14 GiB of memory"),
    pytest.mark.skipif(
        "TEGULA_TILE" in os.environ or os.environ.get("TEGULA_ISA", "baseline") != "baseline",
        reason="index widths are the same for every instruction set",
    ),
    pytest.mark.skipif("TEGULA_SANITIZED" in os.environ, reason="needs too much under a sanitizer"),
]


@pytest.fixture(scope="module")
def x():
    """2 GiB of zeros, but for a 1 at 0 and a 3 at AT."""
    tg.set_memory_limit(0)
    x = tg.zeros(N, dtype=tg.uint8)
    x[0] = 1
    x[AT] = 3
    tg.eval(x)
    return x


@pytest.fixture(autouse=True)
def _unlimited(_seeded):
    tg.set_memory_limit(0)  # the next test sets one again


def test_reductions(x):
    before = tg.memory_stats()["live_bytes"]
    assert int(tg.sum(x)) == 4
    assert (int(tg.max(x)), int(tg.min(x)), int(tg.argmax(x))) == (3, 0, AT)
    assert (int(tg.count_nonzero(x)), bool(tg.any(x)), bool(tg.all(x))) == (2, True, False)
    assert [y.tolist() for y in tg.topk(x, 2)] == [[3, 1], [AT, 0]]
    assert tg.bincount(x, minlength=4).tolist() == [N - 2, 1, 0, 1]
    rows = x.reshape(3, ROW)
    assert tg.sum(rows, axis=1).tolist() == [1, 0, 3]
    assert tg.argmax(rows, axis=1).tolist() == [0, 0, AT - 2 * ROW]
    assert int(tg.sum(tg.max(rows, axis=0))) == 4
    # Widening for a sum is done on the way: nothing is written out eight times as large.
    assert tg.memory_stats()["peak_bytes"] - before < 4 * N


def test_indexing(x):
    assert (int(x[AT]), int(x[-2]), x[AT - 1 : AT + 2].tolist()) == (3, 3, [0, 3, 0])
    assert x[tg.asarray([0, AT, -2])].tolist() == [1, 3, 3]
    assert tg.take(x, tg.asarray([AT, 0])).tolist() == [3, 1]
    assert tg.take_along_axis(x, tg.asarray([AT])).tolist() == [3]
    assert tg.nonzero(x)[0].tolist() == [0, AT]
    assert x[x > 1].tolist() == [3]
    assert x.reshape(-1, 3)[tg.asarray([AT // 3])].tolist() == [[0, 3, 0]]
    with pytest.raises(IndexError, match=str(N)):
        x[N]
    y = +x
    y[tg.asarray([AT + 1, 5])] = 7
    assert (y[AT:].tolist(), int(y[5]), int(tg.sum(y))) == ([3, 7], 7, 18)
    assert int(tg.sum(x)) == 4


def test_movement(x):
    assert tg.flip(x)[:2].tolist() == [0, 3]
    rolled = tg.roll(x, 3)
    assert (int(rolled[3]), int(rolled[(AT + 3) % N]), int(tg.sum(rolled))) == (1, 3, 4)
    assert tg.concat((x, tg.ones(7, dtype=tg.uint8)))[-10:].tolist() == [0, 3, 0] + [1] * 7
    turned = x.reshape(3, ROW).mT.reshape(-1)
    assert (int(turned[(AT % ROW) * 3 + 2]), int(tg.sum(turned))) == (3, 4)
    padded = tg.pad(x, 2, 3)
    assert (padded.shape, int(padded[2]), int(padded[AT + 2])) == ((N + 5,), 1, 3)
    half = 2**30 + 5
    assert tg.repeat(x[:half], 2)[:3].tolist() == [1, 1, 0]
    assert tg.tile(x[:half], (2,))[half - 1 : half + 2].tolist() == [0, 1, 0]
    assert tg.stack((x[:half], x[:half]))[:, 0].tolist() == [1, 1]
    assert np.from_dlpack(x)[AT] == x.numpy()[AT] == 3


def test_elementwise_and_products(x):
    doubled = tg.where(x > 1, x * 2 + 1, x)
    assert (int(doubled[AT]), int(tg.sum(doubled))) == (7, 8)
    assert int(tg.sum(x.astype(tg.int16))) == 4
    assert tg.diff(x)[AT - 1 :].tolist() == [3, 253]
    assert int(tg.cumulative_sum(x, dtype=tg.uint8)[-1]) == 4
    halves = x.astype(tg.bfloat16)
    assert float(tg.vecdot(halves, halves)) == 10
    column = halves.reshape(-1, 3) @ tg.ones((3, 1), dtype=tg.bfloat16)
    assert (float(column[0, 0]), float(column[AT // 3, 0])) == (1, 3)
    square = tg.ones((65_536, 1), dtype=tg.bfloat16) @ tg.ones((1, 32_769), dtype=tg.bfloat16)
    assert (float(tg.min(square)), float(tg.max(square)), float(square[-1, -1])) == (1, 1, 1)


def test_sorting(x):
    assert tg.sort(x)[-3:].tolist() == [0, 1, 3]
    values, counts = tg.unique_counts(x)
    assert (values.tolist(), counts.tolist()) == ([0, 1, 3], [N - 2, 1, 1])
    assert tg.searchsorted(tg.sort(x), tg.asarray([0, 1, 3, 4], dtype=tg.uint8)).tolist() == [
        0,
        N - 2,
        N - 1,
        N,
    ]


def test_gradients_and_layers(x):
    w = tg.zeros(N, dtype=tg.bfloat16)
    w.requires_grad = True
    tg.sum(w[AT:] * 3).backward()
    assert (float(w.grad[AT]), float(w.grad[AT - 1])) == (3, 0)
    assert int(tg.jit(lambda x: tg.sum(tg.maximum(x, 1)))(x)) == N + 2
    signal = x.astype(tg.bfloat16).reshape(1, 1, -1)
    filtered = tg.nn.functional.conv1d(signal, tg.ones((1, 1, 3), dtype=tg.bfloat16))
    assert (float(filtered[0, 0, 0]), float(filtered[0, 0, -1])) == (1, 3)
    with pytest.raises(ValueError, match="too large"):  # its counters are short ones
        tg.nn.functional.max_pool1d(signal, 4)
