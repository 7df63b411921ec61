"""Signals: windows for spectra, frames, and the short-time Fourier transform."""

from __future__ import annotations

from tegula._core import signal_bartlett as bartlett
from tegula._core import signal_blackman as blackman
from tegula._core import signal_frame as frame
from tegula._core import signal_hamming as hamming
from tegula._core import signal_hann as hann
from tegula._core import signal_istft as istft
from tegula._core import signal_kaiser as kaiser
from tegula._core import signal_stft as stft

__all__ = [
    "bartlett",
    "blackman",
    "frame",
    "hamming",
    "hann",
    "istft",
    "kaiser",
    "stft",
]
