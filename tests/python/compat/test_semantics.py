"""PyTorch's promotion, pairs, axes, constructors and errors."""

from __future__ import annotations

import math
from typing import Any

import pytest

import tegula.compat.torch as torch

ROW = ["bool", "uint8", "int8", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
# What torch.result_type says of tensors of one axis, torch 2.13.
TABLE = """
bool bool uint8 int8 int32 int64 float16 bfloat16 float32 float64
uint8 uint8 uint8 int16 int32 int64 float16 bfloat16 float32 float64
int8 int8 int16 int8 int32 int64 float16 bfloat16 float32 float64
int32 int32 int32 int32 int32 int64 float16 bfloat16 float32 float64
int64 int64 int64 int64 int64 int64 float16 bfloat16 float32 float64
float16 float16 float16 float16 float16 float16 float16 float32 float32 float64
bfloat16 bfloat16 bfloat16 bfloat16 bfloat16 bfloat16 float32 bfloat16 float32 float64
float32 float32 float32 float32 float32 float32 float32 float32 float32 float64
float64 float64 float64 float64 float64 float64 float64 float64 float64 float64
"""


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_tensors_promote_as_in_torch(line: str) -> None:
    left, *results = line.split()
    for right, result in zip(ROW, results, strict=True):
        a, b = (torch.ones(2, dtype=getattr(torch, d)) for d in (left, right))
        assert torch.result_type(a, b) == result, (left, right)
        if left != "bool" or right != "bool":
            assert (a * b).dtype == result, (left, right)


@pytest.mark.parametrize(
    ("left", "right", "result"),
    [
        ("torch.ones(2)", "torch.tensor(1.0, dtype=torch.float64)", "float32"),
        ("torch.ones(2, dtype=torch.int32)", "torch.tensor(1)", "int32"),
        ("torch.ones(2, dtype=torch.int32)", "torch.tensor(1.0, dtype=torch.float64)", "float64"),
        ("torch.ones(2, dtype=torch.int32)", "1.5", "float32"),
        ("torch.ones(2, dtype=torch.bool)", "2", "int64"),
        ("torch.ones(2, dtype=torch.float16)", "2.5", "float16"),
        ("torch.ones(2, dtype=torch.float16)", "1j", "complex64"),
        ("torch.tensor(1)", "2.5", "float32"),
        ("torch.tensor(1.0, dtype=torch.float64)", "2.5", "float64"),
        ("torch.tensor(1, dtype=torch.int32)", "torch.tensor(1)", "int64"),
    ],
)
def test_numbers_and_tensors_without_axes_promote_by_category(
    left: str, right: str, result: str
) -> None:
    a, b = eval(left), eval(right)
    assert torch.result_type(a, b) == result
    if result != "complex64":
        assert (a + b).dtype == (b + a).dtype == result


def test_division_of_integers_gives_the_default_float() -> None:
    a = torch.tensor([7, -7])
    assert (a / 2).dtype == torch.float32
    assert (a // 2).tolist() == [3, -4]
    assert torch.div(a, 2, rounding_mode="trunc").tolist() == [3, -3]
    torch.set_default_dtype(torch.float64)
    try:
        assert (a / 2).dtype == (a + 0.5).dtype == torch.tensor(1.5).dtype == torch.float64
        assert torch.zeros(1).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_reductions_along_an_axis_give_pairs() -> None:
    x = torch.tensor([[3.0, 1.0, 2.0], [4.0, 6.0, 5.0]])
    assert x.max() == 6
    values, indices = x.max(1)
    assert (values.tolist(), indices.tolist()) == ([3, 6], [0, 1])
    assert torch.min(x, dim=0, keepdim=True).indices.shape == (1, 3)
    assert torch.max(x, torch.full((3,), 2.5)).tolist() == [[3, 2.5, 2.5], [4, 6, 5]]
    assert x.sort(descending=True).indices.tolist() == [[0, 2, 1], [1, 2, 0]]
    assert x.median(1).values.tolist() == [2, 5]
    assert x.median() == 3  # the lower one
    assert x.kthvalue(1, 0).values.tolist() == [3, 1, 2]
    assert x.topk(2).values.tolist() == [[3, 2], [6, 5]]
    assert x.cummax(1).indices.tolist() == [[0, 0, 0], [0, 1, 1]]
    assert torch.tensor([1, 2, 2, 1, 2]).mode().values == 2
    assert x.sum((0, 1)) == x.sum(dim=[]) == x.sum(axis=(0, 1)) == 21
    assert x.std() == pytest.approx(math.sqrt(3.5))
    assert x.var(0, unbiased=False).tolist() == [0.25, 6.25, 2.25]


def test_a_tensor_without_axes_has_the_axes_0_and_minus_1() -> None:
    x = torch.tensor(3.0)
    for axis in (0, -1):
        assert x.sum(axis) == x.max(axis).values == x.cumsum(axis) == x.softmax(axis) * 3 == 3
    with pytest.raises(IndexError, match="sum"):
        x.sum(1)


def test_shapes() -> None:
    x = torch.zeros(2, 3, 4)
    assert x.size() == x.shape == torch.Size([2, 3, 4])
    assert (x.size(-1), x.dim(), x.numel(), len(x)) == (4, 3, 24, 2)
    assert x.view(2, -1).shape == x.view((2, -1)).shape == (2, 12)
    assert x.permute(2, 0, 1).shape == x.permute((2, 0, 1)).shape == (4, 2, 3)
    assert x[0].expand(5, -1, -1).shape == (5, 3, 4)
    assert [p.shape[0] for p in torch.arange(10).split(4)] == [4, 4, 2]
    assert [p.shape[0] for p in torch.arange(10).chunk(4)] == [3, 3, 3, 1]
    assert x.unflatten(2, (2, 2)).shape == (2, 3, 2, 2)
    assert repr(x.shape) == "torch.Size([2, 3, 4])"


def test_constructors() -> None:
    assert torch.tensor([1, 2]).dtype == torch.int64
    assert torch.tensor([1.0]).dtype == torch.Tensor([1]).dtype == torch.float32
    assert torch.arange(3).dtype == torch.int64
    assert torch.arange(0, 1, 0.25).tolist() == [0, 0.25, 0.5, 0.75]
    assert torch.full((2,), 3).dtype == torch.int64
    assert torch.zeros(2, 3).shape == torch.zeros((2, 3)).shape == (2, 3)
    torch.manual_seed(3)
    first = torch.randn(4)
    torch.manual_seed(3)
    assert torch.equal(first, torch.randn(4))
    generator = torch.Generator().manual_seed(3)
    again = torch.randn(4, generator=generator)
    assert torch.equal(again, torch.randn(4, generator=torch.Generator().manual_seed(3)))
    assert sorted(torch.randperm(5).tolist()) == [0, 1, 2, 3, 4]


def test_what_is_not_there_says_so() -> None:
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: torch.sparse_coo_tensor, NotImplementedError, "torch.sparse_coo_tensor .* dense"),
        (lambda: torch.nn.functional.fractional_max_pool2d, NotImplementedError, "nearest name"),
        (lambda: torch.nn.LazyLinear, NotImplementedError, "torch.nn.LazyLinear"),
        (lambda: torch.no_such_name, AttributeError, "no_such_name"),
        (lambda: torch.ones(1).cuda(), NotImplementedError, "CPU"),
        (lambda: torch.ones(2, requires_grad=True).numpy(), RuntimeError, "detach"),
        (lambda: torch.ones(2).mean(1), IndexError, "axis 1"),
        (lambda: torch.arange(3).mean(), RuntimeError, "floating"),
        (lambda: torch.ones(2).view(3), ValueError, "view|reshape"),
        (lambda: torch.sum(torch.ones(2), dims=0), TypeError, "dims"),
        (lambda: torch.exp(), TypeError, "exp: argument 'input' is missing"),
    ]
    for call, error, words in cases:
        with pytest.raises(error, match=words):
            call()


def test_parameters_and_modules() -> None:
    nn = torch.nn
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Dropout(0.5))
    assert all(isinstance(p, nn.Parameter) for p in model.parameters())
    assert all(isinstance(p, torch.Tensor) for p in model.buffers())
    weight = model[0].weight
    model.double()
    assert model[0].weight is weight
    assert weight.dtype == torch.float64
    model.float()
    state = model.state_dict()
    with pytest.raises(RuntimeError, match="missing"):
        model.load_state_dict({k: v for k, v in state.items() if "bias" not in k})
    assert str(nn.Linear(2, 3)).startswith("Linear(")
    model.eval()
    x = torch.randn(4, 2)
    assert torch.equal(model(x), model(x))
    assert type(model(x)) is torch.Tensor
