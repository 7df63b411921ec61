"""What einsum does, without doing it."""

from __future__ import annotations

from typing import Any

from tegula import _core


def einsum_path(subscripts: str, *operands: Any) -> tuple[list[tuple[int, int]], float]:
    """The order in which ``einsum`` multiplies its operands, and what that takes.

    Args:
        subscripts: as for ``einsum``.
        operands: the tensors, or arrays; only their shapes matter.

    Returns:
        The steps, each two places in the list of the operands that are left: both are taken out
        and their product put at the end, as in the paths of opt_einsum. Then the number of
        multiplications and additions of all steps. No order of up to eight operands takes fewer.

    Raises:
        ValueError: the subscripts do not fit the shapes.
    """
    return _core._einsum_order(subscripts, [_core.asarray(x).shape for x in operands])
