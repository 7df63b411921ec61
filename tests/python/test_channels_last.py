"""Images between convolutions lie channels-last: where, and that it changes no bit."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from bits import normal, same
from hypothesis import given
from hypothesis import strategies as st

import tegula as tg
from tegula import nn

F = nn.functional


def convolutions(f: Callable[[], object]) -> list[tuple[bool, bool]]:
    """Of each whether its image and its result lie channels-last."""
    steps = [s for plan in tg.explain(f).plans for s in plan.steps if s.operations[:4] == "conv"]
    return [("channels-last" in s.reads[0], "channels-last" in s.writes[-1]) for s in steps]


def filters(outputs: int, inputs: int, size: int = 3) -> tg.Tensor:
    return normal(outputs, inputs, size, size) * 0.1


def test_images_between_convolutions_lie_channels_last() -> None:
    x, w = normal(2, 3, 12, 12), [filters(32, 3), filters(32, 32), filters(16, 32)]

    def f() -> tg.Tensor:
        y = tg.relu(tg.conv2d(x, w[0], padding=1))
        y = tg.relu(tg.conv2d(y, w[1], padding=1))
        return tg.conv2d(y, w[2], padding=1)

    # The first reads the user's image, the last one's result is the user's.
    assert convolutions(f) == [(False, True), (True, True), (True, False)]


def test_what_a_user_holds_lies_as_it_looks() -> None:
    x, w = normal(2, 16, 9, 9), filters(16, 16)
    held = []

    def f() -> tg.Tensor:
        held.append(tg.conv2d(x, w, padding=1))
        return tg.conv2d(held[-1], w, padding=1)

    assert convolutions(f) == [(False, False)] * 2
    assert held[-1].numpy().flags.c_contiguous


def test_nor_does_what_is_computed_once_for_two() -> None:
    x, w = normal(2, 16, 9, 9), filters(16, 16)
    y = tg.conv2d(tg.conv2d(x, w, padding=1), w, padding=1)
    same_again = tg.conv2d(x, w, padding=1)
    tg.eval(y)
    assert same_again.numpy().flags.c_contiguous


@pytest.mark.parametrize(
    "between",
    [
        lambda y: y.reshape((2, 16, 81)).reshape((2, 16, 9, 9)),
        lambda y: y + y.sum(axis=1, keepdims=True),
        lambda y: tg.cumulative_sum(y, axis=2),
        lambda y: y[:, ::-1],
    ],
    ids=["reshape", "sum over channels", "scan", "flip"],
)
def test_others_do_not_pay_for_it(between: Callable[[tg.Tensor], tg.Tensor]) -> None:
    x, w = normal(2, 16, 9, 9), filters(16, 16)
    f = lambda: tg.conv2d(between(tg.conv2d(x, w, padding=1)), w, padding=1)  # noqa: E731
    assert convolutions(f)[0] == (False, False)


def test_few_channels_stay() -> None:
    x, w = normal(2, 8, 9, 9), filters(8, 8)
    f = lambda: tg.conv2d(tg.relu(tg.conv2d(x, w, padding=1)), w, padding=1)  # noqa: E731
    assert convolutions(f) == [(False, False)] * 2


class Net(nn.Module):
    """Every step that can be part of such a chain, and some that cannot."""

    def __init__(self) -> None:
        super().__init__()
        widths = [3, 32, 64, 48, 40, 40]
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1, stride=2 if i == 1 else 1, groups=8 if i == 4 else 1)
            for i, (a, b) in enumerate(pairwise(widths))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(w) for w in widths[1:])
        self.depthwise = nn.Conv2d(64, 64, 3, padding=1, groups=64)
        self.pointwise = nn.Conv2d(64, 64, 1)
        self.skip = nn.Conv2d(32, 64, 1, stride=2)
        self.group_norm = nn.GroupNorm(4, 48)
        self.head = nn.Linear(40, 5)

    def forward(self, x: tg.Tensor, note: Callable[[tg.Tensor], tg.Tensor]) -> tg.Tensor:
        y = note(tg.relu(note(self.norms[0](note(self.convs[0](x))))))
        z = note(self.norms[1](note(self.convs[1](y))))
        y = note(tg.relu(note(z + note(self.skip(y)))))
        y = note(self.pointwise(note(self.depthwise(y))) * y)
        y = note(F.max_pool2d(y, 3, stride=1, padding=1))
        y = note(self.group_norm(note(self.convs[2](y))))
        y = note(F.avg_pool2d(note(tg.gelu(y)), 2))
        y = note(tg.dropout(note(self.convs[3](y)), 0.0))
        y = note(self.norms[4](note(self.convs[4](y))))
        y = note(tg.where(y > 0, y, 0.1 * y))
        return self.head(y.mean(axis=(2, 3)))


def gradients(note: Callable[[tg.Tensor], tg.Tensor]) -> list[tg.Tensor]:
    tg.manual_seed(0)
    net, x = Net(), normal(4, 3, 18, 22)
    tg.synchronize()
    loss = F.cross_entropy(net(x, note), tg.asarray([0, 1, 2, 3]))
    loss.backward()
    return [loss.detach(), *(p.grad for p in net.parameters() if p.grad is not None)]


def evaluated(y: tg.Tensor) -> tg.Tensor:
    tg.eval(y)
    return y


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_bits_of_a_network(threads: int) -> None:
    before = tg.get_num_threads()
    try:
        tg.set_num_threads(threads)
        whole = gradients(lambda y: y)
        tg.eval(*whole)
        apart = gradients(evaluated)  # every image is held by then, and lies as users see it
        same(whole, apart)
    finally:
        tg.set_num_threads(before)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_bits_of_other_dtypes(dtype: str) -> None:
    def run(note: Callable[[tg.Tensor], tg.Tensor]) -> list[tg.Tensor]:
        given = (normal(3, 32, 7, 10), filters(32, 32), filters(32, 32))
        x, w, v = (a.to(getattr(tg, dtype)) for a in given)
        for a in (x, w, v):
            a.requires_grad_()
        y = note(tg.relu(note(tg.conv2d(x, w, padding=1))))
        z = note(tg.conv2d(y - note(y.mean(axis=(2, 3), keepdims=True)), v, padding=1))
        z.sum().backward()
        return [z.detach(), x.grad, w.grad, v.grad]

    same(run(lambda y: y), run(evaluated))


def test_one_and_three_dimensions() -> None:
    for shape, size in [((2, 32, 50), (3,)), ((2, 32, 5, 6, 7), (3, 3, 3))]:
        x, w = normal(*shape), normal(32, 32, *size) * 0.1
        conv = tg.conv1d if len(size) == 1 else tg.conv3d

        def run(
            note: Callable[[tg.Tensor], tg.Tensor],
            x: tg.Tensor = x,
            w: tg.Tensor = w,
            conv: Callable[..., tg.Tensor] = conv,
        ) -> tg.Tensor:
            return conv(note(tg.tanh(note(conv(x, w, padding=1)))), w, padding=1)

        whole = functools.partial(run, lambda y: y)
        assert convolutions(whole) == [(False, True), (True, False)]
        same(whole(), run(evaluated))


def test_environment_variable_turns_it_off() -> None:
    program = (
        "import numpy as np, tegula as tg\n"
        "x, w = tg.ones((2, 16, 9, 9)), tg.ones((16, 16, 3, 3))\n"
        "f = lambda: tg.conv2d(tg.relu(tg.conv2d(x, w)), w)\n"
        "print('channels-last' in str([s.writes for p in tg.explain(f).plans for s in p.steps]))\n"
    )
    for value, expected in [("", "True"), ("1", "True"), ("0", "False")]:
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"TEGULA_CHANNELS_LAST": value},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"TEGULA_CHANNELS_LAST": "no"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "TEGULA_CHANNELS_LAST must be 0 or 1, got 'no'" in done.stderr


def test_an_argument_channels_last_in_memory() -> None:
    x = tg.permute_dims(normal(2, 9, 9, 16), (0, 3, 1, 2))
    w = filters(32, 16)
    expected = tg.conv2d(tg.asarray(np.ascontiguousarray(x.numpy())), w, padding=1)
    same(tg.conv2d(x, w, padding=1), expected)


Step = Callable[[tg.Tensor, list[tg.Tensor]], tg.Tensor]


def conv(y: tg.Tensor, outputs: int, size: int, stride: int, groups: int = 1) -> tg.Tensor:
    w = filters(outputs, y.shape[1] // groups, size)
    return tg.conv2d(y, w, stride=stride, padding=size // 2, groups=groups)


def skip(y: tg.Tensor, before: list[tg.Tensor]) -> tg.Tensor:
    return y + next(b for b in before if b.shape == y.shape)


STEPS: dict[str, Step] = {
    "winograd": lambda y, _: conv(y, 32, 3, 1),
    "strided": lambda y, _: conv(y, 48, 3, 2),
    "pointwise": lambda y, _: conv(y, 32, 1, 1),
    "strided pointwise": lambda y, _: conv(y, 16, 1, 2),
    "grouped": lambda y, _: conv(y, 32, 3, 1, groups=2),
    "depthwise": lambda y, _: conv(y, y.shape[1], 3, 1, groups=y.shape[1]),
    "few channels": lambda y, _: conv(y, 6, 3, 1),
    "relu": lambda y, _: tg.relu(y),
    "skip": skip,
    "scale": lambda y, _: y * tg.arange(y.shape[1], dtype=tg.float32)[:, None, None],
    "norm": lambda y, _: tg.batch_norm(
        y, tg.zeros((y.shape[1],)), tg.ones((y.shape[1],)), training=True
    )[0],
    "centred": lambda y, _: y - y.mean(axis=(2, 3), keepdims=True),
    "columns": lambda y, _: y * y.max(axis=3, keepdims=True),
    "softmax": lambda y, _: tg.softmax(y, axis=1),
    "max pool": lambda y, _: F.max_pool2d(y, 3, stride=2, padding=1),
    "average pool": lambda y, _: F.avg_pool2d(y, 2, stride=1, padding=1),
    "flip": lambda y, _: y[:, :, ::-1],
    "joined": lambda y, _: tg.concat([y, tg.tanh(y)], axis=1),
    "halves": lambda y, _: y[:, : y.shape[1] // 2] * y[:, y.shape[1] // 2 :],
    "turned": lambda y, _: tg.permute_dims(tg.permute_dims(y, (0, 2, 3, 1)) * 2.0, (0, 3, 1, 2)),
    "flat": lambda y, _: tg.exp(-(tg.reshape(y, (y.shape[0], -1)) ** 2)).reshape(y.shape),
    "rounded": lambda y, _: y.to(tg.bfloat16).to(tg.float32),
    "masked": lambda y, before: tg.where(y > 0.1, y, skip(y, before) * 0.25),
    "resized": lambda y, _: F.interpolate(y, scale_factor=2, mode="nearest"),
}


@given(st.lists(st.sampled_from(sorted(STEPS)), min_size=2, max_size=9))
def test_bits_of_random_chains(names: list[str]) -> None:
    def run(note: Callable[[tg.Tensor], tg.Tensor]) -> list[tg.Tensor]:
        x = normal(2, 32, 9, 7).requires_grad_()
        y, before = x, [x]
        for name in names:
            if y.shape[1] % 2 and name in ("grouped", "halves"):
                continue
            y = note(STEPS[name](y, [*before, y]))
            before.insert(0, y)
        tg.mean(y * y).backward()
        assert x.grad is not None
        return [y.detach(), x.grad]

    same(run(lambda y: y), run(evaluated))
