"""The IDX format of MNIST and its kin: arrays of bytes or numbers, often gzipped.

Two zero bytes, a dtype code, the number of axes, each extent as a big-endian uint32, the
elements big-endian in row-major order (LeCun, Cortes & Burges: the MNIST database).
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_RATIO = 1032  # deflate cannot shrink data by more
_CHUNK = 1 << 20


def load_idx(
    path: str | os.PathLike[str], shape: tuple[int | None, ...] | None = None
) -> np.ndarray:
    """Reads an IDX file, plain or gzipped.

    Args:
        path: the file.
        shape: the shape it must have; None stands for any extent.

    Returns:
        The array, in the machine's byte order, read-only if that saves a copy.

    Raises:
        OSError: the file cannot be opened or read.
        ValueError: it is no IDX file, truncated, too long or of another shape. The message
            names the file, the place and what was expected.
    """
    file = Path(path)
    raw = file.read_bytes()

    def bad(problem: str) -> ValueError:
        return ValueError(f"{file}: {problem}")

    stream = _Gzip(raw, bad) if raw[:2] == b"\x1f\x8b" else _Plain(raw)
    head = stream.read(4)
    if len(head) < 4:
        raise bad(f"truncated: {len(head)} bytes, an IDX file has at least 4")
    if head[:2] != b"\0\0" or head[2] not in _DTYPES or head[3] == 0:
        raise bad(
            f"not an IDX file: it begins with {head.hex(' ')}; expected 00 00, "
            f"a dtype code ({', '.join(f'{code:02x}' for code in _DTYPES)}) and a number of axes"
        )
    dtype, axes = np.dtype(_DTYPES[head[2]]), head[3]
    sizes = stream.read(4 * axes)
    if len(sizes) < 4 * axes:
        raise bad(f"truncated in the extents: {axes} axes need {4 * axes} bytes, {len(sizes)} left")
    extents = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, 4 * axes, 4))
    if shape is not None and (
        len(shape) != axes
        or any(want not in (None, have) for want, have in zip(shape, extents, strict=True))
    ):
        wanted = tuple("any" if n is None else n for n in shape)
        raise bad(f"wrong size: its shape is {extents}, expected {wanted}")
    size = math.prod(extents) * dtype.itemsize
    if size > stream.most():
        raise bad(
            f"truncated: its shape {extents} needs {size:,} bytes, "
            f"and it can hold at most {stream.most():,}"
        )
    body = stream.read(size)
    if len(body) < size:
        raise bad(f"truncated: its shape {extents} needs {size:,} bytes, {len(body):,} are there")
    if stream.read(1) or stream.more():
        raise bad(f"too long: bytes follow the {size:,} that its shape {extents} needs")
    array = np.frombuffer(body, dtype=dtype).reshape(extents)
    return array.astype(dtype.newbyteorder("="), copy=False)


class _Plain:
    """Reads from bytes."""

    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0

    def most(self) -> int:
        """Bytes that may be left."""
        return len(self.raw) - self.at

    def more(self) -> bool:
        """Whether bytes follow."""
        return self.at < len(self.raw)

    def read(self, count: int) -> bytes:
        """At most ``count`` bytes."""
        part = self.raw[self.at : self.at + count]
        self.at += len(part)
        return part


class _Gzip:
    """Reads from one gzip member, never more than is asked for."""

    def __init__(self, raw: bytes, bad: Callable[[str], ValueError]) -> None:
        self.raw, self.at, self.bad = raw, 0, bad
        self.inflate = zlib.decompressobj(wbits=31)

    def most(self) -> int:
        """Bytes that may be left."""
        return len(self.raw) * _MAX_RATIO

    def more(self) -> bool:
        """Whether bytes follow the gzip member."""
        return bool(self.inflate.unused_data) or self.at < len(self.raw)

    def read(self, count: int) -> bytes:
        """At most ``count`` bytes; checks the sum of the whole at its end."""
        parts, missing = [], count
        while missing > 0 and not self.inflate.eof:
            source = self.inflate.unconsumed_tail
            if not source:
                source = self.raw[self.at : self.at + _CHUNK]
                self.at += len(source)
            try:
                part = self.inflate.decompress(source, min(missing, _CHUNK))
            except zlib.error as error:
                place = self.at - len(source)
                raise self.bad(f"damaged gzip data after byte {place:,}: {error}") from None
            if not part and not source:
                raise self.bad(f"truncated: the gzip data ends at byte {len(self.raw):,}")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)
