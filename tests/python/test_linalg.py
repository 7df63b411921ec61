"""tegula.linalg against NumPy and SciPy: factors, solutions, norms, errors, bits.

The rows' samples run in the table-driven tests; here is what those cannot say.
"""

from __future__ import annotations

import inspect
import subprocess
import sys

import array_api_strict
import numpy as np
import pytest
import scipy.linalg

import tegula as tg

la = tg.linalg
SIZES = [1, 2, 3, 5, 8, 16, 17, 33, 64, 100]
DTYPES = {"float32": 2e-4, "float64": 1e-12}


def normal(*shape: int, dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def regular(*shape: int, dtype: str = "float64") -> np.ndarray:
    n = shape[-1]
    return (normal(*shape, n) + 2 * np.sqrt(n) * np.eye(n)).astype(dtype)


def positive(*shape: int, dtype: str = "float64") -> np.ndarray:
    x = normal(*shape, shape[-1])
    return (x @ np.swapaxes(x, -1, -2) / shape[-1] + np.eye(shape[-1])).astype(dtype)


def close(got, want, tolerance: float) -> None:
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    scale = np.max(np.abs(want), initial=1e-30)
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale)


def transposed(x) -> np.ndarray:
    return np.swapaxes(np.asarray(x), -1, -2)


# ---- signatures ----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", array_api_strict.linalg.__all__)
def test_signatures_are_the_standards(name):
    if name in {"matmul", "matrix_transpose", "vecdot"}:
        assert getattr(la, name) is getattr(tg, name)
        return
    want = inspect.signature(getattr(array_api_strict.linalg, name)).parameters
    got = inspect.signature(getattr(la, name)).parameters
    assert [(p.name, p.kind, p.default) for p in got.values()] == [
        (p.name, p.kind, p.default) for p in want.values()
    ]


def test_results_are_named():
    x = tg.asarray(regular(3))
    assert la.eigh(x)._fields == ("eigenvalues", "eigenvectors")
    assert la.qr(x)._fields == ("Q", "R")
    assert la.slogdet(x)._fields == ("sign", "logabsdet")
    assert la.svd(x)._fields == ("U", "S", "Vh")
    assert type(la.svd(x)) is la.SVDResult
    assert type(tg.vmap(la.qr)(tg.asarray(normal(2, 3, 3)))).__name__ == "QRResult"


# ---- values --------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_solving(n, dtype):
    a, b, v = regular(n, dtype=dtype), normal(n, 3, dtype=dtype), normal(n, dtype=dtype)
    tolerance = DTYPES[dtype]
    close(la.solve(a, b), np.linalg.solve(a, b), tolerance)
    close(la.solve(a, v), np.linalg.solve(a, v), tolerance)
    close(la.inv(a), np.linalg.inv(a), tolerance)
    close(la.det(a / 10), np.linalg.det(a / 10), tolerance * 10)
    close(la.slogdet(-a)[0], np.linalg.slogdet(-a)[0], tolerance)
    close(la.slogdet(-a)[1], np.linalg.slogdet(-a)[1], tolerance)
    for upper in (False, True):
        want = scipy.linalg.solve_triangular(a, b, lower=not upper)
        close(la.solve_triangular(a, b, upper=upper), want, tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_symmetric_factors(n, dtype):
    x, tolerance = positive(n, dtype=dtype), DTYPES[dtype]
    close(la.cholesky(x), np.linalg.cholesky(x), tolerance)
    close(la.cholesky(x, upper=True), np.linalg.cholesky(x).T, tolerance)
    w, v = la.eigh(x)
    close(w, np.linalg.eigvalsh(x), tolerance)
    close(la.eigvalsh(x), w, tolerance)
    w, v = np.asarray(w), np.asarray(v)
    close(v * w @ v.T, x, tolerance)
    close(v.T @ v, np.eye(n), tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("m", "n"), [(1, 1), (4, 3), (3, 4), (16, 16), (40, 9), (9, 40), (70, 65)])
def test_orthogonal_factors(m, n, dtype):
    x, tolerance = normal(m, n, dtype=dtype), DTYPES[dtype]
    k = min(m, n)
    for mode, width in (("reduced", k), ("complete", m)):
        q, r = map(np.asarray, la.qr(x, mode=mode))
        assert q.shape == (m, width)
        assert r.shape == (width, n)
        close(q @ r, x, tolerance)
        close(q.T @ q, np.eye(width), tolerance)
        assert not np.tril(r, -1).any()
    for full in (False, True):
        u, s, vh = map(np.asarray, la.svd(x, full_matrices=full))
        assert u.shape == (m, m if full else k)
        assert vh.shape == (n if full else k, n)
        close(s, np.linalg.svd(x, compute_uv=False), tolerance)
        close(u[:, :k] * s @ vh[:k], x, tolerance)
        close(u.T @ u, np.eye(u.shape[1]), tolerance)
        close(vh @ vh.T, np.eye(vh.shape[0]), tolerance)
    close(la.svdvals(x), np.linalg.svd(x, compute_uv=False), tolerance)
    close(la.pinv(x), np.linalg.pinv(x), tolerance * 10)
    b = normal(m, 2, dtype=dtype)
    solution, _, rank, values = la.lstsq(x, b)
    close(solution, np.linalg.lstsq(x, b, rcond=None)[0], tolerance * 10)
    assert int(rank) == k
    close(values, s, tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("norm", [1e-3, 0.1, 0.5, 1.5, 3.0, 30.0])
def test_exponential(norm, dtype):
    """A norm for each degree of the approximant, and for scaling."""
    x = normal(7, 7)
    x = (x * norm / np.abs(x).sum(0).max()).astype(dtype)
    close(la.expm(x), scipy.linalg.expm(x.astype("float64")), max(DTYPES[dtype] / 20, 1e-13))


def test_exponential_of_nan_is_nan():
    x = np.eye(3)
    x[1, 1] = np.nan
    got = np.asarray(la.expm(np.stack([np.zeros((3, 3)), x])))
    np.testing.assert_array_equal(got[0], np.eye(3))
    assert np.isnan(got[1]).all()


@pytest.mark.parametrize("order", ["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf, None])
def test_matrix_norms(order):
    x = normal(2, 3, 4)
    want = np.linalg.norm(x, ord="fro" if order is None else order, axis=(-2, -1))
    close(la.matrix_norm(x, ord=order), want, 1e-13)
    close(la.matrix_norm(x, ord=order, keepdims=True), want[:, None, None], 1e-13)


def test_vector_norms_of_zeros_have_a_derivative():
    x = tg.zeros(3).requires_grad_()
    la.vector_norm(x).backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.0]


def test_tensordot():
    a, b = normal(2, 3, 4), normal(4, 5, 2)
    close(la.tensordot(a, b, axes=((2, 0), (0, 2))), np.tensordot(a, b, ((2, 0), (0, 2))), 1e-13)
    close(la.tensordot(a, b, axes=([-1], [0])), np.tensordot(a, b, ([-1], [0])), 1e-13)
    close(la.tensordot(a, b, axes=0), np.tensordot(a, b, 0), 1e-13)
    close(la.tensordot(a, normal(3, 4, 5)), np.tensordot(a, normal(3, 4, 5)), 1e-13)
    with pytest.raises(ValueError, match="differ in size"):
        la.tensordot(a, b, axes=((0,), (0,)))
    with pytest.raises(ValueError, match="does not fit"):
        la.tensordot(a, b, axes=4)
    with pytest.raises(ValueError, match="twice"):
        la.tensordot(a, b, axes=((0, -3), (0, 0)))
    with pytest.raises(IndexError, match="axis 3"):
        la.tensordot(a, b, axes=((3,), (0,)))
    assert tg.tensordot is la.tensordot


# ---- complex matrices ----------------------------------------------------------------------------
COMPLEX = {"complex64": 2e-4, "complex128": 1e-12}


def complexes(*shape: int, dtype: str = "complex128") -> np.ndarray:
    return (normal(*shape) + 1j * normal(*shape)[::-1]).astype(dtype)


def hermitian(n: int, dtype: str = "complex128") -> np.ndarray:
    x = complexes(n, n)
    return (x @ x.conj().T / n + np.eye(n)).astype(dtype)


@pytest.mark.parametrize("dtype", COMPLEX)
@pytest.mark.parametrize("n", [1, 2, 5, 17, 64])
def test_complex_square_matrices(n, dtype):
    tolerance = COMPLEX[dtype]
    a = complexes(n, n, dtype=dtype) + np.asarray(3 * np.sqrt(n) * np.eye(n), dtype)
    b = complexes(n, 3, dtype=dtype)
    close(la.solve(a, b), np.linalg.solve(a, b), tolerance)
    close(la.solve(a, b[:, 0]), np.linalg.solve(a, b[:, 0]), tolerance)
    close(la.inv(a), np.linalg.inv(a), tolerance)
    close(la.slogdet(a)[0], np.linalg.slogdet(a)[0], 10 * tolerance)
    close(la.slogdet(a)[1], np.linalg.slogdet(a)[1], tolerance)
    close(la.solve_triangular(a, b), scipy.linalg.solve_triangular(a, b, lower=True), tolerance)
    close(la.expm(a / n), scipy.linalg.expm(a / n), 10 * tolerance)
    x = hermitian(n, dtype)
    close(la.cholesky(x), np.linalg.cholesky(x), tolerance)
    close(la.cholesky(x, upper=True), np.linalg.cholesky(x).conj().T, tolerance)
    w, v = map(np.asarray, la.eigh(x))
    assert w.dtype == np.zeros(0, dtype).real.dtype
    close(w, np.linalg.eigvalsh(x), tolerance)
    close(v * w @ v.conj().T, x, tolerance)
    close(la.eigvalsh(x), w, tolerance)


@pytest.mark.parametrize("dtype", COMPLEX)
@pytest.mark.parametrize(("m", "n"), [(1, 1), (4, 3), (3, 4), (40, 9), (9, 40), (33, 33)])
def test_complex_orthogonal_factors(m, n, dtype):
    x, tolerance, k = complexes(m, n, dtype=dtype), COMPLEX[dtype], min(m, n)
    for mode in ("reduced", "complete"):
        q, r = map(np.asarray, la.qr(x, mode=mode))
        close(q @ r, x, tolerance)
        close(q.conj().T @ q, np.eye(q.shape[1]), tolerance)
    for full in (False, True):
        u, s, vh = map(np.asarray, la.svd(x, full_matrices=full))
        close(s, np.linalg.svd(x, compute_uv=False), tolerance)
        close(u[:, :k] * s @ vh[:k], x, tolerance)
        close(u.conj().T @ u, np.eye(u.shape[1]), tolerance)
        close(vh @ vh.conj().T, np.eye(vh.shape[0]), tolerance)
    close(la.svdvals(x), np.linalg.svd(x, compute_uv=False), tolerance)
    close(la.pinv(x), np.linalg.pinv(x), 10 * tolerance)
    for order in ("fro", "nuc", 1, 2, -2, np.inf):
        close(la.matrix_norm(x, ord=order), np.linalg.norm(x, order), tolerance)


@pytest.mark.parametrize("dtype", [*DTYPES, *COMPLEX])
@pytest.mark.parametrize("n", [1, 2, 5, 16, 60])
def test_eigenvalues(n, dtype):
    x = complexes(n, n, dtype=dtype) if "complex" in dtype else normal(n, n, dtype=dtype)
    tolerance = 1e-3 if dtype in {"float32", "complex64"} else 1e-11
    w, v = map(np.asarray, la.eig(x))
    assert w.dtype == v.dtype == np.result_type(dtype, np.complex64)
    close(x @ v, v * w, tolerance)
    close(np.linalg.norm(v, axis=0), np.ones(n), tolerance)
    close(np.sort_complex(la.eigvals(x)), np.sort_complex(w), tolerance)


def test_complex_derivatives_of_what_does_not_depend_on_phases():
    """A product rebuilt from its factors has the derivative of the product."""
    x, g = tg.asarray(complexes(4, 3)), tg.asarray(complexes(3, 4).T)
    square, h = tg.asarray(complexes(4, 4)), tg.asarray(complexes(4, 4)[::-1].copy())

    def inner(y, g):
        return tg.real(tg.conj(g) * y).sum()

    def svd(x):
        u, s, vh = la.svd(x, full_matrices=False)
        return inner((u * s) @ vh, g)

    def qr(x):
        q, r = la.qr(x)
        return inner(q @ r, g)

    def eigh(x):
        w, v = la.eigh(x)
        return inner((v * w) @ tg.conj(v.mT), h)

    def cholesky(x):
        factor = la.cholesky(x)
        return inner(factor @ tg.conj(factor.mT), h)

    def eig(x):
        w, v = la.eig(x)
        return inner((v * w * w) @ la.inv(v), h)

    close(tg.grad(svd)(x), g, 1e-11)
    close(tg.grad(qr)(x), g, 1e-11)
    symmetric = (np.asarray(h) + np.asarray(h).conj().T) / 2
    close(tg.grad(eigh)(square), symmetric, 1e-11)
    close(tg.grad(cholesky)(tg.asarray(hermitian(4))), symmetric, 1e-11)
    close(tg.grad(eig)(square), tg.grad(lambda x: inner(x @ x, h))(square), 1e-11)
    values = tg.real(square)
    want = tg.grad(lambda x: tg.real((x @ x) * h).sum())(values)
    close(tg.grad(lambda x: tg.real((lambda w, v: (v * w * w) @ la.inv(v))(*la.eig(x)) * h).sum())(
        values), want, 1e-11)  # fmt: skip


# ---- batches and layouts -------------------------------------------------------------------------
FUNCTIONS = {
    "cholesky": lambda x: la.cholesky(x),
    "det": lambda x: la.det(x),
    "eig": lambda x: la.eig(x),
    "eigh": lambda x: la.eigh(x),
    "expm": lambda x: la.expm(x),
    "inv": lambda x: la.inv(x),
    "pinv": lambda x: la.pinv(x),
    "qr": lambda x: la.qr(x),
    "solve": lambda x: la.solve(x, x[..., :2]),
    "solve_triangular": lambda x: la.solve_triangular(x, x[..., :2], upper=True),
    "svd": lambda x: la.svd(x),
    "svdvals": lambda x: la.svdvals(x),
}


def results(function, x) -> list[np.ndarray]:
    got = function(x)
    return [np.asarray(y) for y in (got if isinstance(got, tuple) else [got])]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_batch_is_a_loop(name):
    x = positive(3, 2, 6)
    whole = results(FUNCTIONS[name], tg.asarray(x))
    for i in np.ndindex(3, 2):
        for got, want in zip(results(FUNCTIONS[name], tg.asarray(x[i])), whole, strict=True):
            np.testing.assert_array_equal(got, want[i])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_layouts(name):
    x = positive(4, 6)
    want = results(FUNCTIONS[name], tg.asarray(x))
    wide = np.zeros((9, 14, 13))
    wide[1::2, 1:13:2, 1::2] = x
    views = {
        "sliced": tg.asarray(wide)[1::2, 1:13:2, 1::2],
        "reversed": tg.flip(tg.asarray(np.flip(x).copy())),
        "transposed": tg.asarray(transposed(x).copy()).mT,
        "permuted": tg.asarray(np.moveaxis(x, 0, -1).copy()).permute_dims((2, 0, 1)),
        "repeated": tg.broadcast_to(tg.asarray(x), (2, 4, 6, 6)),
    }
    for layout, view in views.items():
        for got, plain in zip(results(FUNCTIONS[name], view), want, strict=True):
            for part in got if layout == "repeated" else [got]:
                np.testing.assert_array_equal(part, plain, err_msg=layout)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3, 3), (2, 0, 0), (0, 0, 0), (2, 0, 5, 5)])
def test_empty(shape):
    x = np.zeros(shape)
    for name in ("cholesky", "det", "inv", "eigh", "eigvalsh", "svdvals", "qr", "slogdet"):
        got = results(getattr(la, name), tg.asarray(x))
        want = results(getattr(np.linalg, name), x)
        for g, w in zip(got, want, strict=True):
            np.testing.assert_array_equal(g, w)
            assert g.dtype == w.dtype
    assert la.expm(x).shape == shape
    assert la.solve(x, x).shape == shape


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 0, 4), (2, 4, 0), (0, 2, 4)])
def test_empty_rectangles(shape):
    x = np.zeros(shape)
    *batch, m, n = shape
    u, s, vh = la.svd(x)
    want = np.linalg.svd(x) if np.prod(batch) else None
    assert (u.shape, s.shape, vh.shape) == ((*batch, m, m), (*batch, 0 if 0 in (m, n) else 2),
                                            (*batch, n, n))  # fmt: skip
    if want is not None:
        np.testing.assert_array_equal(np.asarray(u), want[0])
        np.testing.assert_array_equal(np.asarray(vh), want[2])
    assert la.pinv(x).shape == (*batch, n, m)
    np.testing.assert_array_equal(np.asarray(la.matrix_rank(x)), np.zeros(batch))
    assert la.lstsq(x, np.zeros((*batch, m, 2))).solution.shape == (*batch, n, 2)
    for order in ("fro", "nuc", 1, 2, np.inf):
        np.testing.assert_array_equal(np.asarray(la.matrix_norm(x, ord=order)), np.zeros(batch))


def test_a_vector_is_one_dimensional():
    a, b = regular(4, 3), normal(4, 3)
    close(la.solve(a, b[0]), np.linalg.solve(a, b[0]), 1e-12)
    with pytest.raises(ValueError, match="number of rows"):
        la.solve(a, b)  # (4, 3) is a matrix of 4 rows
    close(
        la.solve(a[:, None], normal(2, 3, 5)), np.linalg.solve(a[:, None], normal(2, 3, 5)), 1e-12
    )


def test_many_right_sides_of_one_matrix():
    a, b = regular(5), normal(7, 5, 2)
    solved = tg.vmap(la.solve, in_axes=(None, 0))(a, b)
    close(solved, np.linalg.solve(a, b), 1e-12)


# ---- bits ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_bits_do_not_depend_on_threads(name, dtype):
    inputs = [tg.asarray(positive(*shape, dtype=dtype)) for shape in ((500, 8), (9, 70), (200,))]
    before = tg.get_num_threads()
    try:
        runs = []
        for threads in (1, 2, 5):
            tg.set_num_threads(threads)
            runs.append([r.tobytes() for x in inputs for r in results(FUNCTIONS[name], x)])
    finally:
        tg.set_num_threads(before)
    assert runs[0] == runs[1] == runs[2]


# ---- derivatives ---------------------------------------------------------------------------------
def test_derivative_of_what_does_not_depend_on_signs():
    """Projections on eigenvectors; the reconstruction's gradient is the identity."""
    x = tg.asarray(positive(5))
    g = normal(5, 5)

    def rebuilt(x):
        w, v = la.eigh(x)
        return (v * w @ v.mT * tg.asarray(g)).sum()

    close(tg.grad(rebuilt)(x), (g + g.T) / 2, 1e-12)

    def rebuilt_svd(x):
        u, s, vh = la.svd(x, full_matrices=False)
        return ((u * s) @ vh * tg.asarray(normal(4, 6))).sum()

    close(tg.grad(rebuilt_svd)(tg.asarray(normal(4, 6))), normal(4, 6), 1e-12)


def test_determinants_of_singular_matrices_have_derivatives():
    x = normal(3, 3)
    x[2] = x[0] + 2 * x[1]
    zero = np.zeros((2, 2))

    def cofactors(x):
        n = len(x)
        rows = [np.delete(x, i, 0) for i in range(n)]
        return np.array([
            [(-1) ** (i + j) * np.linalg.det(np.delete(rows[i], j, 1)) for j in range(n)]
            for i in range(n)
        ])  # fmt: skip

    close(tg.grad(la.det)(tg.asarray(x)), cofactors(x), 1e-12)
    close(tg.grad(la.det)(tg.asarray(np.ones((2, 2)))), [[1, -1], [-1, 1]], 1e-15)
    close(tg.grad(la.det)(tg.asarray([[0.0]], dtype="float64")), [[1]], 1e-15)
    np.testing.assert_allclose(np.asarray(tg.grad(la.det)(tg.asarray(zero))), zero, atol=1e-15)


def test_equal_eigenvalues_give_no_nan():
    got = tg.grad(lambda x: la.eigh(x).eigenvectors.sum())(tg.asarray(np.eye(3)))
    assert np.isfinite(np.asarray(got)).all()


def test_what_has_no_derivative_says_so():
    x = tg.asarray(normal(4, 3))
    with pytest.raises(NotImplementedError, match="full_matrices=False"):
        tg.grad(lambda x: la.svd(x).U.sum())(x)
    with pytest.raises(NotImplementedError, match="mode='reduced'"):
        tg.grad(lambda x: la.qr(x, mode="complete").Q.sum())(x)


# ---- failures ------------------------------------------------------------------------------------
SINGULAR = np.stack([np.eye(3), np.ones((3, 3)), np.eye(3)])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: la.inv(SINGULAR), r"linalg.inv: matrix 1 of the batch of 3 is singular"),
        (lambda: la.inv(SINGULAR[1]), r"linalg.inv: the matrix is singular"),
        (lambda: la.solve(SINGULAR, np.ones((3, 3, 1))), r"linalg.solve: matrix 1 of .* singular"),
        (lambda: la.cholesky(-SINGULAR), r"linalg.cholesky: matrix 0 .* not positive definite"),
        (lambda: la.solve_triangular(np.zeros((2, 2)), np.ones(2)), r"element 0 of its diagonal"),
        (lambda: la.svd(SINGULAR * [[[1.0]], [[1]], [[np.nan]]]), r"svd: matrix 2 .* NaN"),
        (lambda: la.svdvals([[np.inf]]), r"linalg.svdvals: the matrix holds NaN or infinity"),
        (lambda: la.eigh([[np.nan, 0], [0, 1]]), r"linalg.eigh: the matrix holds NaN"),
        (lambda: la.matrix_power(np.zeros((2, 2)), -1), r"linalg.inv: the matrix is singular"),
    ],
)
def test_failures_name_the_matrix(call, message):
    result = call()
    with pytest.raises(la.LinAlgError, match=message):
        np.asarray(result[0] if isinstance(result, tuple) else result)
    assert issubclass(la.LinAlgError, ValueError)


def test_nan_passes_through_factors():
    x = np.eye(3)
    x[0, 0] = np.nan
    assert np.isnan(np.asarray(la.inv(x))).any()
    assert np.isnan(np.asarray(la.solve(x, np.ones(3)))).any()
    assert np.isnan(float(la.det(x)))
    assert np.isnan(np.asarray(la.qr(x).R)).any()
    assert np.isnan(np.asarray(la.cholesky(x))).any()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: la.inv(np.ones(3)), ValueError, "linalg.inv: x must have at least 2"),
        (
            lambda: la.inv(np.ones((2, 3))),
            ValueError,
            r"must be square matrices, got shape \(2, 3\)",
        ),
        (lambda: la.inv(np.ones((2, 2), int)), TypeError, "floating or complex dtype, got int64"),
        (lambda: la.eigh(np.ones((2, 3))), ValueError, "linalg.eigh: x must be square"),
        (lambda: la.solve(np.eye(3), np.ones(2)), ValueError, "number of rows"),
        (lambda: la.solve(np.eye(3), 1.0), ValueError, "x2 must have at least 1"),
        (lambda: la.solve(regular(2, 3), normal(4, 3, 1)), ValueError, "broadcast"),
        (lambda: la.qr(np.eye(3), mode="raw"), ValueError, "mode must be 'reduced'"),
        (lambda: la.matrix_norm(np.eye(3), ord=3), ValueError, "ord must be .* got 3"),
        (lambda: la.matrix_norm(np.eye(3), ord="max"), ValueError, "ord must be .* got max"),
        (lambda: la.vector_norm(np.ones(3), axis=1), IndexError, "linalg.vector_norm"),
        (lambda: la.vector_norm([1, 2]), TypeError, "floating"),
        (lambda: la.cross(np.ones(3), np.ones(2)), ValueError, "3 components"),
        (lambda: la.cross(np.ones(3), np.ones(3), axis=1), IndexError, "linalg.cross: axis 1"),
        (lambda: la.outer(np.ones((2, 2)), np.ones(2)), ValueError, "must be 1-d"),
        (
            lambda: la.cross(np.ones((2, 3)), np.ones((4, 3))),
            ValueError,
            "linalg.cross: .*broadcast",
        ),
        (lambda: la.tensordot("x", 1), TypeError, "tensordot: argument 'x1'"),
        (lambda: la.trace(np.ones(3)), ValueError, "linalg.trace: x must have at least 2"),
        (lambda: la.matrix_power(np.ones((2, 3)), 2), ValueError, "square"),
        (lambda: la.matrix_power(np.eye(2), -(2**63)), ValueError, "out of range"),
        (lambda: la.matrix_power(np.eye(2), np.ones(3)), TypeError, "argument 'n' must be an int"),
        (lambda: la.inv("x"), TypeError, "linalg.inv: argument 'x'"),
        (lambda: la.inv(x=np.eye(2)), TypeError, "unexpected argument 'x'"),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()


WITHOUT = """
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in {hidden} else found(name, *rest)
import tegula as tg
x = tg.asarray([[2.0, 1.0], [1.0, 3.0]])
"""


def run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_without_lapack_a_message_says_what_to_install():
    code = WITHOUT.format(hidden={"scipy_openblas32", "scipy"})
    code += """
print(float(tg.linalg.trace(x)), float(tg.linalg.matrix_norm(x, ord=1)))
try:
    tg.linalg.inv(x)
except ImportError as error:
    print(error)
"""
    assert run(code).startswith("5.0 4.0\nlinalg.inv: needs LAPACK; install it with `pip install")


def test_scipys_lapack_stands_in():
    code = WITHOUT.format(hidden={"scipy_openblas32"})
    code += """
import numpy as np
x = tg.asarray(np.random.default_rng(0).normal(size=(40, 9, 9)) + 9 * np.eye(9))
s = x @ x.mT
for a, b in (
    (tg.linalg.inv(x), np.linalg.inv(np.asarray(x))),
    (tg.linalg.svdvals(x), np.linalg.svd(np.asarray(x), compute_uv=False)),
    (tg.linalg.eigvalsh(s), np.linalg.eigvalsh(np.asarray(s))),
    (tg.linalg.cholesky(s), np.linalg.cholesky(np.asarray(s))),
):
    np.testing.assert_allclose(np.asarray(a), b, 1e-10, 1e-10)
print("good")
"""
    assert run(code) == "good\n"
