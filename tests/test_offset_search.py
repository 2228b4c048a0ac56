"""Offsets of videos: a film of flashes and beeps whose sound is late, and which parts of clips the model is given."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeMedia

from pipeline.clip_specs import ClipSpec
from pipeline.errors import ClipError, ConfigError
from pipeline.inference.offset_search import OffsetSearch, shifted_model
from tests.helpers.cutting import EXACT, LAVFI, SMALL, sound, steady
from tests.helpers.match_models import plain_model

EVENTS_S = (0.6, 1.4, 1.9, 3.1, 4.3)


def film(make_media: MakeMedia, late_s: float) -> Path:
    """5.5 s that flash white for 0.1 s at each event, and beep when it is `late_s` past."""
    white = "+".join(f"between(t,{at - 0.001},{at + 0.099})" for at in EVENTS_S)
    heard = "+".join(f"between(t,{at + late_s},{at + late_s + 0.1})" for at in EVENTS_S)
    flash = f"color=black:s=64x48:r=25:d=5.5,drawbox=color=white:t=fill:enable='{white}'"
    return make_media(f"flash_{late_s}.mkv", *LAVFI, flash, *sound(5.5, f"0.5*sin(2*PI*800*t)*({heard})"), *EXACT)


@pytest.mark.parametrize("late_s", [-0.5, 0.0, 0.5])
def test_a_film_whose_sound_is_late_is_found_out_by_its_motion(late_s: float, make_media: MakeMedia) -> None:
    model = dataclasses.replace(plain_model(), spec=ClipSpec(clip_s=5.0, **SMALL))
    found = OffsetSearch(model)(str(film(make_media, late_s)))
    assert found.offset_s == pytest.approx(late_s, abs=0.06)
    assert found.confidence > 0.3


def test_the_model_sees_the_middle_of_a_clip_with_as_much_sound_at_each_shift() -> None:
    seen: dict[str, list] = {"pictures": [], "sounds": []}

    def embed_pictures(clips: list[np.ndarray]) -> np.ndarray:
        seen["pictures"] += clips
        return np.zeros((len(clips), 1))

    def embed_sounds(clips: list[np.ndarray]) -> np.ndarray:
        seen["sounds"] += clips
        return np.array([[clip[0]] for clip in clips])

    spec = ClipSpec(clip_s=5.0, **SMALL)
    model = shifted_model(
        dataclasses.replace(plain_model(), spec=spec, embed_pictures=embed_pictures, embed_sounds=embed_sounds)
    )
    frames = np.arange(5)[:, None, None, None]
    model.embed_pictures([frames])
    assert seen["pictures"][0].ravel().tolist() == [1, 2, 3]
    waveform = np.arange(spec.num_samples, dtype=np.float32) / spec.sample_rate_hz
    assert model.embed_sounds([waveform, waveform]).shape == (2, 21, 1)
    np.testing.assert_allclose([clip[0] for clip in seen["sounds"][:21]], np.arange(21) * 0.1, atol=1e-6)
    assert {len(clip) for clip in seen["sounds"]} == {3 * spec.sample_rate_hz}
    with pytest.raises(ConfigError, match="clips of 2 s: expected more than 2 s"):
        shifted_model(plain_model())


def test_a_video_without_motion_has_no_offset_by_it_and_a_short_one_is_refused(make_media: MakeMedia) -> None:
    model = dataclasses.replace(plain_model(), spec=ClipSpec(clip_s=5.0, **SMALL))
    still = make_media("red.mkv", *LAVFI, "color=red:s=32x32:r=20:d=5", *sound(5.0), *EXACT)
    assert OffsetSearch(model)(str(still)).offset_s is None
    with pytest.raises(ClipError, match="too_short"):
        OffsetSearch(model)(str(steady(make_media, 2.0)))
