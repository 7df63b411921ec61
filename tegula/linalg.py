"""Linear algebra: the array API standard's ``linalg``, and a few functions beyond it.

Every function takes stacks of matrices: the last two axes are a matrix, those before a batch.
"""

from __future__ import annotations

from tegula._core import linalg_cross as cross
from tegula._core import linalg_diagonal as diagonal
from tegula._core import linalg_outer as outer
from tegula._core import linalg_trace as trace

__all__ = [
    "cross",
    "diagonal",
    "outer",
    "trace",
]
