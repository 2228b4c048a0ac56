"""Events of one video: windows as cutting makes clips, seconds joined into events, and what odd files give."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeMedia
from PIL import Image

from pipeline.clip_specs import ClipSpec
from pipeline.clips.samples import Clip, decode_sample
from pipeline.clips.splitting import SplittingConfig
from pipeline.errors import ClipError, DataError
from pipeline.inference.locating import EventModel, Seconds, join_seconds, locate_events
from tests.helpers.clips import load_split
from tests.helpers.cutting import EXACT, LAVFI, SMALL, Cut, sound, sparse, steady

SPEC = ClipSpec(clip_s=4.0, hop_s=4.0, frame_rate_hz=4.0, **SMALL)
NAMES = ("red", "blue")


class Judge:
    """An event is where it is louder than 0.1 and the picture is red or blue; keeps the clips it was given."""

    def __init__(self) -> None:
        self.clips: list[Clip] = []
        self.batch_sizes: list[int] = []

    def __call__(self, clips: list[Clip]) -> tuple[np.ndarray, np.ndarray]:
        self.clips += clips
        self.batch_sizes.append(len(clips))
        sounds = np.stack([clip.waveform for clip in clips]).reshape(len(clips), 4, -1)
        colours = np.stack([clip.frames for clip in clips]).reshape(len(clips), 4, 4, 3, -1).mean(axis=(2, 4))
        red, blue = colours[..., 0] > 128, colours[..., 2] > 128
        is_event = (np.abs(sounds).max(axis=2) > 0.1) & (red | blue)
        category = np.stack([np.where(red, 0.8, 0.2), np.where(red, 0.2, 0.8)], axis=2)
        return np.where(is_event, 0.9, 0.2), category


def model(judge: Judge, spec: ClipSpec = SPEC) -> EventModel:
    return EventModel(spec=spec, jpeg_quality=90, categories=NAMES, predict=judge)


@pytest.fixture(scope="module")
def video(make_media: MakeMedia) -> Path:
    """14.4 s: red up to 9 s, then blue; a tone from 2 to 6 s, from 8 to 11 s and from 13 s to the end, else a hum."""
    red_then_blue = (*LAVFI, "color=red:s=32x32:r=20:d=14.4,drawbox=color=blue:t=fill:enable='gte(t,8.999)'")
    loud = "if(between(t,2,6)+between(t,8,11)+gte(t,13),0.5,0.001)"
    return make_media("red_then_blue.mkv", *red_then_blue, *sound(14.4, f"{loud}*sin(2*PI*500*t)"), *EXACT)


def test_events_have_the_times_at_which_sound_and_picture_meet_across_windows_and_in_the_short_last_one(
    video: Path, tmp_path: Path
) -> None:
    judge = Judge()
    found = locate_events(str(video), str(tmp_path / "out"), model(judge), batch_size=2)
    # seconds 2 to 6 lie in the windows 0 to 4 and 4 to 8; the last window is 11 to 15, and its sound ends at 14.4
    assert [event[:3] for event in found.events] == [
        (2.0, 6.0, "red"), (8.0, 9.0, "red"), (9.0, 11.0, "blue"), (13.0, 14.4, "blue")
    ]  # fmt: skip
    assert [event.confidence for event in found.events] == pytest.approx([0.9 * 0.8] * 4)
    assert judge.batch_sizes == [2, 2]
    assert found.duration_s == pytest.approx(14.4)
    record = json.loads((tmp_path / "out" / "events.json").read_text())
    assert record["events"][0] == {"start_s": 2.0, "end_s": 6.0, "category": "red", "confidence": 0.72}
    marks = "".join("x" if value == 0.9 else "." for value in record["event_probability"])
    assert marks == "..xxxx..xxx..xx"
    assert record["duration_s"] == 14.4
    with Image.open(tmp_path / "out" / "timeline.png") as picture:
        picture.verify()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"events.json", "timeline.png"}


@pytest.mark.parametrize("name", ["steady", "sparse"])
def test_the_model_is_given_the_very_clips_that_cutting_stores(
    name: str, make_media: MakeMedia, cut: Callable[..., Cut], tmp_path: Path
) -> None:
    # every picture of `sparse` is decoded only once it shows that too many are left out
    path = steady(make_media, 8.0) if name == "steady" else sparse(make_media)
    made = cut(path, spec=SPEC, columns="split", values="test")
    stored = load_split(made.workspace, "test", SplittingConfig())
    judge = Judge()
    locate_events(str(path), str(tmp_path / "out"), model(judge))
    assert len(stored) == 2
    for given, number in zip(judge.clips[-2:], range(2), strict=True):
        clip = decode_sample(stored.clip_id(number), stored.raw(number), "here")
        np.testing.assert_array_equal(given.waveform, clip.waveform)
        np.testing.assert_array_equal(given.frames, clip.frames)


def test_a_video_shorter_than_a_clip_ends_in_silence_and_has_no_second_after_its_end(
    make_media: MakeMedia, tmp_path: Path
) -> None:
    judge = Judge()
    red = make_media("red_2.6.mkv", *LAVFI, "color=red:s=32x32:r=20:d=2.6", *sound(2.6), *EXACT)
    found = locate_events(str(red), str(tmp_path), model(judge))
    assert [event[:3] for event in found.events] == [(0.0, 2.6, "red")]
    assert found.notes == ("shorter than the 4 s that the model was trained on",)
    assert not judge.clips[0].waveform[round(2.6 * 16_000) :].any()


def test_a_second_without_any_sound_has_no_event_whatever_the_model_says(make_media: MakeMedia, tmp_path: Path) -> None:
    def always(clips: list[Clip]) -> tuple[np.ndarray, np.ndarray]:
        return np.full((len(clips), 4), 0.9), np.full((len(clips), 4, 2), [0.6, 0.4])

    path = make_media(
        "tone_then_nothing.mkv", *LAVFI, "color=red:s=32x32:r=20:d=4", *sound(4, "lt(t,2)*0.5*sin(2*PI*500*t)"), *EXACT
    )
    quiet = EventModel(spec=SPEC, jpeg_quality=90, categories=NAMES, predict=always)
    found = locate_events(str(path), str(tmp_path), quiet)
    assert [event[:3] for event in found.events] == [(0.0, 2.0, "red")]
    assert found.notes == ("2 seconds are without any sound: nothing is heard in them",)


def test_sound_alone_and_a_picture_alone_are_refused_and_leave_nothing(make_media: MakeMedia, tmp_path: Path) -> None:
    tone = make_media("tone_alone.wav", *sound(4))
    mute = make_media("mute_red.mkv", *LAVFI, "color=red:s=32x32:r=20:d=4", *EXACT[:6])
    for path, reason in ((tone, "no_video"), (mute, "no_audio")):
        with pytest.raises(ClipError, match="An event is both seen and heard") as caught:
            locate_events(str(path), str(tmp_path / "out"), model(Judge()))
        assert caught.value.reason == reason
    with pytest.raises(DataError, match="no_such"):
        locate_events(str(tmp_path / "no_such.mp4"), str(tmp_path / "out"), model(Judge()))
    assert not (tmp_path / "out").exists()


def test_seconds_are_joined_by_category_above_one_half() -> None:
    event = np.array([0.9, 0.7, 0.5, 0.8, 0.8, 0.8])
    category = np.array([0, 0, 0, 0, 1, 1])
    seconds = Seconds(event, category, np.array([1.0, 0.5, 1.0, 0.5, 0.25, 0.75]), 5.3, [])
    assert [tuple(each) for each in join_seconds(seconds, NAMES)] == [
        pytest.approx((0.0, 2.0, "red", (0.9 + 0.35) / 2)),
        pytest.approx((3.0, 4.0, "red", 0.4)),
        pytest.approx((4.0, 5.3, "blue", (0.2 + 0.6) / 2)),
    ]
    nothing = Seconds(np.zeros(3), np.zeros(3, int), np.ones(3), 3.0, [])
    assert list(join_seconds(nothing, NAMES)) == []
