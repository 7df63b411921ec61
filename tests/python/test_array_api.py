"""Tegula as a namespace of the Python array API standard 2024.12: names, signatures, dtypes and
special cases, against array_api_strict, which is the standard as code."""

from __future__ import annotations

import inspect
import itertools
import operator
from types import ModuleType
from typing import Any

import array_api_strict as strict
import numpy as np
import pytest
from array_api_special_cases import OPERATORS, cases, fulfils, numbers
from array_api_strict import _array_object, _dtypes

import tegula as tg

# What array_api_strict has beside the standard.
BESIDE = {"Device"} | {name for name in strict.__all__ if "flags" in name.lower()}
NAMES = [name for name in strict.__all__ if name not in BESIDE and hasattr(tg, name)]
FUNCTIONS = [name for name in NAMES if inspect.isfunction(getattr(strict, name))]
METHODS = [
    name
    for name in dir(_array_object.Array)
    if name not in dir(object) and (name.startswith("__") or name[0] != "_")
]
# Python's own, or NumPy's: not the standard's.
_PYTHON = "__slots__ __weakref__ __buffer__ __module__ __annotations__ __dict__"
METHODS = [name for name in METHODS if name not in _PYTHON.split()] + ["__eq__", "__ne__"]

DTYPES = tg.__array_namespace_info__().dtypes()


def strict_dtype(dtype: Any) -> Any:
    return getattr(strict, dtype.name)


# ---- names and signatures ---------------------------------------------------------------------
def test_every_name_is_there():
    assert {n for n in strict.__all__ if not hasattr(tg, n)} == BESIDE
    assert tg.__array_api_version__ == "2024.12"
    assert tg.newaxis is None
    assert (tg.e, tg.pi, tg.inf) == (np.e, np.pi, np.inf)
    assert tg.nan != tg.nan


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_there(name):
    assert hasattr(tg.Tensor, name)


def binds(signature: inspect.Signature, standard: inspect.Signature) -> None:
    """As array-api-tests compares: names unless positional alone, kinds, and no more required."""
    ours = list(signature.parameters.values())
    wanted = list(standard.parameters.values())
    P = inspect.Parameter
    for i, want in enumerate(p for p in wanted if p.kind != P.KEYWORD_ONLY):
        got = ours[i]
        if want.kind == P.VAR_POSITIONAL:
            assert got.kind == P.VAR_POSITIONAL
        elif want.kind == P.POSITIONAL_ONLY:
            assert got.kind in (P.POSITIONAL_ONLY, P.POSITIONAL_OR_KEYWORD)
        else:
            assert got.kind == P.POSITIONAL_OR_KEYWORD
            assert got.name == want.name
    for want in (p for p in wanted if p.kind == P.KEYWORD_ONLY):
        assert signature.parameters[want.name].kind in (P.KEYWORD_ONLY, P.POSITIONAL_OR_KEYWORD)
    for got in ours:
        known = got.name in standard.parameters or ours.index(got) < len(wanted)
        assert known or got.default is not P.empty or got.kind == P.VAR_POSITIONAL
    for want in wanted:
        if want.default is P.empty or want.name not in signature.parameters:
            continue
        assert signature.parameters[want.name].default is not P.empty


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signature(name):
    standard = inspect.signature(getattr(strict, name))
    if name == "expand_dims":  # 2025.12 made axis positional and required
        standard = inspect.signature(lambda x, /, *, axis=0: None)
    binds(inspect.signature(getattr(tg, name)), standard)


@pytest.mark.parametrize(
    ("module", "name"),
    [(m, name) for m in ("linalg", "fft") for name in getattr(strict, m).__all__ if name[0] != "_"],
)
def test_signature_of_an_extension(module, name):
    standard = inspect.signature(getattr(getattr(strict, module), name))
    binds(inspect.signature(getattr(getattr(tg, module), name)), standard)


@pytest.mark.parametrize("name", ["eigh", "qr", "slogdet", "svd"])
def test_named_tuples_of_linalg(name):
    x = np.asarray([[2.0, 0.5], [0.5, 1.0]])
    want = getattr(strict.linalg, name)(strict.asarray(x))
    got = getattr(tg.linalg, name)(tg.asarray(x))
    assert got._fields == want._fields
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(np.abs(np.array(a)), np.abs(np.asarray(b)), rtol=1e-12)


@pytest.mark.parametrize("name", METHODS)
def test_method_signature(name):
    method = inspect.getattr_static(_array_object.Array, name)
    if isinstance(method, property):
        getattr(tg.ones((1, 1)), name)
        return
    signature = inspect.signature(getattr(tg.asarray(1), name))
    if name == "to_device":  # whose stream array_api_strict takes by position too
        method = lambda self, device, /, *, stream=None: None  # noqa: E731
    parameters = list(inspect.signature(method).parameters.values())[1:]
    binds(signature, inspect.Signature(parameters))


# ---- dtypes -----------------------------------------------------------------------------------
def small(dtype: Any, xp: ModuleType) -> Any:
    name = dtype.name
    values = [True, False, True] if name == "bool" else [1, 2, 3]
    return xp.asarray(values, dtype=getattr(xp, name))


def compare(name: str, *dtypes: Any) -> bool:
    """Whether the standard has the function for these dtypes; then ours gives its values."""
    try:
        with np.errstate(all="ignore"):
            want = getattr(strict, name)(*(small(d, strict) for d in dtypes))
    except TypeError:
        return False
    got = getattr(tg, name)(*(small(d, tg) for d in dtypes))
    assert got.dtype.name == want.dtype._np_dtype.name, (name, dtypes)
    tolerance = 1e-6 if got.dtype in (tg.float32, tg.complex64) else 1e-12
    np.testing.assert_allclose(got.numpy(), np.asarray(want), rtol=tolerance)
    return True


def elementwise(arity: int) -> list[str]:
    found = []
    for name in FUNCTIONS:
        module = inspect.getmodule(getattr(strict, name))
        parameters = inspect.signature(getattr(strict, name)).parameters.values()
        required = [p for p in parameters if p.default is inspect.Parameter.empty]
        if module and module.__name__.endswith("_elementwise_functions") and len(required) == arity:
            found.append(name)
    return found


@pytest.mark.parametrize("name", [n for n in elementwise(1) if n != "clip"])
def test_unary(name):
    assert sum(compare(name, dtype) for dtype in DTYPES.values())


@pytest.mark.parametrize("name", elementwise(2))
def test_binary_of_all_pairs_of_dtypes(name):
    pairs = itertools.product(DTYPES.values(), repeat=2)
    assert sum(compare(name, *pair) for pair in pairs)


def test_the_promotion_table():
    for a, b in itertools.product(DTYPES.values(), repeat=2):
        key = strict_dtype(a), strict_dtype(b)
        if key not in _dtypes._promotion_table:  # int with float, or int64 with uint64: beyond it
            continue
        want = _dtypes._promotion_table[key]._np_dtype.name
        assert tg.result_type(a, b).name == want
        assert tg.result_type(tg.ones(1, dtype=a), b).name == want
        assert tg.can_cast(a, b) == strict.can_cast(*key)
        assert tg.concat([tg.ones(1, a), tg.ones(1, b)]).dtype.name == want
        assert tg.where(True, tg.ones(1, a), tg.ones(1, b)).dtype.name == want


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_python_scalars_take_the_dtype(dtype):
    x = tg.ones(3, dtype)
    kinds = {"bool": [True], "integral": [True, 1], "real floating": [True, 1, 2.5]}
    kinds["complex floating"] = [True, 1, 2.5, 1 - 2j]
    (numbers,) = [v for kind, v in kinds.items() if tg.isdtype(dtype, kind)]
    for number in numbers:
        assert tg.result_type(x, number) == dtype
        assert tg.where(x != 0, x, number).dtype == dtype
        if not tg.isdtype(dtype, "complex floating"):
            assert tg.maximum(x, number).dtype == tg.minimum(number, x).dtype == dtype
        if dtype != tg.bool:
            assert (x + number).dtype == (number - x).dtype == (x * number).dtype == dtype
        assert (x == number).dtype == tg.bool
    if tg.isdtype(dtype, "real floating"):  # a number changes the kind at most
        want = tg.complex64 if dtype == tg.float32 else tg.complex128
        assert (x * 1j).dtype == tg.result_type(dtype, 1j) == want
    if tg.isdtype(dtype, "integral"):
        most = tg.iinfo(dtype).max
        assert tg.full(2, most, dtype=dtype)[0].item() == most
        assert (tg.zeros(2, dtype) + most)[1].item() == most
        with pytest.raises((ValueError, OverflowError)):
            x + (most + 1)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_reductions_of_all_dtypes(dtype):
    names = "sum prod max min mean std var any all argmax argmin count_nonzero cumulative_sum"
    for name in [*names.split(), "cumulative_prod", "sort", "argsort", "diff", "unique_values"]:
        compare(name, dtype)


def test_dtype_objects():
    assert len({*DTYPES.values(), *DTYPES.values()}) == len(DTYPES)
    assert tg.float32 == tg.asarray([1.0]).dtype != tg.float64
    assert tg.asarray(1).dtype == tg.int64
    assert tg.asarray(True).dtype == tg.bool
    with pytest.raises(ValueError, match="unknown kind"):
        tg.isdtype(tg.float32, "complex real")
    kinds = ("bool", "signed integer", "unsigned integer", "integral", "real floating", "numeric")
    for kind in (*kinds, "complex floating"):
        for dtype in DTYPES.values():
            want = strict.isdtype(strict_dtype(dtype), kind)
            assert tg.isdtype(dtype, kind) is want
            assert tg.isdtype(dtype, (kind, tg.bool)) is (want or dtype == tg.bool)


@pytest.mark.parametrize("name", ["float32", "float64", "complex64", "complex128"])
def test_finfo(name):
    for got in (tg.finfo(getattr(tg, name)), tg.finfo(tg.ones(1, dtype=name))):
        want = np.finfo(name)
        assert (got.bits, got.dtype.name) == (want.bits, want.dtype.name)
        for field in ("eps", "max", "min", "smallest_normal"):
            assert type(getattr(got, field)) is float
            assert getattr(got, field) == float(getattr(want, field))


@pytest.mark.parametrize("name", [n for n, d in DTYPES.items() if tg.isdtype(d, "integral")])
def test_iinfo(name):
    got, want = tg.iinfo(getattr(tg, name)), np.iinfo(name)
    assert got == (want.bits, want.max, want.min, getattr(tg, name))


def test_the_namespace_tells_about_itself():
    x = tg.asarray(1)
    assert x.__array_namespace__() is x.__array_namespace__(api_version="2024.12") is tg
    with pytest.raises(ValueError, match="2031"):
        x.__array_namespace__(api_version="2031.12")
    info = tg.__array_namespace_info__()
    assert info.capabilities()["boolean indexing"] is True
    assert info.capabilities()["data-dependent shapes"] is True
    assert info.default_device() in info.devices()
    assert info.default_dtypes()["real floating"] == tg.asarray(1.0).dtype
    assert info.default_dtypes()["complex floating"] == tg.asarray(1j).dtype
    assert info.default_dtypes()["integral"] == tg.asarray(1).dtype
    assert info.default_dtypes()["indexing"] == tg.argmax(tg.ones(2)).dtype
    assert info.dtypes(kind="signed integer").keys() == {"int8", "int16", "int32", "int64"}
    assert info.dtypes(kind=("bool", "real floating")).keys() == {"bool", "float32", "float64"}
    with pytest.raises(ValueError, match="kind"):
        info.dtypes(kind="nonsense")
    with pytest.raises(ValueError, match="device"):
        info.dtypes(device="abacus")


def test_devices():
    x = tg.ones((2, 3))
    assert x.to_device(x.device).device == x.device
    with pytest.raises(ValueError, match="stream"):
        x.to_device("cpu", stream=1)
    made = [
        tg.zeros(3, device="null"),
        tg.full((2,), 1.5, device="null"),
        tg.full_like(x, 2, device="null"),
        tg.ones_like(x, device="null"),
        tg.arange(3, device="null"),
        tg.linspace(0, 1, 3, device="null"),
        tg.eye(3, device="null"),
        tg.asarray([1, 2], device="null"),
        tg.empty(3, device="null"),
        tg.empty_like(x, device="null"),
    ]
    assert {y.device for y in made} == {"null"}


# ---- special cases ----------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", list(cases()), ids=lambda c: f"{c[0]}({', '.join(c[1])})-{c[2]}")
def test_special_case(case, dtype):
    name, operands, result = case
    given = numbers(operands)
    columns = [tg.asarray([row[i] for row in given], dtype=dtype) for i in range(len(operands))]
    results = [getattr(tg, name)(*columns)]
    if name in OPERATORS:
        results.append(getattr(operator, OPERATORS[name])(*columns))
        results.append(getattr(operator, "i" + OPERATORS[name])(*columns))
    for got in results:
        for value, row in zip(got.tolist(), given, strict=True):
            assert fulfils(value, result, row), f"{name}{row} is {value}, not {result}"


# C's Annex G, which the standard's lists for complex operands are; NumPy's functions are C's.
ANNEX_G = {
    **{name: "arc" + name[1:] for name in ("acos", "acosh", "asin", "asinh", "atan", "atanh")},
    **{name: name for name in ("cos", "cosh", "exp", "log", "log10", "log1p", "sin", "sinh")},
    **{name: name for name in ("abs", "conj", "isnan", "isinf", "isfinite", "sqrt", "tan", "tanh")},
}


def identical(a: Any, b: Any) -> Any:
    """Where two arrays are close, with the same infinities and signs, or both NaN."""
    with np.errstate(all="ignore"):
        same = (a == b) | (np.isclose(a, b, rtol=1e-12) & (a != 0) & (b != 0))
    return same & (np.signbit(a) == np.signbit(b)) | np.isnan(a) & np.isnan(b)


@pytest.mark.parametrize("name", ANNEX_G)
def test_special_values_of_complex_numbers(name):
    parts = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.5, -2.0]
    z = np.empty(len(parts) ** 2, complex)
    z.real, z.imag = np.repeat(parts, len(parts)), np.tile(parts, len(parts))
    with np.errstate(all="ignore"):
        want = getattr(np, ANNEX_G[name])(z)
    got = getattr(tg, name)(tg.asarray(z)).numpy()
    assert got.dtype == want.dtype
    right = got == want
    if got.dtype != bool:
        right = identical(got.real, want.real) & identical(got.imag, want.imag)
    assert right.all(), list(zip(z[~right], got[~right], want[~right], strict=True))


@pytest.mark.parametrize(
    ("operand", "result"),
    [
        (complex(0, 0), complex(0, 0)),
        (complex(1, np.inf), complex(np.nan, np.nan)),
        (complex(np.inf, 0), complex(np.inf, 0)),
        (complex(-np.inf, 1), complex(-1, 0)),
        (complex(-np.inf, np.inf), complex(-1, 0)),
        (complex(np.inf, np.nan), complex(np.inf, np.nan)),
        (complex(-np.inf, np.nan), complex(-1, 0)),
        (complex(np.nan, 0), complex(np.nan, 0)),
        (complex(np.nan, 2), complex(np.nan, np.nan)),
    ],
)
def test_expm1_of_complex_numbers(operand, result):
    got = tg.expm1(tg.asarray(operand, dtype=tg.complex128)).item()
    for a, b in ((got.real, result.real), (got.imag, result.imag)):
        assert a == b or (np.isnan(a) and np.isnan(b))


def test_signatures_of_the_inspection():
    standard = strict.__array_namespace_info__()
    info = tg.__array_namespace_info__()
    for name in ("capabilities", "default_device", "default_dtypes", "devices", "dtypes"):
        binds(inspect.signature(getattr(info, name)), inspect.signature(getattr(standard, name)))
