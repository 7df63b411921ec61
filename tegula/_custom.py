"""Operations that users write: NumPy functions, and kernels compiled apart from Tegula."""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, overload

import numpy as np

from tegula import _core
from tegula._core import Tensor
from tegula._custom_rules import RuleCall
from tegula._host import TensorSpec, as_spec, fit_results

_F = TypeVar("_F", bound=Callable[..., Any])

# The types of arguments that are no tensors, and how their annotations are written.
_KINDS: dict[Any, type] = {kind: kind for kind in (int, float, bool, str)}
_KINDS |= {kind.__name__: kind for kind in (int, float, bool, str)}

# Values that a rule of reverse mode reads, in the bits of Uses (src/graph/primitive.h).
_OUTPUT = 1 << 31
_ALL = (1 << 32) - 1


class CustomOp:
    """An operation that a user has written: ``tg.custom_op`` and ``tg.load_custom_ops`` make it.

    It is called like a function, with a tensor or a tuple of them as its result. What the engine
    cannot find out by itself is attached to it, each rule a function written with Tegula's
    operations. ``inputs`` are the tensors among the arguments, in order; an operation's other
    arguments are passed to its rules by name. For an operation with several outputs, ``output``
    and what stands beside it are tuples.

    Attributes:
        name: by which plans, profiles and errors know it.
    """

    def __init__(
        self,
        name: str,
        signature: inspect.Signature,
        doc: str | None,
        record: Callable[[list[Tensor], dict[str, Any], RuleCall], list[Tensor] | Tensor],
    ) -> None:
        self.name = name
        self.__name__ = self.__qualname__ = name.rpartition(".")[2]
        self.__doc__ = doc
        self.__signature__ = signature
        self.rules: dict[str, Callable[..., Any]] = {}
        self.vjp_uses = _ALL
        self._record = record
        self._parameters = list(signature.parameters.values())
        self.tensor_names = [p.name for p in self._parameters if p.annotation is Tensor]

    @overload
    def vjp(self, rule: _F, /) -> _F: ...

    @overload
    def vjp(self, rule: None = None, /, *, uses: Sequence[str]) -> Callable[[_F], _F]: ...

    def vjp(self, rule: Any = None, /, *, uses: Sequence[str] | None = None) -> Any:
        """Attaches the rule of reverse mode: ``@op.vjp``. Returns it as it is.

        ``rule(inputs, output, upstream, **attributes)`` gives the gradient of each input, of its
        shape and dtype, or None for none: a tuple, or for a single input the gradient itself.
        ``upstream`` has the output's shape and dtype; it is zero where nothing flows into one of
        several outputs, and None for outputs that are not floating-point.

        ``@op.vjp(uses=("x", "output"))`` names the inputs that the rule reads, and whether it
        reads the output. The others it gets as None, and they are not kept for it.
        """
        wanted = self._bits(uses)

        def attach(rule: Any) -> Any:
            self._attach("vjp", rule)
            self.vjp_uses = wanted
            return rule

        return attach if rule is None and uses is not None else attach(rule)

    def _bits(self, uses: Sequence[str] | None) -> int:
        if uses is None:
            return _ALL
        bits = 0
        for name in [uses] if isinstance(uses, str) else uses:
            if name == "output":
                bits |= _OUTPUT
            elif name in self.tensor_names:
                bits |= 1 << min(self.tensor_names.index(name), 30)
            else:
                raise ValueError(
                    f"{self.name}.vjp: uses has {name!r}; it must be one of "
                    + ", ".join([*self.tensor_names, "output"])
                )
        return bits

    def jvp(self, rule: _F) -> _F:
        """Attaches the rule of forward mode: ``@op.jvp``. Returns it as it is.

        ``rule(inputs, output, tangents, **attributes)`` gives the tangent of each output, of its
        shape and dtype, or None for none. ``tangents`` is a tuple with one for each input, zero
        where an input does not vary, None where it is not floating-point.
        """
        return self._attach("jvp", rule)

    def batch(self, rule: _F) -> _F:
        """Attaches the rule of ``vmap``: ``@op.batch``. Returns it as it is.

        ``rule(inputs, axes, size, **attributes)`` gives the outputs of ``size`` calls at once,
        along a first axis. ``axes`` has for each input the axis along which it holds those of the
        calls, None for an input that is the same in all.
        """
        return self._attach("batch", rule)

    def _attach(self, kind: str, rule: _F) -> _F:
        if not callable(rule):
            raise TypeError(f"{self.name}.{kind}: needs a function, got {type(rule).__name__}")
        self.rules[kind] = rule
        return rule

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        values = self._bind(args, kwargs)
        tensors = [values.pop(name) for name in self.tensor_names]
        inputs = _core._custom_inputs(self.name, self.tensor_names, tensors)
        call = RuleCall(self, values, inputs)
        found = self._record(inputs, values, call)
        outputs = [found] if isinstance(found, Tensor) else found
        call.outputs = [TensorSpec(y.shape, y.dtype) for y in outputs]
        return found if isinstance(found, Tensor) else tuple(found)

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The value of each parameter."""
        if len(args) > len(self._parameters):
            raise TypeError(
                f"{self.name}: takes {len(self._parameters)} arguments, got {len(args)}"
            )
        values: dict[str, Any] = {}
        for p, value in zip(self._parameters, args, strict=False):
            values[p.name] = value
        for name, value in kwargs.items():
            if name in values:
                raise TypeError(f"{self.name}: argument {name!r} is given twice")
            values[name] = value
        ordered = {}
        for p in self._parameters:
            if p.name in values:
                ordered[p.name] = self._converted(p, values.pop(p.name))
            elif p.default is not p.empty:
                ordered[p.name] = p.default
            else:
                raise TypeError(f"{self.name}: argument {p.name!r} is missing")
        if values:
            raise TypeError(
                f"{self.name}: has no argument {next(iter(values))!r}; its arguments are "
                + ", ".join(p.name for p in self._parameters)
            )
        return ordered

    def _converted(self, p: inspect.Parameter, value: Any) -> Any:
        if p.annotation is Tensor:
            return value
        boolean = isinstance(value, (bool, np.bool_))
        if p.annotation is bool and boolean:
            return bool(value)
        if p.annotation is str and isinstance(value, str):
            return value
        if p.annotation is int and hasattr(value, "__index__") and not boolean:
            number = value.__index__()
            if not -(2**63) <= number < 2**63:
                raise ValueError(f"{self.name}: argument {p.name!r} is too large: {value!r}")
            return number
        if p.annotation is float and hasattr(value, "__float__") and not boolean:
            return float(value)
        article = "an" if p.annotation is int else "a"
        raise TypeError(
            f"{self.name}: argument {p.name!r} must be {article} {p.annotation.__name__}, "
            f"got {type(value).__name__}"
        )

    def __repr__(self) -> str:
        rules = ", ".join(sorted(self.rules)) or "none"
        return f"<custom operation {self.name}{self.__signature__}, rules: {rules}>"


# ---- functions of arrays ---------------------------------------------------------------------


@overload
def custom_op(fn: Callable[..., Any], *, infer: Any, name: str | None = None) -> CustomOp: ...


@overload
def custom_op(
    *, infer: Any, name: str | None = None
) -> Callable[[Callable[..., Any]], CustomOp]: ...


def custom_op(
    fn: Callable[..., Any] | None = None, *, infer: Any, name: str | None = None
) -> CustomOp | Callable[[Callable[..., Any]], CustomOp]:
    """Makes an operation of a NumPy function: ``@tg.custom_op(infer="x")``.

    The function is called when values are computed, on any thread, wherever the operation is used:
    in plain code, under ``tg.jit``, in the bodies of control flow. It must be pure, and is not
    called where nobody needs its results. Rules for transforms are attached to the operation: see
    ``CustomOp``.

    Args:
        fn: gets read-only NumPy arrays for its parameters, which are tensors, but for those
            annotated int, float, bool or str, which come as they are. Returns an array, or a tuple
            of arrays if ``infer`` says so. It may not evaluate tensors.
        infer: the shape and dtype of what it returns. The name of a parameter: as that tensor. A
            ``tg.TensorSpec``, or what has shape and dtype: always as this. A function of what
            ``fn`` takes, with a ``tg.TensorSpec`` in place of each array: what that returns. Or a
            tuple of these, for several outputs.
        name: by which plans, profiles and errors know it; that of ``fn`` by default.

    Returns:
        The operation; without ``fn``, a decorator that gives it.

    Raises:
        TypeError, ValueError: fn takes ``*args`` or ``**kwargs``, or infer is none of the above;
            when the operation is called, for wrong arguments; where its results are read, for
            arrays that are not what ``infer`` says.
    """
    if fn is None:
        return lambda fn: custom_op(fn, infer=infer, name=name)
    if not callable(fn):
        raise TypeError(f"custom_op: needs a function, got {type(fn).__name__}")
    function, label = fn, name if name is not None else getattr(fn, "__name__", type(fn).__name__)
    signature = _signature(label, inspect.signature(fn))
    several = _is_several(infer)
    rules = [_checked_rule(label, signature, item) for item in (infer if several else [infer])]

    def record(inputs: list[Tensor], attributes: dict[str, Any], call: RuleCall) -> Any:
        tensors = iter(TensorSpec(x.shape, x.dtype) for x in inputs)
        given = {
            p: attributes[p] if p in attributes else next(tensors) for p in signature.parameters
        }
        found = [_inferred(label, item, given) for item in rules]
        flat = list(found[0]) if not several and _is_several(found[0]) else found
        tuple_result = several or flat is not found
        specs = [as_spec(label, "infer", item) for item in flat]

        def run(*arrays: np.ndarray) -> list[np.ndarray]:
            values = iter(arrays)
            arguments = {
                p: attributes[p] if p in attributes else next(values) for p in signature.parameters
            }
            bound = inspect.BoundArguments(signature, arguments)
            result = function(*bound.args, **bound.kwargs)
            return fit_results(label, result if tuple_result else [result], specs)

        results = _core._custom_call(
            label, run, inputs, [(spec.dtype, spec.shape) for spec in specs], call
        )
        return results if tuple_result else results[0]

    return CustomOp(label, signature, inspect.getdoc(fn), record)


def _is_several(specs: Any) -> bool:
    return isinstance(specs, (tuple, list)) and not hasattr(specs, "shape")


def _signature(op: str, given: inspect.Signature) -> inspect.Signature:
    """The same with a type for each parameter: Tensor, or that of an attribute."""
    parameters = []
    for p in given.parameters.values():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise TypeError(f"{op}: a custom operation cannot take {p}; name its arguments")
        kind: type = _KINDS.get(p.annotation, Tensor)
        if kind is Tensor and p.default is not p.empty:
            raise TypeError(
                f"{op}: parameter {p.name!r} has a default, which tensors cannot have; annotate it "
                "int, float, bool or str if it is none"
            )
        parameters.append(p.replace(annotation=kind))
    return given.replace(parameters=parameters, return_annotation=inspect.Signature.empty)


def _checked_rule(op: str, signature: inspect.Signature, rule: Any) -> Any:
    if isinstance(rule, str):
        p = signature.parameters.get(rule)
        if p is None or p.annotation is not Tensor:
            raise ValueError(f"{op}: infer names {rule!r}, which is no tensor among its parameters")
    elif not callable(rule) or hasattr(rule, "shape"):
        as_spec(op, "infer", rule)
    return rule


def _inferred(op: str, rule: Any, given: Mapping[str, Any]) -> Any:
    if isinstance(rule, str):
        return given[rule]
    return rule if hasattr(rule, "shape") else rule(*given.values())


# ---- kernels ---------------------------------------------------------------------------------


class CustomOps(Mapping[str, CustomOp]):
    """The operations of a library: ``ops.name``, or as a mapping by name.

    Attributes:
        name: the library's.
        path: of its file.
    """

    def __init__(self, name: str, path: str, ops: dict[str, CustomOp]) -> None:
        self.name, self.path, self._ops = name, path, ops

    def __getitem__(self, name: str) -> CustomOp:
        return self._ops[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ops)

    def __len__(self) -> int:
        return len(self._ops)

    def __getattr__(self, name: str) -> CustomOp:
        try:
            return self.__dict__["_ops"][name]
        except KeyError:
            raise AttributeError(
                f"the custom operations {self.__dict__.get('name')!r} have no {name!r}; there are "
                + ", ".join(self.__dict__.get("_ops", {}))
            ) from None

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._ops})

    def __repr__(self) -> str:
        return f"<custom operations {self.name!r} from {self.path}: {', '.join(self._ops)}>"


_loaded: dict[str, CustomOps] = {}


def custom_op_include() -> str:
    """The folder to compile kernels with: ``-I`` it, and include ``<tegula/custom_op.h>``."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "include")


def load_custom_ops(path: str | os.PathLike[str]) -> CustomOps:
    """Loads operations from a shared library compiled against ``tegula/custom_op.h``.

    The library stays loaded as long as the process; loading it again gives the same operations.
    Its code runs in this process: load what you trust.

    Args:
        path: of the library, such as ``libmine.so``.

    Returns:
        The operations, as attributes: functions of tensors, and of numbers as declared. Their
        results are tensors, or tuples of them. Rules for transforms are attached to each: see
        ``CustomOp``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no library of operations, was built for another version of the
            interface, declares an operation wrongly, or its name is taken by another library.
    """
    text = os.path.realpath(os.fspath(path))
    if not os.path.isfile(text):
        raise FileNotFoundError(f"load_custom_ops: there is no file {text}")
    name, where, declared = _core._load_custom_library(text)
    if name not in _loaded:
        ops = {}
        for kernel, full_name, parameters, doc, outputs in declared:
            signature = _parse_parameters(full_name, parameters)
            op = CustomOp(full_name, signature, doc or None, _recorder(kernel, outputs))
            ops[op.__name__] = op
        _loaded[name] = CustomOps(name, where, ops)
    return _loaded[name]


def _recorder(kernel: Any, outputs: int) -> Callable[..., Any]:
    def record(inputs: list[Tensor], attributes: dict[str, Any], call: RuleCall) -> Any:
        found = _core._custom_kernel(kernel, inputs, list(attributes.values()), call)
        return found if outputs > 1 else found[0]

    return record


def _parse_parameters(op: str, text: str) -> inspect.Signature:
    """What a library declares, such as ``x: Tensor, axis: int = -1``."""
    wrong = f"load_custom_ops: {op} declares the parameters {text!r}"
    try:
        (function,) = ast.parse(f"def f({text}): 0").body
        assert isinstance(function, ast.FunctionDef)
    except (SyntaxError, ValueError, AssertionError):
        raise ValueError(f"{wrong}, which is no Python signature") from None
    given = function.args
    if given.vararg or given.kwarg or given.posonlyargs or given.kwonlyargs:
        raise ValueError(f"{wrong}; they must be plain, without *, ** or /")
    kinds = {"Tensor": Tensor, "int": int, "float": float, "bool": bool}
    missing = len(given.args) - len(given.defaults)
    parameters = []
    for i, arg in enumerate(given.args):
        word = arg.annotation.id if isinstance(arg.annotation, ast.Name) else None
        kind = kinds.get(word or "")
        if kind is None:
            raise ValueError(f"{wrong}; {arg.arg!r} must be a Tensor, int, float or bool")
        default = inspect.Parameter.empty
        if i >= missing:
            default = _literal(f"{wrong}; the default of {arg.arg!r}", given.defaults[i - missing])
            if kind is Tensor or type(default) not in {kind, int if kind is float else kind}:
                raise ValueError(f"{wrong}; {arg.arg!r} cannot have the default {default!r}")
            default = kind(default)
        parameters.append(
            inspect.Parameter(
                arg.arg, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=kind
            )
        )
    return inspect.Signature(parameters)


def _literal(what: str, node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(f"{what} is no literal") from None
