"""``torch.optim`` over Tegula's optimizers."""

from __future__ import annotations

from typing import Any, ClassVar

import tegula.optim as _plain
from tegula import _core
from tegula.compat.torch._missing import absent
from tegula.compat.torch._registry import t
from tegula.compat.torch.optim import lr_scheduler
from tegula.optim.optimizer import Optimizer as _Base

_IGNORED = ("foreach", "fused", "capturable", "differentiable", "amsgrad", "decoupled_weight_decay")


class _Compat:
    """What PyTorch's optimizers accept that changes nothing here."""

    def __init__(self, params: Any, *args: Any, **kwargs: Any) -> None:
        for name in _IGNORED:
            if kwargs.get(name) and name in ("amsgrad", "decoupled_weight_decay"):
                raise NotImplementedError(
                    f"torch.optim.{type(self).__name__}({name}=True) is not supported by "
                    "tegula.compat.torch"
                )
            kwargs.pop(name, None)
        super().__init__(params, *args, **kwargs)

    def step(self, closure: Any = None) -> Any:
        """Updates every parameter that has a gradient."""
        if closure is not None:
            with _core.enable_grad():
                return super().step(closure)  # type: ignore[misc]
        return super().step()  # type: ignore[misc]


class Optimizer(_Base):
    """The base of optimizers."""


class SGD(_Compat, _plain.SGD):
    """Stochastic gradient descent."""


class Adam(_Compat, _plain.Adam):
    """Adam."""


class AdamW(_Compat, _plain.AdamW):
    """Adam with decoupled weight decay."""


class _Simple:
    """Optimizers written in this module, by rules of one parameter."""

    settings: ClassVar[dict[str, Any]] = {}

    def __init__(self, params: Any, lr: Any = None, **given: Any) -> None:
        for name in _IGNORED:
            given.pop(name, None)
        known = {**type(self).settings, **({} if lr is None else {"lr": lr})}
        unknown = set(given) - set(known)
        if unknown:
            raise TypeError(f"{type(self).__name__}: unexpected arguments {sorted(unknown)}")
        known.update(given)
        listed = list(params)
        groups = listed if isinstance(listed[0], dict) else [{"params": listed}]
        self.param_groups = [{**known, **g, "params": list(g["params"])} for g in groups]
        self.state: dict[Any, dict[str, Any]] = {}

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None if set_to_none or p.grad is None else t.zeros_like(p.grad)

    def step(self, closure: Any = None) -> Any:
        """Updates every parameter that has a gradient."""
        loss = None if closure is None else closure()
        with _core.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        g = p.grad + group["weight_decay"] * p if group["weight_decay"] else p.grad
                        p.copy_(self.rule(p, g, group, self.state.setdefault(p, {"step": 0})))
        return loss

    def rule(self, p: Any, g: Any, group: dict[str, Any], state: dict[str, Any]) -> Any:
        """What a parameter becomes."""
        raise NotImplementedError


class RMSprop(_Simple, Optimizer):
    """Divides by a moving root mean square (Tieleman & Hinton 2012)."""

    settings: ClassVar[dict[str, Any]] = {
        "lr": 1e-2,
        "alpha": 0.99,
        "eps": 1e-8,
        "weight_decay": 0,
        "momentum": 0,
        "centered": False,
    }

    def rule(self, p: Any, g: Any, group: dict[str, Any], state: dict[str, Any]) -> Any:
        """What a parameter becomes."""
        a = group["alpha"]
        state["square"] = a * state.get("square", 0) + (1 - a) * g * g
        spread = state["square"]
        if group["centered"]:
            state["mean"] = a * state.get("mean", 0) + (1 - a) * g
            spread = spread - state["mean"] ** 2
        change = g / (spread.sqrt() + group["eps"])
        if group["momentum"]:
            change = state["buffer"] = group["momentum"] * state.get("buffer", 0) + change
        return p - group["lr"] * change


class Adagrad(_Simple, Optimizer):
    """Divides by the root of the sum of squares (Duchi, Hazan & Singer 2011)."""

    settings: ClassVar[dict[str, Any]] = {
        "lr": 1e-2,
        "lr_decay": 0,
        "weight_decay": 0,
        "initial_accumulator_value": 0,
        "eps": 1e-10,
    }

    def rule(self, p: Any, g: Any, group: dict[str, Any], state: dict[str, Any]) -> Any:
        """What a parameter becomes."""
        state["step"] += 1
        state["sum"] = state.get("sum", group["initial_accumulator_value"]) + g * g
        rate = group["lr"] / (1 + (state["step"] - 1) * group["lr_decay"])
        return p - rate * g / (state["sum"].sqrt() + group["eps"])


class Adadelta(_Simple, Optimizer):
    """Steps in the units of the parameters (Zeiler 2012)."""

    settings: ClassVar[dict[str, Any]] = {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0}

    def rule(self, p: Any, g: Any, group: dict[str, Any], state: dict[str, Any]) -> Any:
        """What a parameter becomes."""
        rho, eps = group["rho"], group["eps"]
        state["square"] = rho * state.get("square", 0) + (1 - rho) * g * g
        before = state.get("change", 0) + t.zeros_like(g)
        change = (before + eps).sqrt() / (state["square"] + eps).sqrt() * g
        state["change"] = rho * before + (1 - rho) * change * change
        return p - group["lr"] * change


class Adamax(_Simple, Optimizer):
    """Adam with the infinity norm (Kingma & Ba 2015)."""

    settings: ClassVar[dict[str, Any]] = {
        "lr": 2e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0,
    }

    def rule(self, p: Any, g: Any, group: dict[str, Any], state: dict[str, Any]) -> Any:
        """What a parameter becomes."""
        state["step"] += 1
        one, two = group["betas"]
        state["mean"] = one * state.get("mean", 0) + (1 - one) * g
        before = state.get("size", 0) + t.zeros_like(g)
        state["size"] = t.maximum(two * before, g.abs() + group["eps"])
        return p - group["lr"] / (1 - one ** state["step"]) * state["mean"] / state["size"]


__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Optimizer",
    "RMSprop",
    "lr_scheduler",
]


def __getattr__(name: str) -> Any:
    raise absent("torch.optim", name)
