"""``torch.save`` and ``torch.load``: safetensors, and reading PyTorch's archives."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tegula import _core, io
from tegula.compat.torch._archive import read_archive
from tegula.compat.torch._tensor import as_tensor_like


def _plain(value: Any) -> Any:
    if isinstance(value, _core.Tensor):
        return _core._as_plain(value.detach())
    if isinstance(value, Mapping):
        return {str(k) if isinstance(k, int) else k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def save(obj: Any, f: Any, pickle_module: Any = None, pickle_protocol: int = 2, **_: Any) -> None:
    """Writes tensors, and containers of tensors and plain values, as safetensors.

    A dict of tensors is an ordinary safetensors file; anything else is a checkpoint of
    ``tegula.io.save_checkpoint``. Integer keys become strings, tuples lists.

    Raises:
        TypeError: something is neither: a module (save its ``state_dict()``), a function, ….
    """
    value = _plain(obj)
    flat = (
        isinstance(value, dict)
        and value
        and all(isinstance(v, _core.Tensor) for v in value.values())
    )

    def write(path: Any) -> None:
        if flat:
            io.save(path, value)
        else:
            io.save_checkpoint(path, value)

    if isinstance(f, (str, os.PathLike)):
        return write(f)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "saved"
        write(path)
        f.write(path.read_bytes())


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool = True,
    mmap: Any = None,
    **_: Any,
) -> Any:
    """Reads what ``save`` wrote here, or an archive of PyTorch's ``save``.

    No code in an archive is run, whatever ``weights_only`` says: only tensors and plain containers
    are read.

    Raises:
        ValueError: the file is damaged, or is refused; the message says why.
        OSError: it cannot be opened.
    """
    if not isinstance(f, (str, os.PathLike)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "loaded"
            path.write_bytes(f.read())
            return _load(path, getattr(f, "name", "the file"))
    return _load(Path(f), f)


def _load(path: Path, name: Any) -> Any:
    with open(path, "rb") as file:
        head = file.read(8)
        if head[:4] == b"PK\x03\x04":
            file.seek(0)
            return read_archive(name, file)
    if head[:1] == b"\x80" or head[:2] == b"PK":
        raise ValueError(
            f"{name}: refused: a pickle of PyTorch's old format, or a damaged archive; save it "
            "with torch.save of PyTorch 1.6 or later"
        )
    metadata = io.load_metadata(path)
    read = io.load_checkpoint if io._STATE in metadata else io.load
    return _typed(read(path))


def _typed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _typed(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_typed(v) for v in value]
    return as_tensor_like(value)
