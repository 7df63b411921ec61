"""``torch.signal``."""

from tegula.compat.torch.signal import windows

__all__ = ["windows"]
