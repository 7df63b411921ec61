"""Ctrl-C in the middle of updates in place: every tensor is old or new, never half-written."""

import random
import signal
import threading
import time

import numpy as np
import pytest

import tegula as tg


class Stop(Exception):
    pass


@pytest.fixture
def alarms():
    """A function that has Stop raised in so many seconds."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach the main thread alone")

    def stop(*_):
        raise Stop

    before = signal.signal(signal.SIGALRM, stop)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def until_stopped(alarms, seconds, step):
    steps = 0
    try:
        alarms(seconds)
        while True:
            step()
            steps += 1
    except Stop:
        pass
    try:
        tg.synchronize()
    except Stop:  # once more, as what a plan failed by is
        tg.synchronize()
    return steps


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("wait", [tg.eval, tg.submit])
def test_updates_are_old_or_new(alarms, threads, wait):
    count = tg.get_num_threads()
    tg.set_num_threads(threads)
    rng = random.Random(threads)
    values = [tg.zeros((1 << 19) + k) + 0 for k in range(8)]
    tg.eval(values)

    def update():
        for x in values:
            x += 1
        if wait is tg.eval:
            tg.eval(values)
        else:
            tg.submit()

    update()
    start = time.perf_counter()
    update()
    tg.synchronize()
    longest = max(1e-2, 5 * (time.perf_counter() - start))  # on a slow machine too, some steps
    stopped = 0
    try:
        for _ in range(30):
            before = [x[0].item() for x in values]
            steps = until_stopped(alarms, rng.uniform(1e-4, longest), update)
            stopped += steps > 0
            for x, least in zip(values, before, strict=True):
                seen = x.numpy()
                assert (seen == seen[0]).all()
                # Python may have been ahead: what had not run yet when it was stopped is lost.
                assert least <= seen[0] <= least + steps + 1
    finally:
        tg.set_num_threads(count)
    assert stopped
    np.testing.assert_array_equal((values[0] * 0 + 1)[:5].numpy(), 1)


@pytest.mark.parametrize("threads", [1, 2])
def test_waiting_for_the_queue_loses_nothing(alarms, threads):
    """Python is as far ahead as it may be, and is stopped while it waits to hand over more."""

    a = tg.full((1100, 1100), 1e-3)
    tg.eval(a)
    count = tg.get_num_threads()
    tg.set_num_threads(threads)
    x = tg.zeros(1 << 16) + 0
    tg.eval(x)

    def step():
        nonlocal x
        b = a
        for _ in range(3):  # tens of milliseconds
            b = b @ a
        x += b[0, 0] * 0 + 1
        tg.submit()

    try:
        for seconds in (0.6, 0.05):
            before = x[0].item()
            steps = until_stopped(alarms, seconds, step)
            seen = x.numpy()
            assert (seen == seen[0]).all()
            assert before <= seen[0] <= before + steps + 1
        x += 1
        assert x[-1].item() == seen[0] + 1
    finally:
        tg.set_num_threads(count)


@pytest.mark.parametrize("jitted", [False, True])
def test_a_training_step_is_whole(alarms, jitted):
    """All parameters are those after the same step."""
    tg.manual_seed(0)
    model = tg.nn.Sequential(tg.nn.Linear(64, 256), tg.nn.ReLU(), tg.nn.Linear(256, 8))
    optimizer = tg.optim.SGD(model.parameters(), lr=1e-2)
    x, y = tg.random.normal((64, 64)), tg.random.normal((64, 8))

    def step():
        optimizer.zero_grad()
        ((model(x) - y) ** 2).mean().backward()
        optimizer.step()

    run = tg.jit(step) if jitted else step

    def state():
        return b"".join(p.detach().numpy().tobytes() for p in model.parameters())

    first = {name: np.array(value) for name, value in model.state_dict().items()}
    after = {state(): 0}
    for k in range(1000):
        step()
        after[state()] = k + 1
    assert len(after) == 1001
    rng = random.Random(jitted)
    for _ in range(20):
        model.load_state_dict({name: tg.asarray(value) for name, value in first.items()})
        until_stopped(alarms, rng.uniform(1e-4, 1e-2), run)
        reached = after[state()]
        step()
        assert after[state()] == reached + 1
