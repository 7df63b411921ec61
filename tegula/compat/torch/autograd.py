"""``torch.autograd``: gradients, functions with a derivative of their own, grad modes."""

from __future__ import annotations

from typing import Any

import tegula as tg
from tegula import _core
from tegula.autograd import detect_anomaly
from tegula.compat.torch._missing import absent
from tegula.compat.torch._registry import function, not_supported, t
from tegula.compat.torch._tensor import Tensor, as_tensor_like

__all__ = ["Function", "Variable", "backward", "detect_anomaly", "functional", "grad"]


def _several(tensors: Any) -> list[Any]:
    return [tensors] if isinstance(tensors, _core.Tensor) else list(tensors)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: Any = None,
    create_graph: bool = False,
    allow_unused: Any = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """Gradients of the outputs by the inputs; no ``.grad`` changes."""
    if is_grads_batched:
        raise not_supported("autograd.grad(is_grads_batched=True)", "use tegula.vmap")
    ends, starts = _several(outputs), _several(inputs)
    seeds = [None] * len(ends) if grad_outputs is None else _several(grad_outputs)
    for end, seed in zip(ends, seeds, strict=True):
        if not end.requires_grad:
            raise RuntimeError(
                "element 0 of tensors does not require grad and does not have a grad_fn"
            )
        if seed is None and end.shape.numel() != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
    for start in starts:
        if not start.requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    keep = create_graph if retain_graph is None else retain_graph
    found = _core.gradients(ends, seeds, starts, retain_graph=keep, create_graph=create_graph)
    result = []
    for start, gradient in zip(starts, found, strict=True):
        if gradient is None and materialize_grads:
            gradient = t.zeros_like(start)
        elif gradient is None and not allow_unused:
            raise RuntimeError(
                "One of the differentiated Tensors appears to not have been used in the graph. "
                "Set allow_unused=True if this is the desired behavior."
            )
        result.append(as_tensor_like(gradient))
    return tuple(result)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: Any = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """``backward()`` of several tensors."""
    ends = _several(tensors)
    seeds = [None] * len(ends) if grad_tensors is None else _several(grad_tensors)
    for i, (end, seed) in enumerate(zip(ends, seeds, strict=True)):
        keep = True if i < len(ends) - 1 else retain_graph
        end.backward(seed, keep, create_graph, inputs=inputs)


class Context:
    """What ``forward`` leaves for ``backward``."""

    def __init__(self) -> None:
        self._saved: tuple[Any, ...] = ()
        self.needs_input_grad: tuple[bool, ...] = ()
        self.materialize = True

    def save_for_backward(self, *tensors: Any) -> None:
        """Keeps tensors for ``backward``, in ``saved_tensors``."""
        self._saved = tensors

    save_for_forward = save_for_backward

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What was kept."""
        return tuple(as_tensor_like(x) for x in self._saved)

    saved_variables = saved_tensors

    def mark_dirty(self, *_: Any) -> None:
        """Nothing: values never change in place."""

    def mark_non_differentiable(self, *_: Any) -> None:
        """Nothing: what has no gradient gets none."""

    def set_materialize_grads(self, value: bool) -> None:
        """Whether ``backward`` gets zeros for outputs that nothing depends on, or None."""
        self.materialize = value


class Function:
    """A function with a derivative of its own: static ``forward(ctx, …)`` and ``backward``."""

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """What it computes; every subclass defines it."""
        raise NotImplementedError("You must implement the forward function for custom Function.")

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """The gradient of each argument; every subclass defines it."""
        raise NotImplementedError("You must implement either the backward or vjp method.")

    setup_context: Any = None

    @classmethod
    def _run(cls, ctx: Context, args: Any) -> Any:
        given = tuple(as_tensor_like(a) for a in args)
        if cls.setup_context is None:
            return cls.forward(ctx, *given)
        output = cls.forward(*given)
        cls.setup_context(ctx, given, output)
        return output

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Calls it and records its derivative."""
        tensors = [a for a in args if isinstance(a, _core.Tensor)]
        if not tg.is_grad_enabled() or not any(x.requires_grad for x in tensors):
            with tg.no_grad():
                return cls._run(Context(), args)
        ctx = Context()
        ctx.needs_input_grad = tuple(isinstance(a, _core.Tensor) and a.requires_grad for a in args)
        places = [i for i, a in enumerate(args) if isinstance(a, _core.Tensor)]

        def full(given: Any) -> list[Any]:
            every = list(args)
            for i, x in zip(places, given, strict=True):
                every[i] = x
            return every

        def forward(*given: Any) -> Any:
            return cls._run(ctx, full(given))

        def kept(*given: Any) -> Any:
            out = cls._run(ctx, full(given))
            return out, tuple(ctx._saved)

        def pulled(saved: Any, upstream: Any) -> Any:
            ctx._saved = tuple(saved)
            several = upstream if isinstance(upstream, (tuple, list)) else (upstream,)
            gradients = cls.backward(ctx, *(as_tensor_like(g) for g in several))
            each = gradients if isinstance(gradients, (tuple, list)) else (gradients,)
            return tuple(each[i] if i < len(each) else None for i in places)

        recorded = tg.custom_vjp(forward)
        recorded.defvjp(kept, pulled)
        return as_tensor_like(recorded(*tensors))


def Variable(data: Any, requires_grad: bool = False) -> Tensor:  # noqa: N802
    """PyTorch's old name for a tensor."""
    return data.requires_grad_() if requires_grad else data  # type: ignore[no-any-return]


class functional:  # noqa: N801
    """``torch.autograd.functional``: Jacobians by rows."""

    @staticmethod
    def jacobian(func: Any, inputs: Any, create_graph: bool = False, **_: Any) -> Any:
        """The Jacobian of a function of one tensor."""
        x = inputs if create_graph else inputs.detach().requires_grad_()
        y = func(x)
        rows = [grad(v, x, retain_graph=True, create_graph=create_graph)[0] for v in y.reshape(-1)]
        return t.stack(rows).reshape((*y.shape, *x.shape))

    @staticmethod
    def hessian(func: Any, inputs: Any, **_: Any) -> Any:
        """The Hessian of a function of one tensor to one number."""
        x = inputs.detach().requires_grad_()
        return functional.jacobian(
            lambda v: grad(func(v), v, create_graph=True)[0], x, True
        ).detach()


class set_grad_enabled:  # noqa: N801
    """Switches gradients on or off, at once, and back at the end of a ``with``."""

    def __init__(self, mode: bool) -> None:
        self.before = tg.is_grad_enabled()
        _core.set_grad_enabled(mode) if hasattr(_core, "set_grad_enabled") else self._enter(mode)

    def _enter(self, mode: bool) -> None:
        self.context = tg.enable_grad() if mode else tg.no_grad()
        self.context.__enter__()

    def __enter__(self) -> set_grad_enabled:
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(_core, "set_grad_enabled"):
            _core.set_grad_enabled(self.before)
        else:
            self.context.__exit__(None, None, None)


class inference_mode:  # noqa: N801
    """As ``no_grad``; ``inference_mode(False)`` changes nothing."""

    def __new__(cls, mode: Any = True) -> Any:
        """A context or decorator."""
        if callable(mode):
            return tg.no_grad()(mode)
        return tg.no_grad() if mode else tg.enable_grad()


function(set_grad_enabled)  # type: ignore[type-var]
function(inference_mode)  # type: ignore[type-var]


def __getattr__(name: str) -> Any:
    raise absent("torch.autograd", name)
