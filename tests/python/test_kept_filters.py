"""Filters that stay the same between convolutions are prepared once, which changes no bit."""

import numpy as np
import pytest

import tegula as tg
from tegula.nn import functional as F


@pytest.mark.parametrize("algorithm", ["direct", "winograd2", "winograd4"])
@pytest.mark.parametrize(
    ("weight", "groups", "padding"),
    [
        ((64, 32, 3, 3), 1, 1),
        ((32, 16, 3, 3), 2, 0),
        ((48, 64, 1, 1), 1, 0),
        ((33, 32, 2, 5), 1, 2),
    ],
)
def test_filters_that_stay_are_prepared_once(algorithm, weight, groups, padding) -> None:
    """A convolution gives the same bits whether its filters are prepared anew, kept, or changed."""
    tg.manual_seed(1)
    w = tg.random.normal(weight)
    images = [tg.random.normal((n, weight[1] * groups, 8, 9)) for n in (1, 3)]

    def run(w: tg.Tensor) -> list[np.ndarray]:
        found = []
        for x in images:
            x = x.detach().requires_grad_()
            y = F.conv2d(x, w, padding=padding, groups=groups)
            y.sum().backward()
            found += [y.detach().numpy(), x.grad.numpy()]
        return found

    tg.set_conv_algorithm(algorithm)
    try:
        first, *later = [run(w) for _ in range(4)]
        fresh = run(w * 1.0)
        for other in (*later, fresh):
            for a, b in zip(first, other, strict=True):
                np.testing.assert_array_equal(a, b)
        w *= 2.0
        for a, b in zip(first, run(w), strict=True):
            np.testing.assert_array_equal(a * np.float32(2), b)
    finally:
        tg.set_conv_algorithm("winograd2")
