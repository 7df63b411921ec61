"""``import tegula.compat.torch as torch``: PyTorch's names and semantics over Tegula.

A thin layer: a table of names over Tegula's operations (``_table.py``), functions and methods whose
meaning is PyTorch's own, and one tensor type whose views are written through. What is not supported
raises NotImplementedError naming the PyTorch function and the nearest thing that works.
"""

from __future__ import annotations

import builtins as _builtins
import importlib as _importlib
import sys as _sys
from math import e, inf, nan, pi
from typing import Any

import tegula as _tg
from tegula import _core
from tegula._core import enable_grad, is_grad_enabled, manual_seed, no_grad
from tegula.compat.torch import (
    _creation,
    _elementwise,
    _indexing,
    _linear,
    _methods,
    _reductions,
    _shape,
)
from tegula.compat.torch._linear import linalg
from tegula.compat.torch._missing import absent as _absent
from tegula.compat.torch._registry import functions as _functions
from tegula.compat.torch._tensor import Size, Tensor, device

from tegula.compat.torch import autograd, fft, masked, nn, optim, signal, special, utils  # isort: skip
from tegula.compat.torch._serialization import load, save  # isort: skip

_sys.modules[f"{__name__}.linalg"] = linalg
_methods.install()
globals().update({n: f for n, f in _functions.items() if not n.startswith("_")})

dtype = _tg.DType
float16 = half = _tg.float16
bfloat16 = _tg.bfloat16
float32 = float = _tg.float32
float64 = double = _tg.float64
complex64 = cfloat = _tg.complex64
complex128 = cdouble = _tg.complex128
int8, int16, int32, int64 = _tg.int8, _tg.int16, _tg.int32, _tg.int64
short, int, long = int16, int32, int64
uint8, uint16, uint32, uint64 = _tg.uint8, _tg.uint16, _tg.uint32, _tg.uint64
bool = _tg.bool
newaxis = None
strided = "strided"
contiguous_format = channels_last = preserve_format = channels_last_3d = None
__version__ = "2.13.0+tegula"


class Generator(_tg.random.Generator):
    """A random generator of its own."""

    def __init__(self, device: Any = None) -> None:  # noqa: F811
        super().__init__(0)

    def seed(self) -> _builtins.int:
        """Starts anew from a random number."""
        import secrets

        number = secrets.randbits(63)
        self.manual_seed(number)
        return number

    def initial_seed(self) -> _builtins.int:
        """The seed."""
        return self.get_state()[0]


def _typed(name: str, kind: Any) -> Any:
    def make(*args: Any) -> Tensor:
        if args and all(isinstance(a, _builtins.int) for a in args):
            return _functions["zeros"](*args, dtype=kind)
        return _functions["tensor"](args[0] if args else [], dtype=kind)

    make.__name__ = name
    make.dtype = kind  # type: ignore[attr-defined]
    return make


FloatTensor = _typed("FloatTensor", float32)
DoubleTensor = _typed("DoubleTensor", float64)
HalfTensor = _typed("HalfTensor", float16)
LongTensor = _typed("LongTensor", int64)
IntTensor = _typed("IntTensor", int32)
ByteTensor = _typed("ByteTensor", uint8)
BoolTensor = _typed("BoolTensor", bool)


def get_default_dtype() -> Any:
    """The dtype of floats of Python."""
    return _core._compat_default_dtype()


def set_default_dtype(d: Any) -> None:
    """Sets the dtype of floats of Python."""
    _core._compat_default_dtype(d)


def finfo(type: Any = None) -> Any:
    """Limits of a floating dtype."""
    return _tg.finfo(get_default_dtype() if type is None else type)


def iinfo(type: Any) -> Any:
    """Limits of an integer dtype."""
    return _tg.iinfo(type)


def seed() -> _builtins.int:
    """Starts the default generator from a random number."""
    import secrets

    number = secrets.randbits(63)
    manual_seed(number)
    return number


def get_num_threads() -> _builtins.int:
    """Threads that compute."""
    return _builtins.int(_core.num_threads()) if hasattr(_core, "num_threads") else 1


def set_num_threads(n: _builtins.int) -> None:
    """Sets the threads that compute, where Tegula can."""
    if hasattr(_core, "set_num_threads"):
        _core.set_num_threads(n)


def _window(name: str) -> Any:
    def make(
        window_length: _builtins.int, periodic: _builtins.bool = True, **options: Any
    ) -> Tensor:
        return getattr(signal.windows, name)(window_length, sym=not periodic, **options)

    make.__name__ = f"{name}_window"
    make.__doc__ = f"torch.{name}_window."
    return make


hann_window, hamming_window = _window("hann"), _window("hamming")
blackman_window, bartlett_window = _window("blackman"), _window("bartlett")
kaiser_window = _window("kaiser")


def set_printoptions(**_: Any) -> None:
    """Nothing: tensors print as NumPy's arrays do."""


def use_deterministic_algorithms(mode: _builtins.bool, **_: Any) -> None:
    """Nothing: results do not depend on threads."""


def set_float32_matmul_precision(precision: str) -> None:
    """Nothing: products of float32 are of float32."""


def compile(model: Any = None, **_: Any) -> Any:
    """The model as it is; ``tegula.jit`` compiles a training step."""
    return (lambda f: f) if model is None else model


class _Unavailable:
    """A device that is not there."""

    def is_available(self) -> _builtins.bool:
        """False."""
        return False

    is_built = is_bf16_supported = is_available

    def device_count(self) -> _builtins.int:
        """0."""
        return 0

    def manual_seed(self, seed: _builtins.int) -> None:
        """Nothing."""

    manual_seed_all = manual_seed
    deterministic = benchmark = allow_tf32 = False

    def empty_cache(self) -> None:
        """Nothing."""

    synchronize = empty_cache

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(f"torch.cuda.{name} is not supported: Tegula computes on the CPU")


cuda = _Unavailable()
mps = _Unavailable()


class backends:  # noqa: N801
    """What PyTorch asks about hardware."""

    cudnn = _Unavailable()
    mps = _Unavailable()
    cuda = _Unavailable()


def __getattr__(name: str) -> Any:
    if name == "onnx" or name.startswith("__"):
        raise AttributeError(f"module 'torch' has no attribute {name!r}")
    raise _absent("torch", name)


del _importlib, _creation, _elementwise, _indexing, _linear, _reductions, _shape
