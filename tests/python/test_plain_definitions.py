"""What libraries have kernels for, written out: each becomes one program over its rows, forward and
with its gradient. Values are those of NumPy in float64, gradients its slopes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tegula as tg

ROWS, COLUMNS = 64, 96
LABELS = np.arange(ROWS) * 7 % COLUMNS


def softmax(m: Any, x: Any) -> Any:
    e = m.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def log_softmax(m: Any, x: Any) -> Any:
    z = x - x.max(axis=-1, keepdims=True)
    return z - m.log(m.exp(z).sum(axis=-1, keepdims=True))


def layer_norm(m: Any, x: Any) -> Any:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / m.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)


def rms_norm(m: Any, x: Any) -> Any:
    return x / m.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-6)


def variance(m: Any, x: Any) -> Any:
    return ((x - x.mean(axis=-1, keepdims=True)) ** 2).mean(axis=-1)


def cross_entropy(m: Any, x: Any) -> Any:
    """Of each row; the label's score is chosen by a comparison, which fuses."""
    labels = m.asarray(LABELS).reshape((ROWS, 1))
    return -m.where(m.arange(COLUMNS) == labels, log_softmax(m, x), 0.0).sum(axis=-1)


DEFINITIONS = (softmax, log_softmax, layer_norm, rms_norm, variance, cross_entropy)


def values() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(ROWS, COLUMNS)) * 3


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_forward_is_one_program(definition: Callable[[Any, Any], Any]) -> None:
    x = tg.asarray(values().astype(np.float32))
    tg.eval(x)
    explained = tg.explain(lambda: tg.eval(definition(tg, x)))
    steps = [s for p in explained.plans for s in p.steps]
    assert all(s.operations.startswith("tile ") for s in steps)
    # The numbers of the columns, and what follows the sum of a row, are small steps beside it.
    beside = 2 if definition is cross_entropy else 0
    assert len(steps) == 1 + beside
    assert sum(s.bytes > 4 * ROWS * COLUMNS for s in steps) == 1
    expected = definition(np, values())
    np.testing.assert_allclose(definition(tg, x).numpy(), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_forward_and_backward_are_one_program(definition: Callable[[Any, Any], Any]) -> None:
    x = tg.asarray(values().astype(np.float32))
    shape = definition(np, values()).shape
    weights = np.random.default_rng(1).normal(size=shape)
    upstream = tg.asarray(weights.astype(np.float32))
    tg.eval(x, upstream)
    x.requires_grad_()

    def passes() -> tg.Tensor:
        y = definition(tg, x)
        y.backward(upstream)
        gradient, x.grad = x.grad, None
        assert gradient is not None
        tg.eval(gradient)
        return gradient

    explained = tg.explain(passes)
    steps = [s.operations for p in explained.plans for s in p.steps]
    large = [s for p in explained.plans for s in p.steps if s.bytes > 4 * ROWS * COLUMNS]
    assert all(name.startswith("tile ") for name in steps)
    assert len(large) == 1, steps
    along = np.random.default_rng(2).normal(size=x.shape)
    slope = (
        weights
        * (definition(np, values() + 1e-6 * along) - definition(np, values() - 1e-6 * along))
    ).sum() / 2e-6
    np.testing.assert_allclose(
        (explained.result.numpy() * along).sum(), slope, rtol=1e-3, atol=1e-3
    )
