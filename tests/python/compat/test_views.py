"""Views and writing in place: what one handle writes, every handle of the storage shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tegula as tg
import tegula.compat.torch as torch


def diagonal_of(a: Any) -> Any:
    along = a.strides[0] + a.strides[1]
    return np.lib.stride_tricks.as_strided(a, (4, 2), (a.strides[2], along))


# A view of a (2, 3, 4) tensor by PyTorch's methods, and the same view by NumPy.
VIEWS: list[tuple[str, Any, Any]] = [
    ("x[1]", lambda x: x[1], lambda a: a[1]),
    ("x[:, ::2]", lambda x: x[:, ::2], lambda a: a[:, ::2]),
    ("x[..., -1]", lambda x: x[..., -1], lambda a: a[..., -1]),
    ("x[None, 0]", lambda x: x[None, 0], lambda a: a[None, 0]),
    ("view", lambda x: x.view(6, 4), lambda a: a.reshape(6, 4)),
    ("flatten", lambda x: x.flatten(), lambda a: a.reshape(-1)),
    ("transpose", lambda x: x.transpose(0, 2), lambda a: a.swapaxes(0, 2)),
    ("permute", lambda x: x.permute(2, 0, 1), lambda a: a.transpose(2, 0, 1)),
    ("mT", lambda x: x.movedim(0, -1), lambda a: np.moveaxis(a, 0, -1)),
    ("unsqueeze", lambda x: x.unsqueeze(1), lambda a: a[:, None]),
    ("squeeze", lambda x: x[:, :1].squeeze(1), lambda a: a[:, 0]),
    ("narrow", lambda x: x.narrow(2, 1, 2), lambda a: a[:, :, 1:3]),
    ("select", lambda x: x.select(1, -1), lambda a: a[:, -1]),
    ("chunk", lambda x: x.chunk(2, 2)[1], lambda a: a[:, :, 2:]),
    ("split", lambda x: x.split([1, 2], 1)[1], lambda a: a[:, 1:]),
    ("unbind", lambda x: x.unbind(1)[2], lambda a: a[:, 2]),
    ("diagonal", lambda x: x.diagonal(0, 0, 1), diagonal_of),
    ("detach", lambda x: x.detach(), lambda a: a),
    ("data", lambda x: x.data, lambda a: a),
    ("a chain", lambda x: x[1].t()[1:3].reshape(-1), lambda a: None),
    ("a loop", lambda x: list(x)[1], lambda a: a[1]),
]


def start() -> tuple[Any, np.ndarray[Any, Any]]:
    a = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    return torch.from_numpy(a), a.copy()


@pytest.mark.parametrize(("name", "view", "same"), VIEWS, ids=[v[0] for v in VIEWS])
def test_a_write_through_a_view_reaches_its_base(name: str, view: Any, same: Any) -> None:
    x, a = start()
    v, other = view(x), x[1]
    if same(a) is None:  # no view of NumPy's
        part = a[1].T[1:3]
        part[...] = part * 10
    else:
        part = np.lib.stride_tricks.as_strided(
            same(a), same(a).shape, same(a).strides, writeable=True
        )
        part *= 10
    v.mul_(10)
    np.testing.assert_array_equal(x.numpy(), a)
    np.testing.assert_array_equal(v.numpy().reshape(part.shape), part)
    np.testing.assert_array_equal(other.numpy(), a[1])


@pytest.mark.parametrize(("name", "view", "same"), VIEWS, ids=[v[0] for v in VIEWS])
def test_a_write_to_the_base_shows_in_the_view(name: str, view: Any, same: Any) -> None:
    x, a = start()
    v = view(x)
    x += 100
    np.testing.assert_array_equal(v.numpy(), view(torch.from_numpy(a + 100)).numpy())


def test_views_of_a_base_that_is_gone_share() -> None:
    first, second = torch.zeros(6).view(2, 3).unbind(0)
    whole = torch.arange(6.0).view(2, 3)
    row, column = whole[0], whole[:, 0]
    del whole
    row[0] = 7
    assert column.tolist() == [7, 3]
    first.fill_(1)
    assert second.tolist() == [0, 0, 0]


def test_copies_do_not_share() -> None:
    x = torch.zeros(4)
    for copy in (
        x.clone(),
        x[torch.tensor([0, 1])],
        x + 0,
        torch.tensor(x),
        x.repeat(2),
        x[x == 0],
    ):
        copy.fill_(1)
    assert x.tolist() == [0, 0, 0, 0]


def test_an_expanded_view_is_not_written() -> None:
    with pytest.raises(RuntimeError, match="single memory location"):
        torch.zeros(1, 3).expand(2, 3).add_(1)


def test_gradients_flow_through_writes() -> None:
    w = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = torch.zeros(3)
    x[1:] = w[:2] * 2
    x[0].add_(w[2])
    (x * torch.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert w.grad.tolist() == [20, 200, 1]


def test_a_leaf_that_requires_grad_refuses() -> None:
    w = torch.ones(3, requires_grad=True)
    for write in (lambda: w.add_(1), lambda: w[0].mul_(2), lambda: w.__setitem__(0, 1.0)):
        with pytest.raises(RuntimeError, match="leaf"):
            write()
    with torch.no_grad():
        w[0].mul_(5)
        w.view(-1).add_(1)
    w.data[1] = 9
    assert w.tolist() == [6, 9, 2]
    assert w.is_leaf
    assert w.requires_grad


def test_the_optimizer_shows_in_data_and_state_dict() -> None:
    layer = torch.nn.Linear(2, 1, bias=False)
    state, data = layer.state_dict(), layer.weight.data
    layer.weight.grad = torch.ones(1, 2)
    before = layer.weight.tolist()
    torch.optim.SGD(layer.parameters(), lr=0.5).step()
    assert layer.weight.tolist() != before
    assert state["weight"].tolist() == data.tolist() == layer.weight.tolist()


def test_in_place_keeps_dtype_and_shape() -> None:
    x = torch.ones(2, dtype=torch.int64)
    with pytest.raises(RuntimeError, match="can't be cast"):
        x += 0.5
    with pytest.raises(RuntimeError, match="broadcast shape"):
        x += torch.ones(3, 2, dtype=torch.int64)
    x.float().add_(1)
    x.copy_(torch.tensor([2.7, 3.2]))
    assert x.tolist() == [2, 3]
    half = torch.ones(2, dtype=torch.float16)
    half += torch.ones(2, dtype=torch.float32)
    assert half.dtype == torch.float16


def test_the_main_namespace_stays_as_it_is() -> None:
    x = tg.zeros((2, 2))
    row = x[0]
    row += 1
    assert x.sum().item() == 0
    assert type(tg.nn.Linear(2, 2)(x)) is tg.Tensor


def test_operations_of_the_main_namespace_keep_the_type() -> None:
    assert type(tg.exp(torch.ones(2))) is torch.Tensor
    assert type(tg.concat([torch.ones(2), tg.ones(2)])) is torch.Tensor
