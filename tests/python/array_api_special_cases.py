"""The special cases that the array API standard (2024.12) lists for its real elementwise functions.

A line is a function and its cases: operands, ``->``, the result. An operand is a word of
``VALUES``, which stands for all the numbers listed there; a result is such a word of one number, or
``x1``, ``x2``, ``positive``, ``negative``, ``sign``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

VALUES: dict[str, list[float]] = {
    "nan": [math.nan],
    "+inf": [math.inf],
    "-inf": [-math.inf],
    "inf": [math.inf, -math.inf],
    "+0": [0.0],
    "-0": [-0.0],
    "0": [0.0, -0.0],
    "+1": [1.0],
    "-1": [-1.0],
    "any": [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -2.5],
    "number": [math.inf, -math.inf, 0.0, -0.0, 1.0, -2.5],  # all but nan
    "finite": [0.0, -0.0, 1.0, -1.0, 2.5, -7.0, 1e-30, -1e30],
    "fin+": [1e-30, 0.5, 1.0, 2.0, 3.5, 1e30],
    "fin-": [-1e-30, -0.5, -1.0, -2.0, -3.5, -1e30],
    "nonzero": [1e-30, 0.5, -2.0, 1e30, math.inf, -math.inf],
    ">0": [1e-30, 1.0, 2.5, math.inf],
    "<0": [-1e-30, -1.0, -2.5, -math.inf],
    ">1": [1.5, 7.0, math.inf],
    "<1": [0.5, 0.0, -0.0, -3.0, -math.inf],
    "<-1": [-1.5, -7.0, -math.inf],
    "|>1|": [1.5, -7.0],
    "|<1|": [0.5, -0.25, 1e-30],
    "odd+": [1.0, 3.0, 7.0],
    "odd-": [-1.0, -3.0, -7.0],
    "notodd+": [2.0, 0.5, 2.5, 4.0],
    "notodd-": [-2.0, -0.5, -2.5, -4.0],
    "fraction": [0.5, -2.5],
    "integer": [0.0, -0.0, 1.0, -3.0, 1e6],
    "ties": [0.5, 1.5, 2.5, -0.5, -1.5, -2.5],
    "+pi": [math.pi],
    "-pi": [-math.pi],
    "+pi/2": [math.pi / 2],
    "-pi/2": [-math.pi / 2],
    "+pi/4": [math.pi / 4],
    "-pi/4": [-math.pi / 4],
    "+3pi/4": [3 * math.pi / 4],
    "-3pi/4": [-3 * math.pi / 4],
}

TEXT = """
abs: nan -> nan; -0 -> +0; -inf -> +inf; +inf -> +inf
acos: nan -> nan; >1 -> nan; <-1 -> nan; +1 -> +0
acosh: nan -> nan; <1 -> nan; +1 -> +0; +inf -> +inf
asin: nan -> nan; >1 -> nan; <-1 -> nan; +0 -> +0; -0 -> -0
asinh: nan -> nan; +0 -> +0; -0 -> -0; +inf -> +inf; -inf -> -inf
atan: nan -> nan; +0 -> +0; -0 -> -0; +inf -> +pi/2; -inf -> -pi/2
atanh: nan -> nan; <-1 -> nan; >1 -> nan; -1 -> -inf; +1 -> +inf; +0 -> +0; -0 -> -0
ceil: integer -> x1; +inf -> +inf; -inf -> -inf; +0 -> +0; -0 -> -0; nan -> nan
cos: nan -> nan; +0 -> +1; -0 -> +1; +inf -> nan; -inf -> nan
cosh: nan -> nan; +0 -> +1; -0 -> +1; +inf -> +inf; -inf -> +inf
exp: nan -> nan; +0 -> +1; -0 -> +1; +inf -> +inf; -inf -> +0
expm1: nan -> nan; +0 -> +0; -0 -> -0; +inf -> +inf; -inf -> -1
floor: integer -> x1; +inf -> +inf; -inf -> -inf; +0 -> +0; -0 -> -0; nan -> nan
log: nan -> nan; <0 -> nan; 0 -> -inf; +1 -> +0; +inf -> +inf
log1p: nan -> nan; <-1 -> nan; -1 -> -inf; -0 -> -0; +0 -> +0; +inf -> +inf
log2: nan -> nan; <0 -> nan; 0 -> -inf; +1 -> +0; +inf -> +inf
log10: nan -> nan; <0 -> nan; 0 -> -inf; +1 -> +0; +inf -> +inf
reciprocal: nan -> nan; +inf -> +0; -inf -> -0; +0 -> +inf; -0 -> -inf
round: integer -> x1; +inf -> +inf; -inf -> -inf; +0 -> +0; -0 -> -0; nan -> nan
sign: <0 -> -1; >0 -> +1; nan -> nan
signbit: +0 -> false; -0 -> true; +inf -> false; -inf -> true; >0 -> false; <0 -> true
sin: nan -> nan; +0 -> +0; -0 -> -0; inf -> nan
sinh: nan -> nan; +0 -> +0; -0 -> -0; +inf -> +inf; -inf -> -inf
sqrt: nan -> nan; <0 -> nan; +0 -> +0; -0 -> -0; +inf -> +inf
square: nan -> nan; inf -> +inf; 0 -> +0
tan: nan -> nan; +0 -> +0; -0 -> -0; inf -> nan
tanh: nan -> nan; +0 -> +0; -0 -> -0; +inf -> +1; -inf -> -1
trunc: integer -> x1; +inf -> +inf; -inf -> -inf; +0 -> +0; -0 -> -0; nan -> nan
isfinite: nan -> false; inf -> false; finite -> true
isinf: nan -> false; inf -> true; finite -> false
isnan: nan -> true; number -> false
logical_not: 0 -> true; nonzero -> false; nan -> false
negative: +0 -> -0; -0 -> +0; nan -> nan; +inf -> -inf; -inf -> +inf
add: nan any -> nan; any nan -> nan; +inf -inf -> nan; -inf +inf -> nan; +inf +inf -> +inf
add: -inf -inf -> -inf; +inf finite -> +inf; -inf finite -> -inf; finite +inf -> +inf
add: finite -inf -> -inf; -0 -0 -> -0; -0 +0 -> +0; +0 -0 -> +0; +0 +0 -> +0; 0 fin+ -> x2
add: 0 fin- -> x2; fin+ 0 -> x1; fin- 0 -> x1
subtract: nan any -> nan; any nan -> nan; +inf +inf -> nan; -inf -inf -> nan; +inf -inf -> +inf
subtract: -inf +inf -> -inf; +inf finite -> +inf; finite +inf -> -inf; finite -inf -> +inf
subtract: +0 +0 -> +0; -0 -0 -> +0; +0 -0 -> +0; -0 +0 -> -0; fin+ 0 -> x1
multiply: nan any -> nan; any nan -> nan; inf 0 -> nan; 0 inf -> nan; +inf +inf -> +inf
multiply: +inf -inf -> -inf; -inf +inf -> -inf; -inf -inf -> +inf; +inf fin+ -> +inf
multiply: +inf fin- -> -inf; -inf fin+ -> -inf; -inf fin- -> +inf; fin+ +inf -> +inf
multiply: fin- +inf -> -inf; fin+ -inf -> -inf; fin- -inf -> +inf; +0 fin- -> -0; -0 fin- -> +0
divide: nan any -> nan; any nan -> nan; inf inf -> nan; 0 0 -> nan; +0 >0 -> +0; -0 >0 -> -0
divide: +0 <0 -> -0; -0 <0 -> +0; >0 +0 -> +inf; >0 -0 -> -inf; <0 +0 -> -inf; <0 -0 -> +inf
divide: +inf fin+ -> +inf; +inf fin- -> -inf; -inf fin+ -> -inf; -inf fin- -> +inf
divide: fin+ +inf -> +0; fin+ -inf -> -0; fin- +inf -> -0; fin- -inf -> +0
divide: fin+ |>1| -> sign; fin- |<1| -> sign
floor_divide: nan any -> nan; any nan -> nan; inf inf -> nan; 0 0 -> nan; +0 >0 -> +0
floor_divide: -0 >0 -> -0
floor_divide: +0 <0 -> -0; -0 <0 -> +0; >0 +0 -> +inf; >0 -0 -> -inf; <0 +0 -> -inf
floor_divide: <0 -0 -> +inf; +inf fin+ -> +inf; +inf fin- -> -inf; -inf fin+ -> -inf
floor_divide: -inf fin- -> +inf; fin+ +inf -> +0; fin+ -inf -> -0; fin- +inf -> -0
floor_divide: fin- -inf -> +0
floor_divide: fin+ odd+ -> sign; fin- odd+ -> sign; fin+ odd- -> sign; fin- odd- -> sign
remainder: nan any -> nan; any nan -> nan; inf inf -> nan; inf finite -> nan; 0 0 -> nan
remainder: +0 >0 -> +0; -0 >0 -> +0; +0 <0 -> -0; -0 <0 -> -0; >0 0 -> nan; <0 0 -> nan
remainder: fin+ +inf -> x1; fin+ -inf -> x2; fin- +inf -> x2; fin- -inf -> x1
pow: +1 any -> +1; any 0 -> +1; nan nonzero -> nan; nonzero nan -> nan
pow: |>1| +inf -> +inf; |>1| -inf -> +0; +1 inf -> +1; -1 inf -> +1; |<1| +inf -> +0
pow: |<1| -inf -> +inf; +inf >0 -> +inf; +inf <0 -> +0; -inf odd+ -> -inf; -inf notodd+ -> +inf
pow: -inf odd- -> -0; -inf notodd- -> +0; +0 >0 -> +0; +0 <0 -> +inf; -0 odd+ -> -0
pow: -0 notodd+ -> +0; -0 odd- -> -inf; -0 notodd- -> +inf; fin- fraction -> nan
atan2: nan any -> nan; any nan -> nan; >0 0 -> +pi/2; <0 0 -> -pi/2; +0 >0 -> +0; -0 >0 -> -0
atan2: +0 +0 -> +0; +0 -0 -> +pi; +0 <0 -> +pi; -0 +0 -> -0; -0 -0 -> -pi; -0 <0 -> -pi
atan2: fin+ +inf -> +0; fin+ -inf -> +pi; fin- +inf -> -0; fin- -inf -> -pi; +inf finite -> +pi/2
atan2: -inf finite -> -pi/2; +inf +inf -> +pi/4; +inf -inf -> +3pi/4; -inf +inf -> -pi/4
atan2: -inf -inf -> -3pi/4
hypot: inf any -> +inf; any inf -> +inf; nan finite -> nan; finite nan -> nan; nan nan -> nan
copysign: nan finite -> nan; >0 -0 -> negative; >0 <0 -> negative; <0 +0 -> positive
copysign: <0 >0 -> positive
copysign: +0 <0 -> -0; -0 >0 -> +0; +inf -1 -> -inf
logaddexp: nan any -> nan; any nan -> nan; +inf number -> +inf; number +inf -> +inf
logaddexp: -inf -inf -> -inf; -inf fin+ -> x2; fin- -inf -> x1
maximum: nan any -> nan; any nan -> nan; +inf number -> +inf; -inf number -> x2; fin+ fin- -> x1
minimum: nan any -> nan; any nan -> nan; -inf number -> -inf; +inf number -> x2; fin+ fin- -> x2
nextafter: nan any -> nan; any nan -> nan; -0 +0 -> +0; +0 -0 -> -0
equal: nan any -> false; any nan -> false; +inf +inf -> true; -inf -inf -> true; -0 +0 -> true
equal: +0 -0 -> true; inf finite -> false; finite inf -> false
not_equal: nan any -> true; any nan -> true; +inf +inf -> false; -0 +0 -> false; inf finite -> true
less: nan any -> false; any nan -> false; -inf +inf -> true; +0 -0 -> false; fin- fin+ -> true
less_equal: nan any -> false; any nan -> false; -0 +0 -> true; +0 -0 -> true; +inf -inf -> false
greater: nan any -> false; any nan -> false; +inf finite -> true; +0 -0 -> false; fin- fin+ -> false
greater_equal: nan any -> false; any nan -> false; -0 +0 -> true; -inf finite -> false
logical_and: nan nan -> true; nan 0 -> false; nonzero nan -> true
logical_or: nan 0 -> true; 0 0 -> false; 0 nonzero -> true
logical_xor: nan nan -> false; nan 0 -> true; nonzero inf -> false
"""

# The operator of a binary function, and what begins its in-place form.
OPERATORS = {
    "add": "add",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "truediv",
    "floor_divide": "floordiv",
    "remainder": "mod",
    "pow": "pow",
}
Case = tuple[str, tuple[str, ...], str]


def cases() -> Iterator[Case]:
    """(function, operands, result) in the words of the table."""
    for line in TEXT.strip().splitlines():
        name, _, rest = line.partition(": ")
        for case in rest.split("; "):
            operands, _, result = case.partition(" -> ")
            yield name, tuple(operands.split()), result


def numbers(operands: tuple[str, ...]) -> list[tuple[float, ...]]:
    """The numbers that the words stand for, in all combinations."""
    return list(itertools.product(*(VALUES[word] for word in operands)))


def fulfils(got: float | bool, result: str, operands: tuple[float, ...]) -> bool:
    """Whether a function's value is what the table's word says."""
    if result in ("true", "false"):
        return got is (result == "true")
    if result in ("positive", "negative"):
        return math.copysign(1, got) == (1 if result == "positive" else -1)
    if result == "sign":  # as of a product
        return math.copysign(1, got) == math.prod(math.copysign(1, x) for x in operands)
    wanted = operands[int(result[1]) - 1] if result[0] == "x" else VALUES[result][0]
    if math.isnan(wanted):
        return math.isnan(got)
    same_sign = math.copysign(1, got) == math.copysign(1, wanted)
    return same_sign and (got == wanted or math.isclose(got, wanted, rel_tol=1e-6))
