"""The benchmarks run, and their report says what was measured."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))

from benchmarks import report  # noqa: E402
from benchmarks.case import Row  # noqa: E402
from benchmarks.measure import Figure, Result, _compare  # noqa: E402
from benchmarks.peers import PeerError  # noqa: E402


def test_a_case_runs_without_pytorch():
    command = [sys.executable, "-m", "benchmarks", "--no-torch", "--no-save", "--rounds", "1"]
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
    _compare(case, case.variants, [[1.0, 2.0], [1.0, 2.0005]])
    with pytest.raises(PeerError, match="do not compute the same"):
        _compare(case, case.variants, [[1.0, 2.0], [1.0, 2.1]])
