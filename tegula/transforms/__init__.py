"""Functions that take a function and give another: its derivatives, its batches, its pieces.

The names are JAX's. Each works on the graph that the function records, so they compose in any
order with one another, with ``tg.jit`` and with control flow.
"""

from tegula.transforms._axis import all_gather, axis_index, axis_size, pmax, pmean, pmin, psum
from tegula.transforms._checkpoint import checkpoint
from tegula.transforms._forward import jacfwd, jvp, linearize
from tegula.transforms._reverse import grad, hessian, jacrev, value_and_grad, vjp
from tegula.transforms._rules import custom_jvp, custom_vjp, stop_gradient
from tegula.transforms._vmap import vmap

__all__ = [
    "all_gather",
    "axis_index",
    "axis_size",
    "checkpoint",
    "custom_jvp",
    "custom_vjp",
    "grad",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "pmax",
    "pmean",
    "pmin",
    "psum",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
]
