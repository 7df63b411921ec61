"""The Fashion-MNIST demo on a small subset, and the helpers around its loop."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tegula as tg
from tegula import train

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "fashion_mnist.py"
needs_data = pytest.mark.skipif(
    not Path("/usr/share/datasets/fashion-mnist").is_dir(), reason="needs dataset-fashion-mnist"
)
SMALL = ["--limit", "640", "--batch-size", "64", "--epochs", "2"]
FILES = ["confusion.png", "curves.png", "metrics.jsonl", "samples.png", "weights.safetensors"]


@pytest.fixture(scope="module")
def demo():
    spec = importlib.util.spec_from_file_location("fashion_mnist", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def weights(folder):
    return {name: x.numpy() for name, x in tg.load(folder / "weights.safetensors").items()}


def test_the_demo_is_short():
    assert len(SCRIPT.read_text().splitlines()) <= 130


@needs_data
def test_a_run_and_its_files(demo, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert demo.main([*SMALL, "--run", str(tmp_path)]) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == FILES
    out = capsys.readouterr().out
    assert "Test accuracy: " in out
    assert f"-m tegula predict {tmp_path} 7" in out
    for name in FILES:
        assert str(tmp_path / name) in out
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    assert [record["epoch"] for record in records] == [1, 2]
    assert records[1]["loss"] < records[0]["loss"]
    assert records[1]["test_accuracy"] > 0.3
    for name in FILES:
        if name.endswith(".png"):
            assert (tmp_path / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@needs_data
def test_resumed_run_ends_with_bitwise_the_same_weights(demo, tmp_path, monkeypatch, capsys):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    assert demo.main([*SMALL, "--run", str(straight)]) == 0

    def stop_after(steps):
        seen = []
        update = train.Progress.update

        def counted(self, *values):
            update(self, *values)
            seen.append(0)
            if len(seen) == steps:
                os.kill(os.getpid(), signal.SIGINT)

        monkeypatch.setattr(train.Progress, "update", counted)
        return lambda: monkeypatch.setattr(train.Progress, "update", update)

    restore = stop_after(3)
    assert demo.main([*SMALL, "--run", str(broken)]) == 130
    out = capsys.readouterr().out
    assert f"-m tegula demo --resume {broken}" in out
    restore()
    restore = stop_after(11)  # in the second epoch
    assert demo.main(["--resume", str(broken)]) == 130
    restore()
    assert demo.main(["--resume", str(broken)]) == 0
    one, two = weights(straight), weights(broken)
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
    assert (straight / "metrics.jsonl").read_text() == (broken / "metrics.jsonl").read_text()


@needs_data
def test_weights_do_not_depend_on_the_number_of_threads(demo, tmp_path):
    before = tg.get_num_threads()
    try:
        for threads in (1, 2):
            tg.set_num_threads(threads)
            run = ["--run", str(tmp_path / str(threads)), "--epochs", "1"]
            assert demo.main([*SMALL, *run]) == 0
    finally:
        tg.set_num_threads(before)
    one, two = weights(tmp_path / "1"), weights(tmp_path / "2")
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


@needs_data
@pytest.mark.slow
def test_ctrl_c_in_a_process_of_its_own(tmp_path):
    command = [sys.executable, str(SCRIPT), "--run", str(tmp_path), "--epochs", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    for line in process.stdout:
        if line.startswith("epoch 1/1"):
            process.send_signal(signal.SIGINT)
            break
    out = process.communicate(timeout=120)[0]
    assert process.returncode == 130
    assert "Interrupted. To go on:" in out
    state = tg.io.load_checkpoint(tmp_path / "checkpoint.safetensors")
    assert 0 < state["loader"]["position"] < 468


# ---- helpers ---------------------------------------------------------------------------------


def test_progress_counts_and_prints(capsys):
    progress = train.Progress(epochs=2, steps=4, every=2)
    logits = tg.asarray([[2.0, 1.0], [0.0, 3.0]])
    for labels in ([0, 1], [0, 0], [1, 1], [1, 0]):
        progress.update(tg.asarray(0.5), logits, tg.asarray(labels))
    assert progress.means() == {"loss": 0.5, "accuracy": 0.5}
    state = progress.state_dict()
    out = capsys.readouterr().out
    assert "epoch 1/2  step 4/4  loss 0.5000  accuracy  50.00%" in out
    assert "images/s" in out
    assert out.rstrip().endswith("left")
    progress.begin(1)
    assert progress.count == 0
    other = train.Progress(2, 4)
    other.load_state_dict(state)
    other.begin(0)
    assert (other.step, other.count) == (4, 8)
    assert other.means()["accuracy"] == 0.5


def test_progress_renews_one_line_on_a_terminal(capsys):
    progress = train.Progress(1, 2, every=1)
    progress.live = True
    for _ in range(2):
        progress.update(tg.asarray(1.0), tg.zeros((1, 2)), tg.asarray([0]))
    progress.report("done")
    out = capsys.readouterr().out
    assert out.count("\r") == 2
    assert out.endswith("\ndone\n")


def test_interrupt():
    before = signal.getsignal(signal.SIGINT)
    with train.Interrupt() as interrupt:
        assert not interrupt
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_run_folder(tmp_path):
    run = train.RunFolder(tmp_path / "a" / "b")
    run.log(epoch=1, loss=0.5)
    run.log(epoch=2, loss=0.25)
    assert run.history == [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]
    again = train.RunFolder(run.folder, run.history[:1])
    again.log(epoch=2, loss=0.3)
    lines = again.path("metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == [0.5, 0.3]


def test_confusion_matrix():
    matrix = train.confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 2, 1, 1]), 3)
    np.testing.assert_array_equal(matrix, [[1, 0, 1], [0, 1, 0], [0, 1, 0]])


def test_plots_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'tegula\[demo\]'"):
        train.plot_curves([], tmp_path / "a.png")
