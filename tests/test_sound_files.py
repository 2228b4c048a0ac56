"""Stems as files: 24 bits, FLAC or WAV by what FLAC holds."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.inference.sound_files import kind_of, read_together, writing


@pytest.mark.parametrize(
    ("rate_hz", "num_channels", "kind"),
    [
        (44_100, 2, "flac"),
        (97, 1, "flac"),
        (192_000, 8, "flac"),
        (96_001, 1, "wav"),
        (700_000, 1, "wav"),
        (48_000, 9, "wav"),
    ],
)
def test_what_is_written_is_read_back_whatever_the_rate_and_the_channels(
    rate_hz: int, num_channels: int, kind: str, tmp_path: Path
) -> None:
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (1000, num_channels)).astype(np.float32)
    with writing([tmp_path / "x"], rate_hz, num_channels) as (file,):
        file.write(sound[:300])
        file.write(sound[300:])
    assert kind_of(rate_hz, num_channels) == kind
    found, found_rate_hz = soundfile.read(tmp_path / "x", always_2d=True)
    assert found_rate_hz == rate_hz
    np.testing.assert_allclose(found, sound, atol=2**-24)
    assert file.sum_of_squares == pytest.approx(np.square(sound.astype(np.float64)).sum())
    assert (file.num_samples, file.num_limited) == (1000, 0)


def test_what_is_beyond_full_scale_is_limited_and_counted(tmp_path: Path) -> None:
    with writing([tmp_path / "x"], 8000, 1) as (file,):
        file.write(np.array([[1.5], [-1.5], [1.0], [0.0]]))
    found, _ = soundfile.read(tmp_path / "x", dtype="int32")
    assert (found >> 8).tolist() == [2**23 - 1, -(2**23), 2**23 - 1, 0]
    assert file.num_limited == 2  # full scale itself is one step beyond the largest number


def test_several_are_read_block_by_block(tmp_path: Path) -> None:
    sounds = np.random.default_rng(1).uniform(-0.5, 0.5, (2, 100_000, 1)).astype(np.float32)
    paths = [tmp_path / "a", tmp_path / "b"]
    with writing(paths, 8000, 1) as files:
        for file, sound in zip(files, sounds, strict=True):
            file.write(sound)
    np.testing.assert_allclose(np.concatenate(list(read_together(paths)), axis=1), sounds, atol=2**-23)


def test_a_full_disk_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError, match="cannot be written"), writing([Path("/dev/full")], 8000, 1) as (file,):
        file.write(np.random.default_rng(0).uniform(-1, 1, (10**6, 1)))
