"""Clips of mouths: one for each face and span, what each shows, and why the others are not kept."""

import dataclasses
import gc
import json
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import simplejpeg

from pipeline.clip_specs import ClipSpecs
from pipeline.clips.cutting import CutClip, ShardingConfig, SpecCutting
from pipeline.clips.mouth_cutting import MAX_FILLED, MouthPictures
from pipeline.clips.video_cutting import check_faces
from pipeline.errors import ConfigError
from pipeline.media.ffmpeg_log import MediaInfo
from pipeline.media.streams import Frame
from pipeline.media.tracking import TrackedFace
from schemas.videos import CollectionRow, Span
from tests.helpers.scripted_tracker import DELAY, ScriptedTracker, face

NAME = "speech"
SPEC = dataclasses.replace(ClipSpecs().speech, decode_side=64, frame_height=24, frame_width=24)
CONFIG = ShardingConfig(jpeg_quality=100)
RATE_HZ, FPS = SPEC.sample_rate_hz, 25
INFO = MediaInfo(frame_rate_hz=25.0)
Faces = Callable[[int], list[TrackedFace]]


def video(spans: list[Span] | None = None) -> CollectionRow:
    return CollectionRow(
        video_id="v", uri="v.mp4", size_bytes=None, revision=None, license=None, author=None, source_url=None,
        rights="unknown", rights_from=None, split=None, extra=None,
        spans=spans,
    )  # fmt: skip


def picture(number: int) -> np.ndarray:
    """[64, 64, 3]: red says the column, green the row, blue the picture's number."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = 4 * np.arange(64), 4 * np.arange(64)[:, None]
    pixels[..., 2] = number
    return pixels


def tone(duration_s: float, amplitude: float = 8000.0) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * 440 * np.arange(round(duration_s * RATE_HZ)) / RATE_HZ)).astype(np.int16)


class Cut:
    """What becomes of a video of 25 pictures a second whose faces are known.

    Args:
        faces: of the n-th picture.
        duration_s: of the video.
        sound: all of it; a tone, unless it is given.
        sound_first: whether the sound comes before the pictures, or after them.
    """

    def __init__(
        self,
        faces: Faces,
        duration_s: float = 2.0,
        *,
        sound: np.ndarray | None = None,
        sound_first: bool = False,
        spans: list[Span] | None = None,
        times_s: list[float] | None = None,
        **script: Any,
    ) -> None:
        self.tracker = ScriptedTracker(faces, **script)
        self.pictures = MouthPictures(spans, SPEC, CONFIG.max_padding_s, CONFIG.jpeg_quality, self.tracker)
        cutting = SpecCutting(video(spans), NAME, SPEC, CONFIG, self.pictures)
        times_s = [k / FPS for k in range(round(duration_s * FPS))] if times_s is None else times_s
        frames = [Frame(NAME, time_s, picture(k % 256)) for k, time_s in enumerate(times_s)]
        sounds = [tone(duration_s) if sound is None else sound]
        items = [*sounds, *frames] if sound_first else [*frames, *sounds]
        self.all: list[CutClip] = [clip for item in items for clip in cutting.add(item, INFO)]
        self.all += cutting.finish(INFO, None)
        self.video = cutting.video_row("00000")
        self.outcomes = cutting.outcomes

    @property
    def ended(self) -> dict[str, str]:
        """By clip_id, how each ended."""
        return {clip.row["clip_id"]: clip.row["outcome"] for clip in self.all}

    def facts(self, number: int = 0) -> dict[str, Any]:
        members = self.all[number].members
        assert members is not None
        return json.loads(members["json"])

    def frames(self, number: int = 0) -> np.ndarray:
        """[K, S, S, 3] of a kept clip."""
        members = self.all[number].members
        assert members is not None
        pictures = sum(name.endswith(".jpg") for name in members)
        return np.stack([simplejpeg.decode_jpeg(members[f"{k}.jpg"], colorspace="RGB") for k in range(pictures)])


def always(*tracks: int) -> Faces:
    return lambda _: [face(track) for track in tracks]


def between(first: int, last: int, track: int = 0) -> Faces:
    """The face is followed in the pictures from `first` to `last`."""
    return lambda number: [face(track)] if first <= number <= last else []


def test_each_face_of_a_span_is_a_clip_and_a_second_of_the_video_counts_once() -> None:
    cut = Cut(always(0, 1), duration_s=4.0)
    assert cut.ended == dict.fromkeys(
        ["v_00000000_speech_f0", "v_00000000_speech_f1", "v_00002000_speech_f0", "v_00002000_speech_f1"], "kept"
    )
    assert [clip.row["unique_s"] for clip in cut.all] == [2.0, 0.0, 2.0, 0.0]
    assert (cut.video["outcome"], cut.video["num_clips"], cut.video["duration_s"]) == ("kept", 4, pytest.approx(4.0))
    for clip in cut.all:
        assert clip.members is not None
        assert clip.members.keys() == {"flac", "json", *(f"{k}.jpg" for k in range(50))}
        assert clip.track is not None
        assert clip.track["clip_id"] == clip.row["clip_id"]


def test_a_span_without_a_face_is_one_row() -> None:
    cut = Cut(lambda number: [face(0)] if number < 50 else [], duration_s=4.0)
    assert cut.ended == {"v_00000000_speech_f0": "kept", "v_00002000_speech": "no_face"}
    assert (cut.all[1].track, cut.all[1].members) == (None, None)
    nobody = Cut(lambda _: [], duration_s=4.0)
    assert set(nobody.ended.values()) == {"no_face"}
    assert (nobody.video["outcome"], nobody.video["num_clips"]) == ("no_face", 2)


@pytest.mark.parametrize(("eye_distance_px", "outcome"), [(11.9, "small_face"), (12.0, "kept")])
def test_eyes_nearer_than_12_pixels_are_too_near(eye_distance_px: float, outcome: str) -> None:
    def faces(number: int) -> list[TrackedFace]:  # at the median
        return [face(0, eye_distance_px + (number % 3 - 1))]

    cut = Cut(faces)
    assert list(cut.ended.values()) == [outcome]
    (clip,) = cut.all
    assert clip.track is not None
    assert clip.track["eye_distance_px"] == pytest.approx(eye_distance_px)


@pytest.mark.parametrize(("last", "outcome"), [(43, "partly_tracked"), (44, "kept")])
def test_a_face_must_be_followed_in_nine_tenths_of_the_frames(last: int, outcome: str) -> None:
    cut = Cut(between(0, last))
    assert list(cut.ended.values()) == [outcome]
    (clip,) = cut.all
    assert clip.track is not None
    assert clip.track["tracked_fraction"] == pytest.approx((last + 1) / 50)


@pytest.mark.parametrize(("first", "last"), [(3, 47), (5, 49), (0, 44)])
def test_frames_without_the_face_are_cropped_where_it_is_in_the_nearest_that_has_it(first: int, last: int) -> None:
    def faces(number: int) -> list[TrackedFace]:
        return [face(0, x=20.0 + number / 4, confidence=0.875)] if first <= number <= last else []

    cut = Cut(faces)
    assert list(cut.ended.values()) == ["kept"]
    nearest = np.clip(np.arange(50), first, last)
    transforms = np.array(cut.facts()["transforms"]).reshape(50, 2, 3)
    middle = transforms @ [11.5, 11.5, 1.0]  # of the crop of 24: the middle of the mouth
    np.testing.assert_allclose(middle, np.column_stack([20.0 + nearest / 4, np.full(50, 32.0)]), atol=2e-3)
    expected = [0.875 if first <= k <= last else 0.0 for k in range(50)]
    assert cut.facts()["confidences"] == expected
    # each frame shows its own picture, whose number is its blue
    np.testing.assert_allclose(cut.frames()[:, 8:16, 8:16, 2].mean((1, 2)), np.arange(50), atol=1.5)


def test_a_crop_shows_the_picture_where_its_transform_says() -> None:
    cut = Cut(lambda _: [face(0, eye_distance_px=15.0)])  # the crop's 15 px from eye to eye are the picture's
    a, b, c, d, e, f = cut.facts()["transforms"][7]
    assert (a, b, d, e) == pytest.approx((1.0, 0.0, 0.0, 1.0), abs=1e-3)
    x, y = np.meshgrid(np.arange(24), np.arange(24))
    shown = cut.frames()[7].astype(float)
    np.testing.assert_allclose(shown[2:-2, 2:-2, 0], 4 * (a * x + b * y + c)[2:-2, 2:-2], atol=6)  # JPEG's chroma
    np.testing.assert_allclose(shown[2:-2, 2:-2, 1], 4 * (d * x + e * y + f)[2:-2, 2:-2], atol=6)


def test_a_cut_inside_a_span_rejects_the_faces_on_both_sides_and_one_at_its_start_none() -> None:
    def faces(number: int) -> list[TrackedFace]:
        return [face(0 if number < 50 else 1 if number < 98 else 2)]

    cut = Cut(faces, duration_s=4.0, cuts=(50, 98))  # the first is where the second span begins
    assert cut.ended == {
        "v_00000000_speech_f0": "kept",
        "v_00002000_speech_f1": "cut",  # of 48 frames, so it is followed long enough
        "v_00002000_speech_f2": "cut",
    }


def test_where_the_place_of_one_face_jumps_the_others_go_on() -> None:
    cut = Cut(lambda number: [face(0), face(1 if number < 30 else 2)], cuts=(30,))
    assert cut.ended == {
        "v_00000000_speech_f0": "kept",
        "v_00000000_speech_f1": "cut",
        "v_00000000_speech_f2": "cut",
    }


def test_nothing_is_cropped_across_a_cut() -> None:
    cut = Cut(lambda number: [face(0)] if number >= 54 else [], duration_s=4.0, cuts=(52,))
    # followed in 46 of the 50 frames; but two of the others are of another shot
    assert cut.ended == {"v_00000000_speech": "no_face", "v_00002000_speech_f0": "cut"}


def test_what_is_wrong_with_the_whole_span_is_said_of_each_face_before_what_is_wrong_with_it() -> None:
    small = [face(0, 8.0), face(1)]
    assert set(Cut(lambda _: small, sound=tone(2.0, amplitude=0.0)).ended.items()) == {
        ("v_00000000_speech_f0", "silent"),
        ("v_00000000_speech_f1", "silent"),
    }
    assert Cut(lambda _: [], sound=tone(2.0, amplitude=0.0)).ended == {"v_00000000_speech": "silent"}
    assert Cut(lambda _: small, sound=tone(1.5)).ended == {
        "v_00000000_speech_f0": "short_audio",
        "v_00000000_speech_f1": "short_audio",
    }
    beyond: list[Span] = [{"start_s": 9.0, "end_s": 11.0}]
    assert Cut(always(0), spans=beyond).ended == {"v_00009000_speech": "too_short"}


def test_faces_that_are_too_many_are_counted_in_the_videos_detail() -> None:
    cut = Cut(always(*range(8)), num_left_out=32)
    assert len(cut.ended) == 8
    assert cut.video["detail"] == "up to 32 faces at once were left out, beside the 8 largest"
    assert Cut(always(0)).video["detail"] is None


def test_clips_are_the_same_whether_the_sound_comes_before_the_picture_or_after() -> None:
    def faces(number: int) -> list[TrackedFace]:  # lost at the end of a span, and there again after it
        return [face(0, x=20 + number / 8)] if number < 46 or number > 51 else []

    before, after = (Cut(faces, duration_s=6.0, sound_first=first) for first in (True, False))
    assert [clip.row for clip in before.all] == [clip.row for clip in after.all]
    assert [clip.members for clip in before.all] == [clip.members for clip in after.all]
    assert list(before.ended.values()) == ["kept"] * 3


def test_at_ten_pictures_a_second_each_is_shown_until_the_next() -> None:
    times_s = [k / 10 for k in range(20)]
    cut = Cut(always(0), times_s=times_s)
    shown = [max(time_s for time_s in times_s if time_s < (k + 1) / 25 - 0.001) for k in range(50)]
    assert cut.facts()["frame_times_s"] == shown
    numbers = [round(10 * time_s) for time_s in shown]
    np.testing.assert_allclose(cut.frames()[:, 8:16, 8:16, 2].mean((1, 2)), numbers, atol=1.5)


def test_of_pictures_only_the_few_are_held_that_may_still_be_cropped() -> None:
    tracker = ScriptedTracker(always(0))
    pictures = MouthPictures(None, SPEC, CONFIG.max_padding_s, CONFIG.jpeg_quality, tracker)
    cutting = SpecCutting(video(), NAME, SPEC, CONFIG, pictures)
    held: list[weakref.ref] = []
    for number in range(200):  # without sound: no clip is complete
        pixels = picture(number)
        held.append(weakref.ref(pixels))
        assert not list(cutting.add(Frame(NAME, number / FPS, pixels), INFO))
        del pixels
    gc.collect()
    alive = sum(ref() is not None for ref in held)
    assert alive <= DELAY + MAX_FILLED + 1


def test_faces_are_followed_only_near_the_spans_of_a_collection() -> None:
    spans: list[Span] = [{"start_s": 10.0, "end_s": 12.0}, {"start_s": 30.0, "end_s": 32.0}]
    cut = Cut(always(0), duration_s=40.0, spans=spans)
    assert cut.ended == dict.fromkeys(["v_00010000_speech_f0", "v_00030000_speech_f0"], "kept")
    followed = np.array(cut.tracker.times_s)
    assert set(np.unique(np.floor(followed))) <= {9, 10, 11, 12, 13, 29, 30, 31, 32, 33}
    assert len(followed) == pytest.approx(2 * 4 * FPS, abs=4)


def test_a_picture_that_stands_until_a_span_begins_is_shown_in_it() -> None:
    spans: list[Span] = [{"start_s": 10.0, "end_s": 12.0}]
    cut = Cut(always(0), duration_s=12.0, spans=spans, times_s=[0.0, 5.0, 11.0])
    assert cut.facts()["frame_times_s"] == [5.0] * 25 + [11.0] * 25


@pytest.mark.parametrize(
    "change", [{"fit": "stretch"}, {"frame_rate_hz": 0.0}, {"frame_width": 48}], ids=lambda change: next(iter(change))
)
def test_mouths_keep_their_shape_and_need_frames(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"clips\.speech: crop = mouth with fit"):
        check_faces({NAME: dataclasses.replace(ClipSpecs().speech, **change)})
