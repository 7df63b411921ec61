"""The layers: Tegula's own with PyTorch's arguments, and those that are one function."""

from __future__ import annotations

import inspect
from typing import Any

import tegula.nn as plain
from tegula.compat.torch._registry import not_supported, t
from tegula.compat.torch.nn import functional as F
from tegula.compat.torch.nn._module import Module, adopted

table: dict[str, Any] = {}

# Layers with state: Tegula's, whose parameters become this module's.
OWN = """
Linear Embedding Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d
BatchNorm1d BatchNorm2d BatchNorm3d GroupNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d
LayerNorm RMSNorm LSTM GRU RNN LSTMCell GRUCell RNNCell MultiheadAttention Flatten
TransformerEncoder TransformerEncoderLayer TransformerDecoder TransformerDecoderLayer
Sequential ModuleList ModuleDict
"""


def _adopt(name: str) -> None:
    theirs = getattr(plain, name)
    known = inspect.signature(theirs.__init__).parameters
    harmless = {"device", "sparse", "_weight", "enable_nested_tensor", "mask_check", "padding_mode"}

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        if kwargs.get("padding_mode", "zeros") != "zeros":
            raise not_supported(
                f"nn.{name}(padding_mode={kwargs['padding_mode']!r})", "pad with nn.functional.pad"
            )
        for key in [k for k in kwargs if k in harmless and k not in known]:
            kwargs.pop(key)
        theirs.__init__(self, *args, **kwargs)

    table[name] = adopted[theirs] = type(
        name,
        (Module, theirs),
        {"__init__": __init__, "__doc__": theirs.__doc__, "__module__": "tegula.compat.torch.nn"},
    )


for _name in OWN.split():
    _adopt(_name)

# Layers without state: the function, and the layer's arguments with their defaults.
STATELESS = """
ReLU relu inplace=False
ReLU6 relu6 inplace=False
LeakyReLU leaky_relu negative_slope=0.01 inplace=False
ELU elu alpha=1.0 inplace=False
SELU selu inplace=False
CELU celu alpha=1.0 inplace=False
GELU gelu approximate='none'
SiLU silu inplace=False
Mish mish inplace=False
Tanh tanh
Sigmoid sigmoid
LogSigmoid logsigmoid
Softplus softplus beta=1.0 threshold=20.0
Softsign softsign
Softshrink softshrink lambd=0.5
Hardshrink hardshrink lambd=0.5
Tanhshrink tanhshrink
Hardtanh hardtanh min_val=-1.0 max_val=1.0 inplace=False
Hardsigmoid hardsigmoid inplace=False
Hardswish hardswish inplace=False
Threshold threshold threshold value inplace=False
GLU glu dim=-1
Softmax softmax dim=None
LogSoftmax log_softmax dim=None
Softmin softmin dim=None
Dropout dropout p=0.5 inplace=False
Dropout1d dropout1d p=0.5 inplace=False
Dropout2d dropout2d p=0.5 inplace=False
Dropout3d dropout3d p=0.5 inplace=False
AlphaDropout alpha_dropout p=0.5 inplace=False
FeatureAlphaDropout feature_alpha_dropout p=0.5 inplace=False
MaxPool1d max_pool1d kernel_size stride=None padding=0 dilation=1 return_indices=False ceil_mode=False
MaxPool2d max_pool2d kernel_size stride=None padding=0 dilation=1 return_indices=False ceil_mode=False
MaxPool3d max_pool3d kernel_size stride=None padding=0 dilation=1 return_indices=False ceil_mode=False
AvgPool1d avg_pool1d kernel_size stride=None padding=0 ceil_mode=False count_include_pad=True
AvgPool2d avg_pool2d kernel_size stride=None padding=0 ceil_mode=False count_include_pad=True divisor_override=None
AvgPool3d avg_pool3d kernel_size stride=None padding=0 ceil_mode=False count_include_pad=True divisor_override=None
LPPool1d lp_pool1d norm_type kernel_size stride=None ceil_mode=False
LPPool2d lp_pool2d norm_type kernel_size stride=None ceil_mode=False
LPPool3d lp_pool3d norm_type kernel_size stride=None ceil_mode=False
MaxUnpool1d max_unpool1d kernel_size stride=None padding=0
MaxUnpool2d max_unpool2d kernel_size stride=None padding=0
MaxUnpool3d max_unpool3d kernel_size stride=None padding=0
AdaptiveMaxPool1d adaptive_max_pool1d output_size return_indices=False
AdaptiveMaxPool2d adaptive_max_pool2d output_size return_indices=False
AdaptiveMaxPool3d adaptive_max_pool3d output_size return_indices=False
AdaptiveAvgPool1d adaptive_avg_pool1d output_size
AdaptiveAvgPool2d adaptive_avg_pool2d output_size
AdaptiveAvgPool3d adaptive_avg_pool3d output_size
PixelShuffle pixel_shuffle upscale_factor
PixelUnshuffle pixel_unshuffle downscale_factor
ChannelShuffle channel_shuffle groups
LocalResponseNorm local_response_norm size alpha=0.0001 beta=0.75 k=1.0
Upsample upsample size=None scale_factor=None mode='nearest' align_corners=None
Fold fold output_size kernel_size dilation=1 padding=0 stride=1
Unfold unfold kernel_size dilation=1 padding=0 stride=1
CosineSimilarity cosine_similarity dim=1 eps=1e-08
PairwiseDistance pairwise_distance p=2.0 eps=1e-06 keepdim=False
L1Loss l1_loss size_average=None reduce=None reduction='mean'
MSELoss mse_loss size_average=None reduce=None reduction='mean'
SmoothL1Loss smooth_l1_loss size_average=None reduce=None reduction='mean' beta=1.0
HuberLoss huber_loss reduction='mean' delta=1.0
NLLLoss nll_loss weight=None size_average=None ignore_index=-100 reduce=None reduction='mean'
CrossEntropyLoss cross_entropy weight=None size_average=None ignore_index=-100 reduce=None reduction='mean' label_smoothing=0.0
BCELoss binary_cross_entropy weight=None size_average=None reduce=None reduction='mean'
BCEWithLogitsLoss binary_cross_entropy_with_logits weight=None size_average=None reduce=None reduction='mean' pos_weight=None
KLDivLoss kl_div size_average=None reduce=None reduction='mean' log_target=False
PoissonNLLLoss poisson_nll_loss log_input=True full=False size_average=None eps=1e-08 reduce=None reduction='mean'
GaussianNLLLoss gaussian_nll_loss full=False eps=1e-06 reduction='mean'
SoftMarginLoss soft_margin_loss size_average=None reduce=None reduction='mean'
HingeEmbeddingLoss hinge_embedding_loss margin=1.0 size_average=None reduce=None reduction='mean'
MarginRankingLoss margin_ranking_loss margin=0.0 size_average=None reduce=None reduction='mean'
CosineEmbeddingLoss cosine_embedding_loss margin=0.0 size_average=None reduce=None reduction='mean'
TripletMarginLoss triplet_margin_loss margin=1.0 p=2.0 eps=1e-06 swap=False size_average=None reduce=None reduction='mean'
MultiMarginLoss multi_margin_loss p=1 margin=1.0 weight=None size_average=None reduce=None reduction='mean'
MultiLabelMarginLoss multilabel_margin_loss size_average=None reduce=None reduction='mean'
MultiLabelSoftMarginLoss multilabel_soft_margin_loss weight=None size_average=None reduce=None reduction='mean'
CTCLoss ctc_loss blank=0 reduction='mean' zero_infinity=False
"""


def _stateless(line: str) -> None:
    import ast

    name, function, *settings = line.split()
    defaults = dict(s.partition("=")[::2] for s in settings)
    names = list(defaults)
    apply = getattr(F, function)
    random = "ropout" in name

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        Module.__init__(self)
        if len(args) > len(names):
            raise TypeError(f"{name}: takes at most {len(names)} arguments, got {len(args)}")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        for key in given:
            if key not in defaults:
                raise TypeError(f"{name}: got an unexpected keyword argument {key!r}")
        for key, default in defaults.items():
            if key not in given and not default:
                raise TypeError(f"{name}: missing argument {key!r}")
            value = given.get(key, ast.literal_eval(default) if default else None)
            if key in ("weight", "pos_weight"):
                self.register_buffer(key, value)
            else:
                setattr(self, key, value)

    def forward(self: Any, *inputs: Any) -> Any:
        values = {key: getattr(self, key) for key in names}
        if random:
            values["training"] = self.training
        return apply(*inputs, **values)

    def extra_repr(self: Any) -> str:
        return ", ".join(f"{key}={getattr(self, key)!r}" for key in names)

    table[name] = type(
        name,
        (Module,),
        {
            "__init__": __init__,
            "forward": forward,
            "extra_repr": extra_repr,
            "__doc__": f"The layer of torch.nn.functional.{function}.",
            "__module__": "tegula.compat.torch.nn",
        },
    )


for _line in STATELESS.strip().splitlines():
    _stateless(_line)


class Softmax2d(Module):
    """Softmax over the channels."""

    def forward(self, input: Any) -> Any:
        """Applies it."""
        return F.softmax(input, -3)


class Identity(Module):
    """Gives back its input; takes any arguments."""

    def forward(self, input: Any) -> Any:
        """Gives back its input."""
        return input


class Unflatten(Module):
    """One axis as several."""

    def __init__(self, dim: int, unflattened_size: Any) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, input: Any) -> Any:
        """Applies it."""
        return input.unflatten(self.dim, self.unflattened_size)


class PReLU(Module):
    """A leaky relu with learned slopes."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, **_: Any) -> None:
        super().__init__()
        from tegula.compat.torch._creation import full  # type: ignore[attr-defined]
        from tegula.compat.torch.nn._module import Parameter

        self.weight = Parameter(full((num_parameters,), init))

    def forward(self, input: Any) -> Any:
        """Applies it."""
        return F.prelu(input, self.weight)


class Bilinear(Module):
    """x1 W x2 + b."""

    def __init__(self, in1: int, in2: int, out: int, bias: bool = True, **_: Any) -> None:
        super().__init__()
        from tegula.compat.torch._creation import full
        from tegula.compat.torch.nn._module import Parameter

        bound = in1**-0.5
        self.weight = Parameter(full((out, in1, in2), 0.0).uniform_(-bound, bound))
        self.bias = Parameter(full((out,), 0.0).uniform_(-bound, bound)) if bias else None

    def forward(self, input1: Any, input2: Any) -> Any:
        """Applies it."""
        return F.bilinear(input1, input2, self.weight, self.bias)


class Transformer(Module):
    """Encoder and decoder (Vaswani et al. 2017)."""

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        **_: Any,
    ) -> None:
        super().__init__()
        settings = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps)
        named = {"batch_first": batch_first, "norm_first": norm_first, "bias": bias}
        for part, count in (("Encoder", num_encoder_layers), ("Decoder", num_decoder_layers)):
            layer = table[f"Transformer{part}Layer"](*settings, **named)
            norm = table["LayerNorm"](d_model, eps=layer_norm_eps, bias=bias)
            setattr(self, part.lower(), table[f"Transformer{part}"](layer, count, norm))
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def forward(self, src: Any, tgt: Any, src_mask: Any = None, tgt_mask: Any = None) -> Any:
        """What the decoder makes of ``tgt`` and the encoded ``src``."""
        return self.decoder(tgt, self.encoder(src, src_mask), tgt_mask)

    @staticmethod
    def generate_square_subsequent_mask(sz: int, **_: Any) -> Any:
        """0 where a place may look, -inf at later places."""
        return t.triu(t.full((sz, sz), float("-inf")), 1)


def _padding(name: str, axes: int, mode: str) -> None:
    def __init__(self: Any, padding: Any, value: float = 0.0) -> None:  # noqa: N807
        Module.__init__(self)
        self.padding = (padding,) * (2 * axes) if isinstance(padding, int) else tuple(padding)
        self.value = value

    def forward(self: Any, input: Any) -> Any:
        return F.pad(input, self.padding, mode, self.value)

    doc = f"Pads the last {axes} axes: {mode}."
    table[name] = type(name, (Module,), {"__init__": __init__, "forward": forward, "__doc__": doc})


for _axes in (1, 2, 3):
    for _title, _mode in (
        ("Constant", "constant"),
        ("Zero", "constant"),
        ("Reflection", "reflect"),
        ("Replication", "replicate"),
        ("Circular", "circular"),
    ):
        _padding(f"{_title}Pad{_axes}d", _axes, _mode)

table.update(
    Identity=type(
        "Identity", (Identity,), {"__init__": lambda self, *a, **k: Module.__init__(self)}
    ),
    Softmax2d=Softmax2d,
    Unflatten=Unflatten,
    PReLU=PReLU,
    Transformer=Transformer,
    Bilinear=Bilinear,
)
