"""Wrong arguments to every function of ``tegula.compat.torch``: a value or an error with a name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tegula.compat.torch as torch
from tegula.compat.torch._registry import functions
from tegula.compat.torch.nn import functional

FUNCTIONS = {
    **{name: f for name, f in functions.items() if not name.startswith("_")},
    **{f"nn.functional.{name}": getattr(functional, name) for name in functional.__all__},
    **{f"linalg.{n}": f for n, f in vars(torch.linalg).items() if callable(f) and n[0] != "_"},
}
ERRORS = (TypeError, ValueError, IndexError, RuntimeError, ArithmeticError, MemoryError)
# Not about tensors, or they change settings.
LEFT_OUT = {"set_grad_enabled", "inference_mode", "apply_"}


def arguments() -> list[tuple[Any, ...]]:
    x = torch.arange(6.0).reshape(2, 3)
    empty, scalar = torch.zeros(0, 3), torch.tensor(2.0)
    nan = torch.tensor([float("nan"), float("inf"), -1.0])
    index = torch.tensor([[5, -9, 2**40]])
    flags = torch.tensor([True, False])
    return [
        (),
        (None,),
        ("text",),
        (object(),),
        ([],),
        (x,),
        (x, 7),
        (x, -99, 2**62),
        (x, 2**70),
        (x, "text"),
        (x, None, None),
        (x, torch.ones(5)),
        (x, x, x),
        (x, 0, index),
        (x, 0, index, x),
        (x, index, x),
        (x, flags),
        (x, (0, 0)),
        (x, (1, 2, 3, 4)),
        (x, -1.5),
        (empty,),
        (empty, 0),
        (empty, empty),
        (scalar,),
        (scalar, 0),
        (scalar, 1),
        (nan,),
        (nan, nan),
        (nan, 0),
        (index,),
        (index, index),
        (flags,),
        (flags, flags),
        (x.to(torch.complex64), x),
        (x.bfloat16(), x.half()),
        ((x, x), 9),
        ((x, torch.ones(4)),),
    ]


def look(result: Any) -> None:
    if isinstance(result, torch.Tensor):
        np.asarray(result.detach().float() if result.dtype == torch.bfloat16 else result.detach())
    elif isinstance(result, (tuple, list)):
        for item in result:
            look(item)


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - LEFT_OUT))
def test_wrong_arguments_are_refused_or_give_a_value(name: str) -> None:
    for given in arguments():
        if name.split(".")[-1] in SIZED and any(_is_huge(a) for a in given):
            continue
        said = "nothing"
        try:
            with torch.no_grad():
                look(FUNCTIONS[name](*given))
        except ERRORS as error:
            said = str(error)
        assert said, (name, given)


# Functions whose arguments are sizes: what asks for 2 ** 62 elements is left to test_huge_sizes.
SIZED = {"zeros", "ones", "empty", "full", "rand", "randn", "arange", "linspace", "logspace", "eye"}


def _is_huge(a: Any) -> bool:
    return isinstance(a, int) and abs(a) > 2**20


def test_huge_sizes() -> None:
    for make in (torch.zeros, torch.randn, torch.empty):
        with pytest.raises((ValueError, OverflowError, MemoryError, RuntimeError)):
            look(make(2**40, 2**40))
