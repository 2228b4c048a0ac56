"""Waveform arithmetic against physics and an independent log-mel."""

import doctest
import math

import numpy as np
import pytest
import python_speech_features
import torch

from pipeline import audio
from pipeline.errors import ConfigError


def tone(hz: float, seconds: float = 1.0, rate_hz: int = 16_000) -> torch.Tensor:
    return torch.sin(2 * math.pi * hz * torch.arange(round(seconds * rate_hz)) / rate_hz)


def test_examples_in_docstrings_hold():
    assert doctest.testmod(audio).failed == 0


@pytest.mark.parametrize(
    ("seconds", "rate_hz", "expected"),
    [(5.0, 16_000, 80_000), (0.00125, 16_000, 20), (0.1, 11_025, 1103), (1.005, 1000, 1005), (0.0, 16_000, 0)],
)
def test_seconds_become_the_nearest_number_of_samples(seconds, rate_hz, expected):
    assert audio.num_samples(seconds, rate_hz) == expected


def test_level_gain_brings_a_waveform_to_the_target_and_leaves_silence_silent():
    quiet = 0.003 * tone(440.0)
    assert (quiet * audio.level_gain(quiet, -20.0)).square().mean().sqrt() == pytest.approx(0.1, rel=1e-4)
    silence = torch.zeros(2, 100)
    assert torch.equal(silence * audio.level_gain(silence, 0.0), silence)


def test_db_to_gain_of_minus_20_db_is_a_tenth():
    assert audio.db_to_gain(-20.0) == pytest.approx(0.1)
    assert audio.db_to_gain(0.0) == 1.0


@pytest.mark.parametrize("hz", [300.0, 1000.0, 4000.0, 6900.0])
def test_log_mel_of_a_tone_peaks_in_the_band_computed_by_hand(hz):
    low, high = 1127 * math.log1p(125 / 700), 1127 * math.log1p(7500 / 700)
    step = (high - low) / 65  # 64 bands have 66 equally spaced edges: band m peaks at edge m + 1
    position = (1127 * math.log1p(hz / 700) - low) / step - 1
    peak = audio.log_mel(tone(hz)).mean(dim=0).argmax().item()
    assert abs(peak - position) < 1.0


def test_log_mel_equals_an_independent_numpy_implementation():
    rng = np.random.default_rng([0, 1, 2])
    waveform = rng.normal(size=4000).astype(np.float32) * 0.1
    edges_hz = 700 * (np.exp(np.linspace(*(1127 * np.log(1 + np.array([125, 7500]) / 700)), 66) / 1127) - 1)
    expected = np.empty((1 + (4000 - 400) // 160, 64))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    for row in range(len(expected)):
        magnitude = np.abs(np.fft.fft(waveform[row * 160 : row * 160 + 400] * hann, 512))[:257]
        for band in range(64):
            mel_edges = 1127 * np.log(1 + edges_hz[band : band + 3] / 700)
            mels = 1127 * np.log(1 + np.arange(257) * 16_000 / 512 / 700)
            expected[row, band] = np.log(magnitude @ np.interp(mels, mel_edges, [0, 1, 0]) + 0.001)
    np.testing.assert_allclose(audio.log_mel(torch.from_numpy(waveform)).numpy(), expected, atol=2e-4)


def test_log_mel_of_silence_is_its_floor_and_gradients_stay_finite():
    silence = torch.zeros(2, 1000, requires_grad=True)
    mels = audio.log_mel(silence)
    assert mels.shape == (2, 1 + (1000 - 400) // 160, 64)
    torch.testing.assert_close(mels, torch.full_like(mels, math.log(0.001)))
    mels.sum().backward()
    assert silence.grad is not None
    assert torch.isfinite(silence.grad).all()


def test_log_mel_pads_what_is_shorter_than_a_window():
    assert audio.log_mel(torch.ones(3, 7)).shape == (3, 1, 64)


def test_log_mel_can_be_trained_through_after_inference_mode_filled_the_cache():
    audio._log_mel_constants.cache_clear()
    with torch.inference_mode():
        audio.log_mel(tone(500.0, 0.1))
    waveform = tone(500.0, 0.1).requires_grad_()
    audio.log_mel(waveform).sum().backward()
    assert waveform.grad is not None


def test_mel_bands_above_half_the_sample_rate_are_refused():
    with pytest.raises(ConfigError, match="8000 Hz"):
        audio.log_mel(torch.zeros(8000), rate_hz=8000)


@pytest.mark.parametrize("length", [1, 100, 511, 512, 8000, 12_345])
@pytest.mark.parametrize(("window", "hop"), [(512, 128), (512, 256), (400, 160)])
def test_istft_undoes_stft_for_any_length(length, window, hop):
    waveform = torch.randn(2, 3, length, generator=torch.Generator().manual_seed(length))
    spectrum = audio.stft(waveform, window, hop)
    assert spectrum.shape[-2] == window // 2 + 1
    assert (audio.istft(spectrum, window, hop, length) - waveform).abs().max() < 1e-5


def test_stft_of_a_tone_peaks_at_its_bin():
    spectrum = audio.stft(tone(1000.0), 512, 128).abs().mean(dim=-1)
    assert spectrum.argmax().item() == 1000 * 512 // 16_000


def test_overlap_add_sums_frames_where_they_overlap():
    frames = torch.tensor([[1.0, 1.0, 1.0], [10.0, 10.0, 10.0]])
    assert audio.overlap_add(frames, 2).tolist() == [1.0, 1.0, 11.0, 10.0, 10.0]


@pytest.mark.parametrize("hop", [1, 2, 3, 4])
def test_overlap_add_equals_a_loop_and_its_gradient_is_the_frames_of_the_sum_s_gradient(hop):
    frames = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(hop)).requires_grad_()
    expected = torch.zeros(2, 4 * hop + 4, dtype=torch.float64)
    for place, frame in enumerate(frames.detach().unbind(dim=1)):
        expected[:, place * hop : place * hop + 4] += frame
    torch.testing.assert_close(audio.overlap_add(frames, hop).detach(), expected)
    assert torch.autograd.gradcheck(lambda given: audio.overlap_add(given, hop), frames)


def test_magnitudes_and_their_gradient_are_those_of_abs_and_the_gradient_at_0_is_0():
    spectrum = torch.randn(3, 5, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    spectrum[1] = 0
    gradients = []
    for of in (audio.magnitude, torch.abs):
        given = spectrum.clone().requires_grad_()
        torch.testing.assert_close(of(given), spectrum.abs())
        gradients += torch.autograd.grad((of(given) * torch.arange(5)).sum(), given)
    torch.testing.assert_close(*gradients)
    assert not gradients[0][1].any()


# --- MFCC ---


def sounds_for_mfcc() -> dict[str, np.ndarray]:
    """Two seconds and what 50 video frames need beyond, so that 200 frames are full."""
    rng, time_s = np.random.default_rng(0), np.arange(640 * 50 + 240) / 16_000
    noise = 0.1 * rng.standard_normal(len(time_s))
    return {
        "noise": noise,
        "faint noise": 0.001 * noise,
        "noise that ends": noise * (time_s < 1),
        "silence": 0 * noise,
        "voice": sum(np.sin(2 * np.pi * k * (120 * time_s + 9 * time_s**2)) / k for k in range(1, 40)) * 0.1
        + noise / 99,
    }


@pytest.mark.parametrize("name", sounds_for_mfcc())
def test_mfcc_equals_python_speech_features(name):
    sound = sounds_for_mfcc()[name]
    expected = python_speech_features.mfcc(sound, 16_000)
    assert expected.shape == (200, 13)
    np.testing.assert_allclose(audio.mfcc(torch.from_numpy(sound)).numpy(), expected, rtol=0, atol=1e-9)
    single = torch.from_numpy(sound).float()
    expected = python_speech_features.mfcc(single.double().numpy(), 16_000)
    np.testing.assert_allclose(audio.mfcc(single).numpy(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("num_frames", [1, 5, 50])
def test_a_video_frame_has_four_frames_of_mfcc_and_one_sample_less_has_one_less(num_frames):
    sound = torch.randn(2, 3, 640 * num_frames + 240)
    assert audio.mfcc(sound).shape == (2, 3, 4 * num_frames, 13)
    assert audio.mfcc(sound[..., :-1]).shape == (2, 3, 4 * num_frames - 1, 13)


def test_twenty_frames_of_mfcc_are_of_five_video_frames_to_a_sample():
    # from frame 4 t on, 20 frames reach from sample 640 t to 640 (t + 5) + 240: five frames, and the rest of a window
    sound, t = torch.randn(640 * 12 + 240, dtype=torch.float64), 3
    reached = audio.mfcc(sound[640 * t : 640 * (t + 5) + 240])
    assert reached.shape == (20, 13)
    # but the first sample, whose predecessor the pre-emphasis needs, nothing else of the sound is in them
    torch.testing.assert_close(audio.mfcc(sound)[4 * t + 1 : 4 * t + 20], reached[1:])
    for sample in (640 * t - 2, 640 * (t + 5) + 240):
        changed = sound.clone()
        changed[sample] += 1.0
        assert torch.equal(audio.mfcc(changed)[4 * t : 4 * t + 20], audio.mfcc(sound)[4 * t : 4 * t + 20])
    for sample in (640 * t, 640 * (t + 5) + 239):
        changed = sound.clone()
        changed[sample] += 1.0
        assert not torch.equal(audio.mfcc(changed)[4 * t : 4 * t + 20], audio.mfcc(sound)[4 * t : 4 * t + 20])


def test_a_gain_moves_the_first_coefficient_alone():
    sound = torch.randn(4000, dtype=torch.float64)
    louder = audio.mfcc(sound) + torch.tensor([2 * math.log(3.0), *[0.0] * 12])
    torch.testing.assert_close(audio.mfcc(3 * sound), louder)


def test_mfcc_of_less_than_a_window_is_refused():
    with pytest.raises(ValueError, match="expected 400 samples or more"):
        audio.mfcc(torch.zeros(2, 399))
