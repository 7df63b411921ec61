"""Recurrent layers against plain NumPy, their derivatives, bits and errors."""

import numpy as np
import pytest
import reference
import scipy.special

import tegula as tg
from tegula import nn

T, N, SIZE, H = 5, 3, 4, 6


def simple(x, h, w_ih, w_hh, b_ih=None, b_hh=None, function=np.tanh):
    ys = []
    for row in x:
        h = function(row @ w_ih.T + h @ w_hh.T + sum(b for b in (b_ih, b_hh) if b is not None))
        ys.append(h)
    return np.array(ys), h


def relu(x):
    return np.maximum(x, 0)


KINDS = {
    "LSTM": (nn.LSTM, {}, reference.lstm, 2),
    "GRU": (nn.GRU, {}, reference.gru, 1),
    "RNN": (nn.RNN, {}, simple, 1),
    "RNN relu": (
        nn.RNN,
        {"nonlinearity": "relu"},
        lambda *a: simple(*a, function=relu),
        1,
    ),
}


def expected(layer, x, states, run):
    """x (T, N, SIZE), each state (layers * directions, N, H)."""
    last = [[] for _ in states]
    ways = 2 if layer.bidirectional else 1
    for k in range(layer.num_layers):
        ys = []
        for way in range(ways):
            end = f"_l{k}" + "_reverse" * way
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            given = [getattr(layer, n + end).numpy() for n in names if hasattr(layer, n + end)]
            order = slice(None, None, -1 if way else 1)
            y, *ended = run(x[order], *(s[k * ways + way] for s in states), *given)
            ys.append(y[order])
            for row, state in zip(last, ended, strict=True):
                row.append(state)
        x = np.concatenate(ys, -1)
    return x, [np.array(row) for row in last]


def numbers(*shape, seed=0):
    return np.random.default_rng(seed + len(shape)).standard_normal(shape)


def close(a, b, rtol=1e-9):
    np.testing.assert_allclose(a.numpy(), b, rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("both", [False, True])
def test_values(kind, layers, both):
    make, extra, run, count = KINDS[kind]
    layer = make(SIZE, H, layers, bidirectional=both, dtype=tg.float64, **extra)
    x = numbers(T, N, SIZE)
    states = [numbers(layers * (1 + both), N, H, seed=s) for s in range(count)]
    want, last = expected(layer, x, states, run)
    given = [tg.asarray(s) for s in states]
    y, ended = layer(tg.asarray(x), tuple(given) if count > 1 else given[0])
    close(y, want)
    for got, state in zip(ended if count > 1 else (ended,), last, strict=True):
        close(got, state)


@pytest.mark.parametrize("kind", KINDS)
def test_batch_first_unbatched_and_first_states(kind):
    make, extra, run, count = KINDS[kind]
    layer = make(SIZE, H, bias=False, batch_first=True, dtype=tg.float64, **extra)
    x = numbers(N, T, SIZE)
    want, last = expected(layer, x.swapaxes(0, 1), [np.zeros((1, N, H))] * count, run)
    y, ended = layer(tg.asarray(x))
    close(y, want.swapaxes(0, 1))
    close(ended[0] if count > 1 else ended, last[0])
    y, ended = layer(tg.asarray(x[1]))
    close(y, want[:, 1])
    close(ended[0] if count > 1 else ended, last[0][:, 1])


@pytest.mark.parametrize("make", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_cells_step_as_the_layers_do(make):
    tg.manual_seed(0)
    cell = make(SIZE, H, dtype=tg.float64)
    layer = getattr(nn, make.__name__.removesuffix("Cell"))(SIZE, H, dtype=tg.float64)
    layer.load_state_dict({f"{k}_l0": v for k, v in cell.state_dict().items()})
    x = tg.asarray(numbers(T, N, SIZE))
    state = None
    for row in range(T):
        state = cell(x[row], state)
    last = layer(x)[1]
    pair = isinstance(state, tuple)
    for a, b in zip(state if pair else (state,), last if pair else (last,), strict=True):
        close(a, b.numpy()[0])
    alone = cell(x[0, 0])
    close(alone[0] if pair else alone, (cell(x[0])[0] if pair else cell(x[0])).numpy()[0])


@pytest.mark.parametrize(("op", "gates", "states"), [(tg.lstm, 4, 2), (tg.gru, 3, 1)])
def test_second_derivative(op, gates, states):
    """Of the gradient in direction v, against finite differences of the gradient."""
    shapes = [(3, 2, 3), *[(2, 4)] * states, (gates * 4, 3), (gates * 4, 4), *[(gates * 4,)] * 2]
    values = [numbers(*s, seed=i) / 2 for i, s in enumerate(shapes)]
    directions = [numbers(*s, seed=50 + i) for i, s in enumerate(shapes)]

    def gradients(arrays, create_graph):
        given = [tg.asarray(a).requires_grad_() for a in arrays]
        y, *rest = op(*given)
        loss = (y**2).sum() + sum((r**3).sum() for r in rest)
        loss.backward(create_graph=create_graph)
        return given, [g.grad for g in given]

    given, first = gradients(values, True)
    along = sum((g * tg.asarray(d)).sum() for g, d in zip(first, directions, strict=True))
    for g in given:
        g.grad = None
    along.backward()
    eps = 1e-6
    up, down = (
        [
            g.numpy()
            for g in gradients(
                [v + sign * eps * d for v, d in zip(values, directions, strict=True)], False
            )[1]
        ]
        for sign in (1, -1)
    )
    for g, a, b in zip(given, up, down, strict=True):
        np.testing.assert_allclose(g.grad.numpy(), (a - b) / (2 * eps), rtol=1e-6, atol=1e-7)


def test_bits_do_not_depend_on_the_number_of_threads():
    layer = nn.LSTM(40, 96, 2, bidirectional=True)
    x = tg.asarray(numbers(6, 40, 40).astype("float32"))
    before, results = tg.get_num_threads(), []
    for threads in (1, 2, 3):
        tg.set_num_threads(threads)
        layer.zero_grad()
        y, (h, c) = layer(x)
        ((y**2).sum() + c.sum()).backward()
        results.append([y.numpy(), h.numpy(), *(p.grad.numpy() for p in layer.parameters())])
    tg.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_names_start_and_dropout():
    tg.manual_seed(0)
    layer = nn.GRU(SIZE, 100, 2, dropout=0.5, bidirectional=True)
    names = list(dict(layer.named_parameters()))
    assert names[:5] == [
        "weight_ih_l0",
        "weight_hh_l0",
        "bias_ih_l0",
        "bias_hh_l0",
        "weight_ih_l0_reverse",
    ]
    assert layer.weight_ih_l1.shape == (300, 200)
    assert 0.09 < np.abs(layer.weight_hh_l0.numpy()).max() <= 0.1
    x = tg.asarray(numbers(T, N, SIZE).astype("float32"))
    assert (layer(x)[0].numpy() != layer(x)[0].numpy()).any()
    layer.eval()
    assert (layer(x)[0].numpy() == layer(x)[0].numpy()).all()
    assert "bidirectional=True" in repr(layer)


def test_no_steps_and_no_rows():
    layer = nn.LSTM(SIZE, H)
    y, (h, _) = layer(tg.zeros((0, N, SIZE)))
    assert y.shape == (0, N, H)
    assert (h.numpy() == 0).all()
    y, (h, _) = layer(tg.zeros((T, 0, SIZE)))
    assert y.shape == (T, 0, H)
    assert h.shape == (1, 0, H)
    y.sum().backward()
    assert (layer.weight_hh_l0.grad.numpy() == 0).all()


def test_learns():
    """The sum of a sequence's numbers, up to a sigmoid."""
    tg.manual_seed(0)
    layer, head = nn.LSTM(1, 16), nn.Linear(16, 1)
    optimizer = tg.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.01)
    x = numbers(8, 64, 1).astype("float32")
    want = tg.asarray(scipy.special.expit(x.sum(0)))
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = ((head(layer(tg.asarray(x))[0][-1]) - want) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 10


def test_errors():
    with pytest.raises(ValueError, match=r"LSTM: input must be \(T, N, 4\)"):
        nn.LSTM(SIZE, H)(tg.zeros((T, N, SIZE + 1)))
    with pytest.raises(ValueError, match="states must have shape"):
        nn.GRU(SIZE, H)(tg.zeros((T, N, SIZE)), tg.zeros((1, N, H + 1)))
    with pytest.raises(ValueError, match="nonlinearity"):
        nn.RNN(SIZE, H, nonlinearity="gelu")
    with pytest.raises(ValueError, match="hidden_size must be at least 1"):
        nn.LSTM(SIZE, 0)
    shapes = [(T, N, SIZE), (N, H), (N, H), (24, SIZE), (24, 5)]
    with pytest.raises(ValueError, match=r"lstm: w_hh must have shape \(24, 6\)"):
        tg.lstm(*(tg.zeros(shape) for shape in shapes))
