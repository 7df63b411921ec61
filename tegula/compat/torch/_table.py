"""PyTorch's functions and methods that are operations of the table under other names.

One line each: PyTorch's name, the operation, PyTorch's parameters as ``name=operation's name``
with a default after a colon where it differs, and flags. They are called without a Python function
between: the extension sorts the arguments, promotes and calls.

Flags: f a function, m a method, i also the method in place with an underscore, v gives a view,
g ints may be given one by one, z a tensor without axes is taken as one of one axis,
 c promotes to the common dtype, q the same and integers become
floats.
"""

from __future__ import annotations

import ast
from typing import Any

from tegula import _core

UNARY = """
abs absolute:abs sign sgn:sign square sqrt rsqrt reciprocal exp exp2 expm1 log log1p log2 log10
sin cos tan asin arcsin:asin acos arccos:acos atan arctan:atan sinh cosh tanh asinh arcsinh:asinh
acosh arccosh:acosh atanh arctanh:atanh erf erfc erfinv sigmoid floor ceil trunc fix:trunc
lgamma digamma i0 sinc logit_:logit neg:negative negative positive real imag conj_physical:conj
conj resolve_conj:conj
angle isnan isinf isfinite isposinf isneginf signbit logical_not bitwise_not:bitwise_invert relu
nan_to_num_:nan_to_num
"""
# Functions of torch.special alone.
SPECIAL = """
bessel_j0:j0 bessel_j1:j1 bessel_y0:y0 bessel_y1:y1 modified_bessel_i0:i0 modified_bessel_i1:i1
modified_bessel_k0:k0 modified_bessel_k1:k1 scaled_modified_bessel_k0:k0e
scaled_modified_bessel_k1:k1e i0 i0e i1 i1e ndtr ndtri log_ndtr erfcx entr airy_ai
gammaln:lgamma psi:digamma
"""
BINARY = """
add:c sub:subtract:c subtract:c mul:multiply:c multiply:c div_:divide:q true_divide:divide:q
floor_divide:c remainder:c pow:c float_power_:pow:c atan2:q arctan2:atan2:q hypot:c maximum:c
minimum:c copysign:q nextafter:c eq:equal:c ne:not_equal:c not_equal:c lt:less:c less:c
le:less_equal:c less_equal:c gt:greater:c greater:c ge:greater_equal:c greater_equal:c
logical_and:c logical_or:c logical_xor:c bitwise_and:c bitwise_or:c bitwise_xor:c
bitwise_left_shift:c bitwise_right_shift:c logaddexp:c logaddexp2:c xlogy:q fmax:c fmin:c fmod:c
ldexp_:ldexp:q gcd:c lcm:c heaviside:c igamma:gammainc:q igammac:gammaincc:q matmul:c
"""
ROWS = """
sum|sum|input=x, dim=axis, keepdim=keepdims, *, dtype=dtype|fm
prod|prod|input=x, dim=axis, keepdim=keepdims, *, dtype=dtype|fm
mean_|mean|input=x, dim=axis, keepdim=keepdims|fm
all|all|input=x, dim=axis, keepdim=keepdims|fm
any|any|input=x, dim=axis, keepdim=keepdims|fm
amax|max|input=x, dim=axis, keepdim=keepdims|fm
amin|min|input=x, dim=axis, keepdim=keepdims|fm
logsumexp|logsumexp|input=x, dim=axis, keepdim=keepdims|fm
count_nonzero|count_nonzero|input=x, dim=axis|fm
argmax|argmax|input=x, dim=axis, keepdim=keepdims|fm
argmin|argmin|input=x, dim=axis, keepdim=keepdims|fm
cumsum|cumulative_sum|input=x, dim=axis, *, dtype=dtype|fmiz
cumprod|cumulative_prod|input=x, dim=axis, *, dtype=dtype|fmiz
logcumsumexp|cumulative_logsumexp|input=x, dim=axis|fmz
nansum|nansum|input=x, dim=axis, keepdim=keepdims, *, dtype=dtype|fm
nanmean|nanmean|input=x, dim=axis, keepdim=keepdims|fm
argsort|argsort|input=x, dim=axis:-1, descending=descending, stable=stable|fmz
reshape|reshape|input=x, shape=shape|fmvg
unsqueeze|expand_dims|input=x, dim=axis|fmvi
flatten|flatten|input=x, start_dim=start_axis:0, end_dim=end_axis:-1|fmv
ravel|flatten|input=x|fmv
permute|permute_dims|input=x, dims=axes|fmvg
transpose|swapaxes|input=x, dim0=axis1, dim1=axis2|fmviz
swapaxes|swapaxes|input=x, axis0=axis1, axis1=axis2|fmviz
swapdims|swapaxes|input=x, dim0=axis1, dim1=axis2|fmviz
movedim|moveaxis|input=x, source=source, destination=destination|fmv
moveaxis|moveaxis|input=x, source=source, destination=destination|fmv
broadcast_to|broadcast_to|input=x, size=shape|fmvg
unbind|unstack|input=x, dim=axis:0|fmv
split_sizes_|split|input=x, sizes=sizes, dim=axis:0|fv
diagonal_|linalg.diagonal|input=x, offset=offset:0|fv
flip|flip|input=x, dims=axis|fmg
roll|roll|input=x, shifts=shift, dims=axis|fm
tile|tile|input=x, dims=repetitions|fmg
repeat_interleave_|repeat|input=x, repeats=repeats, dim=axis|f
tril|tril|input=x, diagonal=k:0|fmi
triu|triu|input=x, diagonal=k:0|fmi
cat|concat|tensors=arrays, dim=axis:0|f
concat|concat|tensors=arrays, dim=axis:0|f
concatenate|concat|tensors=arrays, dim=axis:0|f
stack|stack|tensors=arrays, dim=axis:0|f
outer|outer|input=x1, vec2=x2|fm
ger|outer|input=x1, vec2=x2|fm
mm|matmul|input=x1, mat2=x2|fm
bmm|matmul|input=x1, mat2=x2|fm
mv|matmul|input=x1, vec=x2|fm
dot|vecdot|input=x1, tensor=x2|fm
vdot|vecdot|input=x1, other=x2|fm
det|linalg.det|input=x|fm
inverse|linalg.inv|input=x|fm
complex|complex|real=real, imag=imag|f
bincount|bincount|input=x, weights=weights, minlength=minlength|fm
matrix_exp|linalg.expm|input=x|fm
matrix_power|linalg.matrix_power|input=x, n=n|fm
polygamma|special.polygamma|n=n, input=x|f
polygamma|special.polygamma|input=x, n=n|mi
mvlgamma|special.multigammaln|input=a, p=d|fmi
"""

# What PyTorch's names are for what the table lacks: the operation that is missing.
missing: dict[str, str] = {}


_parameters_of = {op.name: op.parameters for op in _core.ops()}


def known_name(operation: str) -> str:
    """The operation's name, of the main namespace or of ``special``."""
    return operation if operation in _parameters_of else f"special.{operation}"


def _parameters(text: str) -> list[Any]:
    """Of ``name=operation's name[:default], …``, for the extension."""
    result: list[Any] = []
    for item in text.split(", "):
        if item == "*":
            result.append("*")
            continue
        mine, _, theirs = item.partition("=")
        theirs, colon, default = theirs.partition(":")
        entry: tuple[Any, ...] = (mine, theirs)
        result.append((*entry, ast.literal_eval(default)) if colon else entry)
    return result


def make(name: str, operation: str, parameters: str, flags: str, method: bool) -> Any:
    """The operation under PyTorch's names, or None where there is no such operation."""
    operation = known_name(operation)
    if operation not in _parameters_of:
        missing[name.strip("_")] = operation
        return None
    given = _parameters(parameters)
    promotion = "common" if "c" in flags else "quotient" if "q" in flags else "none"
    promoted = [p[1] for p in given if p != "*"] if promotion != "none" else []
    if method and given[0][0] == "input":
        given[0] = ("self", *given[0][1:])
    return _core._renamed_operation(
        name.rstrip("_"),
        operation,
        given,
        method=method,
        promotes=promoted,
        promotion=promotion,
        view="v" in flags,
        gathers="g" in flags,
        lifts="z" in flags,
    )


def _rows() -> list[tuple[str, str, str, str]]:
    rows = []
    for word in UNARY.split():
        name, _, operation = word.partition(":")
        operation = operation or name
        first, *_ = _parameters_of.get(known_name(operation), ["x"])
        rows.append((name, operation, f"input={first}", "fmi"))
    for word in BINARY.split():
        name, *rest = word.split(":")
        operation = rest[0] if len(rest) == 2 else name
        names = _parameters_of.get(known_name(operation), ["x1", "x2"])
        rows.append((name, operation, f"input={names[0]}, other={names[1]}", "fmi" + rest[-1]))
    rows += [tuple(line.split("|")) for line in ROWS.strip().splitlines()]  # type: ignore[misc]
    return rows


functions: dict[str, Any] = {}
methods: dict[str, Any] = {}
in_place: set[str] = set()
special: dict[str, Any] = {}


def _fill() -> None:
    for name, operation, parameters, flags in _rows():
        if "f" in flags:
            functions[name] = make(name, operation, parameters, flags, False)
        if "m" in flags:
            methods[name] = make(name, operation, parameters, flags, True)
        if "i" in flags and not name.endswith("_"):
            in_place.add(name)
    for word in SPECIAL.split():
        name, _, operation = word.partition(":")
        operation = operation or name
        first, *_ = _parameters_of.get(known_name(operation), ["x"])
        special[name] = make(name, operation, f"input={first}", "f", False)
    for table in (functions, methods, special):
        for name in [n for n, f in table.items() if f is None]:
            del table[name]


_fill()
