"""The command ``tegula``: info, demo, predict."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tegula as tg


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status.

    Args:
        arguments: the words after the command; by default the process's own.
    """
    parser = argparse.ArgumentParser(prog="tegula", description=tg.__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("info", help="version, devices, instruction sets, threads, memory")
    commands.add_parser(
        "demo", help="train a small network on Fashion-MNIST (-h: its options)", add_help=False
    )
    predict = commands.add_parser("predict", help="classify an image with saved weights")
    predict.add_argument("weights", help="a run's folder, or its weights.safetensors")
    predict.add_argument(
        "image", help="number of a test image, a .npy array (28, 28), or a picture's file"
    )
    predict.add_argument("--top", type=int, default=3, help="classes to print (default 3)")
    predict.add_argument(
        "--invert", action="store_true", help="for pictures that are dark on a light ground"
    )
    chosen, rest = parser.parse_known_args(arguments)
    if rest and chosen.command != "demo":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        if chosen.command == "info":
            return info()
        if chosen.command == "demo":
            return int(demo_module().main(rest) or 0)
        return run_predict(chosen)
    except (OSError, ValueError, IndexError, ImportError) as error:
        print(f"tegula {chosen.command}: {error}", file=sys.stderr)
        return 1


def info() -> int:
    """Prints what Tegula runs on."""
    memory = tg.memory_stats()
    rows = {
        "tegula": tg.__version__,
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "devices": _listed(tg.devices()),
        "instruction sets": _listed(tg.isa()),
        "threads": tg.get_num_threads(),
        "memory": ", ".join(f"{key} {value:,}" for key, value in memory.items()),
    }
    for name, value in rows.items():
        print(f"{name:17} {value}")
    return 0


def _listed(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_listed(entry)}" for key, entry in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def demo_module() -> Any:
    """The demo, ``examples/fashion_mnist.py``, as a module.

    Raises:
        FileNotFoundError: Tegula was installed without its examples.
    """
    import importlib.util

    package = Path(tg.__file__).parent
    places = [folder / "examples" / "fashion_mnist.py" for folder in (package, package.parent)]
    for file in places:
        if file.is_file():
            spec = importlib.util.spec_from_file_location("fashion_mnist", file)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise FileNotFoundError(f"the demo is not installed: no {' and no '.join(map(str, places))}")


def run_predict(options: argparse.Namespace) -> int:
    """Prints the most probable classes of an image."""
    weights = Path(options.weights)
    if weights.is_dir():
        weights = weights / "weights.safetensors"
    image, label = read_image(options.image, options.invert)
    model = demo_module().Net()
    model.load_state_dict(tg.io.load(weights))
    model.eval()
    with tg.no_grad():
        shares = tg.softmax(model(tg.asarray(image[None, None])), axis=1).numpy()[0]
    classes = tg.data.FashionMNIST.classes
    for place in np.argsort(-shares, kind="stable")[: max(options.top, 1)]:
        print(f"{classes[place]:12} {shares[place]:7.2%}")
    if label is not None:
        print(f"true label: {classes[label]}")
    return 0


def read_image(name: str, invert: bool = False) -> tuple[np.ndarray, int | None]:
    """A grey image (28, 28) uint8, bright on dark, and its label if it is known.

    Args:
        name: number of a test image, a .npy file, or the file of a picture.
        invert: whether it is dark on bright.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no image of the right size, or the number is out of range.
        ImportError: pictures need the package ``matplotlib``.
    """
    label = None
    if name.isdecimal():
        dataset = tg.data.fashion_mnist(split="test")
        if int(name) >= len(dataset):
            raise ValueError(f"there are {len(dataset)} test images, from 0; got {name}")
        image, label = dataset.arrays[0][int(name), 0], int(dataset.arrays[1][int(name)])
    elif name.endswith(".npy"):
        image = np.load(name, allow_pickle=False)
        if image.shape != (28, 28):
            raise ValueError(f"{name}: the array must be (28, 28), got {image.shape}")
        if image.dtype != np.uint8:
            if not np.isfinite(image).all() or image.min() < 0 or image.max() > 1:
                raise ValueError(f"{name}: needs uint8, or numbers from 0 to 1")
            image = np.round(image * 255).astype(np.uint8)
    else:
        image = _read_picture(name)
    return (255 - image if invert else image), label


def _read_picture(name: str) -> np.ndarray:
    """A picture's brightness, averaged down to (28, 28) uint8."""
    try:
        from matplotlib.image import imread
    except ImportError:
        raise ImportError(
            "pictures need the package matplotlib: pip install 'tegula[demo]'"
        ) from None
    pixels = np.asarray(imread(name))
    bright = pixels / 255 if pixels.dtype == np.uint8 else pixels.astype(np.float64)
    if bright.ndim == 3:  # the weights of ITU-R BT.601
        bright = bright[..., :3] @ [0.299, 0.587, 0.114] if bright.shape[2] > 2 else bright[..., 0]
    if min(bright.shape) < 28:
        raise ValueError(f"{name}: the picture must be at least 28 x 28, it is {bright.shape}")
    for axis in (0, 1):
        edges = np.arange(29) * bright.shape[axis] // 28
        sums = np.add.reduceat(bright, edges[:-1], axis=axis)
        bright = sums / np.diff(edges).reshape((-1, 1) if axis == 0 else (1, -1))
    return np.round(bright * 255).astype(np.uint8)
