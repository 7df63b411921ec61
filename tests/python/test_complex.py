"""Complex tensors: values, promotion, what is refused, and gradients by the convention of
docs/complex.md. The table tests run every operation's complex samples besides."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

import tegula as tg

RNG = np.random.default_rng(11)


def c(*shape: int, dtype: str = "complex128") -> np.ndarray:
    return np.asarray(RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape), dtype)


def close(got: Any, want: Any, tolerance: float = 1e-12) -> None:
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


# ---- dtypes ------------------------------------------------------------------------------------
ALL = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
]


@pytest.mark.parametrize("other", ALL)
def test_promotion(other):
    wide = "complex128" if other == "float64" else "complex64"
    for a, b in ((other, "complex64"), ("complex64", other)):
        assert (tg.ones(2, a) + tg.ones(2, b)).dtype == wide
        assert tg.result_type(getattr(tg, a), getattr(tg, b)) == wide
    assert (tg.ones(2, other) * tg.ones(2, "complex128")).dtype == tg.complex128
    assert tg.ones(2, other).astype("complex64").dtype == tg.complex64


def test_python_numbers_take_the_precision_they_meet():
    assert (tg.ones(2) * 1j).dtype == tg.complex64
    assert (tg.ones(2, "float64") + 2j).dtype == tg.complex128
    assert (1j - tg.ones(2, "complex128")).dtype == tg.complex128
    assert (tg.ones(2, "complex64") * 2.5).dtype == tg.complex64
    assert (tg.ones(2, "int64") * 1j).dtype == tg.complex64
    assert tg.result_type(tg.float64, 1j) == tg.complex128
    z = tg.ones(2, "complex128") * (1 / 3 + 0.1j)
    assert complex(z[0]) == 1 / 3 + 0.1j  # in full


def test_facts():
    assert tg.isdtype(tg.complex64, "complex floating")
    assert not tg.isdtype(tg.complex64, "real floating")
    assert tg.finfo(tg.complex128).eps == np.finfo(np.float64).eps
    assert tg.complex128.itemsize == 16


# ---- in and out --------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_numpy_and_back(dtype):
    for x in (c(3, 4, dtype=dtype), c(5, 6, dtype=dtype)[::2, ::-3].T, c(0, 3, dtype=dtype)):
        t = tg.asarray(x)
        assert t.dtype == dtype
        np.testing.assert_array_equal(t.numpy(), x)
        np.testing.assert_array_equal(np.from_dlpack(t), x)
        np.testing.assert_array_equal(tg.from_dlpack(np.ascontiguousarray(x)).numpy(), x)
        np.testing.assert_array_equal(t.mT.numpy(), np.swapaxes(x, -1, -2))
    scalar = np.asarray(1 + 2j, dtype)
    assert tg.asarray(scalar).dtype == dtype
    assert complex(tg.asarray(scalar)) == 1 + 2j


def test_lists_and_numbers():
    assert tg.asarray(1j).dtype == tg.complex64
    assert tg.asarray([1, 2.5, 1j]).tolist() == [1, 2.5, 1j]
    assert tg.asarray([[True, 1j]], dtype="complex128").dtype == tg.complex128
    assert tg.asarray([1, 2], dtype="complex64").tolist() == [1, 2]
    assert tg.asarray(1 + 1j).item() == 1 + 1j
    assert tg.full((2,), 2j).tolist() == [2j, 2j]
    assert tg.zeros(2, "complex128").tolist() == [0, 0]
    assert tg.linspace(0, 1, 3, dtype="complex64").tolist() == [0, 0.5, 1]
    assert bool(tg.asarray(1j))
    assert not bool(tg.asarray(0j))
    assert "1.j" in repr(tg.asarray([1j]))


def test_moving_elements_about():
    x = c(5, 7, 3)
    t = tg.asarray(x)
    close(t[1:4, ::2], x[1:4, ::2])
    close(t[tg.asarray([3, 1])], x[[3, 1]])
    close(t[t.real() > 0], x[x.real > 0])
    close(tg.permute_dims(t, (2, 0, 1)), x.transpose(2, 0, 1))
    close(tg.concat([t, t], axis=1), np.concatenate([x, x], axis=1))
    close(tg.where(t.imag() > 0, t, 1j), np.where(x.imag > 0, x, 1j))
    close(tg.tril(t[:3, :3, 0]), np.tril(x[:3, :3, 0]))
    t[1] = 2j
    t[:, 2] += 1
    x[1] = 2j
    x[:, 2] += 1
    close(t, x)
    big = c(70, 90)
    close(tg.asarray(big).T + 0, big.T)
    close(
        tg.broadcast_to(tg.asarray(big[:, :1]), (70, 5)) * 1, np.broadcast_to(big[:, :1], (70, 5))
    )


# ---- values ------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_reductions(dtype):
    tolerance = 1e-5 if dtype == "complex64" else 1e-12
    x = c(4, 5, 6, dtype=dtype)
    t = tg.asarray(x)
    for axis in (None, 0, 1, -1, (0, 2)):
        close(tg.sum(t, axis=axis), np.sum(x, axis=axis), tolerance)
        close(tg.mean(t, axis=axis), np.mean(x, axis=axis), tolerance)
        close(tg.prod(t, axis=axis), np.prod(x, axis=axis), 10 * tolerance)
        close(tg.var(t, axis=axis, correction=1), np.var(x, axis=axis, ddof=1), tolerance)
    close(tg.any(t, axis=0), np.any(x, axis=0))
    close(tg.cumulative_sum(t, axis=1), np.cumsum(x, axis=1), tolerance)
    close(tg.cumulative_prod(t, axis=1), np.cumprod(x, axis=1), tolerance)
    assert tg.prod(tg.zeros((2, 0), dtype), axis=1).tolist() == [1, 1]


def test_products():
    a, b, r = c(3, 4), c(4, 5), RNG.standard_normal((4, 5))
    A, B, R = tg.asarray(a), tg.asarray(b), tg.asarray(r)
    close(A @ B, a @ b)
    close(A @ R, a @ r)
    close(R.T @ B, r.T @ b)
    close(tg.vecdot(A, A), np.sum(a.conj() * a, -1).real + 0j)
    close(tg.tensordot(A, B, axes=1), np.tensordot(a, b, 1))
    close(A.astype("complex64") @ B, a.astype("complex64") @ b)
    x, w = c(2, 3, 8), c(4, 3, 3)
    want = np.stack([
        sum(np.einsum("nc,oc->no", x[:, :, i + k], w[:, :, k]) for k in range(3)) for i in range(6)
    ], -1)  # fmt: skip
    close(tg.nn.functional.conv1d(tg.asarray(x), tg.asarray(w)), want)


def test_sets():
    x = np.array([1j, 1, 1j, -1, 1 + 1j, 1])
    values, inverse = tg.unique_inverse(tg.asarray(x))
    close(values, np.unique(x))
    close(values[inverse], x)


def test_no_order():
    z = tg.asarray([1j, 2])
    for f in (tg.max, tg.argmin, tg.sort, tg.argsort, tg.floor, lambda x: tg.topk(x, 1)):
        with pytest.raises(TypeError, match="complex"):
            f(z)
    for f in (operator.lt, operator.ge, tg.maximum, operator.floordiv, operator.mod, tg.atan2):
        with pytest.raises(TypeError, match="complex"):
            f(z, z)
    with pytest.raises(TypeError, match="real"):
        z.astype("float32")
    with pytest.raises(TypeError, match="complex"):
        float(z[0])
    with pytest.raises(TypeError):
        tg.bitwise_and(z, z)
    assert z.astype("bool").tolist() == [True, True]


SPECIAL = [0.0, -0.0, 1.0, -2.0, np.inf, -np.inf, np.nan]


FUNCTIONS = """exp log sqrt sin cos tan sinh cosh tanh asin acos atan asinh acosh atanh square abs
conj"""


@pytest.mark.parametrize("name", FUNCTIONS.split())
def test_special_values_are_those_of_c99(name):
    """As NumPy has them, whose functions follow Annex G; a NaN's sign means nothing."""
    z = np.array([complex(a, b) for a in SPECIAL for b in SPECIAL])
    numpy_name = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh",
                  "acosh": "arccosh", "atanh": "arctanh"}.get(name, name)  # fmt: skip
    with np.errstate(all="ignore"):
        want = getattr(np, numpy_name)(z)
    got = getattr(tg, name)(tg.asarray(z)).numpy()
    for g, w, at in zip(got, want, z, strict=True):
        for part in (np.real, np.imag):
            a, b = float(part(g)), float(part(w))
            same = (np.isnan(a) and np.isnan(b)) or (
                np.isclose(a, b, rtol=1e-14, atol=0) and np.signbit(a) == np.signbit(b)
            )
            assert same, f"{name}({at}): {g}, expected {w}"


# ---- derivatives -------------------------------------------------------------------------------
def test_gradient_is_of_both_parts():
    """dL/d(re) + i dL/d(im): a step against it makes L smaller."""
    z = tg.asarray([1 + 2j, -0.5j], dtype="complex128", requires_grad=True)
    loss = (tg.abs(z - 1) ** 2).sum()
    loss.backward()
    close(z.grad, 2 * (z.numpy() - 1))
    with tg.no_grad():
        assert float((tg.abs(z - 0.1 * z.grad - 1) ** 2).sum()) < float(loss)


def test_gradient_of_a_holomorphic_function():
    z = tg.asarray(0.5 + 0.25j, dtype="complex128")
    _, pull = tg.vjp(lambda z: tg.exp(z) * z, z)
    u = 1.5 - 0.5j
    want = u * np.conj(np.exp(z.item()) * (z.item() + 1))
    assert abs(complex(pull(tg.asarray(u, dtype="complex128"))[0]) - want) < 1e-14


def test_real_inputs_have_real_gradients():
    x = tg.asarray(c(4).real.copy(), requires_grad=True)
    y = tg.asarray(c(4))
    tg.real(x * y).sum().backward()
    assert x.grad.dtype == tg.float64
    close(x.grad, y.numpy().real)


def test_gradient_of_matmul():
    a, b = tg.asarray(c(3, 4)), tg.asarray(c(4, 2))
    u = tg.asarray(c(3, 2))
    _, pull = tg.vjp(lambda a, b: a @ b, a, b)
    da, db = pull(u)
    close(da, u.numpy() @ b.numpy().conj().T)
    close(db, a.numpy().conj().T @ u.numpy())


def test_no_gradient_at_zero_of_abs():
    z = tg.asarray([0j, 3 + 4j], dtype="complex128", requires_grad=True)
    tg.abs(z).sum().backward()
    close(z.grad, np.array([0, 0.6 + 0.8j]))


def test_a_complex_loss_is_refused():
    z = tg.asarray(1j, requires_grad=True)
    with pytest.raises((TypeError, ValueError), match="complex"):
        (z * z).backward()


@pytest.mark.parametrize("threads", [1, 2])
def test_bits_do_not_depend_on_threads(threads):
    x = np.random.default_rng(3).standard_normal((300, 500, 2)).view(np.complex128)[..., 0]
    t = tg.asarray(x)
    before = tg.get_num_threads()
    try:
        tg.set_num_threads(threads)
        got = (tg.exp(t * 1j) @ t.mT).sum(axis=0).numpy().tobytes()
        tg.set_num_threads(1)
        assert got == (tg.exp(t * 1j) @ t.mT).sum(axis=0).numpy().tobytes()
    finally:
        tg.set_num_threads(before)
