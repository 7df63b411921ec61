"""``out=`` and ``device=`` of PyTorch's functions."""

from __future__ import annotations

import pytest

import tegula as tg
import tegula.compat.torch as torch


def test_out_is_written_and_returned():
    out = torch.zeros(2)
    assert torch.mul(torch.tensor([1.0, 2.0]), 2, out=out) is out  # of the table
    assert out.tolist() == [2, 4]
    assert torch.add(out, out, alpha=2, out=out) is out  # a function of this layer
    assert out.tolist() == [6, 12]
    assert torch.cat((out, out), out=torch.zeros(4)).tolist() == [6, 12, 6, 12]
    assert torch.exp(torch.zeros(2), out=None).tolist() == [1, 1]
    torch.nn.functional.normalize(torch.tensor([[3.0, 4.0]]), out=out)
    assert out.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]


def test_out_of_pairs():
    values, places = torch.zeros(2), torch.zeros(2, dtype=torch.int64)
    found = torch.max(torch.tensor([[1.0, 3.0], [5.0, 2.0]]), 1, out=(values, places))
    assert found[0] is values
    assert (values.tolist(), places.tolist()) == ([3, 5], [1, 0])
    with pytest.raises(TypeError, match=r"max: out must be a tuple of 2 tensors"):
        torch.max(torch.zeros(2, 2), 1, out=values)


def test_out_that_is_a_view_reaches_its_base():
    base = torch.zeros(2, 2)
    torch.neg(torch.ones(2), out=base[1])
    assert base.tolist() == [[0, 0], [-1, -1]]


def test_out_is_cast_and_resized():
    out = torch.zeros(1, dtype=torch.float64)
    torch.exp(torch.zeros(3), out=out)
    assert (out.dtype, out.tolist()) == (torch.float64, [1, 1, 1])
    with pytest.raises(RuntimeError, match=r"exp.*can't be cast"):
        torch.exp(torch.zeros(3), out=torch.zeros(3, dtype=torch.int64))


def test_out_has_no_gradient():
    with pytest.raises(RuntimeError, match="out= does not support automatic differentiation"):
        torch.exp(torch.zeros(3, requires_grad=True), out=torch.zeros(3))
    with pytest.raises(TypeError, match="exp: out must be a Tensor, got list"):
        torch.exp(torch.zeros(3), out=[1])


@pytest.mark.parametrize(
    "make",
    [
        lambda device: torch.zeros(2, device=device),
        lambda device: torch.tensor([1], device=device),
        lambda device: torch.arange(3, device=device),
        lambda device: torch.eye(3, device=device),
        lambda device: torch.randn(3, device=device),
        lambda device: torch.zeros(2).to(device),
    ],
)
def test_a_device_that_is_not_there_is_an_error(make):
    assert make("cpu").device == make(torch.device("cpu:0")).device
    with pytest.raises(tg.DeviceError, match="no device is called 'cuda'"):
        make("cuda:0")


def test_relu_in_place_by_position():
    x = torch.tensor([-1.0, 1.0])
    assert torch.nn.functional.relu(x, True) is x
    assert x.tolist() == [0, 1]


def test_absolute_tolerances():
    a = torch.diag(torch.tensor([3.0, 1.0, 0.1]))
    assert torch.linalg.matrix_rank(a, atol=0.5).item() == 2
    assert torch.linalg.matrix_rank(a, atol=0.5, rtol=0.5).item() == 1
    assert torch.linalg.matrix_rank(a, 2.0).item() == 1
    inverse = torch.linalg.pinv(a, atol=0.5)
    assert torch.allclose(inverse, torch.diag(torch.tensor([1 / 3, 1.0, 0.0])))
    assert torch.linalg.pinv(torch.zeros(0, 3), atol=0.5).shape == (3, 0)
    upper = torch.tensor([[2.0, 9.0], [1.0, 2.0]])  # its lower half counts
    expected = torch.linalg.inv(torch.tensor([[2.0, 1.0], [1.0, 2.0]]))
    assert torch.allclose(torch.linalg.pinv(upper, hermitian=True), expected, atol=1e-6)
