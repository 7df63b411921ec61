"""Reading PyTorch's zip archives: tensors and plain containers, and nothing else.

An archive holds a pickle and one record of bytes per storage. The pickle is not handed to Python's
unpickler, which calls what it names: the few instructions that state dicts need are interpreted
here, and the only names that mean anything are those in ``_Reader.named``. Everything is checked
against the bytes that are there before memory is taken.
"""

from __future__ import annotations

import itertools
import math
import os
import pickletools
import zipfile
from collections import OrderedDict
from typing import Any

import numpy as np

import tegula as tg
from tegula.compat.torch._creation import finish
from tegula.compat.torch._tensor import Size

_STORAGES = {
    "FloatStorage": ("<f4", "float32"),
    "DoubleStorage": ("<f8", "float64"),
    "HalfStorage": ("<f2", "float16"),
    "BFloat16Storage": ("<u2", "bfloat16"),
    "LongStorage": ("<i8", "int64"),
    "IntStorage": ("<i4", "int32"),
    "ShortStorage": ("<i2", "int16"),
    "CharStorage": ("<i1", "int8"),
    "ByteStorage": ("<u1", "uint8"),
    "BoolStorage": ("|b1", "bool"),
    "ComplexFloatStorage": ("<c8", "complex64"),
    "ComplexDoubleStorage": ("<c16", "complex128"),
}
_DTYPES = {dtype for _, dtype in _STORAGES.values()} | {"uint16", "uint32", "uint64"}
_MARK = object()


class _Name:
    """A name that the pickle may call or mention."""

    def __init__(self, name: str) -> None:
        self.name = name


def read_archive(path: Any, source: Any) -> Any:
    """What a PyTorch archive holds.

    Args:
        path: for messages.
        source: a path or a binary file.

    Raises:
        ValueError: the archive is damaged, or holds something else than tensors and containers; the
            message says what.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            return _Reader(path, archive).read()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path}: refused: damaged archive: {error}") from None


class _Reader:
    def __init__(self, path: Any, archive: zipfile.ZipFile) -> None:
        self.path, self.archive = path, archive
        self.records: dict[str, zipfile.ZipInfo] = {}
        self.storages: dict[str, Any] = {}
        self.used = 0
        self._check_records()

    def refuse(self, why: str) -> ValueError:
        return ValueError(f"{self.path}: refused: {why}")

    # ---- the zip ---------------------------------------------------------------------------

    def _check_records(self) -> None:
        file = self.archive.fp
        assert file is not None
        file.seek(0, os.SEEK_END)
        length = file.tell()
        spans = []
        for info in self.archive.infolist():
            if info.filename in self.records:
                raise self.refuse(f"two records are called {info.filename!r}")
            if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
                raise self.refuse(
                    f"record {info.filename!r} is compressed, which PyTorch never does"
                )
            if info.header_offset < 0 or info.header_offset + 30 + info.file_size > length:
                raise self.refuse(
                    f"record {info.filename!r} of {info.file_size} bytes reaches beyond the file"
                )
            spans.append(
                (info.header_offset, info.header_offset + 30 + info.file_size, info.filename)
            )
            self.records[info.filename] = info
        spans.sort()
        for (_, end, first), (start, _, second) in itertools.pairwise(spans):
            if start < end:
                raise self.refuse(f"records {first!r} and {second!r} overlap")

    def read(self) -> Any:
        pickles = [name for name in self.records if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise self.refuse(f"has {len(pickles)} records data.pkl, not one: no PyTorch archive")
        self.root = pickles[0].removesuffix("data.pkl")
        code = [n for n in self.records if n.startswith(self.root + "code/")]
        if code or self.root + "constants.pkl" in self.records:
            raise self.refuse("holds code (TorchScript); only tensors and containers are read")
        order = self.root + "byteorder"
        if order in self.records and self.archive.read(order).strip() != b"little":
            raise self.refuse("its numbers are not little-endian")
        return self._interpret(self.archive.read(pickles[0]))

    # ---- the pickle ------------------------------------------------------------------------

    def _interpret(self, code: bytes) -> Any:
        stack: list[Any] = []
        memo: dict[int, Any] = {}

        def pop_mark() -> list[Any]:
            at = len(stack) - 1
            while stack[at] is not _MARK:
                at -= 1
                if at < 0:
                    raise self.refuse("damaged pickle: a mark is missing")
            items = stack[at + 1 :]
            del stack[at:]
            return items

        try:
            for operation, argument, _ in pickletools.genops(code):
                value: Any = argument
                name = operation.name
                if name in ("PROTO", "FRAME"):
                    continue
                if name == "STOP":
                    return self._finished(stack)
                if name == "MARK":
                    stack.append(_MARK)
                elif name in _CONSTANTS:
                    stack.append(_CONSTANTS[name]())
                elif name in _VALUES:
                    stack.append(value)
                elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
                    memo[value] = stack[-1]
                elif name == "MEMOIZE":
                    memo[len(memo)] = stack[-1]
                elif name in ("BINGET", "LONG_BINGET", "GET"):
                    stack.append(memo[value])
                elif name == "TUPLE":
                    stack.append(tuple(pop_mark()))
                elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
                    count = int(name[-1])
                    items = stack[len(stack) - count :]
                    if len(items) != count:
                        raise self.refuse("damaged pickle: too few values for a tuple")
                    del stack[len(stack) - count :]
                    stack.append(tuple(items))
                elif name in ("LIST", "DICT"):
                    items = pop_mark()
                    stack.append(items if name == "LIST" else self._pairs({}, items))
                elif name == "APPEND":
                    item = stack.pop()
                    self._container(stack[-1], list).append(item)
                elif name == "APPENDS":
                    items = pop_mark()
                    self._container(stack[-1], list).extend(items)
                elif name == "SETITEM":
                    item, key = stack.pop(), stack.pop()
                    self._pairs(stack[-1], [key, item])
                elif name == "SETITEMS":
                    items = pop_mark()
                    self._pairs(stack[-1], items)
                elif name == "ADDITEMS":
                    items = pop_mark()
                    self._container(stack[-1], set).update(items)
                elif name in ("GLOBAL", "STACK_GLOBAL"):
                    if name == "GLOBAL":
                        module, _, word = value.partition(" ")
                    else:
                        word, module = stack.pop(), stack.pop()
                    stack.append(self._named(module, word))
                elif name == "BINPERSID":
                    stack.append(self._storage(stack.pop()))
                elif name == "REDUCE":
                    arguments, called = stack.pop(), stack.pop()
                    stack.append(self._call(called, arguments))
                elif name == "BUILD":
                    state = stack.pop()
                    if not isinstance(stack[-1], OrderedDict) or not isinstance(state, dict):
                        raise self.refuse("its pickle sets attributes of an object")
                    # The versions of modules, which PyTorch keeps beside a state dict.
                else:
                    raise self.refuse(f"its pickle uses {name}, which makes objects")
        except (IndexError, KeyError, TypeError, UnicodeError, RecursionError) as error:
            raise self.refuse(f"damaged pickle: {type(error).__name__}: {error}") from None
        except ValueError as error:
            if str(error).startswith(f"{self.path}: refused"):
                raise
            raise self.refuse(f"damaged pickle: {error}") from None
        raise self.refuse("damaged pickle: it does not end")

    def _finished(self, stack: list[Any]) -> Any:
        if len(stack) != 1 or stack[0] is _MARK or isinstance(stack[0], (_Name, _Storage)):
            raise self.refuse("damaged pickle: it ends without a value")
        return stack[0]

    def _container(self, value: Any, kind: type) -> Any:
        if not isinstance(value, kind):
            raise self.refuse(f"damaged pickle: a {kind.__name__} expected")
        return value

    def _pairs(self, target: Any, items: list[Any]) -> Any:
        mapping = self._container(target, dict)
        if len(items) % 2:
            raise self.refuse("damaged pickle: a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, (str, int, float, bool, tuple, type(None))):
                raise self.refuse(f"a key is a {type(key).__name__}")
            mapping[key] = value
        return mapping

    def _named(self, module: Any, word: Any) -> Any:
        known = {
            ("collections", "OrderedDict"),
            ("torch._utils", "_rebuild_tensor_v2"),
            ("torch._utils", "_rebuild_parameter"),
            ("torch", "Size"),
            ("torch", "device"),
        }
        if module == "torch" and word in _DTYPES:
            return getattr(tg, word)
        if (module, word) in known or (module == "torch" and word in _STORAGES):
            return _Name(word)
        raise self.refuse(
            f"its pickle names {module}.{word}: only tensors and plain containers are read"
        )

    def _call(self, called: Any, arguments: Any) -> Any:
        if not isinstance(called, _Name) or not isinstance(arguments, tuple):
            raise self.refuse("its pickle calls something that is no tensor or container")
        if called.name == "OrderedDict" and not arguments:
            return OrderedDict()
        if called.name == "OrderedDict" and len(arguments) == 1:
            pairs = self._container(arguments[0], list)
            return OrderedDict(self._pairs({}, [v for pair in pairs for v in pair]))
        if called.name == "Size" and len(arguments) == 1:
            return Size(self._ints("torch.Size", arguments[0]))
        if called.name == "device":
            return "cpu"
        if called.name == "_rebuild_parameter" and len(arguments) >= 2:
            from tegula.compat.torch.nn import Parameter

            if not isinstance(arguments[0], tg.Tensor) or not isinstance(arguments[1], bool):
                raise self.refuse("damaged pickle: a parameter that is no tensor")
            return Parameter(arguments[0], arguments[1])
        if called.name == "_rebuild_tensor_v2" and len(arguments) >= 4:
            return self._tensor(*arguments[:4], bool(arguments[4] if len(arguments) > 4 else False))
        raise self.refuse(f"its pickle calls {called.name} with {len(arguments)} arguments")

    def _ints(self, what: str, values: Any) -> tuple[int, ...]:
        if not isinstance(values, tuple) or any(type(v) is not int for v in values):
            raise self.refuse(f"{what} is no tuple of ints")
        if any(v < 0 or v >= 2**62 for v in values):
            raise self.refuse(f"{what} is {values}")
        return values

    # ---- storages and tensors --------------------------------------------------------------

    def _storage(self, given: Any) -> _Storage:
        if not isinstance(given, tuple) or len(given) != 5 or given[0] != "storage":
            raise self.refuse("a persistent id that is no storage")
        _, kind, key, _, count = given
        if not isinstance(kind, _Name) or kind.name not in _STORAGES:
            raise self.refuse("a storage of an unknown kind")
        if not isinstance(key, str) or type(count) is not int or count < 0:
            raise self.refuse("a storage without a name or a size")
        name = f"{self.root}data/{key}"
        info = self.records.get(name)
        if info is None:
            raise self.refuse(f"storage {key!r} has no record")
        layout, dtype = _STORAGES[kind.name]
        size = count * np.dtype(layout).itemsize
        if info.file_size != size:
            raise self.refuse(
                f"storage {key!r} of {count} elements needs {size} bytes, its record has "
                f"{info.file_size}"
            )
        if key in self.storages:
            if self.storages[key].dtype != dtype:
                raise self.refuse(f"storage {key!r} is used as two dtypes")
        else:
            elements = np.frombuffer(self.archive.read(info), dtype=layout)
            self.storages[key] = _Storage(key, elements, dtype)
        found: _Storage = self.storages[key]
        return found

    def _tensor(self, storage: Any, offset: Any, size: Any, stride: Any, grad: bool) -> Any:
        if not isinstance(storage, _Storage):
            raise self.refuse("a tensor without a storage")
        what = f"a tensor of storage {storage.key!r}"
        shape, strides = (
            self._ints(f"the size of {what}", size),
            self._ints(f"the stride of {what}", stride),
        )
        if type(offset) is not int or offset < 0 or len(shape) != len(strides):
            raise self.refuse(f"{what}: offset {offset!r}, size {shape}, stride {strides}")
        count = math.prod(shape)
        have = len(storage.elements)
        last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        if count and last >= have:
            raise self.refuse(
                f"{what} of size {shape}, stride {strides} and offset {offset} reaches element "
                f"{last}; the storage has {have}"
            )
        if count > have:
            raise self.refuse(f"{what} has {count} elements that overlap in a storage of {have}")
        # So many tensors may share one storage that together they fill the memory.
        self.used += count * storage.elements.itemsize
        total = sum(i.file_size for n, i in self.records.items() if "/data/" in n)
        if self.used > 16 * total + 2**20:
            raise self.refuse(
                "its tensors share storages so often that they exceed the file 16-fold"
            )
        step = storage.elements.itemsize
        array = (
            np.lib.stride_tricks.as_strided(
                storage.elements[offset:], shape, [s * step for s in strides], writeable=False
            )
            if count
            else np.zeros(shape, storage.elements.dtype)
        )
        if storage.dtype == "bfloat16":
            wide = (array.astype(np.uint32) << 16).view(np.float32)
            value = tg.asarray(np.ascontiguousarray(wide).reshape(shape)).astype(tg.bfloat16)
        else:
            value = tg.asarray(np.array(array))
        made = finish(value)
        return made.requires_grad_() if grad else made


class _Storage:
    def __init__(self, key: str, elements: Any, dtype: str) -> None:
        self.key, self.elements, self.dtype = key, elements, dtype


_CONSTANTS: dict[str, Any] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": set,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
}
_VALUES = {
    "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BINSTRING", "SHORT_BINSTRING", "STRING",
}  # fmt: skip
