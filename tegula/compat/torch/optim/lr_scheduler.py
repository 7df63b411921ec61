"""``torch.optim.lr_scheduler`` over Tegula's schedules."""

from __future__ import annotations

from typing import Any

from tegula.compat.torch._missing import absent
from tegula.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    SequentialLR,
    StepLR,
)


class ExponentialLR(LRScheduler):
    """``base * gamma ** step``."""

    def __init__(self, optimizer: Any, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def rate(self, base: float, step: int, group: int) -> float:
        """The rate at a step."""
        return base * self.gamma**step


class MultiStepLR(LRScheduler):
    """Multiplied by ``gamma`` at each milestone."""

    def __init__(self, optimizer: Any, milestones: Any, gamma: float = 0.1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def rate(self, base: float, step: int, group: int) -> float:
        """The rate at a step."""
        return base * self.gamma ** sum(m <= step for m in self.milestones)


class ConstantLR(LRScheduler):
    """Multiplied by ``factor`` for the first steps."""

    def __init__(self, optimizer: Any, factor: float = 1 / 3, total_iters: int = 5) -> None:
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer)

    def rate(self, base: float, step: int, group: int) -> float:
        """The rate at a step."""
        return base * (self.factor if step < self.total_iters else 1)


class ReduceLROnPlateau:
    """Multiplies the rate by ``factor`` when a metric stops improving."""

    def __init__(
        self,
        optimizer: Any,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0,
        eps: float = 1e-8,
    ) -> None:
        self.optimizer, self.factor, self.patience = optimizer, factor, patience
        self.sign = 1 if mode == "min" else -1
        self.threshold, self.relative = threshold, threshold_mode == "rel"
        self.cooldown, self.min_lr, self.eps = cooldown, min_lr, eps
        self.best, self.bad, self.resting = float("inf"), 0, 0

    def step(self, metrics: Any) -> None:
        """Looks at the metric of an epoch."""
        value = self.sign * float(metrics)
        margin = (
            self.threshold * abs(self.best) if self.relative and self.bests() else self.threshold
        )
        if not self.bests() or value < self.best - margin:
            self.best, self.bad = value, 0
        else:
            self.bad += 1
        if self.resting:
            self.resting, self.bad = self.resting - 1, 0
        if self.bad > self.patience:
            for group in self.optimizer.param_groups:
                fresh = max(group["lr"] * self.factor, self.min_lr)
                if group["lr"] - fresh > self.eps:
                    group["lr"] = fresh
            self.resting, self.bad = self.cooldown, 0

    def bests(self) -> bool:
        """Whether there was a metric yet."""
        return self.best != float("inf")

    def get_last_lr(self) -> list[float]:
        """The rates."""
        return [group["lr"] for group in self.optimizer.param_groups]


_LRScheduler = LRScheduler

__all__ = [
    "ConstantLR",
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]


def __getattr__(name: str) -> Any:
    raise absent("torch.optim.lr_scheduler", name)
