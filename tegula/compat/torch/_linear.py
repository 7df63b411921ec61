"""Products of matrices and decompositions: what is in ``torch`` itself; ``torch.linalg``."""

from __future__ import annotations

import math
import types
from collections import namedtuple
from typing import Any

import tegula as tg
import tegula.linalg  # finds LAPACK
from tegula import _core
from tegula.compat.torch._elementwise import _where, as_float
from tegula.compat.torch._registry import (
    axis_of,
    both,
    dims_of,
    everywhere,
    function,
    functions,
    methods,
    need,
    not_supported,
    t,
)
from tegula.compat.torch._tensor import Tensor


@function
def einsum(equation: Any, *operands: Any) -> Tensor:
    """Einstein's summation."""
    if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = tuple(operands[0])
    return need("einsum", "einsum", "write it with matmul, transpose and sum")(equation, *operands)


def _plus_product(name: str, product: Any) -> None:
    def apply(
        input: Tensor, first: Tensor, second: Tensor, *, beta: Any = 1, alpha: Any = 1
    ) -> Tensor:
        found = product(first, second)
        found = found if alpha == 1 else found * alpha
        if beta == 0:
            return t.broadcast_to(found, tg.broadcast_shapes(input.shape, found.shape))
        return (input if beta == 1 else input * beta) + found

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = f"torch.{name}: beta * input + alpha * product."
    everywhere(apply)


_plus_product("addmm", _core.matmul)
_plus_product("addmv", _core.matmul)
_plus_product("baddbmm", _core.matmul)
_plus_product("addbmm", lambda a, b: _core.matmul(a, b).sum(0))
_plus_product("addr", _core.outer)


@both
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Products of the last axes."""
    if input.ndim == 0 or other.ndim == 0:
        return input * other
    return tensordot(input, other, ([input.ndim - 1], [other.ndim - 1]))


@both
def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product."""
    rank = max(input.ndim, other.ndim)
    a = input.reshape((1,) * (rank - input.ndim) + tuple(input.shape))
    b = other.reshape((1,) * (rank - other.ndim) + tuple(other.shape))
    shape_a = [s for size in a.shape for s in (size, 1)]
    shape_b = [s for size in b.shape for s in (1, size)]
    product = a.reshape(shape_a) * b.reshape(shape_b)
    return product.reshape([x * y for x, y in zip(a.shape, b.shape, strict=True)])


@function
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Products summed over axes."""
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise RuntimeError(f"tensordot: dims={dims} of tensors of {a.ndim} and {b.ndim} axes")
        first, second = tuple(range(a.ndim - dims, a.ndim)), tuple(range(dims))
    else:
        first, second = (
            tuple(int(i) for i in (d if isinstance(d, (tuple, list)) else [d])) for d in dims
        )
    first = tuple(axis_of(a.ndim, i) for i in first)
    second = tuple(axis_of(b.ndim, i) for i in second)
    for i, j in zip(first, second, strict=True):  # an axis of size 1 stands for any
        if a.shape[i] == 1 != b.shape[j]:
            b = b.sum(j, True)
        elif b.shape[j] == 1 != a.shape[i]:
            a = a.sum(i, True)
    kept_a = [i for i in range(a.ndim) if i not in first]
    kept_b = [i for i in range(b.ndim) if i not in second]
    shape = [a.shape[i] for i in kept_a] + [b.shape[i] for i in kept_b]
    width = math.prod(a.shape[i] for i in first)
    left = t.permute(a, (*kept_a, *first)).reshape(-1 if a.numel() else 0, width)
    right = t.permute(b, (*second, *kept_b)).reshape(width, -1 if b.numel() else 0)
    return (left @ right).reshape(shape)


@function
def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of several matrices."""
    result = matrices[0]
    for m in matrices[1:]:
        result = result @ m
    return result


@both
def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal."""
    return _core.linalg_trace(input)


@both
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The cross product along an axis of size 3."""
    shape = tg.broadcast_shapes(input.shape, other.shape)
    axis = shape.index(3) if dim is None else axis_of(len(shape), dim)
    return _core.linalg_cross(t.broadcast_to(input, shape), t.broadcast_to(other, shape), axis=axis)


@both
def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant."""
    sign, size = _core.linalg_slogdet(input)
    return _where(sign < 0, float("nan"), size)


@both
def slogdet(input: Tensor) -> Any:
    """(sign, logarithm of the absolute value) of the determinant."""
    return Slogdet(*_core.linalg_slogdet(input))


Slogdet = namedtuple("Slogdet", "sign logabsdet")
QR = namedtuple("QR", "Q R")
SVD = namedtuple("SVD", "U S V")


@both
def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """The Cholesky factor."""
    return _core.linalg_cholesky(input, upper=upper)


@both
def cholesky_inverse(input: Tensor, upper: bool = False) -> Tensor:
    """The inverse of the matrix with this Cholesky factor."""
    full = input.mT @ input if upper else input @ input.mT
    return _core.linalg_inv(full)


@both
def cholesky_solve(input: Tensor, input2: Tensor, upper: bool = False) -> Tensor:
    """The solution, by a Cholesky factor."""
    lower = input2.mT if upper else input2
    half = _solve_lower(input, lower, False)
    return _solve_lower(half, lower.mT, True)


def _solve_lower(b: Tensor, a: Tensor, upper: bool, unit: bool = False) -> Tensor:
    return _core.linalg_solve_triangular(a, b, upper=upper, unit_diagonal=unit)


@both
def triangular_solve(
    input: Tensor,
    A: Tensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
) -> Any:
    """(solution, A)."""
    shape = tg.broadcast_shapes(input.shape[:-2], A.shape[:-2])
    a = t.broadcast_to(A, (*shape, *A.shape[-2:]))
    b = t.broadcast_to(input, (*shape, *input.shape[-2:]))
    used = a.mT if transpose else a
    return _solve_lower(b, used, upper != transpose, unitriangular), a


@both
def qr(input: Tensor, some: bool = True) -> Any:
    """(Q, R)."""
    return QR(*_core.linalg_qr(input, mode="reduced" if some else "complete"))


@both
def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> Any:
    """(U, S, V)."""
    u, s, vh = _core.linalg_svd(input, full_matrices=not some)
    return SVD(u, s, vh.mT.conj() if tg.isdtype(vh.dtype, "complex floating") else vh.mT)


@both
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """The pseudoinverse."""
    return _core.linalg_pinv(input, rtol=rcond)


@function
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: Any = None) -> Tensor:
    """Distances of all pairs of rows."""
    return _core.linalg_vector_norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), axis=-1, ord=p)


@both
def cov(
    input: Tensor, *, correction: int = 1, fweights: Any = None, aweights: Any = None
) -> Tensor:
    """The covariance of the rows."""
    x = input.reshape(1, -1) if input.ndim < 2 else input
    weight = None
    if fweights is not None:
        weight = fweights.to(x.dtype)
    if aweights is not None:
        weight = aweights.to(x.dtype) if weight is None else weight * aweights
    if weight is None:
        total, centre = t.full((), float(x.shape[1]), dtype=x.dtype), x.mean(1, True)
        norm = total - correction
        weighted = x - centre
        centred = weighted
    else:
        total = weight.sum()
        centre = (x * weight).sum(1, True) / total
        norm = total - (
            correction * (weight * aweights).sum() / total if aweights is not None else correction
        )
        centred = x - centre
        weighted = centred * weight
    result = centred @ weighted.mT / t.clamp(norm, 0)
    return result.squeeze() if x.shape[0] == 1 else result


@both
def corrcoef(input: Tensor) -> Tensor:
    """Correlation coefficients of the rows."""
    c = cov(input)
    if c.ndim == 0:
        return c / c
    d = t.diagonal(c).sqrt()
    return t.clamp(c / d.unsqueeze(1) / d.unsqueeze(0), -1, 1)


@function
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """Powers of a vector, as columns."""
    x = t.atleast_1d(x)
    powers = t.arange(x.shape[-1] if N is None else N)
    return x.unsqueeze(-1) ** (powers if increasing else t.flip(powers, (0,)))


functions["vander"] = vander


@function
def trapezoid(y: Tensor, x: Any = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integral by the trapezoidal rule."""
    left, right = _pairs(y, dim)
    return ((left + right) / 2 * _widths(y, x, dx, dim)).sum(dim)


@function
def cumulative_trapezoid(y: Tensor, x: Any = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integral so far by the trapezoidal rule."""
    left, right = _pairs(y, dim)
    return t.cumsum((left + right) / 2 * _widths(y, x, dx, dim), dim)


functions["trapz"] = trapezoid


def _pairs(y: Tensor, dim: int) -> Any:
    size = y.shape[dim]
    return t.narrow(y, dim, 0, max(size - 1, 0)), t.narrow(y, dim, min(1, size), max(size - 1, 0))


def _widths(y: Tensor, x: Any, dx: Any, dim: int) -> Any:
    if x is None:
        return 1 if dx is None else dx
    if x.ndim == 1 and y.ndim > 1:
        x = x.reshape([-1 if i == axis_of(y.ndim, dim) else 1 for i in range(y.ndim)])
    a, b = _pairs(x, dim)
    return b - a


@both
def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None
) -> Tensor:
    """Differences of neighbours, n times."""
    if n == 0:
        return input
    return _core.diff(input, n=n, axis=dim, prepend=prepend, append=append)


@function
def gradient(input: Tensor, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> Any:
    """Central differences along axes."""
    if edge_order != 1:
        raise not_supported("gradient(edge_order=2)", "edge_order=1 works")
    dims = dims_of(input, dim)
    spacing = 1 if spacing is None else spacing
    many = isinstance(spacing, (tuple, list))
    steps = list(spacing) if many else [spacing] * len(dims)
    return tuple(_gradient(input, d, h) for d, h in zip(dims, steps, strict=True))


def _gradient(x: Tensor, dim: int, h: Any) -> Tensor:
    size = x.shape[dim]
    if isinstance(h, _core.Tensor) and h.ndim:
        shape = [-1 if i == dim else 1 for i in range(x.ndim)]
        gaps = (h[1:] - h[:-1]).reshape(shape)
        slopes = (t.narrow(x, dim, 1, size - 1) - t.narrow(x, dim, 0, size - 1)) / gaps
        a, b = t.narrow(gaps, dim, 0, size - 2), t.narrow(gaps, dim, 1, size - 2)
        low, high = t.narrow(slopes, dim, 0, size - 2), t.narrow(slopes, dim, 1, size - 2)
        middle = (low * b + high * a) / (a + b)
    else:
        slopes = (t.narrow(x, dim, 1, size - 1) - t.narrow(x, dim, 0, size - 1)) / h
        middle = (t.narrow(x, dim, 2, size - 2) - t.narrow(x, dim, 0, size - 2)) / (2 * h)
    return t.cat([t.narrow(slopes, dim, 0, 1), middle, t.narrow(slopes, dim, size - 2, 1)], dim)


# ---- torch.linalg ----------------------------------------------------------------------------

linalg = types.ModuleType("tegula.compat.torch.linalg", "Linear algebra under PyTorch's names.")


def _in_linalg(f: Any, name: str = "") -> Any:
    setattr(linalg, name or f.__name__, f)
    return f


_R = {
    name: namedtuple(name, fields)
    for name, fields in {
        "eigh": "eigenvalues eigenvectors",
        "eig": "eigenvalues eigenvectors",
        "svd": "U S Vh",
        "qr": "Q R",
        "slogdet": "sign logabsdet",
        "lstsq": "solution residuals rank singular_values",
        "inv_ex": "inverse info",
        "cholesky_ex": "L info",
    }.items()
}

for _name, _f in {
    "det": _core.linalg_det,
    "inv": _core.linalg_inv,
    "eigvals": _core.linalg_eigvals,
    "svdvals": lambda A, driver=None: _core.linalg_svdvals(A),
    "matrix_exp": _core.linalg_expm,
    "matrix_power": functions["matrix_power"],
    "eigvalsh": lambda A, UPLO="L": _core.linalg_eigvalsh(_mirrored(A, UPLO)),
    "eigh": lambda A, UPLO="L": _R["eigh"](*_core.linalg_eigh(_mirrored(A, UPLO))),
    "eig": lambda A: _R["eig"](*_core.linalg_eig(A)),
    "slogdet": lambda A: _R["slogdet"](*_core.linalg_slogdet(A)),
    "qr": lambda A, mode="reduced": _R["qr"](*_core.linalg_qr(A, mode=mode)),
    "cholesky": lambda A, upper=False: _core.linalg_cholesky(A, upper=upper),
    "multi_dot": lambda tensors: chain_matmul(*tensors),
    "diagonal": lambda A, offset=0, dim1=-2, dim2=-1: functions["diagonal"](A, offset, dim1, dim2),
    "vecdot": lambda x, y, dim=-1: (x.conj() * y).sum(dim),
    "matmul": _core.matmul,
    "cross": lambda input, other, dim=-1: cross(input, other, dim),
    "svd": lambda A, full_matrices=True, driver=None: _R["svd"](
        *_core.linalg_svd(A, full_matrices=full_matrices)
    ),
    "vander": lambda x, N=None: vander(x, N, True),
    "inv_ex": lambda A, check_errors=False: _R["inv_ex"](
        _core.linalg_inv(A), t.zeros(A.shape[:-2], dtype=tg.int32)
    ),
    "cholesky_ex": lambda A, upper=False, check_errors=False: _R["cholesky_ex"](
        _core.linalg_cholesky(A, upper=upper), t.zeros(A.shape[:-2], dtype=tg.int32)
    ),
}.items():
    _in_linalg(_f, _name)


def _mirrored(a: Tensor, part: str) -> Tensor:
    """The matrix that one triangle stands for. As in PyTorch, both halves get the gradient."""
    lower = a if part == "L" else a.mT.conj() if tg.isdtype(a.dtype, "complex floating") else a.mT
    strict = t.tril(lower, -1)
    other = strict.mT.conj() if tg.isdtype(a.dtype, "complex floating") else strict.mT
    return a + (t.tril(lower) + other - a).detach()


@_in_linalg
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """The solution of A X = B, or of X A = B."""
    vector = B.ndim == 1 or (B.ndim == A.ndim - 1 and B.shape == A.shape[:-1])
    if not left:
        return solve(A.mT, B.mT).mT
    b = B.unsqueeze(-1) if vector else B
    found = _core.linalg_solve(A, b)
    return found.squeeze(-1) if vector else found


_in_linalg(
    lambda A, B, *, left=True, check_errors=False: (
        solve(A, B, left=left),
        t.zeros(A.shape[:-2], dtype=tg.int32),
    ),
    "solve_ex",
)


@_in_linalg
def solve_triangular(
    A: Tensor,
    B: Tensor,
    *,
    upper: bool,
    left: bool = True,
    unitriangular: bool = False,
) -> Tensor:
    """The solution of a triangular system."""
    if not left:
        return solve_triangular(A.mT, B.mT, upper=not upper, unitriangular=unitriangular).mT
    shape = tg.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    a, b = (t.broadcast_to(x, (*shape, *x.shape[-2:])) for x in (A, B))
    return _solve_lower(b, a, upper, unitriangular)


@_in_linalg
def vector_norm(
    x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """The norm of vectors."""
    y = as_float(x) if dtype is None else x.to(dtype)
    return _core.linalg_vector_norm(y, axis=dims_of(y, dim), keepdims=keepdim, ord=ord)


@_in_linalg
def matrix_norm(
    A: Tensor,
    ord: Any = "fro",
    dim: Any = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Tensor:
    """The norm of matrices."""
    x = A if dtype is None else A.to(dtype)
    axes = dims_of(x, dim)
    found = _core.linalg_matrix_norm(x.movedim(axes, (-2, -1)), ord=ord)
    for axis in sorted(axes) if keepdim else ():
        found = found.unsqueeze(axis)
    return found


@_in_linalg
def norm(
    A: Tensor,
    ord: Any = None,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Tensor:
    """The norm of vectors or matrices."""
    if ord is None or (isinstance(dim, int) or (dim is not None and len(dim) == 1)):
        return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype)
    if dim is None and A.ndim == 1:
        return vector_norm(A, ord, None, keepdim, dtype=dtype)
    return matrix_norm(A, ord, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)


@_in_linalg
def pinv(
    A: Tensor, rcond: Any = None, *, atol: Any = None, rtol: Any = None, hermitian: bool = False
) -> Tensor:
    """The pseudoinverse."""
    A = _mirrored(A, "L") if hermitian else A
    rtol = rtol if rcond is None else rcond
    if (
        atol is not None and 0 not in A.shape[-2:]
    ):  # both bounds as one of the largest singular value
        s, bound = _bound(A, atol, rtol)
        rtol = bound / t.where(s[..., 0] == 0, t.ones_like(s[..., 0]), s[..., 0])
    return _core.linalg_pinv(A, rtol=rtol)


def _bound(A: Tensor, atol: Any, rtol: Any) -> tuple[Tensor, Tensor]:
    """Singular values, and that below which they count as zero."""
    s = _core.linalg_svdvals(A)
    atol = t.as_tensor(atol, dtype=s.dtype)
    if rtol is None:
        rtol = t.where(atol > 0, 0.0, max(A.shape[-2:]) * tg.finfo(s.dtype).eps)
    return s, t.maximum(atol, t.as_tensor(rtol, dtype=s.dtype) * s[..., 0])


@_in_linalg
def matrix_rank(
    A: Tensor, tol: Any = None, *, atol: Any = None, rtol: Any = None, hermitian: bool = False
) -> Tensor:
    """The rank."""
    A = _mirrored(A, "L") if hermitian else A
    atol = atol if tol is None else tol
    if atol is None or 0 in A.shape[-2:]:
        return _core.linalg_matrix_rank(A, rtol=rtol)
    s, bound = _bound(A, atol, rtol)
    return (s > bound.unsqueeze(-1)).sum(-1)


@_in_linalg
def lstsq(A: Tensor, B: Tensor, rcond: Any = None, *, driver: Any = None) -> Any:
    """The least-squares solution."""
    found = _core.linalg_lstsq(A, B) if rcond is None else _core.linalg_lstsq(A, B, rcond=rcond)
    return _R["lstsq"](*found)


@_in_linalg
def cond(A: Tensor, p: Any = None) -> Tensor:
    """The condition number."""
    if p in (None, 2, -2):
        s = _core.linalg_svdvals(A)
        return s[..., 0] / s[..., -1] if p != -2 else s[..., -1] / s[..., 0]
    return matrix_norm(A, p) * matrix_norm(_core.linalg_inv(A), p)


@_in_linalg
def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse for ``tensordot``."""
    shape = tuple(A.shape)
    size = Tensor.numel(t.zeros(shape[:ind])) if ind else 1
    return _core.linalg_inv(A.reshape(size, -1)).reshape(shape[ind:] + shape[:ind])


@_in_linalg
def tensorsolve(A: Tensor, B: Tensor, dims: Any = None) -> Tensor:
    """The solution for ``tensordot``."""
    a = A if dims is None else A.movedim(tuple(dims), tuple(range(A.ndim - len(dims), A.ndim)))
    shape = tuple(a.shape[B.ndim :])
    return solve(a.reshape(B.numel(), -1), B.reshape(-1)).reshape(shape)


LU = namedtuple("LU", "P L U")
LUFactor = namedtuple("LUFactor", "LU pivots")


@_in_linalg
def lu(A: Tensor, *, pivot: bool = True) -> Any:
    """(P, L, U) with A = P L U."""
    if not pivot:
        raise not_supported("linalg.lu(pivot=False)")
    return LU(*_core.linalg_lu(A))


@_in_linalg
def lu_factor(A: Tensor, *, pivot: bool = True) -> Any:
    """(L and U in one, pivots counted from 1)."""
    if not pivot:
        raise not_supported("linalg.lu_factor(pivot=False)")
    factors, pivots = _core.linalg_lu_factor(A)
    return LUFactor(factors, pivots + 1)


@_in_linalg
def lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """The solution, by ``lu_factor``'s result."""
    if not left or adjoint:
        raise not_supported("linalg.lu_solve(left=False or adjoint=True)")
    return _core.linalg_lu_solve(LU, pivots - 1, B)


for _name in ("householder_product", "ldl_factor", "ldl_solve"):

    def _later(*args: Any, _name: str = _name, **kwargs: Any) -> Any:
        return need(f"linalg.{_name}", f"linalg.{_name}", "use torch.linalg.solve or qr")(
            *args, **kwargs
        )

    _in_linalg(_later, _name)

functions["lu_solve"] = lambda b, data, pivots: linalg.lu_solve(data, pivots, b)
methods["det"] = functions["det"]
