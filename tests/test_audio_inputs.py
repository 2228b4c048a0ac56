"""What an audio tower sees, against scipy; and that towers of each kind learn."""

import dataclasses
import math
from typing import get_args

import numpy as np
import pytest
import scipy.fft
import scipy.signal
import torch

from pipeline.audio import NUM_MELS, mel_filterbank
from pipeline.errors import ConfigError
from pipeline.learners.coincidence import CoincidenceLearner
from pipeline.learners.coincidence_config import CoincidenceLearnerConfig
from pipeline.models.audio_inputs import INPUT_KINDS, AudioInput
from pipeline.models.towers import CoincidenceConfig

RATE_HZ = 16_000
NOISE = torch.tensor(0.1 * np.random.default_rng(0).standard_normal(8_000), dtype=torch.float32)
TINY = CoincidenceConfig(backbone="small_cnn", frame_size=32, width=0.25, embedding_dim=16)


def magnitudes(waveform: np.ndarray) -> np.ndarray:
    """[L, 257] by scipy: 25 ms periodic Hann windows every 10 ms, FFT of 512."""
    window = scipy.signal.get_window("hann", 400, fftbins=True)
    options = {"nperseg": 400, "noverlap": 240, "nfft": 512, "detrend": False, "scaling": "spectrum"}
    _, _, found = scipy.signal.spectrogram(waveform, RATE_HZ, window, **options, mode="magnitude")
    return found.T * window.sum()  # `spectrum` divides by it


def test_stft_is_the_logarithm_of_scipys_spectrogram() -> None:
    found = INPUT_KINDS["stft"].compute(NOISE, RATE_HZ)
    assert np.allclose(found, np.log(magnitudes(NOISE.double().numpy()) + 0.001), atol=1e-4)


def test_mel_is_scipys_spectrogram_in_bands_and_log_mel_its_logarithm() -> None:
    bands = mel_filterbank(RATE_HZ, 257, NUM_MELS, 125.0, 7500.0)  # tested by hand in test_audio
    expected = magnitudes(NOISE.double().numpy()) @ bands
    assert np.allclose(INPUT_KINDS["mel"].compute(NOISE, RATE_HZ), expected, rtol=1e-4, atol=1e-5)
    assert np.allclose(INPUT_KINDS["log_mel"].compute(NOISE, RATE_HZ), np.log(expected + 0.001), atol=1e-4)


def test_mfcc_are_scipys_cosine_transform_of_logarithms_of_powers() -> None:
    """python_speech_features' definition, by scipy: `tests/test_audio.py` compares with its own values too."""
    waveform = NOISE.double().numpy()
    frames = np.lib.stride_tricks.sliding_window_view(np.append(waveform[0], waveform[1:] - 0.97 * waveform[:-1]), 400)
    power = np.abs(scipy.fft.rfft(frames[::160], 512)) ** 2 / 512
    edges = np.floor(513 * 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 28) / 2595) - 1) / RATE_HZ)
    bins, triangles = np.arange(257), []
    for low, centre, high in zip(edges, edges[1:], edges[2:], strict=False):
        triangles.append(np.clip(np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)), 0, None))
    ceps = scipy.fft.dct(np.log(power @ np.transpose(triangles)), type=2, norm="ortho")[:, :13]
    ceps *= 1 + 11 * np.sin(np.pi * np.arange(13) / 22)
    ceps[:, 0] = np.log(power.sum(axis=1))
    assert np.allclose(INPUT_KINDS["mfcc"].compute(NOISE, RATE_HZ), ceps, atol=1e-3)


@pytest.mark.parametrize("kind", get_args(AudioInput))
def test_each_kind_has_a_row_every_10_ms_and_pads_what_is_shorter_than_a_window(kind: AudioInput) -> None:
    compute = INPUT_KINDS[kind].compute
    size = {"stft": 257, "mfcc": 13}.get(kind, 64)
    assert compute(NOISE.expand(2, -1), RATE_HZ).shape == (2, 1 + (8_000 - 400) // 160, size)
    assert torch.isfinite(compute(torch.zeros(1, 100), RATE_HZ)).all()
    assert compute(torch.zeros(1, 100), RATE_HZ).shape == (1, 1, size)


@pytest.mark.parametrize("kind", get_args(AudioInput))
def test_towers_of_each_kind_learn_a_batch(kind: AudioInput) -> None:
    torch.manual_seed(0)
    learner = CoincidenceLearner(CoincidenceLearnerConfig(model=dataclasses.replace(TINY, audio_input=kind)))
    model = learner.model().train()
    pitch = torch.tensor([200.0, 400.0, 800.0, 1600.0])
    waveform = 0.1 * torch.sin(2 * math.pi * pitch[:, None] * torch.arange(6400) / RATE_HZ)
    batch = {"frames": torch.rand(4, 1, 3, 32, 32), "waveform": waveform, "video": torch.arange(4)}
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        figures = learner.loss(model, batch)
        optimiser.zero_grad()
        figures["loss"].backward()
        optimiser.step()
        losses.append(figures["loss"].item())
    assert losses[-1] < 0.5 * losses[0]
    assert figures["information_bound"].item() == pytest.approx(math.log(3) - losses[-1], abs=1e-5)


def test_mfcc_at_another_rate_are_refused() -> None:
    with pytest.raises(ConfigError, match="rate_hz = 22050: expected 16000 where audio_input = mfcc"):
        CoincidenceConfig(rate_hz=22_050, audio_input="mfcc")
