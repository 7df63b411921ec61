"""Gradients of several slices of one tensor are put together, not added with zeros around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bits import normal
from hypothesis import given
from hypothesis import strategies as st

import tegula as tg

# Subscripts of a tensor of shape (6, 5, 4).
SUBSCRIPTS: dict[str, list[Any]] = {
    "side by side": [np.s_[:, 0:2], np.s_[:, 2:3], np.s_[:, 3:5]],
    "in another order": [np.s_[:, 2:5], np.s_[:, 0:2]],
    "with a gap": [np.s_[0:2], np.s_[3:6]],
    "single rows": [np.s_[i] for i in range(6)],
    "rows of size one": [np.s_[:, :, i : i + 1] for i in range(4)],
    "of two axes": [np.s_[0:3, 0:2], np.s_[3:6, 0:2], np.s_[0:3, 2:5], np.s_[3:6, 2:5]],
    "overlapping": [np.s_[0:4], np.s_[2:6], np.s_[1:3]],
    "windows": [np.s_[i : i + 3] for i in range(4)],
    "twice the same": [np.s_[1:3], np.s_[1:3]],
    "even and odd": [np.s_[..., 0::2], np.s_[..., 1::2]],
    "backwards": [np.s_[::-1], np.s_[0:1]],
    "one": [np.s_[2:4, 1:3]],
    "empty and not": [np.s_[0:0], np.s_[0:6]],
}
MIXED = [np.s_[0:2], None, np.s_[2:6], np.s_[1:4], None, np.s_[0:3]]  # None: all of it


def upstream(subscripts: list[Any]) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    shape = np.zeros((6, 5, 4))
    return [
        rng.normal(size=shape[... if s is None else s].shape).astype(np.float32) for s in subscripts
    ]


def gradient(subscripts: list[Any], **options: bool) -> tg.Tensor:
    x = normal(6, 5, 4).requires_grad_()
    loss = tg.asarray(0.0)
    for s, g in zip(subscripts, upstream(subscripts), strict=True):
        loss = loss + ((x if s is None else x[s]) * tg.asarray(g)).sum()
    loss.backward(**options)
    assert x.grad is not None
    return x.grad


def summed_with_zeros(subscripts: list[Any]) -> np.ndarray:
    """What comes from the latest use first, as reverse mode goes."""
    total = None
    for s, g in reversed(list(zip(subscripts, upstream(subscripts), strict=True))):
        part = np.zeros((6, 5, 4), np.float32)
        part[... if s is None else s] = g
        total = part if total is None else total + part
    assert total is not None
    return total


@pytest.mark.parametrize("name", [*SUBSCRIPTS, "mixed"])
@pytest.mark.parametrize("create_graph", [False, True])
def test_the_sum_is_that_with_zeros_bit_for_bit(name: str, create_graph: bool) -> None:
    subscripts = SUBSCRIPTS.get(name, MIXED)
    got = gradient(subscripts, create_graph=create_graph).numpy()
    assert got.tobytes() == summed_with_zeros(subscripts).tobytes()


cut = st.tuples(st.integers(0, 6), st.integers(0, 6), st.sampled_from([1, 1, 1, 2, -1]))


@given(st.lists(st.one_of(st.none(), st.tuples(cut, cut)), min_size=1, max_size=6))
def test_any_slices(cuts: list[Any]) -> None:
    subscripts = [None if c is None else tuple(slice(*one) for one in c) for c in cuts]
    np.testing.assert_array_equal(gradient(subscripts).numpy(), summed_with_zeros(subscripts))


def steps_of(f: Callable[[], Any]) -> list[str]:
    return [step.operations.split()[0] for plan in tg.explain(f).plans for step in plan.steps]


def test_parts_of_one_projection_are_concatenated() -> None:
    x, w = normal(32, 16), normal(16, 48).requires_grad_()

    def backward() -> None:
        q, k, v = tg.split(x @ w, 16, 1)
        (tg.tanh(q) * k + v).sum().backward()
        w.grad = None if w.grad is None else tg.eval(w.grad)

    kinds = steps_of(backward)
    assert kinds.count("concat") == 1
    assert "slice_update" not in kinds


def test_where_slices_begin_is_not_part_of_the_plan() -> None:
    x = normal(30, 8)
    tg.eval(x)
    x.requires_grad_()

    def backward(i: int, j: int) -> np.ndarray:
        (x[i : i + 4] * 2 + x[j : j + 4] * x[i : i + 4].detach()).sum().backward()
        got, x.grad = x.grad, None
        assert got is not None
        return got.numpy()

    backward(0, 10)
    misses = tg.plan_cache_stats()["misses"]
    got = backward(3, 20)
    expected = np.zeros((30, 8), np.float32)
    expected[3:7] = 2
    expected[20:24] = x.numpy()[3:7]
    np.testing.assert_array_equal(got, expected)
    assert tg.plan_cache_stats()["misses"] == misses


def test_slices_of_nothing() -> None:
    x = tg.zeros((3, 0, 2)).requires_grad_()
    (x[:0].sum() + x[1:].sum() + x[0].sum()).backward()
    assert x.grad is not None
    assert x.grad.shape == (3, 0, 2)


def test_a_zero_keeps_its_sign_beside_others() -> None:
    x = tg.asarray([1.0, 2.0, 3.0, 4.0]).requires_grad_()
    (x[:2] * -0.0 + x[2:] * 0.0).sum().backward()
    assert x.grad is not None
    assert np.signbit(x.grad.numpy()).tolist() == [True, True, False, False]


def test_hooks_see_the_whole_gradient_and_second_derivatives_go_through() -> None:
    x = normal(6, 4).requires_grad_()
    y = x * 1.5
    seen: list[tg.Tensor] = []
    y.register_hook(seen.append)
    a, b = tg.split(y, 2, 1)
    (a * a * b).sum().backward()
    n = 1.5 * x.numpy()
    expected = np.concatenate([2 * n[:, :2] * n[:, 2:], n[:, :2] ** 2], 1)
    np.testing.assert_allclose(seen[0].numpy(), expected, rtol=1e-6)

    def first(z: tg.Tensor) -> tg.Tensor:
        p, q = tg.split(z, 2, 1)
        return (p * p * q).sum()

    second = tg.grad(lambda z: tg.grad(first)(z).sum())(tg.asarray(n))
    expected = np.concatenate([2 * n[:, 2:] + 2 * n[:, :2], 2 * n[:, :2]], 1)
    np.testing.assert_allclose(second.numpy(), expected, rtol=1e-5)


def test_a_loop_over_rows_takes_time_in_proportion() -> None:
    """Thousands of rows: none of them becomes a tensor of its own, zeros around it."""
    tg.reset_peak_memory()
    x = normal(5000, 8).requires_grad_()
    total = tg.zeros(8)
    for i in range(5000):
        total = total + x[i] * float(i)
    total.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(
        x.grad.numpy(), np.repeat(np.arange(5000, dtype=np.float32)[:, None], 8, 1)
    )
    # Reading and writing all of x for each row would be 5000 * 160 KB.
    assert tg.memory_stats()["peak_bytes"] < 64 << 20
