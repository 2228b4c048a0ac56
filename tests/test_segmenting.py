"""Masks of one video: windows as cutting makes clips, masks at the picture's size and time, and what odd files give."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeMedia
from PIL import Image

from pipeline.clip_specs import ClipSpec
from pipeline.errors import ClipError, DataError
from pipeline.inference.segmenting import SegmentationModel, segment_video
from pipeline.media.decoding import Decoding
from pipeline.media.streams import Frame
from tests.helpers.cutting import EXACT, SMALL, sound
from tests.helpers.films import LAVFI

SPEC = ClipSpec(clip_s=4.0, hop_s=4.0, frame_offset_s=0.5, exact_frames=True, **SMALL)


class Judge:
    """What is red sounds, where the second is louder than 0.1; keeps what it was given."""

    def __init__(self) -> None:
        self.frames: list[np.ndarray] = []
        self.sounds: list[np.ndarray] = []

    def __call__(self, frames: np.ndarray, sound: np.ndarray) -> np.ndarray:
        self.frames.append(frames)
        self.sounds.append(sound)
        is_loud = np.abs(sound.reshape(len(sound), frames.shape[1], -1)).max(axis=2) > 0.1
        is_red = (frames[:, :, 0] > 150) & (frames[:, :, 1] < 100)
        return np.where(is_red & is_loud[..., None, None], 0.9, 0.2).astype(np.float32)


def model(judge: Judge, spec: ClipSpec = SPEC) -> SegmentationModel:
    return SegmentationModel(spec=spec, jpeg_quality=95, predict=judge)


def moving(name: str, make_media: MakeMedia, duration_s: float, expression: str, size: str = "96x64") -> Path:
    """Grey, and a red half: the left one up to 6 s, then the right one."""
    half = "drawbox=color=red:t=fill:w=iw/2:x={}:enable='{}(t,5.999)'"
    film = f"color=gray:s={size}:r=20:d={duration_s},{half.format(0, 'lt')},{half.format('iw/2', 'gte')}"
    return make_media(name, *LAVFI, film, *sound(duration_s, expression), *EXACT)


@pytest.fixture(scope="module")
def video(make_media: MakeMedia) -> Path:
    """9.4 s: a tone from 2 to 8 s, else a hum."""
    loud = "if(between(t,2,8),0.5,0.001)"
    return moving("red_half.mkv", make_media, 9.4, f"{loud}*sin(2*PI*500*t)")


def masks_of(folder: Path) -> dict[int, np.ndarray]:
    found = {}
    for path in (folder / "masks").iterdir():
        with Image.open(path) as picture:
            assert picture.mode == "1"
            found[int(path.stem)] = np.asarray(picture)
    return found


def test_masks_have_the_time_and_the_size_of_the_picture_across_windows_and_in_the_short_last_one(
    video: Path, tmp_path: Path
) -> None:
    judge, out = Judge(), tmp_path / "out"
    found = segment_video(str(video), str(out), model(judge), batch_size=2)
    masks = masks_of(out)
    assert sorted(masks) == [500 + 1000 * second for second in range(9)]  # none at 9.5 s, after the end
    for time_ms, mask in masks.items():
        assert mask.shape == (64, 96)
        left, right = mask[:, :44].mean(), mask[:, 52:].mean()
        expected = (1.0, 0.0) if 2500 <= time_ms < 6000 else (0.0, 1.0) if 6000 < time_ms < 8000 else (0.0, 0.0)
        assert (left, right) == expected, time_ms
    assert [len(frames) for frames in judge.frames] == [2, 1]
    assert (found.duration_s, found.num_masks, found.num_empty) == (pytest.approx(9.4), 9, 3)
    assert found.mean_share == pytest.approx(6 / 9 / 2, abs=0.01)
    record = json.loads((out / "masks.json").read_text())
    assert [row["time_s"] for row in record["frames"]] == [second + 0.5 for second in range(9)]
    for row in record["frames"]:
        mask = masks[round(1000 * row["time_s"])]
        assert row["mask"] == f"masks/{round(1000 * row['time_s'])}.png"
        assert (row["area"], row["share"]) == (mask.sum(), pytest.approx(mask.mean(), abs=1e-4))
        assert row["confidence"] == (pytest.approx(0.89, abs=0.02) if mask.any() else None)
    assert {path.name for path in out.iterdir()} == {"masks", "masks.json", "outlined.mp4"}


def test_the_video_shows_each_outline_for_the_second_around_its_moment_and_keeps_its_sound(
    video: Path, tmp_path: Path
) -> None:
    segment_video(str(video), str(tmp_path / "out"), model(Judge()))
    spec = ClipSpec(frame_rate_hz=10.0, frame_height=64, frame_width=96, exact_frames=True)
    items = list(Decoding(tmp_path / "out" / "outlined.mp4", {"x": spec}))
    waveform = np.concatenate([item for item in items if not isinstance(item, Frame)]) / 2**15
    assert len(waveform) / 16_000 == pytest.approx(9.4, abs=0.1)
    assert np.abs(waveform[3 * 16_000 : 7 * 16_000]).max() > 0.3
    assert np.abs(waveform[: 16_000 * 3 // 2]).max() < 0.02
    outlined = {}
    for item in items:
        if isinstance(item, Frame):
            edge = item.pixels[2:62, [0, 95]].astype(int)  # a mask reaches the left or the right edge
            outlined[round(item.time_s, 1)] = tuple(
                (edge[..., 1] > 130).mean(axis=0) > 0.5
            )  # red has no green, grey 128
    assert len(outlined) >= 93
    for time_s, (left, right) in outlined.items():
        if 2.1 < time_s < 5.9:
            assert left, time_s
        elif 6.1 < time_s < 7.9:
            assert right, time_s
        elif time_s < 1.9 or time_s > 8.1:
            assert not left, time_s
            assert not right, time_s


def test_a_video_shorter_than_a_clip_ends_in_silence_and_has_no_mask_after_its_end(
    make_media: MakeMedia, tmp_path: Path
) -> None:
    judge = Judge()
    path = moving("red_half_2.6.mkv", make_media, 2.6, "0.5*sin(2*PI*500*t)")
    found = segment_video(str(path), str(tmp_path), model(judge))
    assert sorted(masks_of(tmp_path)) == [500, 1500, 2500]
    assert found.notes == ("shorter than the 4 s that the model was trained on",)
    assert judge.frames[0].shape == (1, 4, 3, 32, 32)
    assert judge.sounds[0].shape == (1, 64_000)
    assert not judge.sounds[0][0, round(2.6 * 16_000) :].any()


def test_where_there_is_no_sound_nothing_sounds_whatever_the_model_says(make_media: MakeMedia, tmp_path: Path) -> None:
    def always(frames: np.ndarray, sound: np.ndarray) -> np.ndarray:
        return np.full((*frames.shape[:2], 32, 32), 0.9, np.float32)

    path = moving("red_then_silence.mkv", make_media, 4.0, "lt(t,2)*0.5*sin(2*PI*500*t)")
    found = segment_video(str(path), str(tmp_path), SegmentationModel(spec=SPEC, jpeg_quality=95, predict=always))
    assert [mask.all() for _, mask in sorted(masks_of(tmp_path).items())] == [True, True, False, False]
    assert found.num_empty == 2
    assert found.notes == ("there is no sound around 2 of the moments: nothing sounds in them",)


def test_bars_of_the_models_frame_are_no_part_of_the_mask(make_media: MakeMedia, tmp_path: Path) -> None:
    spec = ClipSpec(clip_s=4.0, hop_s=4.0, frame_offset_s=0.5, exact_frames=True, fit="pad", **SMALL)
    path = moving("wide_red_half.mkv", make_media, 4.0, "0.5*sin(2*PI*500*t)", size="128x32")
    segment_video(str(path), str(tmp_path), model(Judge(), spec))
    for mask in masks_of(tmp_path).values():
        assert mask.shape == (32, 128)
        assert mask[4:-4, :56].all()
        assert not mask[:, 72:].any()


def test_another_run_replaces_the_masks_of_the_one_before(video: Path, make_media: MakeMedia, tmp_path: Path) -> None:
    segment_video(str(video), str(tmp_path), model(Judge()))
    (tmp_path / "masks" / "mine.png").write_bytes(b"a file of the user's")
    short = moving("red_half_1.mkv", make_media, 1.0, "0.5*sin(2*PI*500*t)")
    segment_video(str(short), str(tmp_path), model(Judge()))
    assert {path.name for path in (tmp_path / "masks").iterdir()} == {"500.png", "mine.png"}


def test_sound_alone_and_a_picture_alone_are_refused_and_leave_nothing(make_media: MakeMedia, tmp_path: Path) -> None:
    tone = make_media("tone_for_masks.wav", *sound(4))
    mute = make_media("mute_for_masks.mkv", *LAVFI, "color=red:s=32x32:r=20:d=4", *EXACT[:6])
    for path, reason in ((tone, "no_video"), (mute, "no_audio")):
        with pytest.raises(ClipError, match="What sounds is found by sound and picture") as caught:
            segment_video(str(path), str(tmp_path / "out"), model(Judge()))
        assert caught.value.reason == reason
    with pytest.raises(DataError, match="no_such"):
        segment_video(str(tmp_path / "no_such.mp4"), str(tmp_path / "out"), model(Judge()))
    assert not (tmp_path / "out").exists()
