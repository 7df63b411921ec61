"""Special functions, under the names of SciPy and of the Digital Library of Mathematical Functions.

Computed in float64 and rounded once, so that float32 results are nearly always the nearest ones;
float64 results have about 15 digits, also next to poles and in the tails. NaN outside of a
function's domain, as in SciPy. What lives in ``tegula`` itself, such as ``erf``, is here as well.
"""

from __future__ import annotations

from tegula._core import (
    erf,
    erfc,
    erfinv,
    exp10,
    expm1,
    log1p,
    log_softmax,
    logit,
    logsumexp,
    sinc,
    softmax,
    xlog1py,
    xlogy,
)
from tegula._core import special_beta as beta
from tegula._core import special_betainc as betainc
from tegula._core import special_betaln as betaln
from tegula._core import special_chebyshev_polynomial_t as chebyshev_polynomial_t
from tegula._core import special_chebyshev_polynomial_u as chebyshev_polynomial_u
from tegula._core import special_digamma as digamma
from tegula._core import special_ellipe as ellipe
from tegula._core import special_ellipk as ellipk
from tegula._core import special_entr as entr
from tegula._core import special_erfcinv as erfcinv
from tegula._core import special_erfcx as erfcx
from tegula._core import special_exp1 as exp1
from tegula._core import special_expi as expi
from tegula._core import special_gamma as gamma
from tegula._core import special_gammainc as gammainc
from tegula._core import special_gammaincc as gammaincc
from tegula._core import special_gammaincinv as gammaincinv
from tegula._core import special_hermite_polynomial_h as hermite_polynomial_h
from tegula._core import special_hermite_polynomial_he as hermite_polynomial_he
from tegula._core import special_i0 as i0
from tegula._core import special_i0e as i0e
from tegula._core import special_i1 as i1
from tegula._core import special_i1e as i1e
from tegula._core import special_j0 as j0
from tegula._core import special_j1 as j1
from tegula._core import special_k0 as k0
from tegula._core import special_k0e as k0e
from tegula._core import special_k1 as k1
from tegula._core import special_k1e as k1e
from tegula._core import special_laguerre_polynomial_l as laguerre_polynomial_l
from tegula._core import special_legendre_polynomial_p as legendre_polynomial_p
from tegula._core import special_lgamma as lgamma
from tegula._core import special_log_ndtr as log_ndtr
from tegula._core import special_multigammaln as multigammaln
from tegula._core import special_ndtr as ndtr
from tegula._core import special_ndtri as ndtri
from tegula._core import special_polygamma as polygamma
from tegula._core import special_rel_entr as rel_entr
from tegula._core import special_spherical_jn as spherical_jn
from tegula._core import special_y0 as y0
from tegula._core import special_y1 as y1
from tegula._core import special_zeta as zeta

__all__ = [
    "beta",
    "betainc",
    "betaln",
    "chebyshev_polynomial_t",
    "chebyshev_polynomial_u",
    "digamma",
    "ellipe",
    "ellipk",
    "entr",
    "erf",
    "erfc",
    "erfcinv",
    "erfcx",
    "erfinv",
    "exp1",
    "exp10",
    "expi",
    "expm1",
    "gamma",
    "gammainc",
    "gammaincc",
    "gammaincinv",
    "hermite_polynomial_h",
    "hermite_polynomial_he",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "j0",
    "j1",
    "k0",
    "k0e",
    "k1",
    "k1e",
    "laguerre_polynomial_l",
    "legendre_polynomial_p",
    "lgamma",
    "log1p",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "ndtri",
    "polygamma",
    "rel_entr",
    "sinc",
    "softmax",
    "spherical_jn",
    "xlog1py",
    "xlogy",
    "y0",
    "y1",
    "zeta",
]
