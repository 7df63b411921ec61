"""Fashion-MNIST: 60,000 + 10,000 grey images of clothes; Xiao, Rasul & Vollgraf 2017."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tegula.data.dataset import TensorDataset
from tegula.data.idx import load_idx

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_SYSTEM = Path("/usr/share/datasets/fashion-mnist")  # Debian's dataset-fashion-mnist
_ADDRESS = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_MD5 = {
    "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
}
_COUNTS = {"train": 60_000, "test": 10_000}


class FashionMNIST(TensorDataset):
    """Images (N, 1, 28, 28) uint8 and labels (N,) int64, with the names of the classes."""

    classes = CLASSES


def fashion_mnist(
    root: str | os.PathLike[str] | None = None, split: str = "train", download: bool = True
) -> FashionMNIST:
    """Loads Fashion-MNIST from where it is found, or fetches it.

    Looked for, in this order: ``root``; where Debian's package ``dataset-fashion-mnist`` puts
    it; the cache folder (``TEGULA_CACHE``, else ``~/.cache/tegula``). What is nowhere is
    downloaded from its official address to the cache folder, with a checksum.

    Args:
        root: the folder with the four IDX files, gzipped or not; only this folder is used.
        split: "train" (60,000 images) or "test" (10,000).
        download: whether to fetch what is missing.

    Returns:
        A data set of (image, label): uint8 (1, 28, 28) and int64; ``.classes`` names the labels.

    Raises:
        FileNotFoundError: a file is nowhere and may not or cannot be fetched.
        ValueError: ``split`` is unknown or a file is damaged; the message names it.
    """
    if split not in _COUNTS:
        raise ValueError(f"fashion_mnist: split must be 'train' or 'test', got {split!r}")
    prefix, count = ("train" if split == "train" else "t10k"), _COUNTS[split]
    images_file = _find(f"{prefix}-images-idx3-ubyte", root, download)
    labels_file = _find(f"{prefix}-labels-idx1-ubyte", root, download)
    images = load_idx(images_file, (count, 28, 28))
    labels = load_idx(labels_file, (count,))
    for file, array in ((images_file, images), (labels_file, labels)):
        if array.dtype != np.uint8:
            raise ValueError(f"{file}: its elements are {array.dtype}, expected uint8")
    if labels.max() >= len(CLASSES):
        at = int(np.argmax(labels >= len(CLASSES)))
        raise ValueError(f"{labels_file}: label {labels[at]} of image {at} is not in 0 to 9")
    return FashionMNIST(images[:, np.newaxis], labels.astype(np.int64))


def cache_folder() -> Path:
    """Where downloads are kept: ``TEGULA_CACHE``, else ``~/.cache/tegula``."""
    return Path(os.environ.get("TEGULA_CACHE") or Path.home() / ".cache" / "tegula")


def _find(name: str, root: str | os.PathLike[str] | None, download: bool) -> Path:
    cache = cache_folder() / "fashion-mnist"
    folders = [_SYSTEM, cache] if root is None else [Path(root)]
    for folder in folders:
        for file in (folder / f"{name}.gz", folder / name):
            if file.is_file():
                return file
    if root is None and download:
        return _fetch(name, cache)
    raise FileNotFoundError(
        f"fashion_mnist: no {name}.gz in {' or '.join(str(folder) for folder in folders)}; "
        f"on Debian: apt-get install dataset-fashion-mnist"
    )


def _fetch(name: str, folder: Path) -> Path:
    """Downloads one file, checks its sum, and only then gives it its name."""
    import hashlib
    import tempfile
    import urllib.error
    import urllib.request

    address = f"{_ADDRESS}{name}.gz"
    help_text = "fetch it by hand, or on Debian: apt-get install dataset-fashion-mnist"
    try:
        with urllib.request.urlopen(address, timeout=30) as reply:
            data = reply.read(64 << 20)
    except (urllib.error.URLError, OSError) as error:
        raise FileNotFoundError(
            f"fashion_mnist: {name}.gz is neither in {_SYSTEM} nor in {folder}, and "
            f"{address} cannot be reached ({error}); {help_text}"
        ) from None
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != _MD5[name]:
        raise ValueError(
            f"{address}: what arrived ({len(data):,} bytes) has MD5 {found}, "
            f"expected {_MD5[name]}; {help_text}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}.gz"
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return target
