"""``torch.nn.functional``: activations, dropout and normalisation."""

from __future__ import annotations

import math
from typing import Any

import tegula as tg
from tegula import _core
from tegula.compat.torch._elementwise import _where
from tegula.compat.torch._reductions import softmaxes
from tegula.compat.torch._registry import functions, in_place, methods, need, t, write
from tegula.compat.torch._tensor import Tensor
from tegula.nn import functional as plain

table: dict[str, Any] = {}


def _activation(f: Any, name: str = "") -> Any:
    """A function of ``nn.functional`` with ``inplace=``, and its twin with an underscore."""
    name = name or f.__name__

    def apply(input: Tensor, *args: Any, inplace: bool = False, **kwargs: Any) -> Tensor:
        result = f(input, *args, **kwargs)
        return write(input, result, name) if inplace else result

    def overwrite(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return write(input, f(input, *args, **kwargs), f"{name}_")

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = f.__doc__ or f"torch.nn.functional.{name}."
    overwrite.__name__ = overwrite.__qualname__ = f"{name}_"
    overwrite.__doc__ = f"{name} in place."
    table[name] = apply
    table[f"{name}_"] = overwrite
    return apply


def _simple(f: Any) -> Any:
    table[f.__name__] = f
    return f


def clip(x: Tensor, low: Any, high: Any) -> Tensor:
    """Within the bounds."""
    return functions["clamp"](x, low, high)


@_simple
def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """The positive part."""
    return relu_(input) if inplace else _core.relu(input)


@_simple
def relu_(input: Tensor) -> Tensor:
    """The positive part, in place."""
    return write(input, _core.relu(input), "relu_")


@_activation
def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x, or negative_slope * x below 0."""
    return _core.leaky_relu(input, negative_slope)


@_activation
def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """x, or alpha * (exp(x) - 1) below 0."""
    return _core.elu(input, alpha)


@_activation
def selu(input: Tensor) -> Tensor:
    """The self-normalising exponential unit."""
    return 1.0507009873554805 * _core.elu(input, 1.6732632423543772)


@_activation
def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1))."""
    return _where(input > 0, input, alpha * _core.expm1(t.minimum(input, 0) / alpha))


@_activation
def silu(input: Tensor) -> Tensor:
    """X * sigmoid(x)."""
    return _core.silu(input)


@_activation
def mish(input: Tensor) -> Tensor:
    """X * tanh(softplus(x))."""
    return input * _core.tanh(_core.softplus(input))


@_activation
def relu6(input: Tensor) -> Tensor:
    """Within [0, 6]."""
    return _where(
        (input > 0) & (input < 6), input, _where(input >= 6, 6.0, _where(input.isnan(), input, 0.0))
    )


@_activation
def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """Within the bounds; no gradient at them."""
    inside = (input > min_val) & (input < max_val)
    low = _where(input <= min_val, min_val, max_val).to(input.dtype)
    return _where(inside | input.isnan(), input, low)


@_activation
def hardsigmoid(input: Tensor) -> Tensor:
    """relu6(x + 3) / 6."""
    return relu6(input + 3) / 6


@_activation
def hardswish(input: Tensor) -> Tensor:
    """X * relu6(x + 3) / 6."""
    return input * relu6(input + 3) / 6


@_activation
def threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    """X above the threshold, else the value."""
    return _where((input > threshold) | input.isnan(), input, value).to(input.dtype)


@_activation
def rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False
) -> Tensor:
    """A leaky relu whose slope is random while training."""
    if not training:
        return _core.leaky_relu(input, (lower + upper) / 2)
    slope = tg.random.uniform(input.shape, lower, upper, dtype=input.dtype)
    return _where(input >= 0, input, input * slope)


@_simple
def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """The Gaussian error linear unit."""
    return _core.gelu(input, approximate)


@_simple
def softplus(input: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """log(1 + exp(beta x)) / beta."""
    scaled = input if beta == 1 else input * beta
    soft = _core.softplus(scaled)
    return _where(scaled > threshold, input, soft if beta == 1 else soft / beta)


@_simple
def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x))."""
    return _core.log_sigmoid(input)


@_simple
def softsign(input: Tensor) -> Tensor:
    """X / (1 + |x|)."""
    return input / (1 + input.abs())


@_simple
def tanhshrink(input: Tensor) -> Tensor:
    """X - tanh(x)."""
    return input - input.tanh()


@_simple
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """X outside [-lambd, lambd], else 0."""
    return _where((input < -lambd) | (input > lambd) | input.isnan(), input, input * 0)


@_simple
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """X moved towards 0 by lambd."""
    return _where(input > lambd, input - lambd, _where(input < -lambd, input + lambd, input * 0))


@_simple
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """A leaky relu with learned slopes."""
    if input.ndim > 1:
        weight = weight.reshape(1, -1, *[1] * (input.ndim - 2))
    elif input.ndim == 0:
        weight = weight.reshape(())
    return _where(input > 0, input, weight * input)


@_simple
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """One half times the sigmoid of the other."""
    a, b = functions["chunk"](input, 2, dim)
    return a * b.sigmoid()


def _along(name: str, negate: bool = False) -> Any:
    operation = softmaxes[name]

    def apply(
        input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
    ) -> Tensor:
        axis = (0 if input.ndim in (0, 1, 3) else 1) if dim is None else dim
        x = input if dtype is None else input.to(dtype)
        return operation(-x if negate else x, axis)

    return apply


for _name, _f in {
    "softmax": _along("softmax"),
    "log_softmax": _along("log_softmax"),
    "softmin": _along("softmax", True),
}.items():
    _f.__name__ = _f.__qualname__ = _name
    _f.__doc__ = f"torch.nn.functional.{_name} along an axis."
    table[_name] = _f


@_simple
def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return _core.tanh(input)


@_simple
def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return _core.sigmoid(input)


@_simple
def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A sample of the Gumbel-softmax distribution (Jang, Gu & Poole 2017)."""
    noise = -t.log(-t.log(t.rand_like(logits) + 1e-20) + 1e-20)
    soft = functions["softmax"]((logits + noise) / tau, dim)
    if not hard:
        return soft
    top = t.argmax(soft, dim, True)
    one = functions["scatter"](t.zeros_like(soft), dim, top, 1.0)
    return one - soft.detach() + soft


# ---- dropout ---------------------------------------------------------------------------------


@_activation
def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Elements become 0 with probability p; the others are scaled by 1 / (1 - p)."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    return _core.dropout(input, p) if training and p > 0 else input


@_activation
def feature_dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Whole channels become 0 with probability p."""
    if not training or p == 0:
        return input
    batched = tuple(input.shape[:2]) + (1,) * (input.ndim - 2)
    return input * _core.dropout(_core.ones(batched, dtype=input.dtype), p)


@_activation
def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False) -> Tensor:
    """Dropout that keeps mean and variance of ``selu``."""
    if not training or p == 0:
        return input
    if p == 1:
        return input * 0
    low = -1.7580993408473766
    a = ((1 - p) * (1 + p * low * low)) ** -0.5
    keep = _core.bernoulli(1 - p, input.shape)
    return _where(_core._as_compat(keep), input, low) * a - a * low * p


table["feature_alpha_dropout"] = alpha_dropout
for _name in ("dropout1d", "dropout2d", "dropout3d"):
    table[_name] = feature_dropout


# ---- normalisation ---------------------------------------------------------------------------


@_simple
def batch_norm(
    input: Tensor,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel normalised over the batch or by running statistics."""
    return plain.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)  # type: ignore[return-value]


@_simple
def instance_norm(
    input: Tensor,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel of each item normalised."""
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    return _core.group_norm(input, input.shape[1], weight, bias, eps)


@_simple
def layer_norm(
    input: Tensor, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """Normalised over the last axes."""
    return plain.layer_norm(input, normalized_shape, weight, bias, eps)  # type: ignore[return-value]


@_simple
def rms_norm(
    input: Tensor, normalized_shape: Any, weight: Any = None, eps: float | None = None
) -> Tensor:
    """Divided by the root mean square over the last axes."""
    count = len(normalized_shape) if isinstance(normalized_shape, (tuple, list)) else 1
    small = tg.finfo(input.dtype).eps if eps is None else eps
    return _core.rms_norm(input, count, weight, small)


@_simple
def group_norm(
    input: Tensor, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """Normalised over groups of channels."""
    return _core.group_norm(input, num_groups, weight, bias, eps)


@_simple
def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Divided by a power of the mean square of neighbouring channels."""
    square = (input * input).movedim(1, -1)
    padded = _core.pad(
        square,
        (0,) * (square.ndim - 1) + (size // 2,),
        (0,) * (square.ndim - 1) + ((size - 1) // 2,),
    )
    mean = padded.unfold(-1, size, 1).sum(-1).movedim(-1, 1) / size
    return input / (mean * alpha + k) ** beta


@_simple
def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Tensor:
    """Divided by the norm along an axis."""
    return input / functions["clamp_min"](functions["norm"](input, p, dim, True), eps)


@_simple
def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """1 at the class, 0 elsewhere, as int64."""
    count = int(tensor.max()) + 1 if num_classes == -1 else num_classes
    return _core.one_hot(tensor, count).to(tg.int64)


def _linear(input: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
    return _core.linear(input, weight, bias)


# No Python between: input @ weight.T + bias.
table["linear"] = _core._renamed_operation(
    "linear", "linear", [("input", "x"), ("weight", "weight"), ("bias", "bias")]
)


@_simple
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
    """x1 W x2 for each output."""
    left = functions["tensordot"](input1, weight, ([input1.ndim - 1], [1]))
    result = (left * input2.unsqueeze(-2)).sum(-1)
    return result if bias is None else result + bias


@_simple
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: Any = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(q k^T scale + mask) v."""
    if enable_gqa:
        times = query.shape[-3] // key.shape[-3]
        key, value = (functions["repeat_interleave"](x, times, -3) for x in (key, value))
    square = not is_causal or query.shape[-2] == key.shape[-2]
    if dropout_p == 0 and square:
        return need("scaled_dot_product_attention", "nn.functional.scaled_dot_product_attention")(
            query, key, value, mask=attn_mask, is_causal=is_causal, scale=scale
        )
    scores = query @ key.mT * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        attn_mask = t.ones(*scores.shape[-2:], dtype=tg.bool).tril()
    if attn_mask is not None:
        boolean = attn_mask.dtype == tg.bool
        scores = _where(attn_mask, scores, -math.inf) if boolean else scores + attn_mask
    weights = functions["softmax"](scores, -1)
    return (dropout(weights, dropout_p) if dropout_p else weights) @ value


for _name in ("selu", "celu", "rrelu", "dropout", "alpha_dropout", "feature_dropout", "threshold"):
    functions[_name] = table[_name]
    functions[f"{_name}_"] = table[f"{_name}_"]
for _name in (
    "prelu",
    "hardshrink",
    "layer_norm",
    "batch_norm",
    "group_norm",
    "instance_norm",
    "rms_norm",
    "bilinear",
):
    functions[_name] = table[_name]
methods["relu"] = methods.get("relu", relu)
methods["hardshrink"], methods["prelu"] = hardshrink, prelu
in_place.add("relu")
