"""Waveform arithmetic: seconds to samples, levels, STFT, log-mel and MFCC.

Waveforms are float arrays in [-1, 1], time on the last axis. Levels are in dBFS: 0 dB is an RMS of 1. The log-mel
follows YAMNet and VGGish: mel of the *magnitude* spectrum (not the power), natural logarithm, no centring, no
pre-emphasis. Its floor ln(offset) is absolute, so what enters it should have a defined level: `level_gain`. The MFCC
follows python_speech_features, from which the published lip-reading and synchrony networks take theirs.
"""

import functools
import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.errors import ConfigError

SILENCE_DB = -100.0  # what is quieter counts as silence: 16-bit audio ends at -98 dB
WINDOW_S = 0.025
HOP_S = 0.010
NUM_MELS = 64
MEL_MIN_HZ = 125.0
MEL_MAX_HZ = 7500.0
LOG_OFFSET = 0.001  # of YAMNet; VGGish has 0.01
MFCC_RATE_HZ, MFCC_WINDOW, MFCC_HOP, MFCC_FFT = 16_000, 400, 160, 512  # Hz and samples: 25 ms every 10 ms
NUM_MFCC, NUM_TRIANGLES, LIFTER, PRE_EMPHASIS = 13, 26, 22, 0.97


def num_samples(seconds: float, rate_hz: int) -> int:
    """Nearest number of samples, halves up: the one place where seconds become samples.

    >>> num_samples(5.0, 16_000), num_samples(0.0025, 16_000), num_samples(0.5, 11_025)
    (80000, 40, 5513)
    """
    return math.floor(round(seconds * rate_hz, 6) + 0.5)  # inner round: 1.005 * 1000 is 1004.9999999999999


def db_to_gain(level_db: float) -> float:
    """Linear amplitude of a level: 0 dB is 1, -20 dB is 0.1."""
    return 10 ** (level_db / 20)


def level_gain(waveform: Tensor, target_db: float) -> Tensor:
    """[..., 1] linear gain that brings waveform [..., T] to an RMS of `target_db` dBFS.

    Below SILENCE_DB the gain stops growing, so silence stays silence instead of becoming loud rounding noise.
    """
    power = waveform.float().square().mean(dim=-1, keepdim=True)
    return db_to_gain(target_db) / power.clamp_min(db_to_gain(SILENCE_DB) ** 2).sqrt()


def mel_filterbank(rate_hz: int, num_bins: int, num_mels: int, min_hz: float, max_hz: float) -> np.ndarray:
    """[F, num_mels] triangles of peak 1 on the HTK mel scale, 1127 ln(1 + f / 700), linear in mel between the edges.

    Args:
        rate_hz: sample rate of the waveform.
        num_bins: F, bins of the spectrum from 0 Hz to rate_hz / 2, both included.
        num_mels: bands, whose num_mels + 2 edges are equally far apart in mel.
        min_hz: lower edge of the first band.
        max_hz: upper edge of the last band.
    Raises:
        ConfigError: the edges do not satisfy 0 <= min_hz < max_hz <= rate_hz / 2.
    """
    if not 0 <= min_hz < max_hz <= rate_hz / 2:
        raise ConfigError(
            f"mel bands from {min_hz:g} to {max_hz:g} Hz at {rate_hz} Hz: the spectrum ends at {rate_hz / 2:g} Hz. "
            f"Expected 0 <= lower < upper edge <= {rate_hz / 2:g}; {math.ceil(2 * max_hz)} Hz sound would do."
        )
    edges = np.linspace(_mel(min_hz), _mel(max_hz), num_mels + 2)
    bins = _mel(np.linspace(0.0, rate_hz / 2, num_bins))[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling))


def _mel(hz: np.ndarray | float) -> np.ndarray:
    return 1127.0 * np.log1p(np.asarray(hz) / 700.0)


def log_mel(waveform: Tensor, rate_hz: int = 16_000, offset: float = LOG_OFFSET) -> Tensor:
    """ln(mel magnitude + offset) every 10 ms, as YAMNet and VGGish compute it; differentiable.

    25 ms periodic Hann window, FFT of the next power of two (512 at 16 kHz), 64 HTK mel bands from 125 to 7 500 Hz.

    Args:
        waveform: [..., T] linear amplitude; shorter than one window is padded with zeros to one window.
        rate_hz: sample rate, 15 000 or more.
        offset: what keeps silence finite: 0.001 of YAMNet, 0.01 of VGGish.
    Returns:
        [..., L, 64] with L = 1 + (T - window) // hop; ln(offset) for silence, -6.9 for 0.001.
    Raises:
        ConfigError: the upper mel edge lies above rate_hz / 2.
    """
    with torch.autocast(waveform.device.type, enabled=False):  # bf16 would leave 8 bits for sums under the logarithm
        return torch.log(mel(waveform, rate_hz) + offset)


def mel(waveform: Tensor, rate_hz: int = 16_000) -> Tensor:
    """[..., L, 64] mel magnitudes every 10 ms, of which `log_mel` is the logarithm; arguments and errors as there."""
    _, mels = _log_mel_constants(rate_hz, waveform.device)
    with torch.autocast(waveform.device.type, enabled=False):
        return magnitude_spectrum(waveform, rate_hz) @ mels


def magnitude_spectrum(waveform: Tensor, rate_hz: int = 16_000) -> Tensor:
    """[..., L, F] magnitudes of the spectrum every 10 ms: 25 ms periodic Hann window, FFT of the next power of two.

    Arguments and errors as of `log_mel`; F = 257 at 16 kHz, from 0 Hz to rate_hz / 2.
    """
    window, _ = _log_mel_constants(rate_hz, waveform.device)
    window_size = num_samples(WINDOW_S, rate_hz)
    with torch.autocast(waveform.device.type, enabled=False):
        waveform = waveform.float()
        missing = max(0, window_size - waveform.shape[-1])
        waveform = F.pad(waveform, (0, missing + len(window) - window_size))
        frames = waveform.unfold(-1, len(window), num_samples(HOP_S, rate_hz))
        return magnitude(torch.fft.rfft(frames * window))


@functools.lru_cache(maxsize=8)
def _log_mel_constants(rate_hz: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The window, with zeros up to the size of the FFT, and the mel bands [F, 64]."""
    window_size = num_samples(WINDOW_S, rate_hz)
    fft_size = 2 ** math.ceil(math.log2(window_size))
    mels = mel_filterbank(rate_hz, fft_size // 2 + 1, NUM_MELS, MEL_MIN_HZ, MEL_MAX_HZ)
    with torch.inference_mode(False):  # a cached inference tensor could never be trained through
        window = F.pad(torch.hann_window(window_size, device=device), (0, fft_size - window_size))
        return window, torch.tensor(mels, dtype=torch.float32, device=device)


def mfcc(waveform: Tensor) -> Tensor:
    """13 mel-frequency cepstral coefficients every 10 ms as python_speech_features computes them by default.

    Pre-emphasis of the whole waveform; frames of 25 ms without a window; power of an FFT of 512, divided by 512; 26
    triangles between whole bins; natural logarithm; orthonormal DCT-II; lifter of 22. Coefficient 0 is replaced by the
    logarithm of the frame's energy. A factor g on the waveform adds 2 ln g to coefficient 0 and changes no other.

    Design note: the spectrum is computed in the waveform's precision, the rest in float64. In float64 all values are
    those of python_speech_features to 1e-9. In fp32 noise and most speech are so to 1e-4, one of three talking-head
    videos to 1.4e-4, and a pure tone, of which some bands are 60 dB below it, to 1e-3. An FFT in float64 takes four
    times as long.

    Args:
        waveform: [..., T] linear amplitude at 16 kHz, T of 400 or more, fp32 or float64. N video frames of 40 ms take
            640 N + 240 samples: then L = 4 N.
    Returns:
        [..., L, 13] of the waveform's precision, L = (T - 400) // 160 + 1. Samples that fill no further frame are left
        out, where python_speech_features adds zeros to them.
    Raises:
        ValueError: fewer than 400 samples.
    """
    if waveform.shape[-1] < MFCC_WINDOW:
        raise ValueError(f"waveform {list(waveform.shape)}: expected {MFCC_WINDOW} samples or more on the last axis.")
    with torch.autocast(waveform.device.type, enabled=False):
        waveform = waveform.to(torch.promote_types(waveform.dtype, torch.float32))
        triangles, cosines = _mfcc_constants(waveform.device)
        before = waveform[..., :-1]
        # not x - 0.97 x', which of a low tone is the difference of two rounded numbers that all but cancel
        rest = (waveform[..., 1:] - before).add_(before, alpha=1 - PRE_EMPHASIS)
        emphasised = torch.cat([waveform[..., :1], rest], dim=-1)
        spectrum = torch.fft.rfft(emphasised.unfold(-1, MFCC_WINDOW, MFCC_HOP), n=MFCC_FFT)
        sums = (squared_magnitude(spectrum) @ triangles.to(waveform.dtype)).double()  # the energy, bands, and unused
        logs = sums.masked_fill(sums == 0, torch.finfo(torch.float64).eps).log()  # as python_speech_features has it
        return (logs @ cosines).to(waveform.dtype)


@functools.lru_cache(maxsize=8)
def _mfcc_constants(device: torch.device) -> tuple[Tensor, Tensor]:
    """What sums up a power spectrum [257, 32], and of the logarithms of these makes coefficients [32, 13]: float64.

    The first column and row are of the energy, 26 of the triangles and of the DCT with its lifter, the last five 0: a
    product with 32 columns takes three fifths of the time of one with 27.
    """
    top_mel = 2595 * math.log10(1 + MFCC_RATE_HZ / 2 / 700)
    edges_hz = 700 * (10 ** (np.linspace(0, top_mel, NUM_TRIANGLES + 2) / 2595) - 1)
    edges = np.floor((MFCC_FFT + 1) * edges_hz / MFCC_RATE_HZ)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    bins = np.arange(MFCC_FFT // 2 + 1)[:, None]
    triangles = np.maximum(0.0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    order, band = np.arange(1, NUM_MFCC), np.arange(NUM_TRIANGLES)[:, None]
    dct = np.sqrt(2 / NUM_TRIANGLES) * np.cos(np.pi * order * (2 * band + 1) / (2 * NUM_TRIANGLES))
    sums, cosines = np.zeros((len(bins), 32)), np.zeros((32, NUM_MFCC))
    sums[:, 0], sums[:, 1 : 1 + NUM_TRIANGLES] = 1, triangles
    cosines[0, 0], cosines[1 : 1 + NUM_TRIANGLES, 1:] = 1, dct * (1 + LIFTER / 2 * np.sin(np.pi * order / LIFTER))
    with torch.inference_mode(False):
        return torch.tensor(sums / MFCC_FFT, device=device), torch.tensor(cosines, device=device)


def squared_magnitude(spectrum: Tensor) -> Tensor:
    """Squared magnitudes of a complex spectrum, of its shape; 0 below 1e-22, where fp32 ends."""
    return spectrum.real.square().addcmul(spectrum.imag, spectrum.imag)


def magnitude(spectrum: Tensor) -> Tensor:
    """Magnitudes of a complex spectrum, of its shape, with gradient 0 where they are 0.

    As `abs`, whose hypot guards against squares that overflow and takes several times as long on a CPU.
    """
    return _Magnitude.apply(spectrum)


class _Magnitude(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, spectrum: Tensor) -> Tensor:
        magnitudes = squared_magnitude(spectrum).sqrt_()
        context.save_for_backward(spectrum, magnitudes)
        return magnitudes

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        spectrum, magnitudes = context.saved_tensors
        return spectrum * (gradient / magnitudes).masked_fill_(magnitudes == 0, 0.0)


def stft(waveform: Tensor, window_size: int, hop_size: int) -> Tensor:
    """[..., F, L] complex spectrum with a root-Hann window, zero-padded so that `istft` returns every sample.

    Args:
        waveform: [..., T], any T >= 1.
        window_size: samples per frame, also the FFT size: F = window_size // 2 + 1.
        hop_size: samples between frames, at most half a window.
    Returns:
        [..., F, L] with L = ceil((T + window_size - hop_size) / hop_size).
    """
    padded = F.pad(waveform, _padding(waveform.shape[-1], window_size, hop_size))
    frames = padded.unfold(-1, window_size, hop_size)
    return torch.fft.rfft(frames * _root_hann(window_size, waveform.device)).transpose(-1, -2)


def istft(spectrum: Tensor, window_size: int, hop_size: int, length: int) -> Tensor:
    """[..., length] the waveform whose `stft` is `spectrum` [..., F, L]; exact when the spectrum was not changed."""
    window = _root_hann(window_size, spectrum.device)
    frames = torch.fft.irfft(spectrum.transpose(-1, -2), n=window_size).mul_(window)
    summed = overlap_add(frames, hop_size)
    envelope = overlap_add(window.square().expand(frames.shape[-2], window_size), hop_size)
    start = window_size - hop_size
    return summed[..., start : start + length] / envelope[start : start + length]


def overlap_add(frames: Tensor, hop_size: int) -> Tensor:
    """[..., (L - 1) * hop_size + W] sum of frames [..., L, W], each hop_size samples after the one before."""
    return _OverlapAdd.apply(frames, hop_size)


class _OverlapAdd(torch.autograd.Function):
    """A sum of as many shifted frames as overlap; its gradient, cut into frames again, is a view."""

    @staticmethod
    def forward(context: Any, frames: Tensor, hop_size: int) -> Tensor:
        num_frames, window_size = frames.shape[-2:]
        context.window_size, context.hop_size = window_size, hop_size
        parts = frames.split(hop_size, dim=-1)
        summed = frames.new_zeros(*frames.shape[:-2], num_frames + len(parts) - 1, hop_size)
        for place, part in enumerate(parts):
            summed[..., place : place + num_frames, : part.shape[-1]] += part
        return summed.flatten(-2)[..., : (num_frames - 1) * hop_size + window_size]

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.unfold(-1, context.window_size, context.hop_size), None


def _padding(length: int, window_size: int, hop_size: int) -> tuple[int, int]:
    """Zeros before and after, so that every sample lies under as many frames as any other."""
    before = window_size - hop_size
    num_frames = math.ceil((length + before) / hop_size)
    return before, (num_frames - 1) * hop_size + window_size - length - before


def _root_hann(window_size: int, device: torch.device) -> Tensor:
    return torch.hann_window(window_size, device=device).sqrt()
