"""What an audio tower sees of a waveform: a matrix of time by frequency every 10 ms, of one of four kinds.

US11335096B2 names all of them: log-mel (its own choice), mel, STFT and MFCC.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.audio import LOG_OFFSET, MFCC_WINDOW, log_mel, magnitude_spectrum, mel, mfcc

AudioInput = Literal["log_mel", "mel", "stft", "mfcc"]


class InputKind(NamedTuple):
    """One kind, and the scale of its values for clips at the level of the tower's input."""

    compute: Callable[[Tensor, int], Tensor]
    """(waveform [..., T], rate_hz) -> [..., L, F], L = 1 + (T - window) // hop; differentiable."""
    mean: float
    std: float


def log_stft(waveform: Tensor, rate_hz: int) -> Tensor:
    """[..., L, F] ln(magnitude + 0.001) of all F bins from 0 Hz to rate_hz / 2: 257 at 16 kHz."""
    return torch.log(magnitude_spectrum(waveform, rate_hz) + LOG_OFFSET)


def padded_mfcc(waveform: Tensor, rate_hz: int) -> Tensor:
    """[..., L, 13] of a waveform at 16 kHz; what is shorter than one window is padded with zeros to one."""
    return mfcc(F.pad(waveform, (0, max(0, MFCC_WINDOW - waveform.shape[-1]))))


# Means and deviations over 179 clips of a synthetic world at -20 dBFS (2026-11); those of log_mel are of real videos.
INPUT_KINDS: dict[AudioInput, InputKind] = {
    "log_mel": InputKind(log_mel, -3.0, 2.0),
    "mel": InputKind(mel, 1.4, 3.3),
    "stft": InputKind(log_stft, -3.3, 2.1),
    "mfcc": InputKind(padded_mfcc, -5.0, 17.0),
}
