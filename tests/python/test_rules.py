"""One test for every rule under "What must always hold" in docs/design.md."""

import gc
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import tegula as tg


def cache() -> dict:
    return tg.plan_cache_stats()


# ---- 1. What an evaluation evaluates ----------------------------------------------------------
def test_rule_01_evaluates_every_live_pending_value_in_one_plan():
    x = tg.asarray([1.0, 2.0, 3.0])
    a = x + 1
    b = a * 2
    c = x - 5
    before = cache()["hits"] + cache()["misses"]
    np.testing.assert_array_equal(b.numpy(), [4, 6, 8])
    np.testing.assert_array_equal(a.numpy(), [2, 3, 4])
    np.testing.assert_array_equal(c.numpy(), [-4, -3, -2])
    assert cache()["hits"] + cache()["misses"] == before + 1


def test_rule_01_a_dead_value_is_not_computed():
    x = tg.ones(4)
    tg.eval(x)
    dead = tg.take(x, tg.asarray([99]), 0)  # would fail if it were computed
    del dead
    assert float((x + 1).sum()) == 8


# ---- 2. Plan key --------------------------------------------------------------------------------
def test_rule_02_python_numbers_and_slice_starts_are_not_part_of_the_key():
    x = tg.asarray(np.arange(20, dtype=np.float32))
    tg.eval(x)

    def step(scale: float, start: int):
        return ((x * scale)[start : start + 5] + scale).numpy()

    np.testing.assert_allclose(step(2.0, 1), np.arange(20)[1:6] * 2 + 2)
    misses = cache()["misses"]
    for scale, start in [(3.0, 4), (-1.5, 9), (0.25, 15)]:
        expected = np.arange(20, dtype=np.float32)[start : start + 5] * scale + scale
        np.testing.assert_allclose(step(scale, start), expected)
    assert cache()["misses"] == misses


def test_rule_02_shapes_dtypes_strides_and_live_outputs_are():
    def run(x, keep):
        y = x + 1
        z = y * 3
        if not keep:
            del y
        z.numpy()

    run(tg.asarray(np.ones((3, 4), np.float32)), False)
    for x, keep in [
        (np.ones((4, 3), np.float32), False),
        (np.ones((3, 4), np.float64), False),
        (np.ones((3, 4), np.float32), True),
    ]:
        misses = cache()["misses"]
        run(tg.asarray(x), keep)
        assert cache()["misses"] == misses + 1
    transposed = tg.asarray(np.ones((4, 3), np.float32)).T
    misses = cache()["misses"]
    run(transposed, False)
    assert cache()["misses"] == misses + 1


# ---- 3. Tape and evaluation ----------------------------------------------------------------------
def test_rule_03_backward_works_after_the_forward_values_were_read():
    x = tg.asarray([0.5, -1.0, 2.0]).requires_grad_()
    y = tg.tanh(x * 2)
    loss = (y * y).sum()
    loss.item()
    loss.backward()
    t = np.tanh(2 * np.array([0.5, -1.0, 2.0]))
    np.testing.assert_allclose(x.grad.numpy(), 2 * t * (1 - t * t) * 2, atol=1e-5)


def test_rule_03_kept_losses_leak_nothing():
    w = tg.asarray(np.ones((256, 256), np.float32)).requires_grad_()
    x = tg.asarray(np.ones((64, 256), np.float32))
    losses = []

    def step():
        loss = tg.tanh(x @ w).sum()
        loss.backward()
        losses.append(loss)
        w.grad = None
        tg.eval(loss)

    for _ in range(3):
        step()
    tg.synchronize()
    before = tg.memory_stats()["live_bytes"]
    for _ in range(20):
        step()
    tg.synchronize()
    assert tg.memory_stats()["live_bytes"] - before < 20 * 1024


def test_rule_03_a_second_backward_names_the_remedy():
    x = tg.ones(3).requires_grad_()
    loss = (x * x).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [4, 4, 4])
    with pytest.raises(RuntimeError, match="retain_graph"):
        loss.backward()


def test_rule_03_no_tape_under_no_grad():
    x = tg.ones(3).requires_grad_()
    with tg.no_grad():
        assert not (x * 2).requires_grad


# ---- 4. NumPy and DLPack -----------------------------------------------------------------------
def test_rule_04_asarray_copies_and_copy_false_borrows():
    a = np.arange(4.0)
    copied, borrowed = tg.asarray(a), tg.asarray(a, copy=False)
    a[0] = 9
    assert copied.numpy()[0] == 0
    assert borrowed.numpy()[0] == 9


def test_rule_04_a_view_handed_to_numpy_is_read_only_and_never_overwritten():
    x = tg.ones(1000)
    x += 1
    seen = x.numpy()
    assert not seen.flags.writeable
    for _ in range(3):
        x += 1
        tg.eval(x)
    np.testing.assert_array_equal(seen, 2)
    np.testing.assert_array_equal(x.numpy(), 5)


# ---- 5. Failure ----------------------------------------------------------------------------------
def test_rule_05_a_failed_plan_keeps_its_inputs_and_fails_its_outputs_each_time():
    x = tg.asarray([1.0, 2.0, 3.0])
    i = tg.asarray([0, 7])
    bad = tg.take(x, i, 0) * 2
    for _ in range(2):
        with pytest.raises(IndexError, match=r"7 is out of bounds.*test_rules.py"):
            bad.numpy()
    np.testing.assert_array_equal(x.numpy(), [1, 2, 3])
    with pytest.raises(IndexError):
        tg.synchronize()
    tg.synchronize()


def test_rule_05_a_rebound_handle_keeps_its_old_value_when_its_plan_fails():
    p = tg.asarray([1.0, 2.0, 3.0]).requires_grad_()
    tg.eval(p)
    loss = tg.take(p * p, tg.asarray([5]), 0).sum()
    loss.backward()
    with tg.no_grad():
        p -= 0.1 * p.grad
    with pytest.raises(IndexError):
        loss.item()
    np.testing.assert_array_equal(p.numpy(), [1, 2, 3])
    with pytest.raises(IndexError):
        tg.synchronize()


# ---- 6. Bits ----------------------------------------------------------------------------------
def _train(evaluate_all: bool) -> list[bytes]:
    tg.manual_seed(3)
    w1 = tg.random.normal((20, 33)).requires_grad_()
    w2 = tg.random.normal((33, 7)).requires_grad_()
    x = tg.random.normal((65, 20))
    labels = tg.asarray(np.arange(65) % 7)
    look = tg.eval if evaluate_all else (lambda *_: None)
    for _ in range(5):
        hidden = tg.gelu(x @ w1)
        look(hidden)
        loss = tg.cross_entropy(hidden @ w2, labels)
        look(loss)
        loss.backward()
        for p in (w1, w2):
            look(p.grad)
            with tg.no_grad():
                p -= 0.1 * p.grad
            p.grad = None
    return [w1.numpy().tobytes(), w2.numpy().tobytes()]


def test_rule_06_bits_do_not_depend_on_threads_or_on_who_looks():
    threads = tg.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3, 8):
            tg.set_num_threads(count)
            results += [_train(False), _train(True)]
    finally:
        tg.set_num_threads(threads)
    assert all(r == results[0] for r in results)


def test_rule_06_a_sum_does_not_depend_on_layout_or_fusion():
    a = np.random.default_rng(0).normal(size=(300, 1100)).astype(np.float32)
    x, xt = tg.asarray(a), tg.asarray(np.ascontiguousarray(a.T)).T
    assert x.sum(axis=1).numpy().tobytes() == xt.sum(axis=1).numpy().tobytes()
    assert x.sum(axis=0).numpy().tobytes() == xt.sum(axis=0).numpy().tobytes()
    y = x * 3
    fused = (x * 3).sum(axis=1).numpy()
    tg.eval(y)
    assert y.sum(axis=1).numpy().tobytes() == fused.tobytes()


# ---- 8. Shapes that depend on values ------------------------------------------------------------
def test_rule_08_masks_are_evaluated_at_the_call_and_masked_writes_are_not():
    x = tg.asarray([3.0, -1.0, 2.0, -5.0])
    assert x[x > 0].shape == (2,)
    np.testing.assert_array_equal(x[x > 0].numpy(), [3, 2])
    y = x * 1
    y[y < 0] = 0.0
    np.testing.assert_array_equal(y.numpy(), [3, 0, 2, 0])


# ---- 9. Random order ---------------------------------------------------------------------------
def test_rule_09_random_numbers_follow_python_order_evaluated_or_not():
    tg.manual_seed(11)
    a, b = tg.random.uniform((5,)), tg.random.normal((3, 4))
    second_first = (b.numpy().copy(), a.numpy().copy())
    tg.manual_seed(11)
    first_first = (tg.random.uniform((5,)).numpy().copy(), tg.random.normal((3, 4)).numpy().copy())
    np.testing.assert_array_equal(second_first[1], first_first[0])
    np.testing.assert_array_equal(second_first[0], first_first[1])


def test_rule_09_an_unused_draw_still_takes_its_numbers():
    tg.manual_seed(5)
    unused = tg.random.uniform((7,))
    del unused
    a = tg.random.uniform((3,)).numpy().copy()
    tg.manual_seed(5)
    tg.random.uniform((7,)).numpy()
    np.testing.assert_array_equal(a, tg.random.uniform((3,)).numpy())


# ---- 10. Automatic evaluation --------------------------------------------------------------------
def test_rule_10_recording_without_reading_stays_bounded_and_hits_the_cache():
    x = tg.ones(4)
    for _ in range(60_000):
        x = x * 1.0001 + 0.1
    tg.eval(x)
    start = cache()["misses"]
    for _ in range(60_000):
        x = x * 1.0001 + 0.1
    tg.eval(x)
    assert cache()["misses"] - start <= 3
    assert np.isfinite(x.numpy()).all()


def test_rule_10_a_deep_chain_goes_forward_and_backward():
    x = tg.asarray([1.0]).requires_grad_()
    y = x
    for _ in range(100_000):
        y = y + 1e-6
    y.backward()
    assert x.grad.item() == 1.0


# ---- 11. Small graphs ---------------------------------------------------------------------------
def test_rule_11_one_thread_computes_without_others():
    code = (
        "import tegula as tg, threading, os\n"
        "tg.set_num_threads(1)\n"
        "x = tg.random.normal((300, 300))\n"
        "(x @ x).numpy()\n"
        "print(len(os.listdir('/proc/self/task')))"
    )
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert out.stdout.strip() == "1", out.stderr


# ---- 12. Leaves --------------------------------------------------------------------------------
def test_rule_12_a_leaf_stays_the_leaf_when_it_is_rebound_under_no_grad():
    p = tg.ones(3).requires_grad_()
    seen = []
    p.register_hook(lambda g: seen.append(g.shape))
    (p * 2).sum().backward()
    with tg.no_grad():
        p -= p.grad
    assert p.is_leaf
    assert p.requires_grad
    (p * 3).sum().backward()
    np.testing.assert_array_equal(p.grad.numpy(), [5, 5, 5])
    assert seen == [(3,), (3,)]
    with pytest.raises(RuntimeError, match="no_grad"):
        p += 1


def test_rule_12_hooks_run_while_the_pass_is_recorded_and_may_change_the_gradient():
    p = tg.ones(3).requires_grad_()
    p.register_hook(lambda g: g * 10)
    (p * 2).sum().backward()
    np.testing.assert_array_equal(p.grad.numpy(), [20, 20, 20])


# ---- 13. Memory ---------------------------------------------------------------------------------
def test_rule_13_a_cached_plan_owns_no_memory():
    x = tg.asarray(np.ones(1 << 20, np.float32))
    tg.eval(x)
    tg.synchronize()
    before = tg.memory_stats()["live_bytes"]
    y = tg.tanh(x).reshape((1024, 1024)) @ tg.ones((1024, 4))
    y.numpy()
    del y
    gc.collect()
    assert tg.memory_stats()["live_bytes"] - before <= 64


def test_rule_13_an_update_in_place_takes_no_second_buffer():
    x = tg.zeros(1 << 20) + 1
    tg.eval(x)
    tg.synchronize()
    tg.reset_peak_memory()
    before = tg.memory_stats()["live_bytes"]
    for _ in range(3):
        x += 1
        tg.eval(x)
    assert tg.memory_stats()["peak_bytes"] - before < 1 << 20
    assert float(x[0]) == 4


def test_rule_13_an_update_in_place_does_not_wait_for_the_one_before():
    x = tg.zeros(1 << 22) + 1
    tg.eval(x)
    tg.synchronize()
    tg.reset_peak_memory()
    before = tg.memory_stats()["live_bytes"]
    for _ in range(6):
        x *= 2
        tg.submit()
    assert float(x[-1]) == 64
    assert tg.memory_stats()["peak_bytes"] - before < 1 << 22


def test_threads_may_record_and_evaluate_at_once():
    results = {}

    def work(k: int):
        x = tg.ones((50, 50)) * k
        for _ in range(20):
            x = tg.tanh(x @ x * 0.01) + k
        results[k] = x.numpy()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    for k in range(4):
        x = np.ones((50, 50), np.float32) * k
        for _ in range(20):
            x = np.tanh(x @ x * np.float32(0.01)) + k
        np.testing.assert_allclose(results[k], x, rtol=1e-4)
