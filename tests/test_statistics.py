"""Levels of sound against arithmetic and against ffmpeg's own loudness meter."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.clips.loudness import integrated_loudness
from pipeline.clips.statistics import look_at, picture_levels, sound_levels
from pipeline.media.sandbox import ffmpeg_path

RATE_HZ = 16000
TIME_S = np.arange(5 * RATE_HZ) / RATE_HZ


def sine(frequency_hz: float, amplitude: float = 1.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * frequency_hz * TIME_S)


def test_a_sine_of_997_hz_at_full_scale_is_minus_3_01_lufs() -> None:
    at_48_khz = np.sin(2 * np.pi * 997 * np.arange(5 * 48000) / 48000)
    assert integrated_loudness(at_48_khz, 48000) == pytest.approx(-3.01, abs=0.02)


def test_twice_the_amplitude_is_6_02_lu_more_and_silence_is_the_floor() -> None:
    quiet = integrated_loudness(sine(440, 0.1), RATE_HZ)
    assert integrated_loudness(sine(440, 0.2), RATE_HZ) == pytest.approx(quiet + 6.02, abs=0.01)
    assert integrated_loudness(np.zeros(RATE_HZ), RATE_HZ) == -70.0
    assert integrated_loudness(sine(440)[: RATE_HZ // 4], RATE_HZ) == -70.0  # shorter than a block


def test_quiet_stretches_do_not_count() -> None:
    half = np.where(TIME_S < 2.5, sine(440, 0.5), sine(440, 0.0005))
    whole = integrated_loudness(sine(440, 0.5), RATE_HZ)
    assert integrated_loudness(half, RATE_HZ) == pytest.approx(whole, abs=0.35)  # blocks across the edge count


SOUNDS = {
    "noise": 0.1 * np.random.default_rng(0).standard_normal(len(TIME_S)),
    "half": np.where(TIME_S < 2.5, 1.0, 0.001) * sine(440, 0.3),
    "hum": sine(40, 0.5),
    "hiss": sine(6000, 0.05),
    "steps": sine(300, 0.8) * 10 ** (-np.floor(TIME_S) / 2),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_loudness_is_what_ffmpegs_meter_says(name: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "sound.wav", SOUNDS[name], RATE_HZ, subtype="FLOAT")
    command = [ffmpeg_path(), "-nostats", "-i", str(tmp_path / "sound.wav")]
    command += ["-af", "ebur128=framelog=quiet", "-f", "null", "-"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    theirs = float(re.findall(r"I:\s+(-?[\d.]+) LUFS", output)[-1])
    assert integrated_loudness(SOUNDS[name], RATE_HZ) == pytest.approx(theirs, abs=0.11)


def test_shares_of_silence_and_of_clipping_are_counted() -> None:
    samples = np.round(32767 * np.where(TIME_S < 2, 0.0, sine(500, 0.25))).astype(np.int16)
    levels = sound_levels(samples, RATE_HZ)
    assert levels["silent_fraction"] == pytest.approx(2 / 5)
    assert levels["clipped_fraction"] == 0
    assert levels["peak_db"] == pytest.approx(20 * np.log10(0.25), abs=0.01)
    assert levels["rms_db"] == pytest.approx(20 * np.log10(0.25) - 3.01 + 10 * np.log10(3 / 5), abs=0.01)
    # a sine of twice full scale is beyond it where |sin| > 1/2: two thirds of the time
    clipped = np.clip(np.round(2 * 32768 * sine(401)), -32768, 32767).astype(np.int16)
    assert sound_levels(clipped, RATE_HZ)["clipped_fraction"] == pytest.approx(2 / 3, abs=0.01)


@pytest.mark.parametrize("ratio_db", [10.0, 30.0, 50.0])
def test_the_noise_between_the_tones_gives_the_signal_to_noise_ratio(ratio_db: float) -> None:
    noise = 1e-3 * np.random.default_rng(0).standard_normal(len(TIME_S))
    amplitude = 1e-3 * np.sqrt(2) * 10 ** (ratio_db / 20)
    gated = np.where(TIME_S % 1 < 0.5, sine(1000, amplitude), 0)  # half of the time: both percentiles lie well inside
    levels = sound_levels(np.round(32768 * (noise + gated)).astype(np.int16), RATE_HZ)
    assert levels["snr_db"] == pytest.approx(10 * np.log10(1 + 10 ** (ratio_db / 10)), abs=0.7)


def test_sound_without_pauses_has_no_noise_that_can_be_told_and_digital_silence_between_has_the_most() -> None:
    assert sound_levels(np.round(32767 * sine(1000, 0.3)).astype(np.int16), RATE_HZ)["snr_db"] < 0.1
    gated = np.round(32767 * np.where(TIME_S < 2, 0.0, sine(1000))).astype(np.int16)
    assert sound_levels(gated, RATE_HZ)["snr_db"] == pytest.approx(120 - 3.01, abs=0.01)  # the floor is -120 dBFS


def test_a_constant_offset_has_no_level() -> None:
    for offset in (0.03, -0.9):
        still = np.full(5 * RATE_HZ, round(offset * 32768), np.int16)
        still[RATE_HZ : 2 * RATE_HZ] = 0  # a gap: two steps, which are no sound either
        levels = sound_levels(still, RATE_HZ)
        assert (levels["rms_db"], levels["silent_fraction"]) == (-120.0, 1.0)
        moved = np.round(32768 * (offset + sine(500, 0.05))).astype(np.int16)
        assert sound_levels(moved, RATE_HZ)["rms_db"] == pytest.approx(20 * np.log10(0.05) - 3.01, abs=0.01)


@pytest.mark.parametrize(("hz", "lost_db"), [(100, 0.0), (50, 0.0), (22.15, 3.01), (5, 14.9)])
def test_what_lies_below_hearing_hardly_counts(hz: float, lost_db: float) -> None:
    # a block's mean has sinc(f T)^2 of the power at frequency f: 1/2 at f T = 0.443
    levels = sound_levels(np.round(32768 * sine(hz, 0.5)).astype(np.int16), RATE_HZ)
    assert levels["rms_db"] == pytest.approx(20 * np.log10(0.5) - 3.01 - lost_db, abs=0.1)


def test_nothing_is_said_of_no_sound_and_no_picture() -> None:
    assert sound_levels(np.zeros(0, np.int16), RATE_HZ) == {}
    assert picture_levels([]) == {"luma": None, "sharpness": None, "motion": None, "frozen_fraction": None}
    alone = picture_levels([look_at(grey(51))])
    assert (alone["luma"], alone["motion"], alone["frozen_fraction"]) == (pytest.approx(0.2), None, None)


def grey(level: float) -> np.ndarray:
    return np.full((32, 32, 3), level, np.uint8)


def test_motion_is_the_mean_difference_and_frozen_the_share_of_equal_neighbours() -> None:
    looks = [look_at(grey(level)) for level in (20, 20, 80, 80, 180)]
    looks[3].small[...] += 0.0005
    levels = picture_levels(looks)
    assert levels["motion"] == pytest.approx((0 + 60 / 255 + 0.0005 + 100 / 255 - 0.0005) / 4, abs=1e-6)
    assert levels["frozen_fraction"] == 2 / 4


def barred(top: int, left: int) -> np.ndarray:
    """[80, 80, 3] grey between bars of a codec's black."""
    picture = np.full((80, 80, 3), 10, np.uint8)
    picture[top : 80 - top, left : 80 - left] = 200
    return picture


@pytest.mark.parametrize(("bars", "share"), [((10, 0), 0.25), ((0, 20), 0.5), ((10, 20), 1 - 0.75 * 0.5), ((0, 0), 0)])
def test_bars_are_counted_where_they_stay(bars: tuple[int, int], share: float) -> None:
    looks = [look_at(barred(*bars))] * 3
    assert picture_levels(looks)["letterbox_fraction"] == pytest.approx(share)
    assert picture_levels([*looks, look_at(barred(0, 0))])["letterbox_fraction"] == 0
    assert "letterbox_fraction" not in picture_levels(looks, are_whole=False)


def test_the_share_of_black_frames() -> None:
    black, other = look_at(barred(40, 0)), look_at(barred(0, 0))
    levels = picture_levels([black, other, other, other])
    assert (levels["black_fraction"], levels["letterbox_fraction"]) == (0.25, 0)
    levels = picture_levels([black, black])
    assert (levels["black_fraction"], levels["letterbox_fraction"]) == (1, None)


@pytest.mark.parametrize("period", [4, 8, 16])
def test_the_sharpness_of_a_grating_is_that_of_its_second_difference(period: int) -> None:
    # A cos(w x) becomes (2 cos w - 2) A cos(w x), whose variance is (2 - 2 cos w)^2 A^2 / 2
    row = np.round(128 + 100 * np.cos(2 * np.pi * np.arange(130) / period))
    expected = (2 - 2 * np.cos(2 * np.pi / period)) ** 2 * 100**2 / 2
    grating = np.tile(row[None, :, None], (66, 1, 3)).astype(np.uint8)
    assert look_at(grating).sharpness == pytest.approx(expected, rel=0.03)
    assert look_at(np.full((16, 16, 3), 90, np.uint8)).sharpness == 0
