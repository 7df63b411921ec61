"""Gradients of ``matmul(dtype=...)``: summed in the wider dtype, rounded to the operand's."""

import numpy as np
import pytest

import tegula as tg


def _operands(shapes, dtype, seed=0):
    rng = np.random.default_rng(seed)
    tensors = [tg.asarray(rng.standard_normal(s).astype(np.float32)).astype(dtype) for s in shapes]
    for x in tensors:
        x.requires_grad = True
    return tensors


def _wide(x, wide):
    return x.astype(tg.float64).numpy().astype(wide)


@pytest.mark.parametrize("dtype", [tg.float16, tg.bfloat16])
@pytest.mark.parametrize("wide", [tg.float32, tg.float64])
@pytest.mark.parametrize(
    "shapes",
    [((5, 7), (7, 3)), ((2, 5, 7), (7, 3)), ((1, 5, 7), (4, 7, 3)), ((7,), (7, 3)), ((5, 7), (7,))],
)
def test_gradients_of_wider_sums(dtype, wide, shapes):
    a, b = _operands(shapes, dtype)
    y = tg.matmul(a, b, dtype=wide)
    assert y.dtype == wide
    weights = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
    (y * tg.asarray(weights).astype(wide)).sum().backward()
    a64, b64 = (tg.asarray(_wide(x, np.float64)) for x in (a, b))
    a64.requires_grad = b64.requires_grad = True
    (tg.matmul(a64, b64) * tg.asarray(weights.astype(np.float64))).sum().backward()
    unit = 2.0 ** (-11 if dtype == tg.float16 else -8)
    for narrow, exact in ((a, a64), (b, b64)):
        assert narrow.grad.dtype == dtype
        got, want = _wide(narrow.grad, np.float64), exact.grad.numpy()
        # One rounding, and a little for float32 sums. Where an operand was broadcast, the matrices
        # of its gradient are rounded before they are added.
        broadcast = len(narrow.shape) == 3 and narrow.shape[0] < y.shape[0]
        atol = 16 * unit if broadcast else 1e-5
        np.testing.assert_allclose(got, want, rtol=1.01 * unit, atol=atol)


def test_gradients_of_float32_summed_in_float64():
    a, b = _operands(((6, 9), (9, 4)), tg.float32)
    tg.matmul(a, b, dtype=tg.float64).sum().backward()
    assert a.grad.dtype == b.grad.dtype == tg.float32
    want = _wide(b, np.float64).sum(1, keepdims=True).T.repeat(6, 0)
    np.testing.assert_allclose(a.grad.numpy(), want, rtol=1e-7)


def test_gradients_of_float32_summed_in_float16():
    a, b = _operands(((6, 9), (9, 4)), tg.float32)
    y = tg.matmul(a, b, dtype=tg.float16)
    assert y.dtype == tg.float16
    y.astype(tg.float32).sum().backward()
    assert a.grad.dtype == b.grad.dtype == tg.float32
    want = _wide(b, np.float64).sum(1, keepdims=True).T.repeat(6, 0)
    np.testing.assert_allclose(a.grad.numpy(), want, rtol=2e-2, atol=2e-2)
