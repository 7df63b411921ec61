"""Gradients of tensors by tensors, beside ``.backward()``; where a NaN in them comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tegula import _core
from tegula._core import Tensor

__all__ = ["detect_anomaly", "grad"]


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """Gradients of the sum of ``outputs[i] * grad_outputs[i]`` by each of the inputs.

    As ``torch.autograd.grad``: returns them, and leaves every ``.grad`` alone. Only what lies
    between inputs and outputs is differentiated.

    Args:
        outputs: a tensor or several, computed from the inputs.
        inputs: a tensor or several that require grad, leaves or not.
        grad_outputs: for each output a tensor of its shape; None stands for 1 and needs a
            one-element output.
        retain_graph: keep the recorded operations for another pass; ``create_graph`` unless given.
        create_graph: make the gradients differentiable themselves.
        allow_unused: give None for an input that no output depends on, instead of an error.

    Returns:
        A tuple with a gradient for each input, of its shape and dtype.

    Raises:
        TypeError: outputs, inputs or grad_outputs are no tensors.
        ValueError: a shape differs, an output without its gradient has several elements, or there
            are no outputs or no inputs.
        RuntimeError: an input or output does not require grad, an input is not used, or an earlier
            pass released the graph.
    """
    ends, starts = _several(outputs, "outputs"), _several(inputs, "inputs")
    for name, tensors in (("outputs", ends), ("inputs", starts)):
        for i, x in enumerate(tensors):
            if not x.requires_grad:
                raise RuntimeError(f"autograd.grad: {name}[{i}] does not require grad")
    seeds = _seeds(ends, grad_outputs)
    keep = create_graph if retain_graph is None else retain_graph
    found = _core.gradients(ends, seeds, starts, retain_graph=keep, create_graph=create_graph)
    for i, gradient in enumerate(found):
        if gradient is None and not allow_unused:
            raise RuntimeError(
                f"autograd.grad: no output depends on inputs[{i}]; pass allow_unused=True to get "
                "None for it"
            )
    return tuple(found)


def _several(tensors: Any, name: str) -> list[Tensor]:
    several = [tensors] if isinstance(tensors, Tensor) else tensors
    if not isinstance(several, (list, tuple)):
        raise TypeError(
            f"autograd.grad: {name} must be a tensor or a sequence of tensors, "
            f"not {type(tensors).__name__}"
        )
    for i, x in enumerate(several):
        if not isinstance(x, Tensor):
            raise TypeError(f"autograd.grad: {name}[{i}] must be a tensor, not {type(x).__name__}")
    if not several:
        raise ValueError(f"autograd.grad: {name} is empty")
    return list(several)


def _seeds(ends: list[Tensor], given: Any) -> list[Tensor | None]:
    if given is None:
        seeds: list[Tensor | None] = [None] * len(ends)
    else:
        seeds = [given] if isinstance(given, Tensor) else list(given)
    if len(seeds) != len(ends):
        raise ValueError(
            f"autograd.grad: there are {len(ends)} outputs, but {len(seeds)} grad_outputs"
        )
    for i, (x, seed) in enumerate(zip(ends, seeds, strict=True)):
        if seed is None and x.size != 1:
            raise ValueError(
                f"autograd.grad: outputs[{i}] has shape {x.shape} and needs a gradient of that "
                "shape in grad_outputs; only a one-element output has 1 by default"
            )
        if seed is not None and not isinstance(seed, Tensor):
            raise TypeError(
                f"autograd.grad: grad_outputs[{i}] must be a tensor or None, "
                f"not {type(seed).__name__}"
            )
        if seed is not None and seed.shape != x.shape:
            raise ValueError(
                f"autograd.grad: grad_outputs[{i}] has shape {seed.shape}, outputs[{i}] {x.shape}"
            )
    return seeds


class detect_anomaly:  # noqa: N801
    """Has backward passes say where their first NaN or infinity comes from.

    Within ``with tg.autograd.detect_anomaly():`` every gradient is computed and looked at as soon
    as it is recorded, which is slow. The error names the operation whose derivative made it and
    the line that recorded that operation in the forward pass, which need not be within. A function
    that ``tg.jit`` traces within looks at them in each run. What a branch or a loop differentiates
    in itself, and what a composite operation's derivative consists of, is looked at as a whole.

    Raises:
        FloatingPointError: from ``backward()`` and whatever else computes gradients; under
            ``tg.jit``, where values of the run are read.
    """

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> detect_anomaly:
        self._before.append(_core._detecting_anomaly())
        _core._set_detecting_anomaly(True)
        return self

    def __exit__(self, *_: object) -> None:
        _core._set_detecting_anomaly(self._before.pop())
