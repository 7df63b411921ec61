"""Data sets, the loader and its thread, IDX files, Fashion-MNIST."""

import gc
import gzip
import hashlib
import os
import signal
import struct
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import tegula as tg
from tegula.data import (
    DataLoader,
    Dataset,
    Subset,
    TensorDataset,
    fashion_mnist,
    load_idx,
    random_split,
)


def numbers(count=10):
    return TensorDataset(np.arange(count, dtype=np.float32), np.arange(count) * 10)


def batches(loader):
    return [x.numpy().astype(int).tolist() for x, _ in loader]


class Squares(Dataset):
    """Items made one by one."""

    def __init__(self, count=7, bad=None):
        self.count, self.bad = count, bad

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index == self.bad:
            raise ValueError(f"item {index} is bad")
        return {"x": np.full((2,), index * index), "name": str(index), "half": index / 2}


# ---- data sets -------------------------------------------------------------------------------


def test_tensor_dataset():
    data = TensorDataset(tg.asarray([[1.0, 2.0], [3.0, 4.0]]), np.array([5, 6]))
    assert len(data) == 2
    x, y = data[1]
    assert isinstance(x, tg.Tensor)
    assert x.tolist() == [3, 4]
    assert y.item() == 6
    assert [t.shape for t in data.tensors] == [(2, 2), (2,)]
    with pytest.raises(ValueError, match="read-only"):
        data.arrays[1][0] = 1
    with pytest.raises(ValueError, match=r"lengths differ: \[2, 3\]"):
        TensorDataset(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="at least one"):
        TensorDataset()
    with pytest.raises(ValueError, match="0-d"):
        TensorDataset(np.array(1.0))
    with pytest.raises(TypeError, match="not list"):
        TensorDataset([1, 2])
    with pytest.raises(IndexError):
        data[2]


def test_subset_and_random_split():
    data = numbers(10)
    part = Subset(data, [7, 2, 2])
    assert len(part) == 3
    assert part[0][0].item() == 7
    assert batches(DataLoader(part, 2)) == [[7, 2], [2]]
    inner = Subset(part, [2, 0])
    assert batches(DataLoader(inner, 2)) == [[2, 7]]
    with pytest.raises(IndexError, match="index 10 is out of range for 10 items"):
        Subset(data, [0, 10])
    parts = random_split(data, [7, 3], seed=1)
    assert [len(p) for p in parts] == [7, 3]
    assert sorted(i for p in parts for i in p.indices) == list(range(10))
    same = random_split(data, [0.7, 0.3], seed=1)
    assert [p.indices.tolist() for p in same] == [p.indices.tolist() for p in parts]
    assert [len(p) for p in random_split(data, [1 / 3, 1 / 3, 1 / 3])] == [4, 3, 3]
    with pytest.raises(ValueError, match="must add up to the 10 items"):
        random_split(data, [5, 4])
    with pytest.raises(ValueError, match="fractions must add up"):
        random_split(data, [0.5, 0.4])
    assert len(Subset(Squares(), [1])) == 1
    assert next(iter(DataLoader(Subset(Squares(), [3]))))["x"].tolist() == [[9, 9]]


# ---- loader ----------------------------------------------------------------------------------


@pytest.mark.parametrize("prefetch", [0, 1, 2, 8])
def test_loader_in_order(prefetch):
    loader = DataLoader(numbers(10), batch_size=4, prefetch=prefetch)
    assert len(loader) == 3
    assert batches(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    x, y = next(iter(loader))
    assert x.dtype == tg.float32
    assert y.dtype == tg.int64
    loader = DataLoader(numbers(10), batch_size=4, drop_last=True, prefetch=prefetch)
    assert len(loader) == len(list(loader)) == 2
    assert list(DataLoader(numbers(0), prefetch=prefetch)) == []


def test_shuffling_depends_on_seed_and_epoch_alone():
    def epochs(seed, prefetch):
        loader = DataLoader(numbers(20), 3, shuffle=True, seed=seed, prefetch=prefetch)
        return [batches(loader) for _ in range(3)]

    first = epochs(5, 2)
    assert first == epochs(5, 0)
    assert first != epochs(6, 2)
    assert first[0] != first[1]
    for epoch in first:
        assert sorted(i for batch in epoch for i in batch) == list(range(20))


def test_the_seed_comes_from_manual_seed():
    tg.manual_seed(11)
    one = DataLoader(numbers(), shuffle=True)
    two = DataLoader(numbers(), shuffle=True)
    tg.manual_seed(11)
    assert DataLoader(numbers(), shuffle=True).seed == one.seed
    assert one.seed != two.seed


def test_collating():
    loader = DataLoader(Squares(5), batch_size=2)
    batch = next(iter(loader))
    assert batch["x"].tolist() == [[0, 0], [1, 1]]
    assert batch["x"].dtype == tg.int64
    assert batch["half"].dtype == tg.float32
    assert batch["name"] == ["0", "1"]
    loader = DataLoader(Squares(5), batch_size=2, collate_fn=lambda items: len(items))
    assert list(loader) == [2, 2, 1]
    tensors = [(tg.asarray([float(i)]), [i, True]) for i in range(4)]
    x, (n, flag) = next(iter(DataLoader(tensors, batch_size=4)))
    assert x.tolist() == [[0], [1], [2], [3]]
    assert n.tolist() == [0, 1, 2, 3]
    assert flag.dtype == tg.bool
    with pytest.raises(ValueError, match=r"different shapes: \[\(1,\), \(2,\)\]"):
        list(DataLoader([np.zeros(1), np.zeros(2)], batch_size=2))
    with pytest.raises(TypeError, match="cannot join samples of type object"):
        list(DataLoader([object()]))


def test_batches_do_not_alias_the_data():
    data = np.arange(4.0)
    kept = list(DataLoader(TensorDataset(data), batch_size=4))
    data[:] = 7
    assert kept[0][0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("taken", [0, 1, 3, 4, 6])
def test_resuming_in_the_middle_of_an_epoch(prefetch, taken):
    def endless(loader):
        while True:
            yield from loader

    def take(source, count):
        return [next(source)[0].numpy().tolist() for _ in range(count)]

    def make(seed):
        return DataLoader(numbers(10), 3, shuffle=True, seed=seed, prefetch=prefetch)

    straight = take(endless(make(3)), 12)
    loader = make(3)
    begun = take(endless(loader), taken)
    state = loader.state_dict()
    assert state == {"epoch": taken // 4, "position": taken % 4, "seed": 3}
    assert loader.epoch == taken // 4
    other = make(99)
    other.load_state_dict(state)
    assert begun + take(endless(other), 12 - taken) == straight


def test_leaving_an_epoch_begins_the_next():
    loader = DataLoader(numbers(10), 3, shuffle=True, seed=3)
    fresh = DataLoader(numbers(10), 3, shuffle=True, seed=3)
    orders = [batches(fresh) for _ in range(2)]
    for _ in loader:
        break
    assert batches(loader) == orders[1]


def test_bad_state():
    loader = DataLoader(numbers(10), 3)
    with pytest.raises(ValueError, match="missing 'seed'"):
        loader.load_state_dict({"epoch": 0, "position": 0})
    with pytest.raises(ValueError, match="position 5 is outside an epoch of 4 batches"):
        loader.load_state_dict({"epoch": 0, "position": 5, "seed": 0})


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_error_arrives_at_its_batch(prefetch):
    source = iter(DataLoader(Squares(6, bad=3), batch_size=2, prefetch=prefetch))
    assert next(source)["x"].tolist() == [[0, 0], [1, 1]]
    with pytest.raises(ValueError, match="item 3 is bad"):
        next(source)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_closed_loader(prefetch):
    loader = DataLoader(numbers(), prefetch=prefetch)
    source = iter(loader)
    next(source)
    loader.close()
    loader.close()
    with pytest.raises(RuntimeError, match="DataLoader: it is closed"):
        next(source)
    with pytest.raises(RuntimeError, match="it is closed"):
        iter(loader)
    with DataLoader(numbers(), prefetch=prefetch) as loader:
        next(iter(loader))
    with pytest.raises(RuntimeError, match="it is closed"):
        list(loader)


def test_closing_wakes_a_waiting_reader():
    class Slow(Squares):
        def __getitem__(self, index):
            time.sleep(0.2)
            return super().__getitem__(index)

    loader = DataLoader(Slow())
    source = iter(loader)
    threading.Timer(0.05, loader.close).start()
    with pytest.raises(RuntimeError, match="it is closed"):
        next(source)


def loader_threads():
    return sum(t.name == "tegula-loader" for t in threading.enumerate())


def test_threads_end_with_their_iterators():
    before = loader_threads()
    loader = DataLoader(numbers(100))
    for _ in range(5):
        next(iter(loader))
    source = iter(DataLoader(numbers(100)))
    next(source)
    del loader, source
    gc.collect()
    deadline = time.monotonic() + 5
    while loader_threads() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert loader_threads() <= before


def test_two_iterations_at_once():
    loader = DataLoader(numbers(4), 2)
    pairs = [(a[0].tolist(), b[0].tolist()) for a in loader for b in loader]
    assert len(pairs) == 4


def test_bad_arguments():
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        DataLoader(numbers(), 0)
    with pytest.raises(TypeError, match=r"batch_size must be an int, got 2\.0"):
        DataLoader(numbers(), 2.0)
    with pytest.raises(ValueError, match="prefetch must be at least 0"):
        DataLoader(numbers(), prefetch=-1)
    with pytest.raises(TypeError, match="must have __len__"):
        DataLoader(iter([1]))
    with pytest.raises(TypeError, match="collate_fn must be callable"):
        DataLoader(numbers(), collate_fn=3)
    assert repr(DataLoader(numbers(), 4)).startswith("DataLoader(10 items in 3 batches of 4")


def run_script(text, **settings):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


ENDLESS = """
    import time
    import numpy as np
    from tegula.data import DataLoader, Dataset
    class Slow(Dataset):
        def __len__(self):
            return 1000
        def __getitem__(self, index):
            time.sleep({delay})
            return np.zeros(2)
    loader = DataLoader(Slow())
    source = iter(loader)
"""


def test_interpreter_exit_does_not_hang():
    process = run_script(ENDLESS.format(delay=0.001) + "    next(source)\n    print('end')")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "end\n", "")


def test_ctrl_c_stops_a_waiting_reader():
    process = run_script(
        ENDLESS.format(delay=30) + "    print('ready', flush=True)\n    next(source)"
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert "KeyboardInterrupt" in err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_an_iterator_does_not_survive_fork():
    process = run_script(
        """
        import os, sys
        import numpy as np
        from tegula.data import DataLoader, TensorDataset
        source = iter(DataLoader(TensorDataset(np.arange(100))))
        next(source)
        if os.fork() == 0:
            try:
                for _ in source:
                    pass
            except RuntimeError as error:
                print(error, flush=True)
            os._exit(0)
        os.wait()
        """
    )
    out, _ = process.communicate(timeout=60)
    assert "made before fork()" in out


# ---- IDX files -------------------------------------------------------------------------------


def idx_bytes(array, code=0x08):
    extents = b"".join(struct.pack(">I", n) for n in array.shape)
    big_endian = array.astype(array.dtype.newbyteorder(">")).tobytes()
    return bytes([0, 0, code, array.ndim]) + extents + big_endian


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("dtype", "code"),
    [("u1", 8), ("i1", 9), ("i2", 0xB), ("i4", 0xC), ("f4", 0xD), ("f8", 0xE)],
)
def test_idx_round_trip(tmp_path, rng, packed, dtype, code):
    array = (rng.standard_normal((3, 4, 2)) * 50).astype(dtype)
    raw = idx_bytes(array, code)
    path = tmp_path / "a.idx"
    path.write_bytes(gzip.compress(raw) if packed else raw)
    got = load_idx(path)
    assert got.dtype == array.dtype
    np.testing.assert_array_equal(got, array)
    np.testing.assert_array_equal(load_idx(path, (None, 4, 2)), array)


GOOD = idx_bytes(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "truncated: 0 bytes"),
        (b"\0\0\x08", "truncated: 3 bytes"),
        (b"\x89PNG" + GOOD, "not an IDX file: it begins with 89 50 4e 47"),
        (b"\0\0\x07\x01" + GOOD[4:], "not an IDX file: it begins with 00 00 07 01"),
        (b"\0\0\x08\x00" + GOOD[4:], "not an IDX file"),
        (GOOD[:10], "truncated in the extents: 3 axes need 12 bytes, 6 left"),
        (GOOD[:-1], "truncated: its shape (2, 3, 4) needs 24 bytes"),
        (GOOD + b"x", "too long: bytes follow the 24"),
        (GOOD[:4] + b"\xff" * 12 + GOOD[16:], "truncated: its shape"),
    ],
)
def test_idx_damage_is_named(tmp_path, packed, raw, message):
    path = tmp_path / "images-idx3-ubyte"
    path.write_bytes(gzip.compress(raw) if packed else raw)
    with pytest.raises(ValueError) as caught:
        load_idx(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("cut", range(1, len(gzip.compress(GOOD)), 3))
def test_idx_truncated_gzip(tmp_path, cut):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(GOOD)[:-cut])
    with pytest.raises(ValueError, match=r"a\.gz: "):
        load_idx(path)


def test_idx_damaged_gzip(tmp_path):
    raw = bytearray(gzip.compress(GOOD))
    path = tmp_path / "a.gz"
    for at in range(len(raw)):
        for bit in (1, 128):
            damaged = raw.copy()
            damaged[at] ^= bit
            path.write_bytes(damaged)
            try:
                got = load_idx(path)
            except ValueError as error:
                named = "a.gz" in str(error)
            else:  # the time and the like in gzip's header mean nothing
                named = np.array_equal(got, np.arange(24).reshape(2, 3, 4))
            assert named, at
    path.write_bytes(bytes(raw) + b"more")
    with pytest.raises(ValueError, match="too long"):
        load_idx(path)


def test_idx_wrong_size_and_missing(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(GOOD)
    with pytest.raises(ValueError, match=r"its shape is \(2, 3, 4\), expected \('any', 28, 28\)"):
        load_idx(path, (None, 28, 28))
    with pytest.raises(ValueError, match="wrong size"):
        load_idx(path, (2, 3))
    with pytest.raises(FileNotFoundError):
        load_idx(tmp_path / "none")


# ---- Fashion-MNIST ---------------------------------------------------------------------------

INSTALLED = Path("/usr/share/datasets/fashion-mnist")
needs_data = pytest.mark.skipif(not INSTALLED.is_dir(), reason="needs dataset-fashion-mnist")


@needs_data
def test_fashion_mnist():
    data = fashion_mnist(split="test")
    assert len(data) == 10_000
    images, labels = data.arrays
    assert images.shape == (10_000, 1, 28, 28)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(np.bincount(labels), np.full(10, 1000))
    assert data.classes[labels[0]] == "Ankle boot"
    image, label = data[0]
    assert image.shape == (1, 28, 28)
    assert label.item() == 9


def test_fashion_mnist_folder_is_checked(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no train-images-idx3-ubyte\.gz in"):
        fashion_mnist(tmp_path)
    with pytest.raises(ValueError, match="split must be"):
        fashion_mnist(split="valid")
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(GOOD)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(10_000, np.uint8)))
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte: wrong size: .*10000, 28, 28"):
        fashion_mnist(tmp_path, "test")
    images = np.zeros((10_000, 28, 28), np.uint8)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(images))
    assert len(fashion_mnist(tmp_path, "test")) == 10_000
    labels = np.zeros(10_000, np.uint8)
    labels[17] = 10
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    with pytest.raises(ValueError, match="label 10 of image 17 is not in 0 to 9"):
        fashion_mnist(tmp_path, "test")


@pytest.fixture
def official(tmp_path, monkeypatch):
    """The official address served from a dict, no system package, a cache of its own."""
    import io
    import urllib.error
    import urllib.request

    from tegula.data import fashion

    served = {}

    def urlopen(address, timeout):
        name = address.rsplit("/", 1)[1]
        if name not in served:
            raise urllib.error.URLError("no route")
        return io.BytesIO(served[name])

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(fashion, "_SYSTEM", tmp_path / "none")
    monkeypatch.setenv("TEGULA_CACHE", str(tmp_path / "cache"))
    return served


def test_fashion_mnist_is_fetched_with_a_checksum(official, tmp_path, monkeypatch):
    from tegula.data import fashion

    with pytest.raises(FileNotFoundError, match=r"cannot be reached .*no route.*apt-get install"):
        fashion_mnist(split="test")
    with pytest.raises(FileNotFoundError, match="apt-get install"):
        fashion_mnist(split="test", download=False)
    files = {
        "t10k-images-idx3-ubyte": gzip.compress(idx_bytes(np.zeros((10_000, 28, 28), np.uint8))),
        "t10k-labels-idx1-ubyte": gzip.compress(idx_bytes(np.ones(10_000, np.uint8))),
    }
    official.update({f"{name}.gz": data for name, data in files.items()})
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte\.gz: what arrived .* has MD5"):
        fashion_mnist(split="test")
    cache = tmp_path / "cache" / "fashion-mnist"
    assert not cache.exists()
    sums = {name: hashlib.md5(data).hexdigest() for name, data in files.items()}
    monkeypatch.setattr(fashion, "_MD5", sums)
    assert fashion_mnist(split="test").arrays[1].tolist() == [1] * 10_000
    assert sorted(p.name for p in cache.iterdir()) == sorted(official)
    official.clear()
    assert len(fashion_mnist(split="test")) == 10_000
