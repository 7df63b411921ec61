"""torch.save and torch.load; hostile archives of PyTorch's format are refused with the reason."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tegula.compat.torch as torch


class Call:
    """Pickles as a call of a global by name."""

    def __init__(self, module: str, name: str, *arguments: Any) -> None:
        self.parts = module, name, arguments


class Name(Call):
    """Pickles as a global."""


class Stored:
    """Pickles as a persistent id."""

    def __init__(self, kind: str, key: str, count: Any) -> None:
        self.id = ("storage", Name("torch", kind), key, "cpu", count)


class Writer(pickle._Pickler):  # type: ignore[name-defined]
    """Python's own pickler, that writes what ``torch.save`` would."""

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Stored):
            self.save(obj.id, False)
            self.write(pickle.BINPERSID)
        elif isinstance(obj, Call):
            module, name, arguments = obj.parts
            self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
            if type(obj) is Call:
                self.save(arguments)
                self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)


def dumps(value: Any) -> bytes:
    file = io.BytesIO()
    Writer(file, 2).dump(value)
    return file.getvalue()


def tensor(count: Any = 6, offset: Any = 0, size: Any = (2, 3), stride: Any = (3, 1)) -> Call:
    stored = Stored("FloatStorage", "0", count)
    rest = (False, OrderedDict())
    return Call("torch._utils", "_rebuild_tensor_v2", stored, offset, size, stride, *rest)


def archive(path: Path, code: bytes, records: dict[str, bytes] | None = None) -> Path:
    if records is None:
        records = {"data/0": np.arange(6, dtype="<f4").tobytes()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr("archive/data.pkl", code)
        file.writestr("archive/byteorder", "little")
        for name, data in records.items():
            file.writestr(f"archive/{name}", data)
        file.writestr("archive/version", "3\n")
    return path


def test_an_archive_of_tensors_and_containers_is_read(tmp_path: Path) -> None:
    value = {
        "w": tensor(),
        "t": tensor(size=(3, 2), stride=(1, 3)),
        "part": tensor(offset=1, size=(2,), stride=(2,)),
        "p": Call("torch._utils", "_rebuild_parameter", tensor(), True, OrderedDict()),
        "plain": [1, 2.5, "text", None, True, (1, 2), {"a": -(2**40)}],
        "dtype": Name("torch", "float32"),
    }
    found = torch.load(archive(tmp_path / "a.pt", dumps(value)))
    assert found["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["t"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert found["part"].tolist() == [1, 3]
    assert isinstance(found["p"], torch.nn.Parameter)
    assert found["plain"] == [1, 2.5, "text", None, True, (1, 2), {"a": -(2**40)}]
    assert found["dtype"] == torch.float32


class Evil:
    """Unpickled by Python it would run a command."""

    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/tegula-was-here",)


PICKLES: list[tuple[str, bytes, str]] = [
    ("a call of the system", pickle.dumps(Evil(), 2), "names (posix|nt).system"),
    ("the same by protocol 4", pickle.dumps(Evil(), 4), "names (posix|nt).system"),
    ("eval", b"cbuiltins\neval\nX\x03\x00\x00\x001+1\x85R.", "names builtins.eval"),
    ("a nested name", b"ctorch\nserialization.os\n.", "names torch.serialization.os"),
    ("an attribute of a function", b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n.", "names"),
    ("an instance", b"(ios\nsystem\n.", "INST|names"),
    ("an object", b"ccollections\nOrderedDict\n)\x81.", "NEWOBJ"),
    ("attributes of a tensor", dumps(tensor())[:-1] + b"}b.", "sets attributes"),
    ("an extension", b"\x82\x01.", "EXT1"),
    ("a huge storage", dumps(tensor(2**60)), "its record has 24"),
    ("a negative storage", dumps(tensor(-1)), "without a name or a size"),
    ("a huge size", dumps(tensor(size=(2**31, 2**31), stride=(0, 0))), "overlap"),
    ("strides beyond", dumps(tensor(stride=(300, 1))), "reaches element 302"),
    ("negative strides", dumps(tensor(stride=(-3, 1))), "stride"),
    ("an offset beyond", dumps(tensor(offset=1)), "reaches element 6"),
    ("a negative offset", dumps(tensor(offset=-1)), "offset"),
    ("a bool for a size", dumps(tensor(size=(True, 3))), "tuple of ints"),
    ("a size of floats", dumps(tensor(size=(2.0, 3))), "tuple of ints"),
    ("too few strides", dumps(tensor(stride=(1,))), "stride"),
    ("a missing record", dumps(Call("torch._utils", "_rebuild_tensor_v2",
        Stored("FloatStorage", "9", 6), 0, (2,), (1,), False)), "no record"),
    ("another dtype", dumps([tensor(), Call("torch._utils", "_rebuild_tensor_v2",
        Stored("IntStorage", "0", 6), 0, (2,), (1,), False)]), "two dtypes"),
    ("a path", dumps(Stored("FloatStorage", "../data.pkl", 1)), "no record"),
    ("many copies", dumps([tensor() for _ in range(200000)]), "16-fold"),
    ("a cut pickle", dumps(tensor())[:-20], "damaged pickle"),
    ("an empty pickle", b"", "damaged pickle"),
    ("no mark", b"t.", "damaged pickle"),
    ("a memo that is not there", b"h\x07.", "damaged pickle"),
    ("a huge memo", b"]r\xff\xff\xff\xff.", ""),
    ("a huge string", b"X\xff\xff\xff\x7fabc.", "damaged pickle"),
    ("a huge number", b"\x8b\xff\xff\xff\x7f.", "damaged pickle"),
    ("deep lists", b"]" * 100000 + b"a" * 99999 + b".", ""),
    ("a list as a key", b"}](K\x01e}s.", "damaged pickle|a key is"),
    ("a class", b"ctorch\nSize\n.", "without a value"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "code", "words"), PICKLES, ids=[p[0] for p in PICKLES])
def test_a_hostile_pickle_is_refused(name: str, code: bytes, words: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "a.pt", code)
    if not words:  # strange and harmless
        torch.load(path)
        return
    with pytest.raises(ValueError, match=f"refused: .*({words})"):
        torch.load(path)
    assert not Path("/tmp/tegula-was-here").exists()


def test_hostile_zips_are_refused(tmp_path: Path) -> None:
    good = archive(tmp_path / "good.pt", dumps(tensor())).read_bytes()

    def refused(data: bytes, words: str) -> None:
        path = tmp_path / "bad.pt"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=words):
            torch.load(path)

    refused(good[: len(good) // 2], "refused: damaged archive")
    refused(b"PK\x03\x04", "refused")
    refused(b"\x80\x02}q\x00.", "old format")
    # Two entries of the directory at one place.
    directory = good.index(b"PK\x01\x02")
    entry = good.index(b"archive/data/0", directory) - 46
    offset = good.index(b"archive/byteorder", directory) - 46 + 42
    both = bytearray(good)
    both[entry + 42 : entry + 46] = good[offset : offset + 4]
    refused(bytes(both), "overlap|differ")
    # A record larger than the file.
    huge = bytearray(good)
    huge[entry + 20 : entry + 28] = struct.pack("<II", 2**31, 2**31)
    refused(bytes(huge), "beyond the file|overlap")
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", dumps(tensor(2**22, size=(2**22,), stride=(1,))))
        file.writestr("archive/data/0", bytes(2**24))
    with pytest.raises(ValueError, match="compressed"):
        torch.load(tmp_path / "bomb.pt")
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as file:
        file.writestr("m/data.pkl", dumps({}))
        file.writestr("m/code/__torch__.py", "import os")
    with pytest.raises(ValueError, match="holds code"):
        torch.load(tmp_path / "script.pt")
    corrupt = bytearray(good)
    place = good.index(np.arange(6, dtype="<f4").tobytes())
    corrupt[place] ^= 255
    refused(bytes(corrupt), "damaged archive: Bad CRC")


def test_every_cut_and_every_flipped_byte_is_an_error_or_a_value(tmp_path: Path) -> None:
    good = archive(tmp_path / "good.pt", dumps({"w": tensor(), "n": [1, "x"]})).read_bytes()
    path = tmp_path / "bad.pt"
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(good)
        at = int(rng.integers(len(data)))
        data[at] ^= int(rng.integers(1, 256))
        path.write_bytes(
            bytes(data[: int(rng.integers(1, len(data) + 1))] if at % 3 == 0 else data)
        )
        said = str(path)
        try:
            torch.load(path)
        except ValueError as error:
            said = str(error)
        assert str(path) in said


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 3)
    torch.save(model.state_dict(), tmp_path / "m.pt")
    found = torch.load(tmp_path / "m.pt", map_location="cpu", weights_only=True)
    model.load_state_dict(found)
    assert type(found["weight"]) is torch.Tensor
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    checkpoint = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    buffer.seek(0)
    again = torch.load(buffer)
    optimizer.load_state_dict(again["optimizer"])
    assert again["epoch"] == 3
    assert torch.equal(again["model"]["weight"], model.weight)
    with pytest.raises(TypeError, match="cannot store"):
        torch.save(model, tmp_path / "module.pt")


def test_what_torch_saved_is_loaded(tmp_path: Path) -> None:
    real = pytest.importorskip("torch", reason="needs PyTorch to compare with")
    x = real.arange(12.0).reshape(3, 4)
    saved = {
        "t": x.t(),
        "part": x[1:],
        "half": x.bfloat16(),
        "state": real.nn.GRU(2, 3).state_dict(),
    }
    real.save(saved, tmp_path / "a.pt")
    found = torch.load(tmp_path / "a.pt")
    for key in ("t", "part"):
        assert found[key].tolist() == saved[key].tolist()
    assert found["half"].dtype == torch.bfloat16
    assert list(found["state"]) == list(saved["state"])
