"""The benchmarks run, and their report says what was measured."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import counts, kernel_results, report  # noqa: E402
from benchmarks.case import Row  # noqa: E402
from benchmarks.cases import FAMILIES  # noqa: E402
from benchmarks.check import regressions  # noqa: E402
from benchmarks.figures import Figure, difference  # noqa: E402
from benchmarks.kernel import Array  # noqa: E402
from benchmarks.kernel_results import records  # noqa: E402
from benchmarks.measure import Result, _compare  # noqa: E402
from benchmarks.peers import PeerError  # noqa: E402
from benchmarks.sitting import Measured  # noqa: E402


def test_a_case_runs_without_pytorch():
    command = [sys.executable, "-m", "benchmarks", "--no-peers", "--no-save", "--rounds", "1"]
    run = subprocess.run(
        [*command, "--threads", "1", "recording"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert run.returncode == 0, run.stderr
    assert "| `a + b`, 4 elements |" in run.stdout


def test_an_unknown_case_is_refused():
    command = [sys.executable, "-m", "benchmarks", "nonsense"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert "nonsense" in run.stderr


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7.7612, "7.76"), (53.9, "53.9"), (370, "370"), (24093, "24,093")],
)  # fmt: skip
def test_numbers_have_three_digits(value, text):
    assert report.number(value) == text


def test_the_ratio_says_how_many_times_better():
    ours, theirs = Figure.of([2.0, 1.0, 3.0]), Figure.of([8.0, 8.0, 8.0])
    time = Row("a step", "step", "µs", target="3 ×", met=lambda a, b: 3 * a <= b)
    rate = Row("images", "images", "1/s", "higher", target="half", met=lambda a, b: 2 * a >= b)
    assert Result(time, ours, theirs).ratio == 4
    assert Result(time, ours, theirs).met is True
    assert Result(rate, ours, theirs).ratio == 0.25
    assert Result(rate, ours, theirs).met is False
    assert Result(rate, ours, None).met is None
    lines = report.lines([report.record(Result(rate, ours, theirs))])
    assert lines[2] == "| images | half | 2 1/s (1–3) | 8 1/s | 0.250× | **missed** |"


def test_times_of_different_results_do_not_count():
    from benchmarks.cases import CASES

    case = CASES["tiny_step"]
    _compare(case, case.variants[:2], [[1.0, 2.0], [1.0, 2.0005]])
    with pytest.raises(PeerError, match="do not compute the same"):
        _compare(case, case.variants[:2], [[1.0, 2.0], [1.0, 2.1]])


def test_a_kernel_case_states_operands_that_fit():
    titles = set()
    for family in FAMILIES.values():
        for kernel in family.kernels:
            assert (family.name, kernel.title) not in titles
            titles.add((family.name, kernel.title))
            steps = [*kernel.steps, *([kernel.loop] if kernel.loop else [])]
            used = {name for step in steps for name in (*step.inputs, *step.outputs)}
            assert used <= set(kernel.arrays), kernel.title
            assert {*kernel.inputs, *kernel.outputs} <= set(kernel.arrays), kernel.title
            assert kernel.work > 0


def test_operands_have_the_strides_of_their_order():
    assert Array((2, 3, 4, 5)).strides == (60, 20, 5, 1)
    assert Array((2, 3, 4, 5), order=(0, 2, 3, 1)).strides == (60, 1, 15, 3)


def test_bfloat16_rounds_to_even():
    exact = Array((3,), "bfloat16", lambda random, shape: np.array([1.0, -2.5, 1 + 2**-8]))
    assert exact.values(np.random.default_rng(0)).tolist() == [0x3F80, 0xC020, 0x3F80]


def test_the_difference_is_relative_to_the_largest_value():
    x = np.array([100.0, 1.0])
    assert difference(x + 0.5, x) == pytest.approx(0.005)
    assert difference(x[:1], x) == float("inf")
    assert difference(np.array([np.nan, 1.0]), x) == float("inf")


def _measured(ours, limit, theirs=2e-3):
    return Measured([ours] * 3, peers={"PyTorch": [theirs] * 3}, limit=[limit] * 3)


def test_goals_are_judged_with_each_number_of_threads():
    kernel = FAMILIES["gemm"].kernels[7]  # 512³
    assert kernel.title == "512³"
    work = kernel.operations / 1e9
    rows = records(kernel, {1: _measured(work / 95, 100), 2: _measured(work / 150, 200)})
    assert [row["fraction"] for row in rows] == [0.95, 0.75]
    assert [[met for *_, met in row["goals"]] for row in rows] == [[True, False], [False, True]]
    assert rows[1]["speedup"] == pytest.approx(150 / 95, rel=1e-3)
    assert not rows[0]["too_fast"]
    assert records(kernel, {1: _measured(work / 103, 100)})[0]["too_fast"]
    assert "**missed**" in kernel_results.lines(rows)[3]


def _stored(seconds, spread=0.0, limit=100.0):
    kernel = FAMILIES["gemm"].kernels[7]
    ours = [seconds * (1 - spread), seconds, seconds * (1 + spread)]
    rows = records(kernel, {1: Measured(ours, limit=[limit] * 3)})
    machine = {"processor": "x", "processors": "2", "instruction set": "avx512"}
    return {"machine": machine, "cases": {}, "families": {"gemm": rows}}


def test_a_regression_is_what_noise_and_clocks_do_not_explain():
    assert not regressions(_stored(1.03e-3), [_stored(1e-3)])
    assert not regressions(_stored(1.2e-3, spread=0.2), [_stored(1e-3)])
    assert not regressions(_stored(2e-3, limit=50.0), [_stored(1e-3)])
    (message,) = regressions(_stored(1.2e-3), [_stored(1e-3)])
    assert "1.20 times" in message
    other = _stored(1e-3)
    other["machine"]["processor"] = "y"
    assert not regressions(_stored(2e-3), [other])


def test_the_history_keeps_the_latest_run_of_every_case():
    first = _stored(1e-3)
    rest = [_stored(1e-3) | {"families": {}, "n": i} for i in range(report.KEPT_RUNS + 5)]
    kept = report.bounded([first, *rest])
    assert kept[0] is first
    assert len(kept) == report.KEPT_RUNS + 1


def test_more_instructions_are_a_regression_beyond_the_margin():
    before = {"a": 1000, "b": 1000}
    assert counts.grown({"a": 1019, "b": 990, "new": 5}, before) == []
    assert counts.grown({"a": 1030}, before) == ["a: 1,030 instructions, 1,000 before"]
    for family, titles in counts.COUNTED.items():
        assert set(titles) <= {kernel.title for kernel in FAMILIES[family].kernels}
