"""Custom operations under the transforms for which they have rules, and without."""

from __future__ import annotations

import numpy as np
import pytest

import tegula as tg


def make(rules: str):
    @tg.custom_op(name=f"cube_{rules or 'plain'}", infer="x")
    def cube(x):
        return x**3

    if "v" in rules:

        @cube.vjp
        def _(inputs, output, upstream):
            return upstream * inputs[0] ** 2 * 3.0

    if "j" in rules:

        @cube.jvp
        def _(inputs, output, tangents):
            return tangents[0] * inputs[0] ** 2 * 3.0

    if "b" in rules:

        @cube.batch
        def _(inputs, axes, size):
            make.batched += 1
            return cube(tg.moveaxis(inputs[0], axes[0], 0))

    return cube


make.batched = 0


@pytest.fixture
def x() -> tg.Tensor:
    return tg.asarray(np.array([0.5, -1.5, 2.0]))


@pytest.fixture
def rows() -> tg.Tensor:
    return tg.asarray(np.random.default_rng(1).standard_normal((4, 3)))


@pytest.mark.parametrize("rules", ["v", "vj", "vb", "vjb"])
def test_forward_mode_follows_from_either_rule(rules, x):
    direction = tg.asarray(np.array([1.0, 2.0, -1.0]))
    value, slope = tg.jvp(make(rules), (x,), (direction,))
    np.testing.assert_allclose(value, np.asarray(x) ** 3)
    np.testing.assert_allclose(slope, 3 * np.asarray(x) ** 2 * np.asarray(direction))


@pytest.mark.parametrize("rules", ["v", "vj", "vb", "vjb"])
def test_batches_and_gradients_in_any_order(rules, rows):
    cube = make(rules)
    want = 3 * np.asarray(rows) ** 2
    before = make.batched
    np.testing.assert_allclose(tg.vmap(cube)(rows), np.asarray(rows) ** 3)
    assert (make.batched > before) == ("b" in rules)
    inside = tg.vmap(tg.grad(lambda x: cube(x).sum()))(rows)
    outside = tg.grad(lambda xs: tg.vmap(cube)(xs).sum())(rows)
    np.testing.assert_allclose(inside, want)
    np.testing.assert_allclose(outside, want)
    np.testing.assert_allclose(tg.jit(tg.vmap(tg.grad(lambda x: cube(x).sum())))(rows), want)


def test_second_derivatives(x):
    cube = make("v")
    want = np.diag(6 * np.asarray(x))
    np.testing.assert_allclose(tg.hessian(lambda x: cube(x).sum())(x), want)
    np.testing.assert_allclose(tg.jacrev(tg.grad(lambda x: cube(x).sum()))(x), want)


def test_within_control_flow_and_checkpoint(x):
    cube = make("v")

    def total(x):
        carry, _ = tg.scan(lambda c, row: (c + cube(row * 1.0), None), x * 0, tg.stack([x, x]))
        return carry.sum()

    np.testing.assert_allclose(tg.grad(total)(x), 6 * np.asarray(x) ** 2)
    np.testing.assert_allclose(tg.grad(tg.checkpoint(total))(x), 6 * np.asarray(x) ** 2)


def test_a_missing_rule_is_named(x):
    cube = make("")
    with pytest.raises(NotImplementedError, match=r"cube_plain: has no rule for \w+ mode"):
        tg.jvp(cube, (x,), (x,))
    with pytest.raises(NotImplementedError, match="cube_plain: has no rule for reverse mode"):
        tg.grad(lambda x: cube(x).sum())(x)
    np.testing.assert_allclose(tg.vmap(cube)(x), np.asarray(x) ** 3)  # one call after the other
