"""Effects of a computation that is recorded now and runs later, and a search for NaNs.

What ``tg.debug.print``, ``check`` and ``callback`` do happens when the plan runs that they are
part of: at the next evaluation, and at every call of a jitted function. They happen in the order
of the program, also where nobody needs a value of that plan; ``tg.submit()`` and
``tg.synchronize()`` have what is pending happen and wait for it, as the end of the program does.
"""

from __future__ import annotations

import builtins
import string
from collections.abc import Callable
from typing import Any

from tegula import _core
from tegula._core import Tensor
from tegula._host import record_call

__all__ = ["callback", "check", "debug_nans", "print"]


def callback(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
    """Has the plan call ``fn(*args, **kwargs)``.

    Args:
        fn: gets read-only NumPy arrays in place of tensors, which may be anywhere in a tree
            (``tg.tree``); everything else as it is. What it returns is ignored. It runs on any
            thread, and may not evaluate tensors.
        *args: what fn is given.
        **kwargs: likewise.

    An exception that it raises is raised where values of the plan are read, with a note that names
    this line; the plan's results are lost, and tensors keep what they held.
    """
    if not callable(fn):
        raise TypeError(f"debug.callback: needs a function, got {type(fn).__name__}")
    record_call(lambda args, kwargs: fn(*args, **kwargs), args, kwargs, ordered=True)


def print(format: str, /, *args: Any, **kwargs: Any) -> None:
    """Has the plan print ``format.format(*args, **kwargs)``, tensors by their values.

    Args:
        format: as of ``str.format``; a 0-d tensor takes the formats of a number: ``{loss:.3f}``.
        *args: tensors and anything else, by number.
        **kwargs: likewise, by name.

    Raises:
        IndexError, KeyError, ValueError: at the call, where the format does not fit the arguments.
    """
    if not isinstance(format, str):
        raise TypeError(f"debug.print: the format must be a str, got {type(format).__name__}")
    _check_format(format, args, kwargs)
    record_call(
        lambda args, kwargs: builtins.print(format.format(*args, **kwargs)),
        args,
        kwargs,
        ordered=True,
    )


def check(
    condition: Any, message: str = "the condition is false", /, *args: Any, **kwargs: Any
) -> None:
    """Has the plan fail unless all elements of ``condition`` are true.

    Args:
        condition: a tensor, taken as bool, or a bool, which is looked at now.
        message: formatted as by ``tg.debug.print``.
        *args: tensors and anything else, by number.
        **kwargs: likewise, by name.

    Raises:
        AssertionError: where values of the plan are read, or now for a bool; names this line. The
            plan's results are lost, and tensors keep what they held.
    """
    _check_format(message, args, kwargs)
    if not isinstance(condition, Tensor):
        if not condition:
            raise AssertionError(message.format(*args, **kwargs))
        return

    def fail(args: Any, kwargs: Any) -> None:
        raise AssertionError(message.format(*args, **kwargs))

    record_call(fail, args, kwargs, ordered=True, unless=condition.all())


class _Anything:
    """Takes every format, attribute and index."""

    def __format__(self, spec: str) -> str:
        return ""

    def __getattr__(self, name: str) -> _Anything:
        return self

    def __getitem__(self, index: object) -> _Anything:
        return self


def _check_format(format: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    anything = _Anything()
    string.Formatter().vformat(format, [anything] * len(args), dict.fromkeys(kwargs, anything))


class debug_nans:  # noqa: N801
    """Finds the operation that first makes a NaN or an infinity of operands that have none.

    From the call on, or within ``with tg.debug_nans():``, every operation is evaluated by itself
    and its results are looked at, which is slow. A jitted function runs its fused steps, each
    looked at as a whole.

    Args:
        enabled: False turns it off again.

    Raises:
        FloatingPointError: from an operation that follows, or where values are read; names the
            operation and the line that recorded it.
    """

    def __init__(self, enabled: bool = True) -> None:
        self._before = _core._checking_values()
        _core._set_checking_values(bool(enabled))

    def __enter__(self) -> debug_nans:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                _core.submit()  # what is still pending is looked at too
        finally:
            _core._set_checking_values(self._before)
