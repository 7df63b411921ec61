"""Neural networks: modules, layers, losses and initialisers, in PyTorch's vocabulary."""

from tegula.nn import functional, init, utils
from tegula.nn.activation import (
    ELU,
    GELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from tegula.nn.attention import MultiheadAttention
from tegula.nn.containers import ModuleDict, ModuleList, Sequential
from tegula.nn.conv import AdaptiveAvgPool2d, AvgPool2d, Conv2d, MaxPool2d
from tegula.nn.linear import Dropout, Embedding, Flatten, Identity, Linear
from tegula.nn.loss import (
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from tegula.nn.module import Module, Parameter
from tegula.nn.normalization import BatchNorm1d, BatchNorm2d, LayerNorm, RMSNorm

__all__ = [
    "ELU",
    "GELU",
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "HuberLoss",
    "Identity",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "MultiheadAttention",
    "NLLLoss",
    "Parameter",
    "RMSNorm",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "Tanh",
    "functional",
    "init",
    "utils",
]
