"""Linear algebra: the array API standard's ``linalg``, and a few functions beyond it.

Every function takes stacks of matrices: the last two axes are a matrix, those before a batch.
Factorisations need LAPACK, from ``pip install 'tegula[linalg]'`` or an installed SciPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from tegula import _core, _lapack
from tegula._core import (
    EighResult,
    EigResult,
    LinAlgError,
    LstsqResult,
    LUFactorResult,
    LUResult,
    QRResult,
    SlogdetResult,
    SVDResult,
    Tensor,
    matmul,
    matrix_transpose,
    vecdot,
)
from tegula._core import linalg_cholesky as cholesky
from tegula._core import linalg_cholesky_inverse as cholesky_inverse
from tegula._core import linalg_cholesky_solve as cholesky_solve
from tegula._core import linalg_cond as cond
from tegula._core import linalg_cross as cross
from tegula._core import linalg_det as det
from tegula._core import linalg_diagonal as diagonal
from tegula._core import linalg_eig as eig
from tegula._core import linalg_eigh as eigh
from tegula._core import linalg_eigvals as eigvals
from tegula._core import linalg_eigvalsh as eigvalsh
from tegula._core import linalg_expm as expm
from tegula._core import linalg_householder_product as householder_product
from tegula._core import linalg_inv as inv
from tegula._core import linalg_lstsq as lstsq
from tegula._core import linalg_lu as lu
from tegula._core import linalg_lu_factor as lu_factor
from tegula._core import linalg_lu_solve as lu_solve
from tegula._core import linalg_matrix_norm as matrix_norm
from tegula._core import linalg_matrix_power as matrix_power
from tegula._core import linalg_matrix_rank as matrix_rank
from tegula._core import linalg_multi_dot as multi_dot
from tegula._core import linalg_norm as norm
from tegula._core import linalg_outer as outer
from tegula._core import linalg_pinv as pinv
from tegula._core import linalg_qr as qr
from tegula._core import linalg_slogdet as slogdet
from tegula._core import linalg_solve as solve
from tegula._core import linalg_solve_triangular as solve_triangular
from tegula._core import linalg_svd as svd
from tegula._core import linalg_svdvals as svdvals
from tegula._core import linalg_tensorinv as tensorinv
from tegula._core import linalg_tensorsolve as tensorsolve
from tegula._core import linalg_trace as trace
from tegula._core import linalg_vector_norm as vector_norm

if TYPE_CHECKING:
    from tegula._core import TensorLike

__all__ = [
    "EigResult",
    "EighResult",
    "LUFactorResult",
    "LUResult",
    "LinAlgError",
    "LstsqResult",
    "QRResult",
    "SVDResult",
    "SlogdetResult",
    "cholesky",
    "cholesky_inverse",
    "cholesky_solve",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "expm",
    "householder_product",
    "inv",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_solve",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vecdot",
    "vector_norm",
]

_lapack.install()


def tensordot(
    x1: TensorLike,
    x2: TensorLike,
    /,
    *,
    axes: int | tuple[Sequence[int], Sequence[int]] = 2,
) -> Tensor:
    """Sums products over axes of x1 and as many of x2.

    Args:
        x1: the first operand.
        x2: the second.
        axes: how many axes, the last of x1 and the first of x2; or the axes of x1 and those of x2
            that belong to them, in order.

    Returns:
        The other axes of x1, then those of x2.

    Raises:
        ValueError: sizes that belong together differ, or an axis is given twice.
        IndexError: an axis is out of range.
    """
    a, b = _tensor("x1", x1), _tensor("x2", x2)
    if isinstance(axes, int):
        if not 0 <= axes <= min(a.ndim, b.ndim):
            raise ValueError(f"linalg.tensordot: axes {axes} does not fit {a.shape} and {b.shape}")
        axes = range(a.ndim - axes, a.ndim), range(axes)
    left, right = (_axes(chosen, x.ndim) for chosen, x in zip(axes, (a, b), strict=True))
    if [a.shape[i] for i in left] != [b.shape[i] for i in right]:
        raise ValueError(
            f"linalg.tensordot: axes {left} of {a.shape} and {right} of {b.shape} differ in size"
        )
    kept_a = [i for i in range(a.ndim) if i not in left]
    kept_b = [i for i in range(b.ndim) if i not in right]
    rows, columns = [a.shape[i] for i in kept_a], [b.shape[i] for i in kept_b]
    inner = prod(a.shape[i] for i in left)
    a = a.permute_dims(kept_a + left).reshape((prod(rows), inner))
    b = b.permute_dims(right + kept_b).reshape((inner, prod(columns)))
    return matmul(a, b).reshape((*rows, *columns))


def _tensor(argument: str, x: TensorLike) -> Tensor:
    try:
        return _core.asarray(x)
    except TypeError as error:
        raise TypeError(f"linalg.tensordot: argument {argument!r}: {error}") from None


def _axes(chosen: Sequence[int], ndim: int) -> list[int]:
    for axis in chosen:
        if not -ndim <= axis < ndim:
            raise IndexError(f"linalg.tensordot: axis {axis} is out of range for {ndim} dimensions")
    axes = [axis % ndim for axis in chosen]
    if len(set(axes)) != len(axes):
        raise ValueError(f"linalg.tensordot: an axis is given twice in {list(chosen)}")
    return axes
