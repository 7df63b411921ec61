"""safetensors files and checkpoints: round trips, damage, atomic writes."""

import json
import os
import struct
import sys

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

import tegula as tg
from tegula import nn

DTYPES = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
]


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(2, 3), (), (0, 4)])
def test_round_trip(tmp_path, rng, name, shape):
    array = (rng.standard_normal(shape) * 100).astype(name if name == "bool" else "f8").astype(name)
    path = tmp_path / "a.safetensors"
    tg.save(path, {"x": tg.asarray(array)}, {"note": "größe"})
    got = tg.load(path)
    assert list(got) == ["x"]
    assert got["x"].dtype == getattr(tg, name)
    assert got["x"].shape == shape
    np.testing.assert_array_equal(got["x"].numpy(), array)
    assert tg.io.load_metadata(path) == {"note": "größe"}
    np.testing.assert_array_equal(safetensors.numpy.load_file(path)["x"], array)


@pytest.mark.parametrize("shape", [(4, 5), (), (0, 2)])
def test_bfloat16_round_trip(tmp_path, rng, shape):
    wide = tg.asarray(rng.standard_normal(shape).astype(np.float32))
    narrow = wide.astype(tg.bfloat16)
    path = tmp_path / "a.safetensors"
    tg.save(path, {"x": narrow, "y": wide})
    got = tg.load(path)
    assert got["x"].dtype == tg.bfloat16
    expected = narrow.astype(tg.float32).numpy()
    np.testing.assert_array_equal(got["x"].astype(tg.float32).numpy(), expected)
    np.testing.assert_array_equal(got["y"].numpy(), wide.numpy())
    assert path.stat().st_size % 2 == 0


def test_views_parameters_and_arrays(tmp_path):
    base = np.arange(12, dtype=np.float32).reshape(3, 4)
    tensor = tg.asarray(base)
    path = tmp_path / "a.safetensors"
    tg.save(
        path, {"t": tensor.T, "row": tensor[1, ::2], "np": base[:, ::-1], "p": nn.Parameter(tensor)}
    )
    got = {name: value.numpy() for name, value in tg.load(path).items()}
    np.testing.assert_array_equal(got["t"], base.T)
    np.testing.assert_array_equal(got["row"], base[1, ::2])
    np.testing.assert_array_equal(got["np"], base[:, ::-1])
    np.testing.assert_array_equal(got["p"], base)
    tg.save(path, {})
    assert tg.load(path) == {}


def test_model_round_trip(tmp_path):
    one, two = nn.Linear(3, 2), nn.Linear(3, 2)
    tg.save(tmp_path / "m", one.state_dict())
    two.load_state_dict(tg.load(tmp_path / "m"))
    np.testing.assert_array_equal(one.weight.numpy(), two.weight.numpy())


def test_bad_values(tmp_path):
    path = tmp_path / "a"
    with pytest.raises(TypeError, match="'x' must be a tensor, not list"):
        tg.save(path, {"x": [1]})
    with pytest.raises(TypeError, match="names must be strings"):
        tg.save(path, {1: tg.ones((1,))})
    with pytest.raises(TypeError, match="metadata must map strings to strings"):
        tg.save(path, {}, {"epoch": 3})
    assert list(tmp_path.iterdir()) == []


# ---- damage ----------------------------------------------------------------------------------


def pack(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(start, end, shape=(2,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "it has 0 bytes"),
        (b"123", "it has 3 bytes"),
        (b"not a safetensors file at all", "says that the header has"),
        (pack({}, length=500), "byte 0 says that the header has 500 bytes; the file has 2"),
        (pack(b"{nonsense}"), "the header from byte 8 to 18 is no JSON"),
        (pack({"w": entry(0, 8)}, b"1234"), "'w' lies at bytes 0 to 8"),
        (pack({"w": entry(0, 8)}, b"12345678more"), "4 bytes after byte"),
        (pack({"w": entry(4, 12)}, b"1" * 12), "damaged"),
        (pack({"w": entry(0, 8, (3,))}, b"1" * 8), "damaged"),
        (pack({"w": entry(0, 8, (2**62, 4))}, b"1" * 8), "damaged"),
        (pack({"w": {"dtype": "F32", "shape": [2]}}, b"1" * 8), "'w' has no data_offsets"),
        (pack({"w": entry(0, 8, (8,), "F99")}, b"1" * 8), "damaged"),
        (pack([1]), "no JSON object"),
    ],
)
def test_damage_is_named(tmp_path, raw, message):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(raw)
    for read in (tg.load, tg.io.load_metadata, tg.io.load_checkpoint):
        with pytest.raises(ValueError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert message in str(caught.value)


def test_every_truncation_is_found(tmp_path):
    path = tmp_path / "a.safetensors"
    tg.save(path, {"x": tg.ones((3,)), "h": tg.ones((2,), dtype=tg.bfloat16)}, {"a": "b"})
    raw = path.read_bytes()
    for size in range(len(raw)):
        path.write_bytes(raw[:size])
        with pytest.raises(ValueError, match=r"a\.safetensors: damaged"):
            tg.load(path)


@given(st.binary(max_size=200))
def test_random_bytes_never_crash(tmp_path_factory, raw):
    path = tmp_path_factory.getbasetemp() / "random.safetensors"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"random\.safetensors"):
        tg.load(path)


def test_unknown_dtype_is_named(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(pack({"w": entry(0, 2, (2,), "F8_E4M3")}, b"12"))
    with pytest.raises(ValueError, match="tensor 'w' has the dtype F8_E4M3"):
        tg.load(path)


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        tg.load(tmp_path / "none")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        tg.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        tg.save(tmp_path / "no" / "folder", {})


def test_without_the_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"pip install 'tegula\[io\]'"):
        tg.save(tmp_path / "a", {})


# ---- atomic writes ---------------------------------------------------------------------------


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    tg.save(path, {"x": tg.ones((2,))})
    before = path.read_bytes()

    def fail(handle):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        tg.save(path, {"x": tg.zeros((2,))})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_permissions_are_those_of_an_ordinary_file(tmp_path):
    ordinary = tmp_path / "b"
    ordinary.write_bytes(b"")
    tg.save(tmp_path / "a", {})
    assert (tmp_path / "a").stat().st_mode == ordinary.stat().st_mode


# ---- checkpoints -----------------------------------------------------------------------------


def test_checkpoint_round_trip(tmp_path):
    path = tmp_path / "c.safetensors"
    state = {
        "model": {"fc.weight": tg.asarray([[1.0, 2.0]]), "tensor": tg.asarray(3)},
        "list": [1, 2.5, None, True, "text", [tg.asarray([4])]],
        "empty": {},
        "float": 0.1 + 0.2,
        "big": 2**63 + 1,
        "numpy": np.float32(0.5),
        "array": np.arange(3),
        "dict": {"tensor": "a string", "dict": {}},
    }
    tg.io.save_checkpoint(path, state)
    got = tg.io.load_checkpoint(path)
    assert got["model"]["fc.weight"].tolist() == [[1, 2]]
    assert got["model"]["tensor"].item() == 3
    assert got["list"][:5] == [1, 2.5, None, True, "text"]
    assert got["list"][5][0].tolist() == [4]
    assert got["array"].tolist() == [0, 1, 2]
    for key in ("empty", "float", "big", "dict"):
        assert got[key] == state[key]
    assert got["numpy"] == 0.5


def test_checkpoint_errors(tmp_path):
    path = tmp_path / "c"
    with pytest.raises(TypeError, match=r"cannot store object at 'a\.b\[1\]'"):
        tg.io.save_checkpoint(path, {"a": {"b": [1, object()]}})
    with pytest.raises(TypeError, match="keys must be strings, got 1 in 'a'"):
        tg.io.save_checkpoint(path, {"a": {1: 2}})
    tg.save(path, {"x": tg.ones((1,))})
    with pytest.raises(ValueError, match="no checkpoint"):
        tg.io.load_checkpoint(path)
    for text in ("{", '{"tensor": "y"}', '{"other": 1}', "[" * 100_000):
        tg.save(path, {}, {"tegula.state": text})
        with pytest.raises(ValueError, match="damaged: metadata"):
            tg.io.load_checkpoint(path)
