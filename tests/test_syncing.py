"""`sync` on one video: offsets and speakers of faces whose mouths and sound carry one code, and what odd files give.

The picture has a grey half for each of two faces, which changes with every frame; the sound of a frame is as loud as
one of them was grey some frames before. So what belongs together is known to a frame.
"""

import dataclasses
import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeMedia

from pipeline.clip_specs import ClipSpec
from pipeline.errors import ClipError, DataError
from pipeline.inference.face_agreement import MAX_OFFSET, Agreement
from pipeline.inference.syncing import SyncModel, sync_video
from pipeline.media.decoding import Decoding
from pipeline.media.mouths import MEAN_FACE
from pipeline.media.streams import Frame
from tests.helpers.films import LAVFI

CODES = 8
SPEC = ClipSpec(
    clip_s=2.0, hop_s=2.0, frame_rate_hz=25.0, exact_frames=True, fit="pad", crop="mouth", decode_side=128,
    frame_height=32, frame_width=32,
)  # fmt: skip
LATE = 3  # frames


@dataclasses.dataclass(frozen=True)
class FakeFace:
    track: int
    points: np.ndarray
    box: tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True)
class FakePicture:
    time_s: float
    picture: np.ndarray
    faces: tuple[FakeFace, ...]
    num_left_out: int = 0


class HalvesTracker:
    """A face in each half of the picture; the second comes at 1 s. Pictures are given one late, as a tracker may."""

    def __init__(self, num_faces: int = 2) -> None:
        self._num_faces, self._held = num_faces, list[FakePicture]()

    def add(self, time_s: float, picture: np.ndarray) -> Any:
        assert picture.shape == (128, 128, 3)
        faces = tuple(
            FakeFace(track, 20 * MEAN_FACE + (32 + 64 * track, 48), (64.0 * track, 32.0, 64.0 * track + 64, 96.0))
            for track in range(self._num_faces)
            if track == 0 or time_s > 0.99
        )
        self._held.append(FakePicture(time_s, picture.copy(), faces))
        given, self._held = self._held[:-1], self._held[-1:]
        return given

    def finish(self) -> Any:
        return self._held


def one_hot(codes: np.ndarray) -> np.ndarray:
    return np.eye(CODES, dtype=np.float32)[np.clip(np.rint(codes), 0, CODES - 1).astype(int)]


def lips(mouths: np.ndarray) -> np.ndarray:
    assert mouths.dtype == np.uint8
    assert mouths.shape[2:] == (3, 32, 32)
    return one_hot((mouths.mean(axis=(2, 3, 4)) - 40) / 20)


def speech(sound: np.ndarray) -> np.ndarray:
    num_frames = (sound.shape[1] - 240) // 640
    assert sound.shape[1] == 640 * num_frames + 240
    return one_hot(np.abs(sound[:, : 640 * num_frames].reshape(len(sound), num_frames, 640)).max(axis=2) * 20 - 1)


def model(num_faces: int = 2, min_score: float = 0.4) -> SyncModel:
    return SyncModel(
        spec=SPEC, jpeg_quality=95, lips=lips, speech=speech, min_score=min_score,
        new_tracker=lambda: HalvesTracker(num_faces),
    )  # fmt: skip


def shown_codes(num_frames: int) -> np.ndarray:
    """[2, n]"""
    return np.random.default_rng(7).integers(0, CODES, (2, num_frames))


def heard_codes(num_frames: int) -> np.ndarray:
    """[n] 4 s of the left face, 3 s of the right one, 2 s of neither; -1 is silence: 1 s, and what comes before."""
    shown = shown_codes(num_frames)
    heard = np.random.default_rng(8).integers(0, CODES, num_frames)
    for face, (start, end) in enumerate(((0, 100), (100, 175))):
        heard[start:end] = [shown[face, tick - LATE] if tick >= LATE else -1 for tick in range(start, end)]
    heard[225:250] = -1
    return heard


@pytest.fixture(scope="module")
def video(make_media: MakeMedia, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 s of 128x64 at 25 frames per second, whose sound is LATE frames late."""
    folder, num_frames = tmp_path_factory.mktemp("codes"), 250
    grey = (40 + 20 * shown_codes(num_frames)).astype(np.uint8).T
    pictures = np.repeat(np.repeat(grey[:, None, :], 64, axis=1), 64, axis=2)
    (folder / "frames.raw").write_bytes(pictures.tobytes())
    level = np.repeat((heard_codes(num_frames) + 1) / 20, 640)
    sound = np.rint(32767 * level * np.where(np.arange(len(level)) % 2, 1, -1)).astype("<i2")
    with wave.open(str(folder / "sound.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(sound.tobytes())
    raw = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", "128x64", "-r", "25", "-i", str(folder / "frames.raw"))
    return make_media("codes.mkv", *raw, "-i", str(folder / "sound.wav"), "-c:v", "ffv1", "-c:a", "pcm_s16le")


def test_offsets_are_found_and_the_face_whose_mouth_moves_with_the_sound_speaks(video: Path, tmp_path: Path) -> None:
    found = sync_video(str(video), str(tmp_path / "out"), model())
    first, second = found.faces
    assert (first.track, first.start_s, first.end_s, first.offset_ms, first.speaks_s) == (0, 0.0, 10.0, 40 * LATE, 4)
    assert (second.track, second.start_s, second.end_s, second.offset_ms, second.speaks_s) == (1, 1.0, 10.0, 120, 3)
    record = json.loads((tmp_path / "out" / "sync.json").read_text())
    speaking = [row["speaking"] for row in record["seconds"]]
    assert speaking == [0, 0, 0, 0, 1, 1, 1, None, None, None]
    # at the right offset all of the codes agree, at others one of eight
    assert record["seconds"][2]["scores"]["0"] == pytest.approx(7 / 8, abs=0.06)
    assert list(record["seconds"][0]["scores"]) == ["0"]  # the other face comes later
    assert record["tracks"][0]["confidence"] == pytest.approx(4 / 10 * 7 / 8, abs=0.06)
    assert record["duration_s"] == 10.0
    assert record["files"] == ["boxes.mp4", "sync.json"]
    assert "2 faces: 0 at +120 ms" in str(found)
    assert "nobody in view speaks 3 s" in str(found)


def test_the_same_video_gives_the_same_bytes_and_batches_change_nothing(video: Path, tmp_path: Path) -> None:
    for name, batch_size in (("one", 1), ("batches", 3)):
        sync_video(str(video), str(tmp_path / name), model(), batch_size)
    for name in ("sync.json", "boxes.mp4"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "batches" / name).read_bytes()


def test_the_box_of_the_face_that_speaks_is_yellow_and_lies_where_the_face_is(video: Path, tmp_path: Path) -> None:
    sync_video(str(video), str(tmp_path / "out"), model())
    shown = {}
    plain = ClipSpec(frame_rate_hz=25.0, frame_width=128, frame_height=64, exact_frames=True)
    for frame in Decoding(tmp_path / "out" / "boxes.mp4", {"base": plain}, every_picture=True):
        if isinstance(frame, Frame):
            red, _, blue = frame.pixels.astype(int).transpose(2, 0, 1)
            is_yellow = red - blue > 100
            shown[round(frame.time_s * 25)] = (is_yellow[:, :64].sum(), is_yellow[:, 64:].sum())
    assert len(shown) == 250
    for tick, (left, right) in shown.items():
        assert (left > 100) == (tick < 100), tick  # of the 252 pixels around a half's edge
        assert (right > 100) == (100 <= tick < 175), tick


def test_a_high_threshold_names_nobody(video: Path, tmp_path: Path) -> None:
    found = sync_video(str(video), str(tmp_path / "out"), model(min_score=1.1))
    assert [face.speaks_s for face in found.faces] == [0, 0]


def test_rows_are_those_of_the_whole_video_however_sound_and_pictures_come() -> None:
    """Against one matrix of all frames and all sound; a stand-in for the network keeps no edge out."""
    num_frames, rng = 137, np.random.default_rng(0)
    codes = rng.integers(0, CODES, num_frames)
    level = (np.roll(codes, 2) + 1) / 20
    sound = np.rint(32767 * np.repeat(level, 640) * np.where(np.arange(640 * num_frames) % 2, 1, -1)).astype(np.int16)
    mouths = (40 + 20 * codes).astype(np.uint8)

    def run(chunk: int, lead: int) -> np.ndarray:
        agreement = Agreement(lips, speech, rate_hz=25, samples_per_frame=640, window=50)
        sent = 0
        for tick in range(num_frames):
            while sent < min(len(sound), 640 * (tick + lead)):
                agreement.add_sound(sound[sent : sent + chunk])
                sent += chunk
            agreement.add_mouths(tick, [(4, np.full((32, 32, 3), mouths[tick], np.uint8))])
        for start in range(sent, len(sound), chunk):
            agreement.add_sound(sound[start : start + chunk])
        agreement.finish()
        scores = agreement.of_face(4)
        assert scores is not None
        return scores

    seen, heard = one_hot(codes), one_hot(level * 20 - 1)
    expected = [
        np.mean([seen[t] @ heard[t + o] for t in range(num_frames) if 0 <= t + o < num_frames])
        for o in range(-MAX_OFFSET, MAX_OFFSET + 1)
    ]
    for chunk, lead in ((1000, 60), (640, -200), (99_999, 0), (7, 1)):
        np.testing.assert_allclose(run(chunk, lead), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("lead", [40, -40])
def test_what_is_held_does_not_grow_with_the_video(lead: int) -> None:
    """Faces come and go; the sound is before the picture by as many frames, or after it."""
    held = []
    agreement = Agreement(lips, speech, rate_hz=25, samples_per_frame=640, window=50, batch_size=4)
    mouth, sound = np.full((32, 32, 3), 60, np.uint8), np.full(640, 1000, np.int16)
    for tick in range(1500):
        if tick + lead >= 0:
            agreement.add_sound(sound)
        agreement.add_mouths(tick, [(tick // 300, mouth)] if tick % 300 < 220 else [])
        held.append(agreement.num_held)
    assert max(held[900:]) == max(held[300:900]) < 50 * 4 + 50 + 2 * 40 + 3 * MAX_OFFSET + 50


def test_a_face_of_less_than_a_second_has_no_offset_and_a_gap_makes_two_runs() -> None:
    agreement = Agreement(lips, speech, rate_hz=25, samples_per_frame=640, window=50)
    agreement.add_sound(np.full(640 * 60, 1000, np.int16))
    mouth = np.full((32, 32, 3), 60, np.uint8)
    for tick in range(60):
        faces = [(0, mouth)] if tick < 24 else [(1, mouth)] if tick < 49 else [(0, mouth)]
        agreement.add_mouths(tick, faces)
    agreement.finish()
    assert agreement.of_face(0) is None
    assert agreement.of_face(1) is not None
    assert agreement.of_second(0) == {}
    assert list(agreement.of_second(1)) == [1]  # of 24 frames of it


def test_without_a_face_a_sound_or_a_file_the_reason_is_named_and_nothing_is_left(
    video: Path, make_media: MakeMedia, tmp_path: Path
) -> None:
    with pytest.raises(ClipError, match="no_face: no face was found in the picture"):
        sync_video(str(video), str(tmp_path / "out"), model(num_faces=0))
    mute = make_media("mute_of_faces.mkv", *LAVFI, "color=gray:s=128x64:r=25:d=2", "-c:v", "ffv1")
    with pytest.raises(ClipError, match=r"no_audio: .*Lips and sound are compared"):
        sync_video(str(mute), str(tmp_path / "out"), model())
    with pytest.raises(DataError, match=r"gone.mp4"):
        sync_video(str(tmp_path / "gone.mp4"), str(tmp_path / "out"), model())
    assert not (tmp_path / "out").exists()
