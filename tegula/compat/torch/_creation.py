"""Functions that make tensors, and their methods ``new_*``."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np

import tegula as tg
from tegula import _core
from tegula.compat.torch._registry import both, function, method, not_supported, write
from tegula.compat.torch._tensor import Tensor, as_tensor_like

_as = _core._as_compat


def _shape(sizes: tuple[Any, ...], size: Any = None) -> tuple[int, ...]:
    if size is not None:
        sizes = (size,)
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    return tuple(int(s) for s in sizes)


def finish(x: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """The tensor as this module's type, cast, perhaps a leaf that requires grad."""
    if dtype is not None and x.dtype != dtype:
        x = _core.astype(x, dtype)
    x = _as(x) if type(x) is _core.Tensor else x
    return x.requires_grad_() if requires_grad else x


def _real(dtype: Any) -> Any:
    return _core._compat_default_dtype() if dtype is None else dtype


def _pinned(options: dict[str, Any], name: str) -> None:
    """Accepts what means nothing here; refuses the rest."""
    harmless = {"layout", "pin_memory", "memory_format", "out", "names", "generator"}
    for key, value in options.items():
        if key not in harmless or (key in ("out", "generator") and value is not None):
            raise TypeError(f"torch.{name}: unexpected argument {key!r}")


def generating(generator: Any) -> Any:
    """A context in which random numbers come from a generator of their own, if there is one."""
    return contextlib.nullcontext() if generator is None else generator


def _dtype_of_data(data: Any) -> Any:
    """PyTorch's dtype for lists: floats are of the default dtype."""
    array = np.asarray(data)
    if array.dtype == np.float64:
        return _core._compat_default_dtype()
    if array.dtype == np.complex128:
        return tg.complex128 if _core._compat_default_dtype() == "float64" else tg.complex64
    return None


@function
def tensor(
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A new tensor of the values: floats of Python become the default dtype."""
    if isinstance(data, _core.Tensor):
        source = _core.astype(data.detach(), dtype or data.dtype, copy=True)
        return finish(_core._as_plain(source), None, requires_grad)
    if isinstance(data, (list, tuple)) and _holds_tensors(data):
        data = _numbers(data)
    if dtype is None and not isinstance(data, (np.ndarray, np.generic)):
        dtype = _dtype_of_data(data)
    value = _core.asarray(np.array(data) if not _is_bfloat(dtype) else data, dtype=dtype, copy=True)
    return finish(value, None, requires_grad)


def _is_bfloat(dtype: Any) -> bool:
    return dtype is not None and dtype == "bfloat16"


def _holds_tensors(data: Any) -> bool:
    return any(
        isinstance(x, _core.Tensor) or (isinstance(x, (list, tuple)) and _holds_tensors(x))
        for x in data
    )


def _numbers(data: Any) -> Any:
    if isinstance(data, _core.Tensor):
        return data.tolist()
    return [_numbers(x) for x in data] if isinstance(data, (list, tuple)) else data


@function
def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """The values as a tensor; a tensor of that dtype is given back."""
    if isinstance(data, Tensor):
        return data if dtype is None or data.dtype == dtype else data.to(dtype)
    if isinstance(data, np.ndarray):
        return finish(_core.asarray(data), dtype)
    return tensor(data, dtype=dtype)


@function
def asarray(obj: Any, *, dtype: Any = None, device: Any = None, **options: Any) -> Tensor:
    """As ``as_tensor``."""
    return as_tensor(obj, dtype, device)


@function
def from_numpy(ndarray: Any) -> Tensor:
    """The values of a NumPy array, copied: later changes of the array do not show."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    return finish(_core.asarray(ndarray))


@function
def from_dlpack(x: Any) -> Tensor:
    """A tensor of another framework through DLPack."""
    return finish(tg.from_dlpack(x))


def _filled(name: str, make: Any) -> None:
    def create(
        *sizes: Any,
        size: Any = None,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        **options: Any,
    ) -> Tensor:
        _pinned(options, name)
        return finish(
            make(_shape(sizes, size), dtype=_real(dtype), device=device), None, requires_grad
        )

    def like(
        input: Tensor,
        *,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        **options: Any,
    ) -> Tensor:
        _pinned(options, name + "_like")
        return finish(make(input.shape, dtype=dtype or input.dtype), None, requires_grad)

    def new(
        self: Tensor,
        *sizes: Any,
        size: Any = None,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        **options: Any,
    ) -> Tensor:
        return finish(make(_shape(sizes, size), dtype=dtype or self.dtype), None, requires_grad)

    for kind, f in ((name, create), (f"{name}_like", like)):
        f.__name__ = f.__qualname__ = kind
        f.__doc__ = f"As torch.{kind}."
        function(f)
    new.__name__ = f"new_{name}"
    new.__doc__ = f"A tensor like torch.{name}'s, of this one's dtype."
    method(new)


_filled("zeros", _core.zeros)
_filled("ones", _core.ones)
_filled("empty", _core.zeros)


def _fill_dtype(value: Any, dtype: Any) -> Any:
    if dtype is not None:
        return dtype
    if isinstance(value, _core.Tensor):
        return value.dtype
    if isinstance(value, bool):
        return tg.bool
    if isinstance(value, complex):
        return tg.complex64
    return tg.int64 if isinstance(value, int) else _core._compat_default_dtype()


@function
def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """All elements are one value."""
    _pinned(options, "full")
    value = _core.full(_shape((size,)), fill_value, dtype=_fill_dtype(fill_value, dtype))
    return finish(value, None, requires_grad)


@function
def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """All elements are one value, with the shape and dtype of a tensor."""
    return finish(
        _core.full(input.shape, fill_value, dtype=dtype or input.dtype), None, requires_grad
    )


@method
def new_full(self: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, **o: Any) -> Tensor:
    """All elements are one value, of this one's dtype."""
    return full(size, fill_value, dtype=dtype or self.dtype)


@method
def new_tensor(self: Tensor, data: Any, *, dtype: Any = None, **options: Any) -> Tensor:
    """The values as a tensor of this one's dtype."""
    return tensor(data, dtype=dtype or self.dtype)


@method
def new(self: Tensor, *args: Any) -> Tensor:
    """Uninitialised (zeros), or of the values, of this one's dtype."""
    return Tensor(*args).to(self.dtype)


@function
def empty_strided(size: Any, stride: Any, *, dtype: Any = None, **options: Any) -> Tensor:
    """As ``empty``: the layout is Tegula's own."""
    return finish(_core.zeros(tuple(size), dtype=_real(dtype)))


@method
def new_empty_strided(
    self: Tensor, size: Any, stride: Any, *, dtype: Any = None, **o: Any
) -> Tensor:
    """As ``new_empty``."""
    return finish(_core.zeros(tuple(size), dtype=dtype or self.dtype))


@function
def arange(
    *args: Any,
    start: Any = None,
    end: Any = None,
    step: Any = 1,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """From start to before end."""
    _pinned(options, "arange")
    given = [start, end, step]
    if len(args) == 1:
        given[0 if end is not None else 1] = args[0]
    else:
        given[: len(args)] = args
    first, last, by = (0 if given[0] is None else given[0]), given[1], given[2]
    numbers = [x.item() if isinstance(x, _core.Tensor) else x for x in (first, last, by)]
    if dtype is None and any(isinstance(x, float) for x in numbers):
        dtype = _core._compat_default_dtype()
    value = _core.arange(numbers[0], numbers[1], numbers[2], dtype=dtype)
    return finish(value, None, requires_grad)


@function
def range(start: Any = 0, end: Any = None, step: Any = 1, *, dtype: Any = None, **o: Any) -> Tensor:
    """From start to end inclusive."""
    count = math.floor((end - start) / step) + 1
    return finish(start + _core.arange(count) * step, _real(dtype))


@function
def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """Evenly spaced from start to end inclusive."""
    dtype = _real(dtype)
    if isinstance(start, _core.Tensor) or isinstance(end, _core.Tensor):
        weight = _core.linspace(0, 1, steps, dtype=dtype)
        return finish(start + weight * (end - start), dtype, requires_grad)
    if not tg.isdtype(dtype, "real floating"):
        return finish(_core.trunc(_core.linspace(start, end, steps, dtype=tg.float64)), dtype)
    return finish(_core.linspace(start, end, steps, dtype=dtype), None, requires_grad)


@function
def logspace(
    start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: Any = None, **options: Any
) -> Tensor:
    """Powers of ``base`` with evenly spaced exponents."""
    options.pop("device", None)
    exponents = linspace(start, end, steps, dtype=tg.float64)
    return finish(_core.pow(_core.full((), base, dtype=tg.float64), exponents), _real(dtype))


@function
def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """Ones on the diagonal."""
    return finish(_core.eye(n, m, dtype=_real(dtype)), None, requires_grad)


@function
def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, **o: Any) -> Tensor:
    """Rows and columns of the lower triangle, (2, n)."""
    return finish(_core.asarray(np.stack(np.tril_indices(row, offset, col))), dtype or tg.int64)


@function
def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, **o: Any) -> Tensor:
    """Rows and columns of the upper triangle, (2, n)."""
    return finish(_core.asarray(np.stack(np.triu_indices(row, offset, col))), dtype or tg.int64)


# ---- random ----------------------------------------------------------------------------------


@function
def rand(
    *sizes: Any,
    size: Any = None,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """Uniform in [0, 1)."""
    _pinned(options, "rand")
    with generating(generator):
        value = tg.random.uniform(_shape(sizes, size), dtype=_real(dtype))
    return finish(value, None, requires_grad)


@function
def randn(
    *sizes: Any,
    size: Any = None,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """Standard normal."""
    _pinned(options, "randn")
    with generating(generator):
        value = tg.random.normal(_shape(sizes, size), dtype=_real(dtype))
    return finish(value, None, requires_grad)


@function
def randint(
    *args: Any,
    low: int = 0,
    high: int | None = None,
    size: Any = None,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """Integers in [low, high)."""
    given = list(args)
    if given and size is None and isinstance(given[-1], (tuple, list)):
        size = given.pop()
    if len(given) == 2:
        low, high = given
    elif len(given) == 1:
        high = given[0]
    if high is None or size is None:
        raise TypeError("torch.randint: takes (low=0, high, size)")
    dtype = dtype or tg.int64
    whole = tg.isdtype(dtype, "integral")
    with generating(generator):
        value = tg.random.randint(int(low), int(high), _shape((size,)), dtype if whole else None)
    return finish(value, dtype, requires_grad)


@function
def randperm(n: int, *, generator: Any = None, dtype: Any = None, **options: Any) -> Tensor:
    """The integers below n in random order."""
    with generating(generator):
        return finish(_core.permutation(n), dtype or tg.int64)


def _like(name: str, make: Any) -> None:
    def like(input: Tensor, *args: Any, dtype: Any = None, **options: Any) -> Tensor:
        options.pop("memory_format", None)
        return make(*args, size=input.shape, dtype=dtype or input.dtype, **options)

    like.__name__ = like.__qualname__ = name
    like.__doc__ = f"As torch.{name}."
    function(like)


_like("rand_like", rand)
_like("randn_like", randn)
_like("randint_like", randint)


@function
def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Any = None,
    dtype: Any = None,
    **options: Any,
) -> Tensor:
    """Normal numbers with means and standard deviations."""
    tensors = [x for x in (mean, std) if isinstance(x, _core.Tensor)]
    shape = tg.broadcast_shapes(*[x.shape for x in tensors]) if tensors else tuple(size)
    with generating(generator):
        draws = tg.random.normal(
            shape, dtype=dtype or (tensors[0].dtype if tensors else _real(None))
        )
    return finish(mean + std * finish(draws))


@both
def bernoulli(input: Tensor, p: Any = None, *, generator: Any = None) -> Tensor:
    """1 with the probability that an element is, else 0, in the tensor's dtype."""
    with generating(generator):
        chance = input if p is None else _core.zeros(input.shape, dtype=tg.float32) + p
        return finish(_core.bernoulli(_core._as_plain(chance).detach()), input.dtype)


@both
def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None
) -> Tensor:
    """Indices drawn in proportion to the weights of each row.

    By the Gumbel trick (Efraimidis & Spirakis 2006): the largest of log(w) - log(-log(u)).
    """
    weights = input.detach()
    if not replacement and num_samples > weights.shape[-1]:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )
    with generating(generator):
        if replacement:
            draws = tg.random.uniform((*weights.shape[:-1], num_samples), dtype=tg.float64)
            total = _core.cumulative_sum(_core.astype(weights, tg.float64), axis=-1)
            ends = total[..., -1:] * draws
            below = _core.expand_dims(total, axis=-2) <= _core.expand_dims(ends, axis=-1)
            return finish(_core.sum(_core.astype(below, tg.int64), axis=-1))
        draws = tg.random.uniform(weights.shape, dtype=tg.float64)
    noise = _core.log(-_core.log(draws + 1e-300))
    score = _core.log(_core.astype(weights, tg.float64)) - noise
    return finish(_core.topk(score, num_samples, axis=-1)[1])


@both
def poisson(input: Tensor, generator: Any = None) -> Tensor:
    """Poisson numbers with the rates that the elements are."""
    found = getattr(tg.random, "poisson", None)
    if found is None:
        raise not_supported("poisson", "Tegula draws uniform, normal and Bernoulli numbers")
    with generating(generator):
        return finish(found(_core._as_plain(input.detach())), input.dtype)


def _drawn(name: str, draw: Any) -> None:
    """A method that overwrites a tensor with random numbers."""

    def overwrite(self: Tensor, *args: Any, generator: Any = None, **kwargs: Any) -> Tensor:
        with generating(generator):
            value = finish(draw(self, *args, **kwargs))
        return write(self, value if value.dtype == self.dtype else value.to(self.dtype), name)

    overwrite.__name__ = overwrite.__qualname__ = name
    overwrite.__doc__ = f"Overwrites the tensor with random numbers, as torch.Tensor.{name}."
    method(overwrite)


def _floats(x: Tensor) -> Any:
    return x.dtype if tg.isdtype(x.dtype, "real floating") else tg.float32


def _uniform(x: Tensor) -> Any:
    return tg.random.uniform(x.shape, dtype=_floats(x))


def _random(x: Tensor, a: Any = 0, b: Any = None) -> Any:
    if b is None:
        a, b = 0, a or (2**24 if tg.isdtype(x.dtype, "real floating") else 2**7 - 1)
    return tg.random.randint(a, b, x.shape)


_drawn(
    "uniform_",
    lambda x, a=0.0, b=1.0, **k: (
        _uniform(x) * (k.get("to", b) - k.get("from", a)) + k.get("from", a)
    ),
)
_drawn("normal_", lambda x, mean=0.0, std=1.0: tg.random.normal(x.shape, mean, std, _floats(x)))
_drawn("bernoulli_", lambda x, p=0.5: bernoulli(x, p))
_drawn("exponential_", lambda x, lambd=1.0: -_core.log1p(-_uniform(x)) / lambd)
_drawn(
    "cauchy_",
    lambda x, median=0.0, sigma=1.0: median + sigma * _core.tan(math.pi * (_uniform(x) - 0.5)),
)
_drawn(
    "log_normal_",
    lambda x, mean=1.0, std=2.0: _core.exp(tg.random.normal(x.shape, mean, std, _floats(x))),
)
_drawn("geometric_", lambda x, p: _core.ceil(_core.log1p(-_uniform(x)) / math.log1p(-p)))
_drawn("random_", _random)

__all__ = ["as_tensor_like", "finish", "tensor"]
