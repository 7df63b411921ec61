"""``tg.jit``: a function is traced once for each kind of arguments and then replayed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, overload

from tegula import _core

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_LIMIT = 64


@overload
def jit(fn: F, /) -> F: ...
@overload
def jit(*, limit: int = DEFAULT_LIMIT) -> Callable[[F], F]: ...
def jit(fn: Any = None, /, *, limit: int = DEFAULT_LIMIT) -> Any:
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

    Returns:
        The function, with ``cache_info()`` (a dict: hits, misses, traces, plans, limit) and
        ``cache_clear()``.

    Raises:
        TraceError: while tracing, ``fn`` read a value that is not known (``if x > 0``,
            ``float(x)``, ``print(x)``), or kept a tensor without returning it.
    """
    if fn is None:
        return functools.partial(_jit, limit=limit)
    return _jit(fn, limit)


def _jit(fn: Any, limit: int) -> Any:
    if not callable(fn):
        raise TypeError(f"jit: needs a function, got {type(fn).__name__}")
    if limit < 1:
        raise ValueError(f"jit: limit must be at least 1, got {limit}")
    core = _core._Jit(fn, limit)
    call = core.call

    @functools.wraps(fn)
    def jitted(*args: Any, **kwargs: Any) -> Any:
        return call(args, kwargs)

    jitted.cache_info = core.info  # type: ignore[attr-defined]
    jitted.cache_clear = core.clear  # type: ignore[attr-defined]
    return jitted
