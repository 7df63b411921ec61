"""``torch.fft`` over ``tegula.fft``."""

from __future__ import annotations

from typing import Any

from tegula import _core
from tegula.compat.torch._creation import finish
from tegula.compat.torch._missing import absent

_ONE = "input=x, n=n, dim=axis:-1, norm=norm"
_MANY = "input=x, s=s, dim=axes, norm=norm"
_names = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]


def _make() -> dict[str, Any]:
    from tegula.compat.torch._table import make

    found = {n: make(n, f"fft.{n}", _ONE, "f", False) for n in _names}
    for n in ("fftn", "ifftn", "rfftn", "irfftn", "hfftn", "ihfftn"):
        if hasattr(_core, f"fft_{n}"):
            found[n] = make(n, f"fft.{n}", _MANY, "f", False)
    return found


globals().update(_make())


def _plane(name: str) -> Any:
    many: Any = globals()[name[:-1] + "n"]

    def apply(input: Any, s: Any = None, dim: Any = (-2, -1), norm: Any = None) -> Any:
        return many(input, s=s, dim=dim, **({} if norm is None else {"norm": norm}))

    apply.__name__ = name
    apply.__doc__ = f"torch.fft.{name}."
    return apply


for _name in ("fft2", "ifft2", "rfft2", "irfft2"):
    globals()[_name] = _plane(_name)


def fftshift(input: Any, dim: Any = None) -> Any:
    """The zero frequency in the middle."""
    return _core.fft_fftshift(input, axes=dim)


def ifftshift(input: Any, dim: Any = None) -> Any:
    """The inverse of ``fftshift``."""
    return _core.fft_ifftshift(input, axes=dim)


def fftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies of ``fft``."""
    return finish(_core.fft_fftfreq(n, d, dtype=dtype))


def rfftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies of ``rfft``."""
    return finish(_core.fft_rfftfreq(n, d, dtype=dtype))


def __getattr__(name: str) -> Any:
    raise absent("torch.fft", name)
