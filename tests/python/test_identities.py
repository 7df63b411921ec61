"""Operations that keep every bit of an operand cost nothing; nothing else is taken for one."""

import numpy as np
import pytest

import tegula as tg

SPECIAL = np.array([0.0, -0.0, 1.5, -2.0, np.inf, -np.inf, np.nan, 1e-42], np.float32)


def bits(x):
    return np.asarray(x).view(np.uint32).tolist()


def instructions(y):
    """What the last step of y's plan computes."""
    return tg.explain(y).strip().splitlines()[-1].split(" (")[0].split()[1:]


def start():
    x = tg.asarray(SPECIAL)
    tg.synchronize()
    return x


IDENTITIES = {
    "times one": lambda e: e * 1,
    "one times": lambda e: 1.0 * e,
    "times ones": lambda e: e * tg.ones((8,)),
    "over one": lambda e: e / 1,
    "less zero": lambda e: e - 0.0,
    "twice negative": lambda e: tg.negative(tg.negative(e)),
    "its own maximum": lambda e: tg.maximum(e, e),
    "its own minimum": lambda e: tg.minimum(e, e),
    "either": lambda e: tg.where(e > 0, e, e),
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_identities_leave_no_instruction_and_keep_every_bit(name):
    x = start()
    y = IDENTITIES[name](tg.abs(x))
    assert instructions(y) == ["tile", "abs"]
    assert bits(y) == bits(np.abs(SPECIAL))
    assert bits(IDENTITIES[name](x)) == bits(SPECIAL)


OTHERS = {
    "plus zero": lambda x: x + np.float32(0),  # makes -0 a zero
    "less minus zero": lambda x: x - np.float32(-0.0),
    "times zero": lambda x: x * np.float32(0),
    "one over": lambda x: np.float32(1) / x,
    "zero less": lambda x: np.float32(0) - x,
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_identity_is_computed(name):
    expected, result = OTHERS[name](SPECIAL), OTHERS[name](start())
    result = np.asarray(result)
    nan = np.isnan(expected)
    assert np.isnan(result)[nan].all()
    assert result[~nan].view(np.uint32).tolist() == expected[~nan].view(np.uint32).tolist()


def test_a_plan_for_one_does_not_serve_another_number():
    x = start()
    results = [np.asarray(tg.abs(x) * factor) for factor in (1, 2, 1.0, 0.5)]
    for factor, result in zip((1, 2, 1.0, 0.5), results, strict=True):
        assert bits(result) == bits(np.abs(SPECIAL) * np.float32(factor))


def test_the_argument_of_a_jitted_function_stays_variable():
    @tg.jit
    def scaled(x, factor):
        return tg.abs(x) * factor, x**factor

    x = tg.asarray([2.0, 3.0])
    for factor in (1.0, 2.0, 3.0):
        product, power = scaled(x, factor)
        assert product.tolist() == [2 * factor, 3 * factor]
        np.testing.assert_allclose(np.asarray(power), [2**factor, 3**factor], rtol=1e-6)
    assert scaled.cache_info()["misses"] == 1


def test_broadcasting_is_kept():
    x = tg.asarray([1.0, 2.0, 3.0])
    tg.synchronize()
    y = x * tg.ones((2, 3))
    assert y.shape == (2, 3)
    assert y.tolist() == [[1.0, 2.0, 3.0]] * 2
    assert (y + 1).tolist() == [[2.0, 3.0, 4.0]] * 2
    assert (tg.ones((2, 1)) * tg.ones(())).tolist() == [[1.0], [1.0]]


def test_values_in_place_and_gradients():
    w = tg.asarray([1.0, -2.0]).requires_grad_()
    y = w * 1
    (y * y).sum().backward()
    assert w.grad.tolist() == [2.0, -4.0]
    x = tg.zeros(4)
    for _ in range(3):
        x = x * 1
        x += 1
    kept = x / 1
    x += 1
    assert kept.tolist() == [3.0] * 4
    assert x.tolist() == [4.0] * 4
    assert (tg.asarray([3, 4]) * 1).dtype == tg.int64
    assert (tg.asarray([3, 4]) * 1.0).dtype == tg.float32


def test_a_square_is_a_product():
    x = tg.asarray([-3.0, 1.1, 0.0])
    assert instructions(x**2) == ["tile", "square"]
    assert bits(x**2) == bits(np.asarray(x) * np.asarray(x))
    whole = tg.asarray([3, -4], dtype=tg.int32)
    assert (whole**2).dtype == tg.int32
    assert (whole**2).tolist() == [9, 16]
    assert (whole**2.0).tolist() == [9.0, 16.0]
    assert (2 ** whole.astype(tg.float32)).tolist() == [8.0, 0.0625]
    leaf = tg.asarray([2.0, -3.0]).requires_grad_()
    (leaf**2).sum().backward()
    assert leaf.grad.tolist() == [4.0, -6.0]
