"""The command ``tegula``."""

from pathlib import Path

import numpy as np
import pytest

import tegula as tg
from tegula import cli

needs_data = pytest.mark.skipif(
    not Path("/usr/share/datasets/fashion-mnist").is_dir(), reason="needs dataset-fashion-mnist"
)


@pytest.fixture
def weights(tmp_path):
    """A run's folder with the weights of an untrained network."""
    tg.save(tmp_path / "weights.safetensors", cli.demo_module().Net().state_dict())
    return tmp_path


def test_info(capsys):
    assert cli.main(["info"]) == 0
    out = capsys.readouterr().out
    assert tg.__version__ in out
    assert "cpu" in out
    for word in ("devices", "instruction sets", "threads", "memory"):
        assert word in out


@needs_data
def test_predict_a_test_image(weights, capsys):
    assert cli.main(["predict", str(weights), "0", "--top", "10"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "true label: Ankle boot"
    assert len(lines) == 11
    shares = [float(line.split()[-1].rstrip("%")) for line in lines[:-1]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.1)


def test_predict_agrees_whatever_the_form_of_the_image(weights, capsys, rng):
    image = pytest.importorskip("matplotlib.image")
    pixels = rng.integers(0, 256, (28, 28)).astype(np.uint8)
    np.save(weights / "a.npy", pixels)
    np.save(weights / "b.npy", pixels / 255)
    large = np.kron(pixels, np.ones((2, 3), np.uint8))
    image.imsave(weights / "c.png", np.stack([large] * 3, axis=-1))
    image.imsave(weights / "d.png", np.stack([255 - pixels] * 3, axis=-1))
    outputs = set()
    for name, *options in [("a.npy",), ("b.npy",), ("c.png",), ("d.png", "--invert")]:
        file = weights / "weights.safetensors"
        assert cli.main(["predict", str(file), str(weights / name), *options]) == 0
        outputs.add(capsys.readouterr().out)
    assert len(outputs) == 1


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 3), np.uint8), "must be (28, 28), got (3, 3)"),
        (np.full((28, 28), np.nan), "needs uint8, or numbers from 0 to 1"),
        (np.full((28, 28), 7), "needs uint8, or numbers from 0 to 1"),
        (np.full((28, 28), None), "allow_pickle"),
    ],
)
def test_predict_bad_arrays(weights, capsys, array, message):
    np.save(weights / "a.npy", array)
    assert cli.main(["predict", str(weights), str(weights / "a.npy")]) == 1
    assert message in capsys.readouterr().err


def test_predict_bad_files(weights, capsys):
    assert cli.main(["predict", str(weights / "none"), "0"]) == 1
    assert "none" in capsys.readouterr().err
    assert cli.main(["predict", str(weights), str(weights / "none.png")]) == 1
    assert "none.png" in capsys.readouterr().err
    tg.save(weights / "weights.safetensors", {"x": tg.ones((1,))})
    np.save(weights / "a.npy", np.zeros((28, 28), np.uint8))
    assert cli.main(["predict", str(weights), str(weights / "a.npy")]) == 1
    assert "unexpected in the state: x" in capsys.readouterr().err


@needs_data
def test_predict_image_number_out_of_range(weights, capsys):
    assert cli.main(["predict", str(weights), "10000"]) == 1
    assert "there are 10000 test images" in capsys.readouterr().err


def test_usage_errors(capsys):
    for words in ([], ["fly"], ["info", "--wings"], ["predict"]):
        with pytest.raises(SystemExit) as caught:
            cli.main(words)
        assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err
