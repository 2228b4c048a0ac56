"""What channels hold, against signals whose bandwidth, offset and correlation are known."""

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from pipeline.clips.channels import ChannelMeter
from pipeline.media.own_sound import BLOCK, OwnSound

RATE_HZ = 48000
LEAKAGE_HZ = 5 * RATE_HZ / BLOCK  # a Hann window falls by 50 dB within five bins
TIME_S = np.arange(2 * RATE_HZ) / RATE_HZ


def levels(*channels: np.ndarray, start_s: float = 0.0, end_s: float = 2.0, first_s: float = 0.0) -> dict:
    samples = np.round(32768 * np.stack(channels, axis=1)).clip(-32768, 32767).astype(np.int16)
    num_blocks = len(samples) // BLOCK
    meter = ChannelMeter()
    for some in np.array_split(np.arange(num_blocks), 3):
        blocks = samples[some[0] * BLOCK : (some[-1] + 1) * BLOCK].reshape(len(some), BLOCK, -1)
        meter.add(OwnSound(RATE_HZ, first_s + some * BLOCK / RATE_HZ, blocks))
    return meter.levels(start_s, end_s)


def noise(seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(len(TIME_S))


@pytest.mark.parametrize("cutoff_hz", [4000, 8000, 16000])
def test_noise_that_is_low_passed_has_the_filters_bandwidth(cutoff_hz: int) -> None:
    spectrum = np.fft.rfft(noise())
    spectrum[np.fft.rfftfreq(len(TIME_S), 1 / RATE_HZ) > cutoff_hz] = 0
    assert levels(np.fft.irfft(spectrum))["bandwidth_hz"] == pytest.approx(cutoff_hz, abs=LEAKAGE_HZ)


def test_the_spectrum_is_followed_to_50_db_below_its_peak() -> None:
    # a Butterworth filter of order n falls by 10 log10(1 + (f / fc)^2n): 50 dB at fc 10^(5 / 2n)
    filtered = sosfilt(butter(6, 2000, fs=RATE_HZ, output="sos"), noise())
    warped = np.tan(np.pi * 2000 / RATE_HZ) * 10 ** (5 / 12)  # by the bilinear transform
    assert levels(filtered)["bandwidth_hz"] == pytest.approx(RATE_HZ / np.pi * np.arctan(warped), rel=0.05)


def test_tones_are_in_the_band_down_to_50_db_below_the_loudest() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 1000 * TIME_S)
    heard = 0.5 * 10 ** (-48 / 20) * np.sin(2 * np.pi * 12000 * TIME_S)
    assert levels(tone + heard)["bandwidth_hz"] == pytest.approx(12000, abs=LEAKAGE_HZ)
    faint = heard * 10 ** (-4 / 20)
    assert levels(tone + faint)["bandwidth_hz"] == pytest.approx(1000, abs=LEAKAGE_HZ)


def test_full_noise_reaches_half_the_rate_and_a_constant_has_no_band() -> None:
    assert levels(noise())["bandwidth_hz"] == RATE_HZ / 2
    assert levels(np.full(len(TIME_S), 0.25))["bandwidth_hz"] is None


def test_the_offset_is_that_of_the_channel_that_is_furthest_off() -> None:
    tone = 0.3 * np.sin(2 * np.pi * 1000 * TIME_S)
    assert levels(tone + 0.1)["dc_offset"] == pytest.approx(0.1, abs=1e-3)
    assert levels(tone + 0.05, tone - 0.1)["dc_offset"] == pytest.approx(-0.1, abs=1e-3)


def test_channels_in_phase_against_each_other_and_apart() -> None:
    one, other = noise(0), noise(1)
    for second, expected in ((one, 1.0), (-0.2 * one, -1.0), (other, 0.0), (one + other, np.sqrt(0.5))):
        found = levels(one, second)
        assert found["channel_correlation"] == pytest.approx(expected, abs=0.02)
        assert (found["num_channels"], found["sounding_channels"]) == (2, [0, 1])


def test_channels_below_minus_60_dbfs_do_not_sound() -> None:
    tone = np.sin(2 * np.pi * 1000 * TIME_S)
    loud, faint = 10 ** (-56 / 20) * tone, 10 ** (-58 / 20) * tone  # -59 and -61 dBFS: a sine lies 3 dB below its peak
    found = levels(faint, loud, 0 * tone, loud + 0.5)
    assert (found["num_channels"], found["sounding_channels"]) == (4, [1, 3])
    assert found["channel_correlation"] is None
    assert levels(tone / 2)["channel_correlation"] is None


def test_a_clip_has_the_blocks_that_lie_within_it() -> None:
    half = np.where(TIME_S < 1.0, 0.1, -0.2)
    assert levels(half, start_s=0.0, end_s=1.0)["dc_offset"] == pytest.approx(0.1, abs=1e-3)
    assert levels(half, start_s=1.0, end_s=2.0)["dc_offset"] == pytest.approx(-0.2, abs=1e-3)
    assert levels(half, start_s=5.0, end_s=6.0, first_s=5.0)["dc_offset"] == pytest.approx(0.1, abs=1e-3)
    assert levels(half, start_s=0.5, end_s=0.53) == {}  # less than a block
    assert levels(half, start_s=3.0, end_s=4.0) == {}
