"""Schedules of the learning rate, each a function of the number of steps taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tegula import _core
from tegula.optim.optimizer import Optimizer


class LRScheduler:
    """Base class: sets the optimizer's learning rates at once, and again after every ``step()``.

    A subclass defines ``rate``. Because the rate is a function of the step alone, a schedule
    can be resumed from its step number.

    Args:
        optimizer: its groups' rates at the first schedule's construction are the base rates.

    Attributes:
        last_epoch: steps taken.
        base_lrs: the base rate of each group.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{type(self).__name__}: optimizer must be an Optimizer, "
                f"not {type(optimizer).__name__}"
            )
        self.optimizer = optimizer
        self.last_epoch = 0
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self._set()

    def rate(self, base: float, step: int, group: int) -> float:
        """The learning rate of a group with base rate ``base`` after ``step`` steps."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """The present learning rate of each group."""
        return [self.rate(base, self.last_epoch, i) for i, base in enumerate(self.base_lrs)]

    def step(self) -> None:
        """Goes on by one step (an epoch or a batch, as the user counts)."""
        if _core._is_tracing():
            _core._at_each_run(self.step)
        self.last_epoch += 1
        self._set()

    def _set(self) -> None:
        for group, rate in zip(self.optimizer.param_groups, self.get_last_lr(), strict=True):
            group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """Steps taken and base rates, as plain data."""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over ``state_dict()`` and sets the learning rates.

        Raises:
            ValueError: a key is missing, or the number of groups differs.
        """
        name = type(self).__name__
        missing = {"last_epoch", "base_lrs"} - set(state_dict)
        if missing:
            raise ValueError(f"{name}.load_state_dict: missing {sorted(missing)}")
        if len(state_dict["base_lrs"]) != len(self.base_lrs):
            raise ValueError(
                f"{name}.load_state_dict: {len(self.base_lrs)} parameter groups here, "
                f"{len(state_dict['base_lrs'])} in the state"
            )
        self.last_epoch = int(state_dict["last_epoch"])
        self.base_lrs = list(state_dict["base_lrs"])
        self._set()


class StepLR(LRScheduler):
    """The rate times ``gamma`` every ``step_size`` steps."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        if step_size < 1:
            raise ValueError(f"StepLR: step_size must be at least 1, got {step_size}")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def rate(self, base: float, step: int, group: int) -> float:
        """``base * gamma ** (step // step_size)``."""
        return base * self.gamma ** (step // self.step_size)


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the base rate to ``eta_min`` in ``T_max`` steps; Loshchilov 2017.

    After ``T_max`` steps the cosine goes up again, as in PyTorch.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:  # noqa: N803
        if T_max < 1:
            raise ValueError(f"CosineAnnealingLR: T_max must be at least 1, got {T_max}")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def rate(self, base: float, step: int, group: int) -> float:
        """``eta_min + (base - eta_min) (1 + cos(pi step / T_max)) / 2``."""
        swing = (1 + math.cos(math.pi * step / self.T_max)) / 2
        return self.eta_min + (base - self.eta_min) * swing


class LinearLR(LRScheduler):
    """A factor going evenly from ``start_factor`` to ``end_factor`` in ``total_iters`` steps."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1:
            raise ValueError(
                f"LinearLR: factors must be in (0, 1] and [0, 1], got {start_factor}, {end_factor}"
            )
        if total_iters < 1:
            raise ValueError(f"LinearLR: total_iters must be at least 1, got {total_iters}")
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer)

    def rate(self, base: float, step: int, group: int) -> float:
        """``base`` times the factor at ``step``."""
        share = min(step, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * share)


class LambdaLR(LRScheduler):
    """The base rate times a function of the step, one for all groups or one for each.

    The functions are not part of ``state_dict()``.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
    ) -> None:
        count = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * count if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != count:
            raise ValueError(
                f"LambdaLR: {len(self.lr_lambdas)} functions for {count} parameter groups"
            )
        super().__init__(optimizer)

    def rate(self, base: float, step: int, group: int) -> float:
        """``base * lr_lambda(step)``."""
        return base * self.lr_lambdas[group](step)


class SequentialLR(LRScheduler):
    """Schedules one after the other; each counts its steps from its own start.

    Args:
        optimizer: the optimizer of all of them.
        schedulers: the schedules.
        milestones: the step at which each but the first begins, ascending.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]
    ) -> None:
        if not schedulers or len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: {len(schedulers)} schedules need one milestone fewer, "
                f"got {len(milestones)}"
            )
        if any(schedule.optimizer is not optimizer for schedule in schedulers):
            raise ValueError("SequentialLR: the schedules must be of the same optimizer")
        if list(milestones) != sorted(milestones):
            raise ValueError(f"SequentialLR: milestones must ascend, got {list(milestones)}")
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        super().__init__(optimizer)

    def rate(self, base: float, step: int, group: int) -> float:
        """The rate of the schedule whose turn it is."""
        turn = sum(step >= milestone for milestone in self.milestones)
        start = self.milestones[turn - 1] if turn else 0
        return self.schedulers[turn].rate(base, step - start, group)


def warmup_cosine(
    optimizer: Optimizer, warmup_steps: int, total_steps: int, eta_min: float = 0.0
) -> SequentialLR:
    """Linear warm-up from near zero to the base rate, then half a cosine down to ``eta_min``.

    Raises:
        ValueError: not ``1 <= warmup_steps < total_steps``.
    """
    if not 1 <= warmup_steps < total_steps:
        raise ValueError(
            f"warmup_cosine: needs 1 <= warmup_steps < total_steps, "
            f"got {warmup_steps} and {total_steps}"
        )
    warmup = LinearLR(optimizer, 1 / (warmup_steps + 1), 1.0, warmup_steps)
    cosine = CosineAnnealingLR(optimizer, total_steps - warmup_steps, eta_min)
    return SequentialLR(optimizer, [warmup, cosine], [warmup_steps])
