"""tegula.fft against scipy.fft: values, lengths, layouts, errors, gradients and transforms."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import numpy as np
import pytest
import scipy.fft

import tegula as tg

ONE = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
MANY = ["fftn", "ifftn", "rfftn", "irfftn"]
REAL = {"rfft", "ihfft", "rfftn"}  # take real numbers alone
NORMS = ["backward", "ortho", "forward"]


def normal(*shape: int, real: bool = False, dtype: str = "float64") -> np.ndarray:
    random = np.random.default_rng(sum(shape))
    x = random.standard_normal(shape).astype(dtype)
    return x if real else x + (1j * random.standard_normal(shape)).astype((x * 1j).dtype)


def check(name: str, x: np.ndarray, rtol: float = 1e-12, **options: Any) -> None:
    got = getattr(tg.fft, name)(tg.asarray(x), **options).numpy()
    want = getattr(scipy.fft, name)(x, **options)
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    scale = np.max(np.abs(want), initial=1e-30)
    np.testing.assert_allclose(got, want, rtol=0, atol=rtol * scale, err_msg=f"{name} {options}")


# ---- Values -----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lengths(name, dtype):
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    for n in [1, 2, 3, 4, 5, 7, 8, 12, 13, 16, 17, 31, 60, 61, 67, 101, 128, 243, 1000, 1009, 2048]:
        if n > 1 or name not in {"irfft", "hfft"}:
            check(name, normal(n, real=name in REAL, dtype=dtype), tolerance)
        check(name, normal(3, n, real=name in REAL, dtype=dtype), tolerance, n=2 * n + 1)


@pytest.mark.parametrize("n", [10007, 30030, 65536, 65537, 3 * 2**16, 1 << 18])
def test_long_lines(n):
    check("fft", normal(n))
    check("ifft", normal(n))
    check("rfft", normal(n, real=True))
    check("irfft", normal(n // 2 + 1), n=n)


@pytest.mark.parametrize("name", ONE)
def test_axis_length_and_norm(name):
    x = normal(5, 6, 7, real=name in REAL)
    for axis, n, norm in itertools.product([0, 1, -1], [None, 1, 4, 9], NORMS):
        check(name, x, axis=axis, n=n, norm=norm)


@pytest.mark.parametrize("name", MANY)
def test_many_axes(name):
    x = normal(5, 6, 7, real=name in REAL)
    for norm in NORMS:
        check(name, x, norm=norm)
    for axes in [(0,), (1, 2), (2, 0), (-1, -2, 0)]:
        check(name, x, axes=axes)
        check(name, x, axes=axes, s=[3, 9, 2][: len(axes)], norm="ortho")
    check(name, x, s=(4, 9))
    check(name, x, s=(8, -1), axes=(0, 1))


@pytest.mark.parametrize("name", [*ONE, *MANY])
@pytest.mark.parametrize("shape", [(40, 33), (33, 40), (3, 17, 24), (2, 70000)])
def test_views(name, shape):
    """Transposed, reversed, with gaps, broadcast: as of the same numbers, dense."""
    x = normal(*shape, real=name in REAL)
    t = tg.asarray(x)
    function = getattr(tg.fft, name)
    wide = (3, *shape[1:])
    views = [
        (lambda a: tg.permute_dims(a, tuple(range(a.ndim))[::-1]), x.T),
        (lambda a: a[..., ::-1], x[..., ::-1]),
        (lambda a: a[1:, ..., ::2], x[1:, ..., ::2]),
        (lambda a: tg.broadcast_to(a[:1], wide), np.broadcast_to(x[:1], wide)),
    ]  # fmt: skip
    for view, array in views:
        want = getattr(scipy.fft, name)(array)
        scale = np.max(np.abs(want))
        np.testing.assert_allclose(function(view(t)).numpy(), want, rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize("name", ONE)
def test_empty_batches(name):
    x = normal(0, 4, real=name in REAL)
    check(name, x)
    check(name, x, n=6)
    filled = getattr(tg.fft, name)(tg.asarray(normal(3, 0, real=name in REAL)), n=4)
    assert not filled.numpy().any()
    assert filled.shape[0] == 3


def test_dtypes():
    for dtype, result in [
        ("float16", "complex64"), ("float32", "complex64"), ("float64", "complex128"),
        ("int32", "complex64"), ("bool", "complex64"), ("complex64", "complex64"),
        ("complex128", "complex128"),
    ]:  # fmt: skip
        x = tg.ones((4,), dtype=dtype)
        assert str(tg.fft.fft(x).dtype).endswith(result)
        if not dtype.startswith("complex"):
            assert str(tg.fft.rfft(x).dtype).endswith(result)
        assert tg.fft.irfft(x).dtype == (tg.float64 if result == "complex128" else tg.float32)
    half = tg.asarray(normal(6, real=True)).to(tg.bfloat16)
    same = tg.fft.fft(half.to(tg.float32))
    np.testing.assert_array_equal(tg.fft.fft(half).numpy(), same.numpy())


def test_hermitian_symmetry():
    for n in (8, 9, 1000, 1009):
        y = tg.fft.fft(tg.asarray(normal(n, real=True))).numpy()
        np.testing.assert_allclose(y[1:], np.conj(y[:0:-1]), atol=1e-12 * n)
        half = tg.fft.rfft(tg.asarray(normal(n, real=True))).numpy()
        np.testing.assert_allclose(half, y[: n // 2 + 1], atol=1e-12 * n)
        assert half[0].imag == 0
        if n % 2 == 0:
            assert half[-1].imag == 0


def test_inverses_undo():
    x = tg.asarray(normal(6, 7, 8))
    np.testing.assert_allclose(tg.fft.ifftn(tg.fft.fftn(x)).numpy(), x.numpy(), atol=1e-14)
    r = tg.asarray(normal(6, 7, 9, real=True))
    back = tg.fft.irfftn(tg.fft.rfftn(r), s=(6, 7, 9), axes=(0, 1, 2))
    np.testing.assert_allclose(back.numpy(), r.numpy(), atol=1e-14)
    np.testing.assert_allclose(tg.fft.hfft(tg.fft.ihfft(r), n=9).numpy(), r.numpy(), atol=1e-14)


def test_frequencies_and_shifts():
    for n in range(1, 12):
        for d in (1.0, 0.25):
            for dtype in ("float32", "float64"):
                for name in ("fftfreq", "rfftfreq"):
                    got = getattr(tg.fft, name)(n, d=d, dtype=getattr(tg, dtype), device="cpu")
                    want = getattr(np.fft, name)(n, d).astype(dtype)
                    np.testing.assert_allclose(got.numpy(), want, rtol=2e-7)
                    assert str(got.dtype).endswith(dtype)
        x = np.arange(n * 3).reshape(n, 3)
        for axes in (None, 0, (1,), (0, 1)):
            for name in ("fftshift", "ifftshift"):
                got = getattr(tg.fft, name)(tg.asarray(x), axes=axes)
                np.testing.assert_array_equal(got.numpy(), getattr(np.fft, name)(x, axes))
    assert tg.fft.fftfreq(4).dtype == tg.float32


# ---- Signatures and errors --------------------------------------------------------------------
def test_signatures_are_the_standards():
    one = "(x, /, *, n=None, axis=-1, norm='backward')"
    many = "(x, /, *, s=None, axes=None, norm='backward')"
    frequencies = "(n, /, *, d=1.0, dtype=None, device=None)"
    shifts = "(x, /, *, axes=None)"
    wanted = dict.fromkeys(ONE, one) | dict.fromkeys(MANY, many)
    wanted |= dict.fromkeys(["fftfreq", "rfftfreq"], frequencies)
    wanted |= dict.fromkeys(["fftshift", "ifftshift"], shifts)
    assert set(wanted) == set(tg.fft.__all__)
    for name, text in wanted.items():
        signature = inspect.signature(getattr(tg.fft, name))
        plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
        assert str(inspect.Signature(plain)) == text, name


def test_signatures_are_those_of_array_api_strict():
    strict = pytest.importorskip("array_api_strict").fft
    for name in tg.fft.__all__:
        ours, theirs = (inspect.signature(getattr(m, name)).parameters for m in (tg.fft, strict))
        for p, q in zip(ours.values(), theirs.values(), strict=True):
            assert (p.name, p.kind, p.default) == (q.name, q.kind, q.default)


@pytest.mark.parametrize("name", ONE)
def test_wrong_calls_of_one_axis(name):
    f = getattr(tg.fft, name)
    x = tg.ones((3, 4))
    for n in (0, -1):
        with pytest.raises(ValueError, match=rf"fft\.{name}: n must be at least 1, got {n}"):
            f(x, n=n)
    with pytest.raises(IndexError, match=rf"fft\.{name}: axis 2"):
        f(x, axis=2)
    with pytest.raises(ValueError, match="norm must be 'backward', 'ortho' or 'forward'"):
        f(x, norm="sideways")
    with pytest.raises(ValueError, match="at least one dimension"):
        f(tg.ones(()))
    with pytest.raises(ValueError, match="too few elements"):
        f(tg.ones((3, 0)))
    with pytest.raises(TypeError):
        f(x, 4)
    with pytest.raises(TypeError):
        f(x, n=2.5)
    if name in REAL:
        with pytest.raises(TypeError, match=rf"fft\.{name}: x must be real, got complex64"):
            f(x.to(tg.complex64))


@pytest.mark.parametrize("name", MANY)
def test_wrong_calls_of_many_axes(name):
    f = getattr(tg.fft, name)
    x = tg.ones((3, 4))
    for options, message in [
        ({"s": (0, 2)}, "s must be at least 1, got 0"),
        ({"s": (2,), "axes": (0, 1)}, "differ in length"),
        ({"s": (2, 2, 2)}, "3 lengths"),
        ({"axes": (0, 0)}, "0"),
        ({"norm": "none"}, "norm must be"),
    ]:
        with pytest.raises(ValueError, match=message):
            f(x, **options)
    with pytest.raises(IndexError, match=rf"fft\.{name}"):
        f(x, axes=(0, 5))


def test_wrong_calls_of_the_others():
    for f in (tg.fft.fftfreq, tg.fft.rfftfreq):
        with pytest.raises(ValueError, match="n must be at least 1"):
            f(0)
        with pytest.raises(ValueError, match="d must not be 0"):
            f(4, d=0.0)
        with pytest.raises(ValueError, match="dtype"):
            f(4, dtype=tg.int32)
        with pytest.raises((tg.DeviceError, ValueError)):
            f(4, device="moon")
    for f in (tg.fft.fftshift, tg.fft.ifftshift):
        with pytest.raises(IndexError, match="shift"):
            f(tg.ones((3,)), axes=1)


# ---- Gradients --------------------------------------------------------------------------------
def _gradient(f: Any, x: np.ndarray, h: float = 1e-6) -> np.ndarray:
    """dL/dRe + i dL/dIm by central differences."""
    result = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        for unit in (1, 1j) if np.iscomplexobj(x) else (1,):
            up, down = x.copy(), x.copy()
            up[i] += unit * h
            down[i] -= unit * h
            result[i] += unit * (f(up) - f(down)) / (2 * h)
    return result


@pytest.mark.parametrize("name", [*ONE, *MANY])
@pytest.mark.parametrize("real", [True, False])
def test_gradients(name, real):
    if name in REAL and not real:
        pytest.skip("takes real numbers alone")
    for shape, options in [
        ((3, 4), {}),
        ((3, 5), {"norm": "ortho"}),
        ((5, 3), {"n": 4, "axis": 0} if name in ONE else {"s": (4, 2), "axes": (1, 0)}),
        ((2, 3), {"n": 7} if name in ONE else {"s": (3, 6), "axes": (0, 1)}),
    ]:
        x = normal(*shape, real=real)
        y = getattr(np.fft, name)(x, **options)
        weights = normal(*y.shape, real=not np.iscomplexobj(y))

        def loss(x, y=None, weights=weights, options=options):
            y = getattr(np.fft, name)(x, **options)
            return float((np.abs(y) ** 2 * 0.3 + (y * weights).real).sum())

        t = tg.asarray(x).requires_grad_()
        z = getattr(tg.fft, name)(t, **options)
        w = tg.asarray(weights)
        product = z * w
        if np.iscomplexobj(y):
            value = (tg.real(z * tg.conj(z)) * 0.3 + tg.real(product)).sum()
        else:
            value = (z * z * 0.3 + product).sum()
        value.backward()
        np.testing.assert_allclose(value.item(), loss(x), rtol=1e-10)
        np.testing.assert_allclose(t.grad.numpy(), _gradient(loss, x), rtol=1e-6, atol=1e-7)


# ---- Transforms and threads -------------------------------------------------------------------
@pytest.mark.parametrize("name", [*ONE, *MANY])
def test_vmap_and_jit(name):
    x = tg.asarray(normal(4, 5, 6, real=name in REAL))
    f = getattr(tg.fft, name)
    want = np.stack([f(x[i]).numpy() for i in range(4)])
    np.testing.assert_allclose(tg.vmap(f)(x).numpy(), want, atol=1e-12)
    along_last = np.stack([f(x[..., i]).numpy() for i in range(6)], axis=-1)
    got = tg.vmap(f, in_axes=-1, out_axes=-1)(x).numpy()
    np.testing.assert_allclose(got, along_last, atol=1e-12)
    jitted = tg.jit(f)
    for _ in range(3):
        np.testing.assert_array_equal(jitted(x).numpy(), f(x).numpy())


def test_the_number_of_threads_changes_no_bit():
    before = tg.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            tg.set_num_threads(threads)
            results.append([
                tg.fft.fft(tg.asarray(normal(1 << 17))).numpy(),
                tg.fft.rfft(tg.asarray(normal(100003, real=True))).numpy(),
                tg.fft.fftn(tg.asarray(normal(300, 401))).numpy(),
                tg.fft.irfft(tg.asarray(normal(200, 513))).numpy(),
            ])  # fmt: skip
    finally:
        tg.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert a.tobytes() == b.tobytes()


def test_an_argument_no_longer_needed_may_be_written_over():
    x = normal(64, 64)
    y = tg.fft.ifftn(tg.fft.fftn(tg.asarray(x) * 1))
    np.testing.assert_allclose(y.numpy(), x, atol=1e-13)
    t = tg.asarray(x)
    tg.fft.fftn(t).numpy()
    np.testing.assert_array_equal(t.numpy(), x)
