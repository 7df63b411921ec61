"""``tg.debug_nans`` names the operation and the line that first made a NaN or an infinity."""

from __future__ import annotations

import numpy as np
import pytest

import tegula as tg


def bad(x: tg.Tensor) -> tg.Tensor:
    y = x * 2
    z = tg.log(y - 2)  # the first
    return (z * 0).sum()


def test_the_first_operation_is_named() -> None:
    first = r"log made the first infinity.*in bad\)"
    with pytest.raises(FloatingPointError, match=first) as error, tg.debug_nans():
        bad(tg.ones(3))
    assert "test_debug_nans.py:13" in str(error.value)


def test_nan_and_what_comes_in_with_the_data() -> None:
    with tg.debug_nans():
        x = tg.asarray(np.array([1.0, np.nan, -np.inf], dtype="float32"))
        tg.eval(x * 2, tg.where(x > 0, x, -np.inf))
        tg.eval(tg.asarray([-1.0]) * 3)
    with pytest.raises(FloatingPointError, match="sqrt made the first NaN"), tg.debug_nans():
        tg.eval(tg.sqrt(tg.asarray([[1.0, -1.0]]).T))


def test_a_backward_pass() -> None:
    x = tg.zeros(2, dtype=tg.float32)
    with pytest.raises(FloatingPointError, match="infinity"), tg.debug_nans():
        tg.eval(tg.grad(lambda x: tg.sqrt(x).sum())(x))


def test_a_jitted_function() -> None:
    f = tg.jit(bad)
    assert np.isnan(f(tg.ones(3)).item())
    with pytest.raises(FloatingPointError, match=r"tile.*in bad\)"), tg.debug_nans():
        f(tg.ones(3))


def test_off_again() -> None:
    with tg.debug_nans():
        pass
    assert np.isnan(bad(tg.ones(3)).item())
    tg.debug_nans()
    with pytest.raises(FloatingPointError):
        bad(tg.ones(3))
    tg.debug_nans(False)
    assert np.isnan(bad(tg.ones(3)).item())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_dtypes(dtype: str) -> None:
    with pytest.raises(FloatingPointError, match="infinity"), tg.debug_nans():
        tg.eval(tg.exp(tg.full((2,), 1000.0, dtype=dtype)))
