"""Sides of pairs: the clips that training's cutting makes of a file, and what odd files give."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeMedia
from PIL import Image

from pipeline.errors import ClipError, MissingError
from pipeline.inference.match_sides import Side, Sides, common_clips
from tests.helpers.cutting import EXACT, picture, sound, steady
from tests.helpers.match_models import plain_model


@pytest.fixture
def sides() -> Sides:
    return Sides(plain_model())


def luma(time_s: float) -> float:
    """Of `steady` at a time: 16 + 20 t, as RGB of full range."""
    return (int(16 + 20 * time_s) - 16) * 255 / 219


def test_pictures_are_clips_every_hop_with_a_frame_at_each_second(sides: Sides, make_media: MakeMedia) -> None:
    film = steady(make_media, 5.0)
    side = sides.picture(str(film))
    expected = [[(luma(start) + luma(start + 1)) / 2, luma(start + 1)] for start in range(4)]
    np.testing.assert_allclose(side.embeddings, expected, atol=3)
    one = sides.picture(str(film), 2.0)
    np.testing.assert_array_equal(one.embeddings, side.embeddings[2:3])


def test_a_film_without_sound_has_the_same_pictures_and_no_sound(sides: Sides, make_media: MakeMedia) -> None:
    silent = make_media("match_no_sound.mkv", *picture(5.0), *EXACT[:6])
    with_sound = sides.picture(str(steady(make_media, 5.0)))
    np.testing.assert_array_equal(sides.picture(str(silent)).embeddings, with_sound.embeddings)
    with pytest.raises(ClipError, match="no_audio"):
        sides.sound(str(silent))


def test_sound_is_clips_every_hop_and_the_same_alone_or_with_pictures(sides: Sides, make_media: MakeMedia) -> None:
    growing = sound(5.0, "0.1*(1+floor(t))*sin(2*PI*500*t)")
    film = make_media("match_growing.mkv", *picture(5.0), *growing, *EXACT)
    wave = make_media("match_growing.wav", *growing)
    expected = [[0.1 * (start + 2)] * 2 for start in range(4)]
    for side in (sides.sound(str(wave)), sides.sound(str(film)), sides.both(str(film))[1]):
        np.testing.assert_allclose(side.embeddings, expected, atol=0.01)
        assert side.is_usable.all()
        assert not side.note
    np.testing.assert_array_equal(sides.both(str(film))[0].embeddings, sides.picture(str(film)).embeddings)
    np.testing.assert_allclose(sides.sound(str(wave), 2.5).embeddings, [[0.5, 0.5]], atol=0.01)
    with pytest.raises(ClipError, match="no_video"):
        sides.picture(str(wave))


def test_what_is_short_is_filled_up_and_says_so_and_what_is_too_short_is_refused(
    sides: Sides, make_media: MakeMedia
) -> None:
    second = sides.sound(str(make_media("match_one_second.wav", *sound(0.9))))
    np.testing.assert_allclose(second.embeddings, [[0.5, 0.0]], atol=0.01)
    assert second.note == "0.9 s of sound, then silence"
    with pytest.raises(ClipError, match=r"too_short: 0\.30 s of sound, expected 0\.5 s"):
        sides.sound(str(make_media("match_short.wav", *sound(0.3))))
    film = sides.picture(str(make_media("match_short.mkv", *picture(0.5), *EXACT[:6])))
    np.testing.assert_allclose(film.embeddings, [[0.0, 0.0]], atol=3)
    assert film.note == "the picture holds its last frame"
    with pytest.raises(ClipError, match="too_short"):
        sides.sound(str(make_media("match_one_second.wav", *sound(0.9))), 0.7)
    with pytest.raises(ClipError, match="too_short"):
        sides.picture(str(steady(make_media, 5.0)), 60.0)


def test_silence_is_no_clip_to_judge(sides: Sides, make_media: MakeMedia) -> None:
    late = sides.sound(str(make_media("match_late.wav", *sound(5.0, "0.5*gt(t,3)*sin(2*PI*500*t)"))))
    assert late.is_usable.tolist() == [False, False, True, True]
    loudest = sides.sound(str(make_media("match_square.wav", *sound(2.0, "if(lt(mod(t,0.002),0.001),0.99999,-1)"))))
    assert loudest.is_usable.all()  # 0 dBFS
    film = sides.picture(str(steady(make_media, 5.0)))
    assert list(common_clips(film, late)) == [(2, 2), (3, 3)]
    shorter = dataclasses.replace(film, embeddings=film.embeddings[:3])
    assert list(common_clips(shorter, late)) == [(2, 2)]


def test_an_image_is_the_frame_of_clips_of_any_time(sides: Sides, tmp_path: Path) -> None:
    Image.new("RGB", (50, 40), (200, 0, 0)).save(tmp_path / "a.png")
    side = sides.picture(f"{tmp_path}/a.png")
    np.testing.assert_allclose(side.embeddings, [[200, 200]], atol=3)
    heard = Side(np.zeros((3, 2)), np.array([True, False, True]))
    assert list(common_clips(side, heard)) == [(0, 0), (0, 2)]
    with pytest.raises(ClipError):
        sides.sound(f"{tmp_path}/a.png")


def test_a_file_is_read_once_and_one_that_is_missing_is_named(sides: Sides, make_media: MakeMedia) -> None:
    film = str(steady(make_media, 5.0))
    assert sides.picture(film) is sides.picture(film)
    with pytest.raises(MissingError, match="nowhere"):
        sides.picture("nowhere.mp4")
