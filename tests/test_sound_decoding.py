"""Sound at a file's own rate and with its own channels, placed by its time stamps."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import MakeMedia

from pipeline.clip_specs import BASE
from pipeline.errors import ClipError
from pipeline.media.decoding import Decoding
from pipeline.media.sound_decoding import SoundDecoding
from pipeline.media.stream_choice import FIRST
from pipeline.media.streams import Frame
from tests.helpers.films import BY_1, H264, LAVFI

TWO = "aevalsrc=0.3*sin(2*PI*500*t)|0.1*cos(2*PI*900*t):d=3:s=44100"


def decoded(path: Path, rate_hz: int, **options: bool) -> np.ndarray:
    return np.concatenate(list(SoundDecoding(path, FIRST, rate_hz, **options)))


@pytest.mark.parametrize(("codec", "step"), [("pcm_s16le", 2**-15), ("pcm_s24le", 2**-23), ("pcm_f32le", 2**-24)])
def test_samples_come_as_they_are_stored(codec: str, step: float, make_media: MakeMedia) -> None:
    path = make_media(f"two_{codec}.wav", *LAVFI, TWO, "-c:a", codec)
    stored, rate_hz = soundfile.read(path)
    found = decoded(path, rate_hz, has_picture=False)
    assert found.dtype == np.float32
    assert found.shape == (3 * 44_100, 2)
    np.testing.assert_array_equal(found, stored.astype(np.float32))
    time_s = np.arange(3 * 44_100) / 44_100
    np.testing.assert_allclose(found[:, 0], 0.3 * np.sin(2 * np.pi * 500 * time_s), atol=2 * step + 1e-7)


@pytest.mark.parametrize("name", ["late.mkv", "late.ts", "late.mp4"])
@pytest.mark.parametrize(("sound_s", "picture_s"), [(1.25, 0.0), (0.0, 1.25)])
def test_both_passes_over_a_file_have_one_clock(
    name: str, sound_s: float, picture_s: float, make_media: MakeMedia
) -> None:
    path = make_media(
        f"{sound_s}_{name}",
        *("-itsoffset", str(picture_s), *LAVFI, "color=red:s=32x32:r=25:d=3", "-itsoffset", str(sound_s)),
        *(*LAVFI, TWO, *H264),
    )
    items = [item for item in Decoding(path, {BASE: BY_1}) if not isinstance(item, Frame)]
    mono, native = np.concatenate(items) / 32768, decoded(path, 44_100)
    assert len(native) / 44_100 == pytest.approx(len(mono) / 16_000, abs=0.001)
    onsets = [np.flatnonzero(np.abs(sound) > 0.02)[0] for sound in (mono, native.mean(axis=1))]
    assert onsets[1] / 44_100 == pytest.approx(onsets[0] / 16_000, abs=0.002)
    assert onsets[1] / 44_100 == pytest.approx(sound_s, abs=0.03)


def test_mono_at_the_models_rate_is_what_decoding_the_video_gives(make_media: MakeMedia) -> None:
    sound = (*LAVFI, TWO, "-c:a", "flac")
    film = make_media("film_of_two.mkv", *LAVFI, "color=red:s=32x32:r=25:d=3", *sound, *H264)
    mono = np.concatenate([item for item in Decoding(film, {BASE: BY_1}) if not isinstance(item, Frame)]) / 32768
    found = decoded(make_media("two.flac", *sound), 16_000, has_picture=False, is_mono=True)
    assert found.shape == (len(mono), 1)
    np.testing.assert_allclose(found[:, 0], mono, atol=2**-14)


def test_what_is_no_number_becomes_silence_and_what_is_infinite_full_scale(tmp_path: Path) -> None:
    samples = np.full(1000, 0.25, np.float32)
    samples[[10, 20, 30]] = np.nan, np.inf, -np.inf
    soundfile.write(tmp_path / "x.wav", samples, 8000, subtype="FLOAT")
    found = decoded(tmp_path / "x.wav", 8000, has_picture=False)[:, 0]
    assert found[[10, 20, 30]].tolist() == [0, 1, -1]
    assert (np.delete(found, [10, 20, 30]) == 0.25).all()


def test_a_sound_without_samples_is_no_audio_and_text_says_why_in_words_without_a_path(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    with pytest.raises(ClipError, match="no sound") as caught:
        decoded(tmp_path / "empty.wav", 8000, has_picture=False)
    assert caught.value.reason == "no_audio"
    (tmp_path / "text.wav").write_text("no sound at all")
    with pytest.raises(ClipError, match="Invalid data") as caught:
        decoded(tmp_path / "text.wav", 8000, has_picture=False)
    assert str(tmp_path) not in str(caught.value)
