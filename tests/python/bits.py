"""Comparing nests of tensors bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np

import tegula as tg


def same(a: Any, b: Any) -> None:
    """Both nests hold the same bits."""
    if isinstance(a, tg.Tensor):
        assert isinstance(b, tg.Tensor)
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        if a.numpy().tobytes() != b.numpy().tobytes():
            np.testing.assert_array_equal(a.numpy(), b.numpy())
            raise AssertionError("zeros of another sign, or other NaNs")
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert type(a) is type(b)
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    else:
        assert a == b


def normal(*shape: int) -> tg.Tensor:
    return tg.asarray(np.random.default_rng(len(shape) + sum(shape)).normal(size=shape)).to(
        tg.float32
    )
