"""``torch.utils``: data sets and loaders."""

from tegula.compat.torch.utils import data

__all__ = ["data"]
