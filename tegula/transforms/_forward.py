"""Forward mode: Jacobian-vector products, Jacobians by columns."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from tegula import _core
from tegula._core import Tensor
from tegula.transforms._calls import (
    Call,
    basis,
    matched,
    name_of,
    numbered,
    or_zeros,
    require_callable,
)


def _along(call: Call, outputs: Sequence[Tensor], given: Sequence[Tensor]) -> list[Tensor]:
    found = _core._jvp(outputs, call.variables, given, call.is_differentiable_now(given))
    return [or_zeros(t, y) for t, y in zip(found, outputs, strict=True)]


def _directions(call: Call, tangents: Sequence[Any], count: int) -> list[Tensor]:
    """The tangents of each variable."""
    if not isinstance(tangents, (tuple, list)) or len(tangents) != count:
        got = len(tangents) if isinstance(tangents, (tuple, list)) else type(tangents).__name__
        raise ValueError(f"{call.op}: needs a tangent for each of {count} primals, got {got}")
    given: list[Tensor] = []
    for n, (tangent, structure) in enumerate(zip(tangents, call.structures, strict=True)):
        like = call.variables[len(given) : len(given) + structure.num_leaves]
        given += matched(call.op, tangent, structure, like, f"tangents[{n}]", f"primals[{n}]")
    return given


def jvp(
    fn: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    has_aux: bool = False,
) -> Any:
    """What ``fn`` returns, and its derivative along ``tangents``.

    Args:
        fn: a function of the primals that returns a tree of floating tensors, or
            ``(tree, anything)`` with ``has_aux``.
        primals: a sequence of floating tensors, floats, or trees of them.
        tangents: a sequence of trees of the same structures, shapes and dtypes.
        has_aux: whether fn returns something beside, handed through.

    Returns:
        ``(fn(*primals), derivative)``, and aux.

    Raises:
        TypeError: a primal or result holds what is no floating tensor.
        ValueError: tangents differ from primals in number, structure, shape or dtype.
    """
    require_callable("jvp", fn)
    if not isinstance(primals, (tuple, list)):
        raise TypeError(
            f"jvp of {name_of(fn)}: primals must be a tuple or list of arguments, "
            f"not {type(primals).__name__}"
        )
    call = Call("jvp", fn, primals, range(len(primals)))
    given = _directions(call, tangents, len(primals))
    result, aux = call.run({}, has_aux)
    outputs, structure = call.outputs(result)
    derivative = structure.unflatten(_along(call, outputs, given))
    value = structure.unflatten([call.handed_out(x) for x in outputs])
    return (value, derivative, aux) if has_aux else (value, derivative)


def linearize(fn: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """What ``fn`` returns, and its derivative at ``primals`` as a linear function of tangents.

    Args:
        fn: as of ``tg.jvp``.
        *primals: as of ``tg.jvp``.

    Returns:
        ``(fn(*primals), jvp_fn)``. ``jvp_fn(*tangents)`` does not call fn again, and computes
        nothing of it again.

    Raises:
        As ``tg.jvp``.
    """
    require_callable("linearize", fn)
    call = Call("linearize", fn, primals, range(len(primals)))
    result, _ = call.run({}, False)
    outputs, structure = call.outputs(result)

    def jvp_fn(*tangents: Any) -> Any:
        given = _directions(call, tangents, len(primals))
        return structure.unflatten(_along(call, outputs, given))

    return structure.unflatten([call.handed_out(x) for x in outputs]), jvp_fn


def jacfwd(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the Jacobian of ``fn``, computed column by column in one batch.

    It suits functions with few inputs and many outputs; ``tg.jacrev`` the others. Arguments,
    result and errors are those of ``tg.jacrev``.
    """
    require_callable("jacfwd", fn)

    @functools.wraps(fn)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        call = Call("jacfwd", fn, args, numbered("jacfwd", argnums, len(args)))
        result, aux = call.run(kwargs, has_aux)
        outputs, structure = call.outputs(result)
        columns: list[list[Tensor]] = [[] for _ in outputs]
        for x in call.variables:
            found = _core._batched_jvp(outputs, [x], [basis(x)], call.differentiable)
            for y, t, column in zip(outputs, found, columns, strict=True):
                shape = (*y.shape, *x.shape)
                if t is None:
                    column.append(_core.zeros(shape, dtype=y.dtype))
                else:
                    column.append(_core.reshape(_core.moveaxis(t, 0, -1), shape))
        single = isinstance(argnums, int)
        rows = [call.trees(column)[0] if single else call.trees(column) for column in columns]
        all_rows = structure.unflatten(rows)
        return (all_rows, aux) if has_aux else all_rows

    return jacobian
