"""``torch.special``: special functions."""

from __future__ import annotations

import math
from typing import Any

from tegula.compat.torch import _table
from tegula.compat.torch._missing import absent
from tegula.compat.torch._registry import functions, need, t

_SAME = (
    "erf erfc erfinv exp2 expm1 log1p logit logsumexp log_softmax softmax sinc round digamma xlogy "
    "polygamma i0"
)
globals().update({n: functions[n] for n in _SAME.split() if n in functions})
globals().update(_table.special)
for _mine, _theirs in {
    "expit": "sigmoid",
    "gammaln": "lgamma",
    "psi": "digamma",
    "multigammaln": "mvlgamma",
    "gammainc": "igamma",
    "gammaincc": "igammac",
}.items():
    if _theirs in functions:
        globals()[_mine] = functions[_theirs]


def xlog1py(input: Any, other: Any) -> Any:
    """Input * log1p(other), 0 where input is 0."""
    if not hasattr(other, "ndim"):
        other = t.full((), float(other))
    zero = functions["where"](
        other.isnan(),
        False,
        t.tensor(input == 0) if isinstance(input, (int, float)) else input == 0,
    )
    return functions["where"](zero, 0.0, input * t.log1p(functions["where"](zero, 0.0, other)))


def _entr(input: Any) -> Any:
    inside = functions["where"](input > 0, input, 1.0)
    value = functions["where"](input == 0, 0.0, -inside * inside.log())
    return functions["where"](input < 0, -math.inf, functions["where"](input.isnan(), input, value))


if "entr" not in globals():
    entr = _entr


def zeta(input: Any, other: Any) -> Any:
    """The Hurwitz zeta function."""
    return need("zeta", "special.zeta")(input, other)


def spherical_bessel_j0(input: Any) -> Any:
    """The spherical Bessel function of the first kind of order 0."""
    return need("spherical_jn", "special.spherical_bessel_j0")(0, input)


def __getattr__(name: str) -> Any:
    raise absent("torch.special", name)
