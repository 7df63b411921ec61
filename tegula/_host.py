"""Python functions that a plan calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tegula import _core, tree
from tegula._core import DType, Tensor


class TensorSpec(NamedTuple):
    """The shape and dtype of a tensor that is not there yet.

    Attributes:
        shape: its sizes.
        dtype: of its elements; a DType or its name.
    """

    shape: tuple[int, ...]
    dtype: DType | str = "float32"


def _holds_no_tensor(item: Any) -> bool:
    return not any(isinstance(leaf, Tensor) for leaf in tree.leaves(item))


def record_call(
    fn: Callable[[Any, Any], Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    ordered: bool,
    results: Sequence[TensorSpec] = (),
    unless: Tensor | None = None,
) -> list[Tensor]:
    """Records a call of fn(args, kwargs), tensors among them as arrays.

    Args:
        fn: is called with args and kwargs.
        args: trees with tensors in them. What holds none is handed on as it is.
        kwargs: likewise.
        ordered: it is an effect.
        results: of the arrays that fn returns, a sequence.
        unless: a 0-d bool; the call, an effect without results, is made only if it is false.
    """
    # Containers without tensors stay themselves: fn may write to them.
    leaves, structure = tree.flatten((args, kwargs), is_leaf=_holds_no_tensor)
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    # A call that kept the tensors would keep their values.
    others = [None if isinstance(leaf, Tensor) else (leaf,) for leaf in leaves]

    def call(*arrays: np.ndarray) -> Any:
        rest = iter(arrays)
        return fn(*structure.unflatten(other[0] if other else next(rest) for other in others))

    if unless is not None:
        _core._host_check(lambda _, *arrays: call(*arrays), [unless, *tensors])
        return []
    shapes = [(spec.dtype, spec.shape) for spec in results]
    return _core._host_call(call, tensors, shapes, ordered)


def host_call(
    fn: Callable[..., Any], result: Any, /, *args: Any, ordered: bool = False, **kwargs: Any
) -> Any:
    """What ``fn(*args, **kwargs)`` returns, called when the plan runs that needs it.

    Args:
        fn: gets read-only NumPy arrays in place of tensors, which may be anywhere in a tree
            (``tg.tree``); everything else as it is. It returns an array for each spec. It runs on
            any thread, and may not evaluate tensors.
        *args: what fn is given.
        **kwargs: likewise.
        result: shape and dtype of what it returns: a ``tg.TensorSpec``, or anything else with
            ``shape`` and ``dtype``; or a list or tuple of them.
        ordered: whether calling it is an effect: it is called though nobody needs the results,
            once a run, in the order of the program among other effects. Otherwise it must be a
            pure function, and is not called where nobody needs its results.

    Returns:
        A tensor; or a list or tuple of them, as ``result`` is. They have no derivative.

    Raises:
        ValueError, TypeError: where the results are read, for an array of another shape, or of a
            dtype that does not convert. So is whatever ``fn`` raises, with a note that names this
            line.
    """
    if not callable(fn):
        raise TypeError(f"host_call: needs a function, got {type(fn).__name__}")
    several = isinstance(result, (list, tuple)) and not hasattr(result, "shape")
    specs = [as_spec("host_call", "result", item) for item in (result if several else [result])]

    def call(args: Any, kwargs: Any) -> list[np.ndarray]:
        arrays = fn(*args, **kwargs)
        return fit_results("host_call", arrays if several else [arrays], specs)

    found = record_call(call, args, kwargs, ordered=ordered, results=specs)
    return type(result)(found) if several else found[0]


def as_spec(op: str, argument: str, item: Any) -> TensorSpec:
    """Shape and dtype of anything that has them; the others' errors name op and argument."""
    try:
        shape, dtype = tuple(item.shape), item.dtype
    except (AttributeError, TypeError):
        raise TypeError(
            f"{op}: {argument} must be a TensorSpec or have shape and dtype, got {item!r}"
        ) from None
    return TensorSpec(shape, _core.promote_types(dtype, dtype))


def fit_results(op: str, arrays: Any, specs: list[TensorSpec]) -> list[np.ndarray]:
    """The arrays in the dtypes of the specs."""
    if not isinstance(arrays, (list, tuple)):
        raise TypeError(
            f"{op}: the function returned {type(arrays).__name__} where there are {len(specs)} "
            "specs; return a tuple of arrays"
        )
    if len(arrays) != len(specs):
        raise ValueError(
            f"{op}: the function returned {len(arrays)} arrays where there are {len(specs)} specs"
        )
    fitted = []
    for array, (shape, dtype) in zip(arrays, specs, strict=True):
        array = np.asarray(array)
        if array.shape != shape:
            raise ValueError(
                f"{op}: the function returned shape {array.shape} where the spec has {shape}"
            )
        try:
            fitted.append(array.astype(np.dtype(dtype), casting="same_kind", copy=False))
        except TypeError:
            raise TypeError(
                f"{op}: the function returned {array.dtype} where the spec has "
                f"{np.dtype(dtype)}, to which it does not convert"
            ) from None
    return fitted
