"""Linear algebra: the array API standard's ``linalg``, and a few functions beyond it.

Every function takes stacks of matrices: the last two axes are a matrix, those before a batch.
Factorisations need LAPACK, from ``pip install 'tegula[linalg]'`` or an installed SciPy.
"""

from __future__ import annotations

from tegula import _lapack
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
from tegula._tensordot import tensordot

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
