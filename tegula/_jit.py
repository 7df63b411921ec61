"""``tg.jit``: a function is traced once for each kind of arguments and then replayed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, overload

from tegula import _core

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_LIMIT = 64


@overload
def jit(fn: F, /, *, limit: int = DEFAULT_LIMIT, trace_check: bool | int = False) -> F: ...
@overload
def jit(*, limit: int = DEFAULT_LIMIT, trace_check: bool | int = False) -> Callable[[F], F]: ...
def jit(fn: Any = None, /, *, limit: int = DEFAULT_LIMIT, trace_check: bool | int = False) -> Any:
    """A function that does what ``fn`` does without running its Python again.

    The first call with arguments of a kind (their structure, shapes, dtypes, and the values of
    what is neither tensor, array, float nor int) traces ``fn``: runs it once, recording what it
    computes. Later calls replay that in one plan. Tensors from outside that ``fn`` reads are read
    at each call; what it writes to tensors (``x += 1``, ``x[...] = y``, gradients, parameters and
    the state of optimizers) is written at each call. So a whole training step can be jitted.

    * Python floats and ints among the arguments may change from call to call, unless ``fn``
      decides by them (``if``, a shape, an index): then each value is traced by itself.
    * Other Python state is read when ``fn`` is traced and then stays; side effects such as
      ``print`` or ``list.append`` happen at that time alone. A module's ``training`` and the
      settings of an optimizer or schedule are followed.
    * Within another jitted function it is an ordinary call. Gradients flow through the results.

    Args:
        fn: a function or a method of anything.
        limit: how many traces are kept; the one unused for longest is forgotten.
        trace_check: for debugging: whether each call that would be replayed runs the Python of
            ``fn`` again and compares what it does with the trace. A number n checks every n-th.

    Returns:
        The function, with ``cache_info()`` (a dict: hits, misses, traces, plans, limit) and
        ``cache_clear()``.

    Raises:
        TraceError: while tracing, ``fn`` read a value that is not known (``if x > 0``,
            ``float(x)``, ``print(x)``), or kept a tensor without returning it. Or a check found
            that it does something else than when it was traced.
    """
    if fn is None:
        return functools.partial(_jit, limit=limit, trace_check=trace_check)
    return _jit(fn, limit, trace_check)


def _jit(fn: Any, limit: int, trace_check: bool | int) -> Any:
    if not callable(fn):
        raise TypeError(f"jit: needs a function, got {type(fn).__name__}")
    if limit < 1:
        raise ValueError(f"jit: limit must be at least 1, got {limit}")
    if trace_check < 0:
        raise ValueError(f"jit: trace_check must be a bool or a positive number, got {trace_check}")
    core = _core._Jit(fn, limit, int(trace_check))
    call = core.call

    @functools.wraps(fn)
    def jitted(*args: Any, **kwargs: Any) -> Any:
        return call(args, kwargs)

    jitted.cache_info = core.info  # type: ignore[attr-defined]
    jitted.cache_clear = core.clear  # type: ignore[attr-defined]
    return jitted
