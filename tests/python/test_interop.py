"""Exchange with NumPy and DLPack, and who may write what afterwards."""

import array
import gc

import numpy as np
import pytest

import tegula as tg

DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
          "float16", "float32", "float64"]  # fmt: skip


# ---- asarray ------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_both_ways(dtype):
    a = np.arange(24).reshape(2, 3, 4).astype(dtype)
    x = tg.asarray(a)
    assert x.dtype == dtype
    assert x.shape == a.shape
    back = x.numpy()
    assert back.dtype == a.dtype
    np.testing.assert_array_equal(back, a)
    np.testing.assert_array_equal((x.T if x.ndim == 2 else x.mT).numpy(), a.swapaxes(-1, -2))
    assert tg.asarray(a[1, 2, 3]).dtype == dtype
    assert tg.asarray(np.array(a[1, 2, 3])).item() == a[1, 2, 3]


def test_bfloat16():
    x = tg.asarray([1.0, 2.5, 3.14159], dtype="bfloat16")
    assert x.tolist() == [1.0, 2.5, 3.140625]
    ml_dtypes = pytest.importorskip("ml_dtypes")
    assert x.numpy().dtype == ml_dtypes.bfloat16
    back = tg.asarray(x.numpy())
    assert back.dtype == tg.bfloat16
    assert back.tolist() == x.tolist()
    assert tg.zeros(1, ml_dtypes.bfloat16).dtype == tg.bfloat16


def test_default_dtypes():
    assert tg.asarray(1.5).dtype == tg.float32
    assert tg.asarray(1).dtype == tg.int64
    assert tg.asarray(True).dtype == tg.bool
    assert tg.asarray([1, 2.5]).dtype == tg.float32
    assert tg.asarray([True, 2]).dtype == tg.int64
    assert tg.asarray([]).dtype == tg.float32
    assert tg.asarray(np.ones(2)).dtype == tg.float64
    assert tg.asarray(np.float64(1)).dtype == tg.float64
    assert tg.asarray([1, 2], dtype="float16").dtype == tg.float16
    assert tg.asarray([1.7, -1.7], dtype=int).tolist() == [1, -1]


def test_strides_of_every_kind():
    a = np.arange(120).reshape(2, 3, 4, 5)
    for view in (a[:, ::-1], a.T, a[..., ::2], a[1:, :0], np.broadcast_to(a[0], (7, 3, 4, 5)),
                 np.asfortranarray(a), a[:, :, 1]):  # fmt: skip
        np.testing.assert_array_equal(tg.asarray(view).numpy(), view)
        np.testing.assert_array_equal(tg.asarray(view, copy=False).numpy(), view)


def test_other_byte_orders_and_unaligned_memory():
    a = np.arange(5, dtype=">f4")
    assert tg.asarray(a).tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    with pytest.raises(ValueError, match="byte order"):
        tg.asarray(a, copy=False)
    raw = np.zeros(17, np.uint8)
    odd = raw[1:].view(np.float32)
    odd[:] = [1, 2, 3, 4]
    assert tg.asarray(odd).tolist() == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="aligned"):
        tg.asarray(odd, copy=False)


def test_nested_lists():
    assert tg.asarray([[1, 2], [3, 4]]).shape == (2, 2)
    assert tg.asarray([[], []]).shape == (2, 0)
    assert tg.asarray(([1.0],)).tolist() == [[1.0]]
    assert tg.asarray([np.float64(1), 2]).dtype == tg.float64
    assert tg.asarray([np.ones(2), np.zeros(2)]).shape == (2, 2)
    x = tg.asarray([1.0, 2.0], requires_grad=True)
    tg.asarray([x[0] * 2, x[1], 3]).sum().backward()
    assert x.grad.tolist() == [2.0, 1.0]


RAGGED = [[[1, 2], [3]], [[1], 2], [1, [2]], [[], [1]], [[], 1], [[[1]], [2]]]


@pytest.mark.parametrize("bad", RAGGED, ids=str)
def test_ragged_lists(bad):
    with pytest.raises(ValueError, match="ragged"):
        tg.asarray(bad)


def test_what_is_no_array():
    for bad in ("text", None, object(), ["a"], [1, "a"], {"a": 1}, b"bytes", np.array(["a"]),
                np.array(["2026-11-30"], "M8[D]"), [None], tg):  # fmt: skip
        with pytest.raises((TypeError, ValueError)):
            tg.asarray(bad)
    nested: list = []
    nested.append(nested)
    with pytest.raises(ValueError, match="deep"):
        tg.asarray(nested)
    for value, dtype in ((300, "uint8"), ([1, -1], "uint16"), (2**70, None), ([2**64], "uint64")):
        with pytest.raises(ValueError, match="fit"):
            tg.asarray(value, dtype=dtype)
    with pytest.raises(tg.DeviceError, match="cpu"):
        tg.asarray(1, device="gpu")
    with pytest.raises(TypeError, match="copy"):
        tg.asarray(1, copy=3)


def test_buffers_of_the_standard_library():
    assert tg.asarray(array.array("d", [1, 2])).dtype == tg.float64
    assert tg.asarray(memoryview(bytearray(4))).tolist() == [0] * 4


def test_asarray_of_a_tensor():
    x = tg.ones(3)
    assert tg.asarray(x) is x
    assert tg.asarray(x, copy=True) is not x
    assert tg.asarray(x, dtype="float64").dtype == tg.float64
    assert tg.asarray(x, requires_grad=True).requires_grad
    assert not x.requires_grad


# ---- rule 4: ownership --------------------------------------------------------------------------
def test_asarray_copies_and_copy_false_borrows():
    a = np.zeros(3, np.float32)
    copied, borrowed = tg.asarray(a), tg.asarray(a, copy=False)
    a[0] = 5
    assert copied.tolist() == [0.0] * 3
    assert borrowed.tolist() == [5.0, 0.0, 0.0]
    assert np.shares_memory(borrowed.numpy(), a)
    for impossible in ([1, 2], 3):
        with pytest.raises(ValueError, match="copy=False"):
            tg.asarray(impossible, copy=False)
    with pytest.raises(ValueError, match="dtype"):
        tg.asarray(a, dtype="float64", copy=False)


def test_borrowed_memory_is_kept_alive_and_not_written():
    a = np.zeros(1000, np.float32)
    x = tg.asarray(a, copy=False)
    x += 1
    tg.eval(x)
    assert a[0] == 0
    y = tg.asarray(np.ones(1000, np.float32), copy=False)
    gc.collect()
    junk = [np.zeros(1000, np.float32) for _ in range(50)]
    assert y.numpy().sum() == 1000
    del junk


def test_numpy_is_a_read_only_view_that_stays():
    x = tg.ones(1000) * 2
    view = x.numpy()
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    x += 1
    tg.eval(x)
    assert view.sum() == 2000
    del x
    gc.collect()
    others = [tg.ones(1000) * k for k in range(20)]
    tg.eval(others)
    assert view.sum() == 2000
    assert tg.zeros((0, 3)).numpy().shape == (0, 3)
    assert not tg.zeros((0, 3)).numpy().flags.writeable


def test_array_protocol():
    x = tg.asarray([[1.0, 2.0]])
    copy = np.array(x)
    copy[0, 0] = 9
    assert x.tolist() == [[1.0, 2.0]]
    assert np.asarray(x).flags.writeable is False
    assert np.asarray(x, dtype=np.int32).dtype == np.int32
    assert np.stack([x, x]).shape == (2, 1, 2)
    np.testing.assert_allclose(np.ones(2) @ x.mT.numpy(), [3.0])


def test_views_export_without_a_copy():
    x = tg.asarray(np.arange(12.0).reshape(3, 4))
    tg.eval(x)
    base = x.numpy()
    for view in (x[1:], x.T, tg.flip(x, 0), x[:, ::2]):
        assert np.shares_memory(view.numpy(), base)
    assert tg.broadcast_to(x[0], (5, 4)).numpy().strides[0] == 0


# ---- mixed operators ----------------------------------------------------------------------------
def test_arrays_leave_operators_to_the_tensor():
    a, x = np.ones(3, np.float32), tg.ones(3)
    for result in (a * x, x * a, a - x, np.float32(2) / x, a @ x, a < x, a == x, np.int8(3) ** x):
        assert isinstance(result, tg.Tensor)
    b = np.ones(3)
    with pytest.raises(TypeError):
        np.add(b, x)
    assert isinstance(np.float64(2) * x, tg.Tensor)


# ---- DLPack -------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", DTYPES)
def test_dlpack_with_numpy(dtype):
    a = np.arange(6).reshape(2, 3).astype(dtype)
    x = tg.from_dlpack(a)
    assert x.dtype == dtype
    np.testing.assert_array_equal(x.numpy(), a)
    assert np.shares_memory(x.numpy(), a)
    back = np.from_dlpack(x)
    np.testing.assert_array_equal(back, a)
    assert not back.flags.writeable
    view = tg.from_dlpack(a[:, ::-1])
    np.testing.assert_array_equal(view.numpy(), a[:, ::-1])
    assert not np.shares_memory(tg.from_dlpack(a, copy=True).numpy(), a)


def test_dlpack_exports_are_not_donated():
    x = tg.ones(1000) * 2
    lent = np.from_dlpack(x)
    x += 5
    tg.eval(x)
    assert lent.sum() == 2000
    del x
    gc.collect()
    tg.eval([tg.ones(1000) * k for k in range(20)])
    assert lent.sum() == 2000


def test_dlpack_protocol():
    x = tg.ones(3)
    assert x.__dlpack_device__() == (1, 0)
    assert "dltensor_versioned" in repr(x.__dlpack__(max_version=(1, 0)))
    assert '"dltensor"' in repr(x.__dlpack__())
    tg.eval(x)
    fresh = tg.from_dlpack(_Exporter(x, copy=True))
    assert not np.shares_memory(fresh.numpy(), x.numpy())
    with pytest.raises(ValueError, match="stream"):
        x.__dlpack__(stream=1)
    with pytest.raises(tg.DeviceError):
        x.__dlpack__(dl_device=(2, 0))
    with pytest.raises(TypeError, match="__dlpack__"):
        tg.from_dlpack([1, 2])
    assert tg.from_dlpack(np.array([1j])).dtype == tg.complex128
    assert tg.from_dlpack(x) is not None


class _Exporter:
    """An exporter of the time before version 1.0."""

    def __init__(self, x, **kwargs):
        self.x, self.kwargs = x, kwargs

    def __dlpack_device__(self):
        return self.x.__dlpack_device__()

    def __dlpack__(self, stream=None):
        return self.x.__dlpack__(**self.kwargs)


def test_dlpack_before_version_1():
    assert tg.from_dlpack(_Exporter(tg.asarray([1, 2]))).tolist() == [1, 2]
    assert tg.asarray(_Exporter(tg.asarray([1, 2]))).tolist() == [1, 2]


def test_a_used_capsule_is_refused():
    class Twice:
        capsule = tg.ones(2).__dlpack__()

        def __dlpack__(self, **kwargs):
            return self.capsule

    tg.from_dlpack(Twice())
    with pytest.raises(ValueError, match="PyCapsule"):
        tg.from_dlpack(Twice())


def test_torch_both_ways():
    torch = pytest.importorskip("torch")
    t = torch.arange(6.0).reshape(2, 3)
    x = tg.from_dlpack(t)
    assert x.tolist() == t.tolist()
    assert tg.asarray(t).tolist() == t.tolist()
    assert torch.from_dlpack(tg.ones(3)).tolist() == [1.0] * 3


# ---- the null device ----------------------------------------------------------------------------
def test_null_device():
    x = tg.asarray([1.0, 2.0], device="null")
    assert x.device == "null"
    y = (x * 2).sum()
    tg.eval(y)
    for read in (y.item, y.numpy, y.tolist, y.__dlpack_device__):
        with pytest.raises(tg.DeviceError, match="null"):
            read()
    assert "device='null'" in repr(x)
    with pytest.raises(tg.DeviceError, match="different devices"):
        x + tg.ones(2)
    assert tg.ones(2).to("null").device == "null"
    assert tg.ones(2).to("null", "float64").dtype == tg.float64
    assert tg.ones(2).to(tg.float16).dtype == tg.ones(2).to("float16").dtype == tg.float16
