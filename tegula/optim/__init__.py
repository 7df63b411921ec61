"""Optimizers and learning-rate schedules, in PyTorch's vocabulary."""

from tegula.optim import lr_scheduler
from tegula.optim.optimizer import Optimizer
from tegula.optim.rules import SGD, Adam, AdamW

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]
