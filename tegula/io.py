"""Saving and loading: tensors as safetensors files, nested state as checkpoints.

Every save is atomic: it is written beside its place, flushed to disk and then renamed. No load
runs code from a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import tegula as tg
from tegula._core import Tensor

_STATE = "tegula.state"  # metadata key under which a checkpoint keeps its plain data
_HEADER_LIMIT = 100_000_000  # the format's own limit


def save(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Any],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes tensors to a safetensors file.

    Args:
        path: the file; what was there is replaced only once everything is written.
        tensors: name → Tensor or NumPy array, for instance ``model.state_dict()``.
        metadata: strings to keep in the header.

    Raises:
        ImportError: the package ``safetensors`` is not installed.
        OSError: the file cannot be written.
        TypeError: a name or a metadata value is no string, or a value is no tensor.
    """
    library = _safetensors()
    specs, alive = {}, []  # the arrays must outlive the specs, which hold their addresses
    for name, value in tensors.items():
        if not isinstance(name, str):
            raise TypeError(f"save: tensor names must be strings, got {name!r}")
        if not isinstance(value, (Tensor, np.ndarray, np.generic)):
            raise TypeError(f"save: {name!r} must be a tensor, not {type(value).__name__}")
        tensor = tg.asarray(value).detach()
        array, kind = _array(tensor)
        alive.append(array)
        specs[name] = library.TensorSpec(
            dtype=kind, shape=tensor.shape, data_ptr=array.ctypes.data, data_len=array.nbytes
        )
    for key, text in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise TypeError(f"save: metadata must map strings to strings, got {key!r}: {text!r}")
    plain = dict(metadata) if metadata else None
    with AtomicFile(path) as temporary:
        library.serialize_file(specs, temporary, metadata=plain)


def load(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Reads all tensors of a safetensors file.

    Returns:
        name → Tensor, in the file's order.

    Raises:
        ImportError: the package ``safetensors`` is not installed.
        OSError: the file cannot be opened.
        ValueError: it is damaged or holds a dtype Tegula has not; the message names the file
            and the place.
    """
    return _read(path)[0]


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Reads the metadata of a safetensors file; raises what ``load`` raises."""
    library = _safetensors()
    try:
        with library.safe_open(os.fspath(path), framework="numpy") as file:
            return dict(file.metadata() or {})
    except library.SafetensorError as error:
        raise ValueError(f"{path}: damaged: {_damage(Path(path)) or error}") from None


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    library = _safetensors()
    tensors: dict[str, Tensor] = {}
    halves: list[str] = []
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path}: is a folder, expected a safetensors file")
    try:
        with library.safe_open(os.fspath(path), framework="numpy") as file:
            for name in file.offset_keys():
                kind = file.get_slice(name).get_dtype()
                if kind == "BF16":  # NumPy has no such dtype
                    halves.append(name)
                    tensors[name] = None  # type: ignore[assignment]
                elif kind in _KINDS:
                    tensors[name] = tg.asarray(file.get_tensor(name))
                else:
                    raise ValueError(f"{path}: tensor {name!r} has the dtype {kind}, unknown here")
            metadata = dict(file.metadata() or {})
        if halves:
            for name, entry in library.deserialize(Path(path).read_bytes()):
                if name in halves:
                    bits = np.frombuffer(entry["data"], dtype="<u2").astype(np.uint32) << 16
                    wide = bits.view(np.float32).reshape(entry["shape"])
                    tensors[name] = tg.asarray(wide).astype(tg.bfloat16)
    except library.SafetensorError as error:
        raise ValueError(f"{path}: damaged: {_damage(Path(path)) or error}") from None
    return tensors, metadata


_KINDS = {"BOOL", "U8", "U16", "U32", "U64", "I8", "I16", "I32", "I64", "F16", "F32", "F64"}


def _array(tensor: Tensor) -> tuple[np.ndarray, str]:
    """The elements of a tensor, dense, and the name of their dtype."""
    if tensor.dtype == tg.bfloat16:
        wide = np.ascontiguousarray(tensor.astype(tg.float32).numpy())
        return (wide.view(np.uint32) >> 16).astype(np.uint16), "bfloat16"
    array = np.ascontiguousarray(tensor.numpy())
    return array, array.dtype.name


def _safetensors() -> Any:
    try:
        import safetensors
    except ImportError:
        raise ImportError(
            "saving and loading need the package safetensors: pip install 'tegula[io]'"
        ) from None
    return safetensors


def _damage(path: Path) -> str:
    """Where a safetensors file goes wrong, or "" if nothing is found."""
    size = path.stat().st_size
    if size < 8:
        return f"it has {size} bytes, the length of the header alone takes 8"
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, _HEADER_LIMIT):
            return (
                f"byte 0 says that the header has {length:,} bytes; "
                f"the file has {size - 8:,} after it"
            )
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError) as error:
            return f"the header from byte 8 to {8 + length:,} is no JSON: {error}"
    if not isinstance(header, dict):
        return "the header is no JSON object"
    room, last = size - 8 - length, 0
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
        if not isinstance(offsets, list) or len(offsets) != 2:
            return f"tensor {name!r} has no data_offsets"
        start, end = offsets
        if not all(isinstance(offset, int) for offset in offsets) or not 0 <= start <= end <= room:
            return (
                f"tensor {name!r} lies at bytes {start} to {end} of the data; "
                f"the file holds {room:,} bytes of data"
            )
        last = max(last, end)
    if last < room:
        return f"{room - last:,} bytes after byte {8 + length + last:,} belong to no tensor"
    return ""


class AtomicFile:
    """A context whose file takes its final name only if the block ends well.

    Entering gives the name of a temporary file in the same folder. Leaving flushes it to disk
    and renames it; an exception removes it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __enter__(self) -> str:
        import tempfile

        handle, self.temporary = tempfile.mkstemp(
            dir=self.path.parent, prefix=f".{self.path.name}."
        )
        os.close(handle)
        return self.temporary

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                handle = os.open(self.temporary, os.O_RDWR)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)
                mask = os.umask(0)  # mkstemp made it private; it gets what open() would give
                os.umask(mask)
                os.chmod(self.temporary, 0o666 & ~mask)
                os.replace(self.temporary, self.path)
        finally:
            Path(self.temporary).unlink(missing_ok=True)


# ---- checkpoints -----------------------------------------------------------------------------


def save_checkpoint(path: str | os.PathLike[str], state: Any) -> None:
    """Writes nested state to one safetensors file: tensors as tensors, the rest as JSON.

    Args:
        path: the file; replaced atomically.
        state: dicts with string keys, lists and tuples (which come back as lists) of tensors,
            NumPy arrays, strings, numbers, bools and None; for instance
            ``{"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}``.

    Raises:
        ImportError: the package ``safetensors`` is not installed.
        OSError: the file cannot be written.
        TypeError: something in the state is of another kind; the message says where.
    """
    tensors: dict[str, Tensor] = {}
    plain = _encode(state, "", tensors)
    save(path, tensors, {_STATE: json.dumps(plain)})


def load_checkpoint(path: str | os.PathLike[str]) -> Any:
    """Reads back what ``save_checkpoint`` wrote.

    Raises:
        ImportError: the package ``safetensors`` is not installed.
        OSError: the file cannot be opened.
        ValueError: it is damaged or no checkpoint; the message names the file and the place.
    """
    tensors, metadata = _read(path)
    if _STATE not in metadata:
        raise ValueError(f"{path}: no checkpoint: its metadata has no {_STATE!r}")
    try:
        return _decode(json.loads(metadata[_STATE]), tensors)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: damaged: metadata {_STATE!r}: {error}") from None


def _encode(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    """``value`` as JSON; an object is either {"dict": …} or {"tensor": name}."""
    if isinstance(value, (Tensor, np.ndarray)):
        name = place or "value"
        tensors[name] = tg.asarray(value)
        return {"tensor": name}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"save_checkpoint: keys must be strings, got {key!r} in {place!r}")
        dot = f"{place}." if place else ""
        return {"dict": {key: _encode(v, dot + key, tensors) for key, v in value.items()}}
    if isinstance(value, (list, tuple)):
        return [_encode(v, f"{place}[{i}]", tensors) for i, v in enumerate(value)]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"save_checkpoint: cannot store {type(value).__name__} at {place!r}; "
        f"use tensors, strings, numbers, bools, None, lists and dicts of them"
    )


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(v, tensors) for v in value]
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        return {key: _decode(v, tensors) for key, v in value["dict"].items()}
    return value
