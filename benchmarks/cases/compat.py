"""What `tegula.compat.torch` costs over the main namespace, operation by operation."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.case import Case, Row, Runner, Variant

OPERATIONS = 500
REPEATS = 40


def _overhead() -> Runner:
    import tegula as tg
    import tegula.compat.torch as torch

    values = np.arange(16, dtype=np.float32).reshape(4, 4)
    a, b, x, y = tg.asarray(values), tg.asarray(values), *(torch.from_numpy(values),) * 2
    pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "add": (lambda: a + b, lambda: x + y),
        "exp": (lambda: tg.exp(a), lambda: torch.exp(x)),
        "sum": (lambda: a.sum(axis=1), lambda: x.sum(dim=1)),
        "linear": (lambda: tg.linear(a, b), lambda: torch.nn.functional.linear(x, y)),
        "view": (lambda: a.reshape((16,)), lambda: x.view(16)),
        "cat": (lambda: tg.concat((a, b)), lambda: torch.cat((x, y))),
        "mean": (lambda: a.mean(1), lambda: x.mean(1)),
        "relu": (lambda: tg.relu(a), lambda: torch.nn.functional.relu(x)),
        "softmax": (lambda: tg.softmax(a, -1), lambda: torch.nn.functional.softmax(x, -1)),
    }

    def microseconds(call: Callable[[], Any]) -> float:
        start = time.perf_counter()
        results = [call() for _ in range(OPERATIONS)]
        elapsed = time.perf_counter() - start
        del results
        return 1e6 * elapsed / OPERATIONS

    def measure() -> dict[str, float]:
        found = {}
        for name, (main, compat) in pairs.items():
            rounds = [(microseconds(main), microseconds(compat)) for _ in range(REPEATS)]
            found[name] = min(r[1] for r in rounds) - min(r[0] for r in rounds)
        return found

    return Runner(measure, (x + y).reshape(-1).tolist())


CASE = Case(
    name="compat",
    method=(
        f"Loops of {OPERATIONS} calls in `tegula.compat.torch` and in the main namespace in turn, "
        f"the best of {REPEATS} each, and the difference between the two. Results are kept until "
        "the clock has stopped and not evaluated."
    ),
    variants=[Variant("Tegula", "tegula", _overhead)],
    rows=[
        Row(f"{text}, over the main namespace", key, "µs", theirs=None,
            target="at most 0.3 µs", met=lambda ours, _: ours <= 0.3)
        for key, text in (
            ("add", "`x + y`"), ("exp", "`torch.exp(x)`"), ("sum", "`x.sum(dim=1)`"),
            ("linear", "`F.linear(x, w)`"), ("view", "`x.view(16)`, written through"),
            ("cat", "`torch.cat((x, y))`"), ("mean", "`x.mean(1)`"), ("relu", "`F.relu(x)`"),
            ("softmax", "`F.softmax(x, -1)`"),
        )
    ],
)  # fmt: skip
