"""Looking for the first NaN or infinity."""

from __future__ import annotations

from tegula import _core


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
