"""The layers of the transformer, and stacks of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import tegula as tg
from tegula._core import Tensor
from tegula.nn.attention import MultiheadAttention
from tegula.nn.containers import ModuleList
from tegula.nn.linear import Dropout, Linear, positive
from tegula.nn.module import Module
from tegula.nn.normalization import LayerNorm


class _Layer(Module):
    """What both kinds of layer share: self-attention and the two linear maps after it."""

    _norms = 2

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        positive(self, d_model=d_model, nhead=nhead, dim_feedforward=dim_feedforward)
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first, dtype)
        if self._norms == 3:
            self.multihead_attn = MultiheadAttention(
                d_model, nhead, dropout, bias, batch_first, dtype
            )
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype)
        self.norm_first = norm_first
        for i in range(1, self._norms + 1):
            setattr(self, f"norm{i}", LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype))
            setattr(self, f"dropout{i}", Dropout(dropout))
        if not callable(activation):
            if activation not in ("relu", "gelu"):
                raise ValueError(
                    f"{type(self).__name__}: activation must be 'relu', 'gelu' or a function, got "
                    f"{activation!r}"
                )
            activation = getattr(tg, activation)
        self.activation: Any = activation

    def _add(self, x: Tensor, part: int, block: Callable[[Tensor], Tensor]) -> Tensor:
        """X plus a block's result, and its norm before the block or after the sum."""
        norm, dropout = getattr(self, f"norm{part}"), getattr(self, f"dropout{part}")
        if self.norm_first:
            return x + dropout(block(norm(x)))
        return norm(x + dropout(block(x)))

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class TransformerEncoderLayer(_Layer):
    """Self-attention and two linear maps, each added to its input and normalised.

    Vaswani et al. 2017.

    Args:
        d_model: size E of the last axis of input and result.
        nhead: heads of the attention.
        dim_feedforward: size between the two linear maps.
        dropout: probability with which, in training, weights and results are set to zero.
        activation: between the linear maps: 'relu', 'gelu' or a function of a tensor.
        layer_norm_eps: added to the variances.
        batch_first: whether inputs are (N, L, E) instead of (L, N, E).
        norm_first: whether the inputs of the parts are normalised instead of the sums.
        bias: whether linear maps and norms add a learned bias.
        dtype: dtype of the parameters, float32 unless said.
    """

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """(L, N, E), with ``batch_first`` (N, L, E), or (L, E) → the same shape.

        Masks as ``MultiheadAttention``'s; ``is_causal`` needs none.
        """

        def attend(x: Tensor) -> Tensor:
            return self.self_attn(
                x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal
            )[0]

        return self._add(self._add(src, 1, attend), 2, self._feed_forward)


class TransformerDecoderLayer(_Layer):
    """An encoder layer with attention to an encoder's results between its two parts.

    Arguments as ``TransformerEncoderLayer``'s.
    """

    _norms = 3

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """(L, N, E) and an encoder's results (S, N, E) → (L, N, E); axes and masks as there."""

        def attend(x: Tensor) -> Tensor:
            return self.self_attn(
                x, x, x, tgt_key_padding_mask, False, tgt_mask, is_causal=tgt_is_causal
            )[0]

        def attend_memory(x: Tensor) -> Tensor:
            return self.multihead_attn(
                x,
                memory,
                memory,
                memory_key_padding_mask,
                False,
                memory_mask,
                is_causal=memory_is_causal,
            )[0]

        x = self._add(self._add(tgt, 1, attend), 2, attend_memory)
        return self._add(x, 3, self._feed_forward)


class TransformerEncoder(Module):
    """``num_layers`` copies of a layer one after the other.

    Args:
        encoder_layer: a ``TransformerEncoderLayer``; the copies start with its values.
        num_layers: how many.
        norm: a module that the last result goes through, or None.
    """

    def __init__(
        self, encoder_layer: TransformerEncoderLayer, num_layers: int, norm: Module | None = None
    ) -> None:
        super().__init__()
        positive(self, num_layers=num_layers)
        self.layers = ModuleList([copy.deepcopy(encoder_layer) for _ in range(num_layers)])
        self.norm = norm

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """As the layer's; every layer has the same masks."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, is_causal)
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """``num_layers`` copies of a layer one after the other; see ``TransformerEncoder``."""

    def __init__(
        self, decoder_layer: TransformerDecoderLayer, num_layers: int, norm: Module | None = None
    ) -> None:
        super().__init__()
        positive(self, num_layers=num_layers)
        self.layers = ModuleList([copy.deepcopy(decoder_layer) for _ in range(num_layers)])
        self.norm = norm

    def forward(self, tgt: Tensor, memory: Tensor, *masks: Any, **named_masks: Any) -> Tensor:
        """As the layer's; every layer has the same masks."""
        for layer in self.layers:
            tgt = layer(tgt, memory, *masks, **named_masks)
        return tgt if self.norm is None else self.norm(tgt)
