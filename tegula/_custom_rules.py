"""The rules of custom operations as the engine calls them, and the checks of what they give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tegula import _core
from tegula._core import DType, Tensor
from tegula._host import TensorSpec

if TYPE_CHECKING:
    from tegula._custom import CustomOp

_NEEDED_BY = {
    "vjp": ("reverse mode", "inputs, output, upstream"),
    "jvp": ("forward mode", "inputs, output, tangents"),
    "batch": ("vmap", "inputs, axes, size"),
}


def _name(x: TensorSpec) -> str:
    return x.dtype.name if isinstance(x.dtype, DType) else x.dtype


def _floating(x: TensorSpec) -> bool:
    return _name(x) in {"float16", "bfloat16", "float32", "float64", "complex64", "complex128"}


def _or_zero(part: Tensor | None, like: TensorSpec) -> Tensor | None:
    """A part that is not there, as a rule is to see it."""
    if part is None and _floating(like):
        return _core.zeros(like.shape, dtype=like.dtype)
    return part


class RuleCall:
    """One call of a custom operation, for its rules: what src/graph/custom_rules.h describes.

    Attributes:
        op: the operation.
        attributes: the arguments that are no tensors, by name.
        inputs, outputs: shape and dtype of each; of outputs once the call is recorded.
        vjp_uses: which values the rule of reverse mode reads, by bit (src/graph/primitive.h).
    """

    def __init__(self, op: CustomOp, attributes: dict[str, Any], inputs: list[Tensor]) -> None:
        self.op, self.attributes = op, attributes
        self.inputs = [TensorSpec(x.shape, x.dtype) for x in inputs]
        self.outputs: list[TensorSpec] = []
        self.vjp_uses = op.vjp_uses

    def has(self, kind: str) -> bool:
        """Whether there is a rule ``vjp``, ``jvp`` or ``batch``."""
        return kind in self.op.rules

    def vjp(
        self,
        inputs: list[Tensor | None],
        outputs: list[Tensor | None],
        upstream: list[Tensor | None],
    ) -> list[Tensor | None]:
        """Gradients of the inputs."""
        flowing = [_or_zero(g, y) for g, y in zip(upstream, self.outputs, strict=True)]
        given = self._call("vjp", tuple(inputs), self._single(outputs), self._single(flowing))
        return self._checked("vjp", given, "argument", self.op.tensor_names, self.inputs)

    def jvp(
        self, inputs: list[Tensor], outputs: list[Tensor], tangents: list[Tensor | None]
    ) -> list[Tensor | None]:
        """Tangents of the outputs."""
        flowing = tuple(_or_zero(t, x) for t, x in zip(tangents, self.inputs, strict=True))
        given = self._call("jvp", tuple(inputs), self._single(outputs), flowing)
        names = [str(k) for k in range(len(outputs))]
        return self._checked("jvp", given, "output", names, self.outputs)

    def batch(self, inputs: list[Tensor], axes: list[int | None], size: int) -> list[Tensor]:
        """The outputs of several calls."""
        given = self._call("batch", tuple(inputs), tuple(axes), size)
        like = [TensorSpec((size, *spec.shape), spec.dtype) for spec in self.outputs]
        names = [str(k) for k in range(len(like))]
        found = self._checked("batch", given, "output", names, like)
        given_all = [y for y in found if y is not None]
        if len(given_all) < len(found):
            missing = next(name for y, name in zip(found, names, strict=True) if y is None)
            self._wrong("batch", f"None for output {missing!r}", "a Tensor")
        return given_all

    def _single(self, items: Sequence[Any]) -> Any:
        return items[0] if len(items) == 1 else tuple(items)

    def _call(self, kind: str, *args: Any) -> Any:
        rule = self.op.rules.get(kind)
        if rule is None:
            mode, parameters = _NEEDED_BY[kind]
            names = "".join(f", {name}" for name in self.attributes)
            raise NotImplementedError(
                f"{self.op.name}: has no rule for {mode}; attach one to the operation with "
                f"@{self.op.__name__}.{kind}, a function ({parameters}{names})"
            )
        return rule(*args, **self.attributes)

    def _wrong(self, kind: str, got: str, right: str) -> None:
        raise ValueError(f"{self.op.name}: its {kind} rule returned {got}; it must be {right}")

    def _checked(
        self, kind: str, given: Any, what: str, names: list[str], like: list[TensorSpec]
    ) -> list[Tensor | None]:
        """What a rule gave for each of ``like``, which it must match."""
        found = list(given) if isinstance(given, (tuple, list)) else [given]
        if len(found) != len(like):
            self._wrong(kind, f"{len(found)} values", f"{len(like)}, one for each {what}")
        for part, name, x in zip(found, names, like, strict=True):
            if part is None:
                continue
            if not isinstance(part, Tensor):
                raise TypeError(
                    f"{self.op.name}: its {kind} rule returned {type(part).__name__} for {what} "
                    f"{name!r}; it must be a Tensor or None"
                )
            if not _floating(x) and kind != "batch":
                self._wrong(kind, f"a value for {what} {name!r}, which is {_name(x)}", "None")
            if part.shape != x.shape:
                self._wrong(kind, f"shape {part.shape} for {what} {name!r}", f"{x.shape}")
            if part.dtype != x.dtype:
                self._wrong(kind, f"{part.dtype.name} for {what} {name!r}", _name(x))
        return found
