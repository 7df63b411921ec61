"""``torch.nn.parameter``."""

from tegula.compat.torch.nn._module import Buffer, Parameter

__all__ = ["Buffer", "Parameter"]
