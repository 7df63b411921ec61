"""``@tg.no_grad()`` on a function."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def decorated(function: Callable[..., Any], mode: Callable[[], Any]) -> Callable[..., Any]:
    """The function, run within ``mode()`` each time it is called.

    Raises:
        TypeError: it is no function.
    """
    if not callable(function):
        raise TypeError(f"{mode.__name__}: needs a function, not {type(function).__name__}")

    @functools.wraps(function)
    def within(*args: Any, **kwargs: Any) -> Any:
        with mode():
            return function(*args, **kwargs)

    return within
