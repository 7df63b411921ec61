"""Discrete Fourier transforms: the array API standard's ``fft``.

Any length, prime ones too, in about ``n log n`` steps. ``n`` or ``s`` cut their axes or fill them
up with zeros; ``norm`` says which direction divides. Computed in the dtype of the argument, 16-bit
floats and integers as float32.
"""

from __future__ import annotations

from tegula._core import fft_fft as fft
from tegula._core import fft_fftfreq as fftfreq
from tegula._core import fft_fftn as fftn
from tegula._core import fft_fftshift as fftshift
from tegula._core import fft_hfft as hfft
from tegula._core import fft_ifft as ifft
from tegula._core import fft_ifftn as ifftn
from tegula._core import fft_ifftshift as ifftshift
from tegula._core import fft_ihfft as ihfft
from tegula._core import fft_irfft as irfft
from tegula._core import fft_irfftn as irfftn
from tegula._core import fft_rfft as rfft
from tegula._core import fft_rfftfreq as rfftfreq
from tegula._core import fft_rfftn as rfftn

__all__ = [
    "fft",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfftn",
    "rfft",
    "rfftfreq",
    "rfftn",
]
