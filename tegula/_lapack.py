"""Finds LAPACK for the engine: in the scipy-openblas32 wheel, else in SciPy.

The engine calls it from several threads, one matrix on each, and so the library itself has to use
one thread: otherwise results would depend on the number of threads.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
from pathlib import Path
from typing import Any

from tegula import _core


def install() -> None:
    """Gives the engine a LAPACK if there is one; else operations that need it say what to do."""
    for find in (_from_openblas, _from_scipy):
        addresses = find()
        if addresses:
            _core._set_lapack(addresses)
            return


def _folder(package: str) -> Path | None:
    """Where a package lies that need not be there."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def _limit_threads(library: ctypes.CDLL) -> None:
    library.scipy_openblas_set_num_threads(1)


def _from_openblas() -> dict[str, int]:
    folder = _folder("scipy_openblas32")
    for path in sorted(folder.glob("lib/libscipy_openblas.*")) if folder else []:
        if path.suffix not in {".so", ".dylib", ".dll"}:
            continue
        library = ctypes.CDLL(str(path))
        _limit_threads(library)
        return {
            name: _address(getattr(library, f"scipy_{name}_")) for name in _core._lapack_names()
        }
    return {}


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _from_scipy() -> dict[str, int]:
    folder = _folder("scipy")
    if folder is None:
        return {}
    modules = [
        importlib.import_module(f"scipy.linalg.cython_{part}") for part in ("blas", "lapack")
    ]
    capsules = {name: c for module in modules for name, c in module.__pyx_capi__.items()}
    # The OpenBLAS of SciPy's wheel is limited for SciPy too. One that is not found there is left
    # as it is.
    for path in sorted(folder.parent.glob("scipy.libs/libscipy_openblas*")):
        _limit_threads(ctypes.CDLL(str(path)))
    name_of, pointer_of = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return {
        name: pointer_of(capsules[name], name_of(capsules[name])) for name in _core._lapack_names()
    }
