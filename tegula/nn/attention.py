"""Multi-head attention."""

from __future__ import annotations

import math
from typing import Any

import tegula as tg
from tegula._core import Tensor
from tegula.nn import init
from tegula.nn.linear import Linear, positive
from tegula.nn.module import Module, Parameter


class MultiheadAttention(Module):
    """Attention by ``num_heads`` heads of learned projections; Vaswani et al. 2017.

    Args:
        embed_dim: size of the last axis of query, key, value and result.
        num_heads: heads; each has ``embed_dim / num_heads`` elements.
        dropout: probability with which a weight is set to zero in training.
        bias: whether the projections add a learned bias.
        batch_first: whether inputs are (N, L, E) instead of (L, N, E).
        dtype: dtype of the parameters, float32 unless said.

    Attributes:
        in_proj_weight: (3 * embed_dim, embed_dim), of query, key and value one below the other.
        in_proj_bias: (3 * embed_dim,), 0 at first, or None.
        out_proj: the ``Linear`` that the joined heads go through.
    """

    in_proj_weight: Parameter
    in_proj_bias: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        batch_first: bool = False,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        positive(self, embed_dim=embed_dim, num_heads=num_heads)
        if embed_dim % num_heads:
            raise ValueError(
                f"MultiheadAttention: embed_dim {embed_dim} does not divide into {num_heads} heads"
            )
        if not 0 <= dropout <= 1:
            raise ValueError(f"MultiheadAttention: dropout must be in [0, 1], got {dropout}")
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.dropout, self.batch_first = dropout, batch_first
        self.in_proj_weight = Parameter(tg.empty((3 * embed_dim, embed_dim), dtype=dtype))
        self.in_proj_bias = Parameter(tg.empty((3 * embed_dim,), dtype=dtype)) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new first values."""
        init.xavier_uniform_(self.in_proj_weight)
        self.out_proj.reset_parameters()
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Query (L, N, E), key and value (S, N, E) → (L, N, E) and the weights (N, L, S).

        With ``batch_first`` N comes first; all three may lack it. A ``key_padding_mask`` (N, S)
        and an ``attn_mask``, (L, S), (N * num_heads, L, S) or (N, num_heads, L, S), are bool,
        True where a key does **not** take part, or added to the scores; ``is_causal`` lets row i
        see keys 0 to i without a mask. ``average_attn_weights=False`` gives the weights of each
        head, (N, num_heads, L, S). Without ``need_weights`` they are None and never stored, which
        is much faster.
        """
        batched = query.ndim == 3
        if query.ndim not in (2, 3) or key.ndim != query.ndim or value.ndim != query.ndim:
            raise ValueError(
                "MultiheadAttention: query, key and value must all be (L, E) or have a batch, got "
                f"shapes {query.shape}, {key.shape}, {value.shape}"
            )
        heads = [
            self._heads(x, batched, part) for part, x in enumerate((query, key, value))
        ]  # each (N, H, length, E / H)
        mask = self._mask(heads[0], heads[1], key_padding_mask, attn_mask)
        drops = self.training and self.dropout > 0
        weights = None
        if need_weights or drops:
            weights = self._weights(heads[0], heads[1], mask, is_causal)
            y = tg.matmul(tg.dropout(weights, self.dropout) if drops else weights, heads[2])
        else:
            y = tg.scaled_dot_product_attention(*heads, mask=mask, is_causal=is_causal)
        n, _, rows, _ = y.shape
        y = self.out_proj(tg.reshape(tg.permute_dims(y, (0, 2, 1, 3)), (n, rows, self.embed_dim)))
        if not batched:
            y = tg.squeeze(y, 0)
        elif not self.batch_first:
            y = tg.permute_dims(y, (1, 0, 2))
        if not need_weights or weights is None:
            return y, None
        if average_attn_weights:
            weights = tg.mean(weights, 1)
        return y, weights if batched else tg.squeeze(weights, 0)

    def _heads(self, x: Tensor, batched: bool, part: int) -> Tensor:
        size = self.embed_dim
        weight = self.in_proj_weight[part * size : (part + 1) * size]
        bias = None
        if self.in_proj_bias is not None:
            bias = self.in_proj_bias[part * size : (part + 1) * size]
        if not batched:
            x = tg.expand_dims(x, 0)
        elif not self.batch_first:
            x = tg.permute_dims(x, (1, 0, 2))
        n, length, _ = x.shape
        x = tg.linear(x, weight, bias)
        x = tg.reshape(x, (n, length, self.num_heads, size // self.num_heads))
        return tg.permute_dims(x, (0, 2, 1, 3))

    def _mask(
        self, query: Tensor, key: Tensor, padding: Tensor | None, given: Tensor | None
    ) -> Tensor | None:
        """Both masks as one, as ``scaled_dot_product_attention`` takes it."""
        n, h, rows, _ = query.shape
        keys = key.shape[2]
        masks = []
        if given is not None:
            full = (n, h, rows, keys)
            masks.append(tg.reshape(given, full) if given.ndim == 3 else given)
        if padding is not None:
            masks.append(tg.reshape(padding, (n, 1, 1, keys)))
        if not masks:
            return None
        if all(str(m.dtype).endswith("bool") for m in masks):
            hidden = masks[0] if len(masks) == 1 else masks[0] | masks[1]
            return tg.logical_not(hidden)
        added = [tg.where(m, -math.inf, 0.0) if str(m.dtype).endswith("bool") else m for m in masks]
        return added[0] if len(added) == 1 else added[0] + added[1]

    def _weights(self, query: Tensor, key: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
        scores = tg.matmul(query, tg.matrix_transpose(key)) / math.sqrt(query.shape[-1])
        rows, keys = scores.shape[-2:]
        if is_causal:
            row = tg.reshape(tg.arange(rows), (rows, 1))
            scores = tg.where(tg.arange(keys) <= row, scores, -math.inf)
        if mask is not None:
            boolean = str(mask.dtype).endswith("bool")
            scores = tg.where(mask, scores, -math.inf) if boolean else scores + mask
        return tg.softmax(scores, -1)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.embed_dim}, {self.num_heads}, dropout={self.dropout}"
