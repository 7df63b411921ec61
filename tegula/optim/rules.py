"""SGD, Adam and AdamW, each one graph node for all parameters of a group."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tegula import _core
from tegula._core import Tensor, adam_update, sgd_update
from tegula.optim.optimizer import Cohort, Optimizer, check_least


class SGD(Optimizer):
    """Stochastic gradient descent; with momentum as in PyTorch (Sutskever et al. 2013).

    ``v = momentum v + (1 - dampening) g; p -= lr v``, where g includes ``weight_decay p``, and
    the first v is g. Nesterov's form steps along ``g + momentum v``.

    Args:
        params: tensors, or dicts with "params" and settings.
        lr: learning rate.
        momentum: share of the velocity that is kept.
        dampening: share of the gradient that is left out of the velocity.
        weight_decay: L2 penalty.
        nesterov: whether to look ahead; needs momentum and no dampening.
        maximize: go up the gradient instead of down.

    Raises:
        ValueError: a setting is out of range.
    """

    slots = ("momentum_buffer",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        """ValueError unless the settings of a group make sense."""
        names = ("lr", "momentum", "weight_decay")
        check_least("SGD", 0, **{name: group[name] for name in names})
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("SGD: nesterov needs momentum above 0 and no dampening")

    def needed_slots(self, group: dict[str, Any]) -> tuple[str, ...]:
        """A velocity where there is momentum."""
        return self.slots if group["momentum"] != 0 else ()

    def update(
        self, cohort: Cohort, grads: list[Tensor], group: dict[str, Any]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Records the update of one cohort: its parameters and state, and what they become."""
        if len(cohort.slots) != len(self.needed_slots(group)):  # momentum came or went
            fresh = self._new_cohort(cohort.params, group)
            cohort.slots, cohort.started = fresh.slots, False
        if group["dampening"] != 0 and _core._is_tracing():
            _core._depend(cohort, "started", cohort.started)
        velocities = cohort.slots[0] if cohort.slots else []
        params, moved = sgd_update(
            cohort.params,
            grads,
            velocities,
            group["lr"],
            group["momentum"],
            group["dampening"] if cohort.started else 0.0,
            group["weight_decay"],
            group["nesterov"],
            group["maximize"],
        )
        return cohort.params + velocities, params + moved


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015), with L2 penalty added to the gradient.

    Args:
        params: tensors, or dicts with "params" and settings.
        lr: learning rate.
        betas: decay of the averages of the gradient and of its square.
        eps: added to the root of the average square.
        weight_decay: L2 penalty.
        maximize: go up the gradient instead of down.

    Raises:
        ValueError: a setting is out of range.
    """

    slots = ("exp_avg", "exp_avg_sq")
    counts_steps = True
    decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        """ValueError unless the settings of a group make sense."""
        name = type(self).__name__
        check_least(name, 0, **{key: group[key] for key in ("lr", "eps", "weight_decay")})
        if len(group["betas"]) != 2 or not all(0 <= beta < 1 for beta in group["betas"]):
            raise ValueError(f"{name}: betas must be two numbers in [0, 1), got {group['betas']}")

    def update(
        self, cohort: Cohort, grads: list[Tensor], group: dict[str, Any]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Records the update of one cohort: its parameters and state, and what they become."""
        assert cohort.step is not None
        step = cohort.step + 1.0
        means, squares = cohort.slots
        beta1, beta2 = group["betas"]
        params, new_means, new_squares = adam_update(
            cohort.params,
            grads,
            means,
            squares,
            step,
            group["lr"],
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            self.decoupled,
            group["maximize"],
        )
        handles = [cohort.step, *cohort.params, *means, *squares]
        return handles, [step, *params, *new_means, *new_squares]


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019): ``p *= 1 - lr weight_decay``.

    Args:
        params: tensors, or dicts with "params" and settings.
        lr: learning rate.
        betas: decay of the averages of the gradient and of its square.
        eps: added to the root of the average square.
        weight_decay: share by which parameters shrink, times lr.
        maximize: go up the gradient instead of down.

    Raises:
        ValueError: a setting is out of range.
    """

    decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, maximize=maximize)
