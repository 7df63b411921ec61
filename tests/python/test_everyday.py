"""Everyday Python: copying, pickling, printing, threads, forks, interrupts, random state."""

import ast
import copy
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import tegula as tg


class Parameter(tg.Tensor):
    """A subclass with an attribute, at module level so that it can be pickled."""

    def __new__(cls, data):
        return super().__new__(cls, data)


# ---- printing -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: tg.asarray([1.0, 2.5]), "tensor([1. , 2.5])"),
        (lambda: tg.asarray(3), "tensor(3)"),
        (lambda: tg.asarray([[1, 2], [3, 4]]), "tensor([[1, 2],\n        [3, 4]])"),
        (lambda: tg.asarray([True]), "tensor([ True])"),
        (lambda: tg.asarray([1], dtype="int8"), "tensor([1], dtype=int8)"),
        (lambda: tg.asarray([1.5], dtype="bfloat16"), "tensor([1.5], dtype=bfloat16)"),
        (lambda: tg.zeros((0, 3)), "tensor([], shape=(0, 3), dtype=float32)"),
        (lambda: tg.zeros(0), "tensor([], dtype=float32)"),
        (lambda: tg.asarray([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
    ],
)
def test_repr(make, text):
    assert repr(make()) == text


def test_long_tensors_are_summarised():
    text = repr(tg.arange(100000))
    assert "..." in text
    assert len(text) < 200


def test_format():
    x = tg.asarray(2.34567)
    assert f"{x:.2f}" == "2.35"
    assert f"{tg.asarray(7):04d}" == "0007"
    assert f"{x}" == repr(x)
    with pytest.raises(TypeError, match="0-d"):
        f"{tg.ones(2):.2f}"


# ---- copying and pickling -----------------------------------------------------------------------
def test_copies_are_independent():
    x = tg.asarray([1.0, 2.0], requires_grad=True)
    (x * 3).sum().backward()
    for twin in (copy.deepcopy(x), copy.deepcopy({"x": x})["x"], copy.copy(x)):
        assert twin.tolist() == x.tolist()
        assert twin.requires_grad
        assert twin.is_leaf
        with tg.no_grad():
            twin += 1
        assert x.tolist() == [1.0, 2.0]
    assert copy.deepcopy(x).grad.tolist() == [3.0, 3.0]
    both = copy.deepcopy([x, x])
    assert both[0] is both[1]
    with pytest.raises(RuntimeError, match="detach"):
        copy.deepcopy(x * 2)
    p = Parameter([1.0])
    p.note = ["a"]
    q = copy.deepcopy(p)
    assert type(q) is Parameter
    assert q.note == ["a"]
    assert q.note is not p.note


@pytest.mark.parametrize("dtype", ["float32", "int8", "bool", "bfloat16", "float16", "uint64"])
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_pickle(dtype, protocol):
    x = tg.asarray([[0, 1, 2]], dtype=dtype)
    y = pickle.loads(pickle.dumps(x, protocol))
    assert y.dtype == x.dtype
    assert y.tolist() == x.tolist()


def test_pickle_keeps_what_belongs_to_a_tensor():
    x = tg.asarray([1.0], requires_grad=True)
    assert pickle.loads(pickle.dumps(x)).requires_grad
    p = Parameter([1.0, 2.0])
    p.note = 3
    q = pickle.loads(pickle.dumps(p))
    assert type(q) is Parameter
    assert q.note == 3
    assert q.tolist() == [1.0, 2.0]
    for thing in (tg.float32, tg.bool, tg.exp, tg.Tensor, tg.DeviceError):
        assert pickle.loads(pickle.dumps(thing)) is thing
        assert copy.deepcopy(thing) is thing


# ---- random -------------------------------------------------------------------------------------
def test_seeds_and_states():
    tg.manual_seed(3)
    a = tg.random.normal((4,)).tolist()
    state = tg.random.get_state()
    b = tg.random.uniform((4,), -1, 1).tolist()
    tg.random.set_state(state)
    assert tg.random.uniform((4,), -1, 1).tolist() == b
    tg.manual_seed(3)
    assert tg.random.normal((4,)).tolist() == a
    assert all(-1 <= value < 1 for value in b)


def test_generators_are_apart_from_the_default():
    tg.manual_seed(3)
    want = [tg.random.uniform((3,)).tolist(), tg.random.normal((2,)).tolist()]
    generator = tg.random.Generator(3)
    tg.manual_seed(0)
    before = tg.random.get_state()
    assert generator.uniform((3,)).tolist() == want[0]
    state = generator.get_state()
    assert generator.normal((2,)).tolist() == want[1]
    generator.set_state(state)
    assert generator.normal((2,)).tolist() == want[1]
    assert generator.manual_seed(3).uniform((3,)).tolist() == want[0]
    assert tg.random.get_state() == before
    assert generator.randint(0, 10, (5,)).dtype == tg.int64
    assert generator.bernoulli(0.5, (5,)).dtype == tg.bool


def test_permutations():
    assert sorted(tg.random.permutation(20).tolist()) == list(range(20))
    x = tg.asarray(np.arange(10).reshape(5, 2))
    rows = tg.random.permutation(x).tolist()
    assert sorted(rows) == x.tolist()
    assert tg.random.Generator(1).permutation(5).shape == (5,)


# ---- threads, forks, interrupts -----------------------------------------------------------------
def test_threads_record_and_read_at_once():
    failures = []

    def work(seed):
        try:
            rng = np.random.default_rng(seed)
            for _ in range(30):
                a = rng.standard_normal((17, 19)).astype(np.float32)
                x = tg.asarray(a)
                y = (tg.tanh(x) * 2 + x.sum(axis=1, keepdims=True)).numpy()
                np.testing.assert_allclose(
                    y, np.tanh(a) * 2 + a.sum(1, keepdims=True), rtol=1e-4, atol=1e-5
                )
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_grad_mode_belongs_to_its_thread():
    seen = []
    with tg.no_grad():
        thread = threading.Thread(target=lambda: seen.append(tg.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def run(code: str, **kwargs) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, **kwargs
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_after_fork_the_child_is_told():
    code = """
import os, sys, numpy, tegula as tg
x = tg.ones(5) + 1
x.numpy()
child = os.fork()
if child == 0:
    assert numpy.ones(3).sum() == 3
    try:
        (x * 2).numpy()
    except RuntimeError as error:
        assert "fork" in str(error), error
        os._exit(7)
    os._exit(1)
_, status = os.waitpid(child, 0)
assert os.WEXITSTATUS(status) == 7, status
print((x * 2).sum().item())
"""
    result = run(code)
    assert result.stdout.strip() == "20.0", result.stderr


def _square(values):
    return tg.asarray(values).square()


def test_spawned_processes_exchange_tensors():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(_square, [[1.0, 2.0]])[0].tolist() == [1.0, 4.0]


LONG = """
import signal, sys, time, tegula as tg
{handler}
x = tg.random.normal((1000, 1000))
tg.eval(x)
print("ready", flush=True)
try:
    while True:
        y = x
        for _ in range(20):
            y = tg.tanh(y @ x)
        y.numpy()
except {caught} as error:
    start = time.perf_counter()
    value = (x[0] * 0 + 1).sum().item()
    print(type(error).__name__, value, flush=True)
"""


@pytest.mark.parametrize(
    ("handler", "caught"),
    [
        ("", "KeyboardInterrupt"),
        ("class Own(Exception): pass\n"
         "def handle(*_): raise Own\n"
         "signal.signal(signal.SIGINT, handle)", "Own"),
    ],
)  # fmt: skip
def test_ctrl_c_stops_the_work_and_leaves_a_usable_process(handler, caught):
    code = LONG.format(handler=handler, caught=caught)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline().strip() == "ready"
    time.sleep(0.3)
    start = time.perf_counter()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert out.split() == [caught, "1000.0"], err
    assert time.perf_counter() - start < 10


def test_the_interpreter_ends_cleanly_with_work_pending():
    code = """
import numpy as np, tegula as tg
a = np.ones((500, 500), np.float32)
x = tg.asarray(a, copy=False)
for _ in range(20):
    x = x @ x * 0.001
tg.submit()
"""
    result = run(code)
    assert (result.returncode, result.stderr) == (0, "")


# ---- runtime ------------------------------------------------------------------------------------
def test_errors_name_the_users_line():
    x = tg.ones(3)
    bad = tg.take(x, tg.asarray([7]), 0)  # the line
    with pytest.raises(IndexError, match=r"test_everyday\.py:\d+ in test_errors_name"):
        bad.numpy()
    with pytest.raises(IndexError):
        tg.synchronize()


def test_errors_within_the_framework_name_the_caller():
    from tegula import nn

    embedding = nn.Embedding(3, 2)
    with pytest.raises(IndexError, match=r"test_everyday\.py"):
        embedding(tg.asarray([7])).numpy()
    with pytest.raises(IndexError):
        tg.synchronize()


def test_devices_and_settings():
    assert tg.devices()[:2] == ["cpu", "null"]
    assert tg.get_default_device() == "cpu"
    tg.set_default_device("null")
    try:
        assert tg.ones(2).device == "null"
        assert (tg.ones(2) + 1).device == "null"
    finally:
        tg.set_default_device("cpu")
    with pytest.raises(tg.DeviceError, match="gpu"):
        tg.set_default_device("gpu")
    threads = tg.get_num_threads()
    tg.set_num_threads(2)
    assert tg.get_num_threads() == 2
    tg.set_num_threads(threads)
    for bad, error in ((0, ValueError), ("two", TypeError), (10**6, ValueError)):
        with pytest.raises(error):
            tg.set_num_threads(bad)
    assert tg.isa()["used"] in tg.isa()["supported"]


def test_memory_figures_and_limit():
    tg.synchronize()
    before = tg.memory_stats()["live_bytes"]
    x = tg.ones((1000, 1000)) + 0
    tg.eval(x)
    assert tg.memory_stats()["live_bytes"] - before >= 4_000_000
    del x
    assert tg.memory_stats()["live_bytes"] - before < 1_000_000
    tg.reset_peak_memory()
    assert tg.memory_stats()["peak_bytes"] < before + 1_000_000
    tg.set_memory_limit(tg.memory_stats()["live_bytes"] + 10_000_000)
    try:
        with pytest.raises(tg.OutOfMemoryError) as caught:
            (tg.ones((4000, 4000)) + 0).numpy()
        assert isinstance(caught.value, MemoryError)
    finally:
        tg.set_memory_limit(2 << 30)
        with pytest.raises(tg.OutOfMemoryError):
            tg.synchronize()
    assert (tg.ones(3) + 1).tolist() == [2.0] * 3


def test_plans_can_be_looked_at():
    x = tg.asarray([1.0, 2.0])
    y = tg.exp(x) + 1
    text = tg.explain(y)
    assert "tile" in text
    assert tg.explain(y, programs=True) != text
    tg.eval({"y": [y, (x, None)]})
    with pytest.raises(TypeError, match="Tensors"):
        tg.eval("text")
    before = tg.plan_cache_stats()["hits"]
    (tg.exp(x) + 1).numpy()
    assert tg.plan_cache_stats()["hits"] == before + 1


@pytest.mark.skipif("TEGULA_SANITIZED" in os.environ, reason="the stub is not built")
def test_the_stub_names_what_there_is():
    core = tg._core
    tree = ast.parse((Path(tg.__file__).parent / "_core.pyi").read_text())

    def names(body):
        found = set()
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                found.add(node.name)
            elif isinstance(node, ast.AnnAssign):
                found.add(node.target.id)
        return found

    stubbed = names(tree.body)
    public = {name for name in vars(core) if not name.startswith("__")}
    assert public <= stubbed
    (tensor,) = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Tensor"]
    members = {name for name in vars(tg.Tensor) if not name.startswith("__")}
    assert members == {name for name in names(tensor.body) if not name.startswith("__")}


def test_the_package_offers_what_it_names():
    for name in tg.__all__:
        assert hasattr(tg, name), name
    with pytest.raises(AttributeError, match="nonsense"):
        _ = tg.nonsense
    assert "nn" in dir(tg)


def test_a_daemon_thread_that_waits_does_not_abort_the_process_at_its_end():
    code = """
import threading, time, numpy, tegula as tg
def work():
    a = tg.ones((700, 700))
    while True:
        (a @ a).numpy()
threading.Thread(target=work, daemon=True).start()
time.sleep(0.1)
"""
    result = run(code)
    assert result.returncode == 0, result.stderr
