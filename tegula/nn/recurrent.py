"""Recurrent layers over sequences, and the cells that make one step."""

from __future__ import annotations

import math
from typing import Any

import tegula as tg
from tegula._core import Tensor
from tegula.nn import init
from tegula.nn.linear import positive
from tegula.nn.module import Module, Parameter


def _start(module: Module, hidden_size: int) -> None:
    bound = 1 / math.sqrt(hidden_size)
    for parameter in module.parameters():
        init.uniform_(parameter, -bound, bound)


def _nonlinearity(owner: Module, name: str) -> Any:
    if name not in ("tanh", "relu"):
        raise ValueError(
            f"{type(owner).__name__}: nonlinearity must be 'tanh' or 'relu', got {name!r}"
        )
    return getattr(tg, name)


def _simple_step(function: Any, given: Tensor, h: Tensor, w_hh: Tensor, b_hh: Any) -> Tensor:
    return function(given + tg.linear(h, w_hh, b_hh))


class _Recurrent(Module):
    """Layers one above the other, each in one direction or both."""

    weight_ih_l0: Parameter
    _gates = 1
    _states = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        positive(self, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        if not 0 <= dropout <= 1:
            raise ValueError(f"{type(self).__name__}: dropout must be in [0, 1], got {dropout}")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first = bias, batch_first
        self.dropout, self.bidirectional = dropout, bidirectional
        width = self._gates * hidden_size
        for layer in range(num_layers):
            size = input_size if layer == 0 else hidden_size * self._directions
            for end in self._ends(layer):
                shapes: dict[str, tuple[int, ...]] = {
                    "weight_ih": (width, size),
                    "weight_hh": (width, hidden_size),
                }
                if bias:
                    shapes.update(bias_ih=(width,), bias_hh=(width,))
                for name, shape in shapes.items():
                    setattr(self, name + end, Parameter(tg.empty(shape, dtype=dtype)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new first values, uniform within ±1 / sqrt(hidden_size)."""
        _start(self, self.hidden_size)

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _ends(self, layer: int) -> tuple[str, ...]:
        """How the names of a layer's parameters end, by direction."""
        return (f"_l{layer}", f"_l{layer}_reverse")[: self._directions]

    def _weights(self, end: str) -> tuple[Any, ...]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return tuple(getattr(self, name + end, None) for name in names)

    def _sequence(self, x: Tensor, states: list[Tensor], weights: Any) -> tuple[Tensor, ...]:
        """One layer in one direction: (T, N, I) → (T, N, H) and the last states."""
        raise NotImplementedError

    def _run(self, x: Tensor, given: Any) -> tuple[Tensor, list[Tensor]]:
        name = type(self).__name__
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size:
            raise ValueError(
                f"{name}: input must be (T, N, {self.input_size}), with batch_first (N, T, "
                f"{self.input_size}), or (T, {self.input_size}), got shape {x.shape}"
            )
        batched = x.ndim == 3
        if not batched:
            x = tg.expand_dims(x, 1)
        elif self.batch_first:
            x = tg.permute_dims(x, (1, 0, 2))
        shape = (self.num_layers * self._directions, x.shape[1], self.hidden_size)
        if given is None:
            given = [tg.zeros(shape, dtype=self.weight_ih_l0.dtype)] * self._states
        else:
            want = shape if batched else (shape[0], shape[2])
            for state in given:
                if tuple(state.shape) != want:
                    raise ValueError(f"{name}: states must have shape {want}, got {state.shape}")
            given = [tg.reshape(state, shape) for state in given]
        last: list[list[Tensor]] = [[] for _ in given]
        for layer in range(self.num_layers):
            ways = []
            for way, end in enumerate(self._ends(layer)):
                states = [state[layer * self._directions + way] for state in given]
                run = tg.flip(x, 0) if way else x
                y, *ended = self._sequence(run, states, self._weights(end))
                ways.append(tg.flip(y, 0) if way else y)
                for row, state in zip(last, ended, strict=True):
                    row.append(state)
            x = tg.concat(ways, -1) if len(ways) > 1 else ways[0]
            if self.training and self.dropout > 0 and layer + 1 < self.num_layers:
                x = tg.dropout(x, self.dropout)
        ended = [tg.stack(states, 0) for states in last]
        if not batched:
            return tg.squeeze(x, 1), [tg.squeeze(state, 1) for state in ended]
        return tg.permute_dims(x, (1, 0, 2)) if self.batch_first else x, ended

    def extra_repr(self) -> str:
        """The sizes, and what is not as usual."""
        text = f"{self.input_size}, {self.hidden_size}"
        usual = {
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        for name, value in usual.items():
            if getattr(self, name) != value:
                text += f", {name}={getattr(self, name)}"
        return text


class LSTM(_Recurrent):
    """Long short-term memory; Hochreiter and Schmidhuber 1997. See ``tegula.lstm``.

    Args:
        input_size: size of the last axis of the input.
        hidden_size: hidden units H of each layer and direction.
        num_layers: layers one above the other.
        bias: whether the gates have learned biases.
        batch_first: whether input and output are (N, T, …) instead of (T, N, …).
        dropout: probability with which an output of any layer but the last is set to zero in
            training.
        bidirectional: whether each layer also goes through the sequence from its end; the
            outputs of both directions are joined.
        dtype: dtype of the parameters, float32 unless said.

    Attributes:
        weight_ih_l0: (4H, input_size), the gates i, f, g, o one below the other; of layer k
            ``weight_ih_lk``, of the other direction ``weight_ih_lk_reverse``.
        weight_hh_l0: (4H, H), of the state.
        bias_ih_l0: (4H,), with ``bias``.
        bias_hh_l0: (4H,), the same.
    """

    _gates = 4
    _states = 2

    def _sequence(self, x: Tensor, states: list[Tensor], weights: Any) -> tuple[Tensor, ...]:
        return tg.lstm(x, *states, *weights)

    def forward(
        self, x: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(T, N, input_size) and (h0, c0) → (T, N, D H) and (h_n, c_n), D directions.

        States are (num_layers * D, N, H), zero at first unless given. All may lack N.
        """
        y, (h, c) = self._run(x, hx)
        return y, (h, c)


class GRU(_Recurrent):
    """Gated recurrent units; Cho et al. 2014. See ``tegula.gru``; arguments as ``LSTM``'s.

    Attributes:
        weight_ih_l0: (3H, input_size), the gates r, z, n one below the other; others as
            ``LSTM``'s.
        weight_hh_l0: (3H, H).
        bias_ih_l0: (3H,), with ``bias``.
        bias_hh_l0: (3H,), the same.
    """

    _gates = 3

    def _sequence(self, x: Tensor, states: list[Tensor], weights: Any) -> tuple[Tensor, ...]:
        return tg.gru(x, *states, *weights)

    def forward(self, x: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(T, N, input_size) and h0 → (T, N, D H) and h_n; as ``LSTM``'s, with one state."""
        y, (h,) = self._run(x, None if hx is None else (hx,))
        return y, h


class RNN(_Recurrent):
    """h = tanh(x @ W_ih^T + b_ih + h @ W_hh^T + b_hh), or relu; Elman 1990.

    Args:
        nonlinearity: 'tanh' or 'relu'; the others are ``LSTM``'s.

    Attributes:
        weight_ih_l0: (H, input_size); names of the others as ``LSTM``'s.
        weight_hh_l0: (H, H).
        bias_ih_l0: (H,), with ``bias``.
        bias_hh_l0: (H,), the same.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype
        )
        self.nonlinearity = nonlinearity
        _nonlinearity(self, nonlinearity)

    def _sequence(self, x: Tensor, states: list[Tensor], weights: Any) -> tuple[Tensor, ...]:
        w_ih, w_hh, b_ih, b_hh = weights
        function = _nonlinearity(self, self.nonlinearity)
        given, h = tg.linear(x, w_ih, b_ih), states[0]
        ys = []
        for t in range(x.shape[0]):
            h = _simple_step(function, given[t], h, w_hh, b_hh)
            ys.append(h)
        return tg.stack(ys, 0) if ys else tg.zeros((0, *h.shape), dtype=h.dtype), h

    def forward(self, x: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(T, N, input_size) and h0 → (T, N, D H) and h_n; as ``LSTM``'s, with one state."""
        y, (h,) = self._run(x, None if hx is None else (hx,))
        return y, h


class _Cell(Module):
    """One step of one layer."""

    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None
    _gates = 1

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, dtype: Any = None
    ) -> None:
        super().__init__()
        positive(self, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        width = self._gates * hidden_size
        self.weight_ih = Parameter(tg.empty((width, input_size), dtype=dtype))
        self.weight_hh = Parameter(tg.empty((width, hidden_size), dtype=dtype))
        self.bias_ih = Parameter(tg.empty((width,), dtype=dtype)) if bias else None
        self.bias_hh = Parameter(tg.empty((width,), dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new first values, uniform within ±1 / sqrt(hidden_size)."""
        _start(self, self.hidden_size)

    def _rows(self, x: Tensor, states: Any, count: int) -> tuple[Tensor, list[Tensor]]:
        """Input and states with a batch axis."""
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise ValueError(
                f"{type(self).__name__}: input must be (N, {self.input_size}) or "
                f"({self.input_size},), got shape {x.shape}"
            )
        rows = tg.reshape(x, (-1, self.input_size))
        shape = (rows.shape[0], self.hidden_size)
        if states is None:
            return rows, [tg.zeros(shape, dtype=self.weight_ih.dtype)] * count
        want = shape if x.ndim == 2 else shape[1:]
        for state in states:
            if tuple(state.shape) != want:
                raise ValueError(
                    f"{type(self).__name__}: states must have shape {want}, got {state.shape}"
                )
        return rows, [tg.reshape(state, shape) for state in states]

    def _like(self, x: Tensor, state: Tensor) -> Tensor:
        return state if x.ndim == 2 else tg.squeeze(state, 0)

    @property
    def _parameters_in_order(self) -> tuple[Any, ...]:
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.input_size}, {self.hidden_size}" + (
            "" if self.bias_ih is not None else ", bias=False"
        )


class LSTMCell(_Cell):
    """One step of an ``LSTM``: (N, input_size) and states (N, H) → the next states."""

    _gates = 4

    def forward(self, x: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """(N, input_size) and (h, c), zero unless given → (h, c). All may lack N."""
        rows, states = self._rows(x, hx, 2)
        _, h, c = tg.lstm(tg.expand_dims(rows, 0), *states, *self._parameters_in_order)
        return self._like(x, h), self._like(x, c)


class GRUCell(_Cell):
    """One step of a ``GRU``: (N, input_size) and a state (N, H) → the next state."""

    _gates = 3

    def forward(self, x: Tensor, hx: Tensor | None = None) -> Tensor:
        """(N, input_size) and h, zero unless given → h. Both may lack N."""
        rows, states = self._rows(x, None if hx is None else (hx,), 1)
        _, h = tg.gru(tg.expand_dims(rows, 0), *states, *self._parameters_in_order)
        return self._like(x, h)


class RNNCell(_Cell):
    """One step of an ``RNN``: (N, input_size) and a state (N, H) → the next state."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, dtype)
        self.nonlinearity = nonlinearity
        _nonlinearity(self, nonlinearity)

    def forward(self, x: Tensor, hx: Tensor | None = None) -> Tensor:
        """(N, input_size) and h, zero unless given → h. Both may lack N."""
        rows, (h,) = self._rows(x, None if hx is None else (hx,), 1)
        function = _nonlinearity(self, self.nonlinearity)
        given = tg.linear(rows, self.weight_ih, self.bias_ih)
        return self._like(x, _simple_step(function, given, h, self.weight_hh, self.bias_hh))
