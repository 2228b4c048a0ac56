"""Gains of sources at the model's rate, and sound at its own rate that is shared out by them."""

from collections.abc import Iterator

import numpy as np
import pytest

from pipeline.inference.native_rate import Grid, apply_gains, cross_fade, source_gains, stitch

MODEL_RATE_HZ = 16000


def chunks(sound: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """A sound in pieces of any length."""
    start = 0
    while start < len(sound):
        length = int(rng.integers(1, 30_000))
        yield sound[start : start + length]
        start += length


def shared_out(sound: np.ndarray, gains: list[np.ndarray], grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """The whole of a sound [n, C] and its tracks [P, n, C]."""
    blocks = list(apply_gains(chunks(sound, np.random.default_rng(0)), iter(gains), grid))
    return np.concatenate([native for native, _ in blocks]), np.concatenate([tracks for _, tracks in blocks], axis=1)


def db(ratio: float) -> float:
    return float(10 * np.log10(ratio))


@pytest.mark.parametrize("length", [1, 2, 5, 40_000])
def test_a_rising_and_a_falling_cross_fade_sum_to_one(length: int) -> None:
    rise = cross_fade(length)
    np.testing.assert_allclose(rise + rise[::-1], 1, atol=1e-12)
    assert (np.diff(rise) > 0).all()


@pytest.mark.parametrize("rate_hz", [4000, 8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_tracks_add_up_to_the_sound_whatever_their_gains_if_these_have_the_sum_one(rate_hz: int) -> None:
    rng, grid = np.random.default_rng(1), Grid(rate_hz, MODEL_RATE_HZ)
    sound = rng.standard_normal((2 * rate_hz + 7, 2)).astype(np.float32) * 0.1
    gains = rng.random((3, len(grid.frames(0, 2 * MODEL_RATE_HZ)), grid.model_window // 2 + 1)).astype(np.float32)
    gains /= gains.sum(axis=0)
    native, tracks = shared_out(sound, [gains[:, :90], gains[:, 90:91], gains[:, 91:]], grid)
    np.testing.assert_array_equal(native, sound)
    assert db(np.square(tracks.sum(axis=0) - sound).sum() / np.square(sound).sum()) < -120


@pytest.mark.parametrize("num_samples", [1, 100, 5000])
def test_a_sound_shorter_or_longer_than_its_gains_keeps_its_length(num_samples: int) -> None:
    grid = Grid(16_000, MODEL_RATE_HZ)
    sound = np.ones((num_samples, 1), np.float32)
    native, tracks = shared_out(sound, [np.full((1, 3, 257), 0.5, np.float32)], grid)
    assert len(native) == num_samples
    np.testing.assert_allclose(tracks[0], 0.5 * sound, atol=1e-5)


def test_a_gain_of_one_bin_passes_the_tones_of_that_frequency_at_any_rate() -> None:
    """1 kHz is bin 32 of 512 at 16 kHz; 3 kHz is bin 96."""
    for rate_hz in (16_000, 44_100, 48_000):
        grid = Grid(rate_hz, MODEL_RATE_HZ)
        time_s = np.arange(2 * rate_hz) / rate_hz
        low, high = (np.sin(2 * np.pi * hz * time_s)[:, None].astype(np.float32) for hz in (1000, 3000))
        gains = np.zeros((1, len(grid.frames(0, 2 * MODEL_RATE_HZ)), 257), np.float32)
        gains[..., :64] = 1
        _, tracks = shared_out(low + high, [gains], grid)
        inner = slice(rate_hz // 4, -rate_hz // 4)
        assert db(np.square(tracks[0] - low)[inner].mean() / 0.5) < -60


def test_gains_are_those_that_bring_the_mixture_to_its_sources() -> None:
    rng, grid = np.random.default_rng(2), Grid(16_000, MODEL_RATE_HZ)
    time_s = np.arange(MODEL_RATE_HZ) / MODEL_RATE_HZ
    sources = np.stack([np.sin(2 * np.pi * 500 * time_s), np.sin(2 * np.pi * 4000 * time_s)]).astype(np.float32)
    sources += 1e-4 * rng.standard_normal(sources.shape).astype(np.float32)
    mixture = sources.sum(axis=0)
    centres = grid.centres(grid.frames(0, MODEL_RATE_HZ))
    gains = source_gains(mixture, sources, centres, grid)
    assert gains.shape == (2, 125, 257)
    np.testing.assert_allclose(gains.sum(axis=0), 1, atol=1e-5)
    assert gains.min() >= 0
    np.testing.assert_allclose(gains[0, 5:-5, 16], 1, atol=1e-3)  # 500 Hz is bin 16, 4 kHz bin 128
    np.testing.assert_allclose(gains[1, 5:-5, 128], 1, atol=1e-3)


def test_sources_in_proportion_to_the_mixture_have_that_gain_everywhere_and_silence_is_shared_out_equally() -> None:
    grid, rng = Grid(44_100, MODEL_RATE_HZ), np.random.default_rng(3)
    mixture = rng.standard_normal(8000).astype(np.float32)
    centres = grid.centres(grid.frames(0, 8000))
    gains = source_gains(mixture, np.stack([0.75 * mixture, 0.25 * mixture]), centres, grid)
    np.testing.assert_allclose(gains[0], 0.75, atol=1e-3)
    silent = np.zeros(8000, np.float32)
    np.testing.assert_allclose(source_gains(silent, np.stack([silent] * 4), centres, grid), 0.25)


def test_above_the_models_rate_the_gain_is_that_of_the_band_below() -> None:
    """Source 1 has all below 3 kHz, source 2 all above: so it has what is above 8 kHz too."""
    grid, rng = Grid(48_000, MODEL_RATE_HZ), np.random.default_rng(4)
    spectrum = np.fft.rfft(rng.standard_normal(2 * MODEL_RATE_HZ))
    low = np.fft.irfft(np.where(np.arange(len(spectrum)) < 6000, spectrum, 0)).astype(np.float32)
    mixture = np.fft.irfft(spectrum).astype(np.float32)
    gains = source_gains(mixture, np.stack([low, mixture - low]), grid.centres(grid.frames(0, len(mixture))), grid)
    time_s = np.arange(2 * 48_000) / 48_000
    whistle = np.sin(2 * np.pi * 15_000 * time_s)[:, None].astype(np.float32)
    _, tracks = shared_out(whistle, [gains], grid)
    assert db(np.square(tracks[0]).mean() / np.square(tracks[1]).mean()) < -40


def test_gains_move_from_one_window_to_the_next_within_their_overlap() -> None:
    parts = [(range(start, start + 8), np.full((1, 8, 1), value)) for start, value in ((0, 0.0), (4, 1.0), (5, 2.0))]
    gains = np.concatenate(list(stitch(parts, overlap=4)), axis=1)[0, :, 0]
    rise = cross_fade(4)
    np.testing.assert_allclose(gains, [0, 0, 0, 0, *rise, *(1 + rise), 2], atol=1e-6)


def test_a_window_that_begins_a_frame_late_is_faded_from_there() -> None:
    parts = [(range(start, start + 9), np.full((1, 9, 1), value)) for start, value in ((0, 0.0), (5, 1.0))]
    gains = np.concatenate(list(stitch(parts, overlap=5)), axis=1)[0, :, 0]
    np.testing.assert_allclose(gains, [0, 0, 0, 0, 0, *cross_fade(4), *[1] * 5], atol=1e-6)


@pytest.mark.parametrize("lengths", [[3], [8], [8, 5], [8, 8, 8]])
def test_stitching_ones_gives_ones_for_every_frame_once(lengths: list[int]) -> None:
    parts = [(range(4 * i, 4 * i + length), np.ones((2, length, 3))) for i, length in enumerate(lengths)]
    gains = np.concatenate(list(stitch(parts, overlap=4)), axis=1)
    assert gains.shape[1] == parts[-1][0].stop
    np.testing.assert_allclose(gains, 1, atol=1e-6)


def test_frames_of_neighbouring_windows_are_the_same_frames() -> None:
    for rate_hz in (8000, 44_100, 96_000):
        grid = Grid(rate_hz, MODEL_RATE_HZ)
        frames = [grid.frames(start, 80_000) for start in (0, 40_000)]
        assert frames[0].stop - frames[1].start == len(grid.frames(40_000, 40_000))
        centres = grid.centres(frames[1])
        assert 40_000 <= centres[0] < 40_000 + grid.hop * MODEL_RATE_HZ / rate_hz
        assert abs(centres[0] * rate_hz - frames[1].start * grid.hop * MODEL_RATE_HZ) <= rate_hz / 2


def test_a_gap_of_minutes_is_read_without_holding_it() -> None:
    grid = Grid(8000, MODEL_RATE_HZ)
    gap = np.broadcast_to(np.float32(0), (8000 * 200, 2))
    blocks = apply_gains(iter([gap]), iter([np.ones((1, 2, 257), np.float32)]), grid)
    lengths = [len(native) for native, _ in blocks]
    assert sum(lengths) == 8000 * 200
    assert max(lengths) <= 128 * grid.hop
