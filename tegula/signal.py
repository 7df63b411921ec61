"""Signals: windows for spectra, frames, the short-time Fourier transform, convolution."""

from __future__ import annotations

from tegula._core import signal_bartlett as bartlett
from tegula._core import signal_blackman as blackman
from tegula._core import signal_blackman_harris as blackman_harris
from tegula._core import signal_convolve as convolve
from tegula._core import signal_correlate as correlate
from tegula._core import signal_cosine as cosine
from tegula._core import signal_exponential as exponential
from tegula._core import signal_fftconvolve as fftconvolve
from tegula._core import signal_frame as frame
from tegula._core import signal_gaussian as gaussian
from tegula._core import signal_hamming as hamming
from tegula._core import signal_hann as hann
from tegula._core import signal_istft as istft
from tegula._core import signal_kaiser as kaiser
from tegula._core import signal_nuttall as nuttall
from tegula._core import signal_stft as stft

__all__ = [
    "bartlett",
    "blackman",
    "blackman_harris",
    "convolve",
    "correlate",
    "cosine",
    "exponential",
    "fftconvolve",
    "frame",
    "gaussian",
    "hamming",
    "hann",
    "istft",
    "kaiser",
    "nuttall",
    "stft",
]
