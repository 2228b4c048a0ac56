"""One video -> of each face how late the sound is, and who speaks in each second: `sync.json` and `boxes.mp4`.

The video is decoded to a padded square, faces are followed and their mouths cropped as cutting does, each through JPEG
and back. A mouth and the sound of the same 0.2 s have embeddings that are alike where that face speaks. A face's offset
is the one of the highest mean cosine over all the time that it is seen; its confidence is that less the median over all
offsets. A second's score of a face is the same difference in that second, at the face's own offset. The face with the
highest score speaks if the score reaches the model's threshold, and nobody in view does otherwise, or where the sound
is digital silence. A face counts where it is seen in half of the second or more.

Memory is that of `Agreement`; boxes are kept on disk until it is known who speaks.
"""

import contextlib
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol

import numpy as np
import simplejpeg
import torch

from pipeline.clip_specs import ClipSpec
from pipeline.errors import ClipError
from pipeline.inference.choosing import picture_in_frame
from pipeline.inference.face_agreement import Agreement, Embed
from pipeline.inference.face_boxes import FaceBox, write_boxes, write_layers
from pipeline.inference.inputs import open_input
from pipeline.inference.opening import LIMIT_S
from pipeline.inference.outputs import Outputs, earlier_files
from pipeline.inference.video_writing import Report, write_outlined
from pipeline.media.decoding import Decoding
from pipeline.media.frame_buffer import TICK_SLACK_S
from pipeline.media.mouths import crop_mouth, mouth_transform
from pipeline.media.streams import Frame
from pipeline.metrics.speaking import name_speaker, second_scores
from pipeline.metrics.synchrony import found_offset

if TYPE_CHECKING:
    from pipeline.media.tracking import TrackedFace, TrackedPicture

RECORD, VIDEO = "sync.json", "boxes.mp4"
OWN_NAMES = re.compile(r"boxes\.mp4")
SPEC = "speech"
DIGITS = 4
MAX_NAMED = 4


class Tracker(Protocol):
    """What follows faces: `pipeline.media.tracking.FaceTracker`."""

    def add(self, time_s: float, picture: np.ndarray) -> "list[TrackedPicture]":
        """Take in a picture; give those that nothing later can change."""

    def finish(self) -> "list[TrackedPicture]":
        """The last ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncModel:
    """Embeds mouths and sound, so that what belongs together is alike."""

    spec: ClipSpec
    """Of the clips that it was trained on, with mouths."""
    jpeg_quality: int
    """That their frames were stored with."""
    lips: Embed
    """[B, T, 3, S, S] uint8 RGB -> [B, T, D] float32."""
    speech: Embed
    """[B, n T + 240] float32 in [-1, 1), n samples per frame -> [B, T, D] float32."""
    min_score: float
    """A face of at least this score speaks."""
    new_tracker: Callable[[], Tracker]
    """Of one video."""


@dataclass(frozen=True, slots=True)
class Face:
    """A face that was followed."""

    track: int
    start_s: float
    end_s: float
    offset_ms: int | None
    """How late the sound is; None if the face was seen for less than a second, or never with sound."""
    confidence: float | None
    speaks_s: int
    """Seconds in which it speaks."""


@dataclass(frozen=True, slots=True)
class Synced:
    """The result for one video."""

    duration_s: float
    """Length of its sound."""
    faces: tuple[Face, ...]
    num_seconds: int
    notes: tuple[str, ...]
    """What is odd about the file."""

    def __str__(self) -> str:
        """`17.6 s; 2 faces: 0 at +40 ms (0.31) speaks 9 s, ...; nobody in view speaks 3 s`."""
        shown = [_describe(face) for face in self.faces[:MAX_NAMED]]
        shown += [f"{len(self.faces) - MAX_NAMED} more"] * (len(self.faces) > MAX_NAMED)
        count = f"{len(self.faces)} face{'s' * (len(self.faces) != 1)}"
        nobody_s = self.num_seconds - sum(face.speaks_s for face in self.faces)
        lines = [f"{self.duration_s:.1f} s", f"{count}: {', '.join(shown)}", f"nobody in view speaks {nobody_s} s"]
        return "; ".join([*lines, *self.notes])


def sync_video(
    uri: str,
    folder: str,
    model: SyncModel,
    batch_size: int = 1,
    report: Report = lambda phase, done_s, total_s: None,
) -> Synced:
    """Write `sync.json` and `boxes.mp4` of a video into a folder; nothing if it cannot be used.

    Args:
        uri: path or s3:// address of the video.
        folder: path or s3:// address of the folder to write to; what an earlier run wrote there is replaced.
        model: embeds mouths and sound.
        batch_size: windows of mouths per call of the model.
        report: called with what is being done, the seconds that are done, and those in all (0 if unknown).
    Raises:
        ClipError: the video cannot be decoded, has no picture or no sound (no_video, no_audio; see
            `pipeline.media.decoding.Decoding`), or no face (no_face).
        DataError: there is no such file.
        OSError: the folder cannot be written to.
    """
    with open_input(uri) as path, Outputs(folder, earlier_files(folder, RECORD, OWN_NAMES)) as outputs:
        return _Syncing(path, outputs, model, batch_size, report).run()


class _Shown(NamedTuple):
    """What a picture shows of faces."""

    mouths: list[tuple[int, np.ndarray]]
    boxes: list[FaceBox]
    """As shares of the sides of the square."""


class _Syncing:
    """The work on one video."""

    def __init__(self, path: Path, outputs: Outputs, model: SyncModel, batch_size: int, report: Report) -> None:
        self._path, self._outputs, self._model, self._report = path, outputs, model, report
        spec = model.spec
        self._rate = round(spec.frame_rate_hz)
        self._decoding = Decoding(path, {SPEC: spec}, LIMIT_S, every_picture=True)
        self._boxes = outputs.work_file("boxes")
        self._seen: dict[int, list[int]] = {}
        """First and last tick of each face."""
        self._last, self._next_tick, self._num_left_out = _Shown([], []), 0, 0
        self._agreement = Agreement(
            model.lips,
            model.speech,
            rate_hz=self._rate,
            samples_per_frame=spec.sample_rate_hz // self._rate,
            window=spec.num_frames,
            batch_size=batch_size,
        )

    def run(self) -> Synced:
        """Write everything."""
        self._follow()
        duration_s = self._agreement.num_samples / self._model.spec.sample_rate_hz
        if not self._seen:
            raise ClipError("no_face", "no face was found in the picture; whose lips move with the sound is asked.")
        seconds = self._seconds(math.ceil(round(duration_s, DIGITS)))
        speaking = [second["speaking"] for second in seconds]
        faces = tuple(self._face(track, speaking) for track in sorted(self._seen))
        notes = self._notes() + self._draw(speaking, duration_s)
        record = {
            "duration_s": round(duration_s, DIGITS),
            "min_score": self._model.min_score,
            "tracks": [{name: getattr(face, name) for name in face.__slots__} for face in faces],
            "seconds": seconds,
            "files": self._outputs.names,
            "notes": notes,
        }
        self._outputs.file(RECORD).write_text(json.dumps(record, indent=1))
        return Synced(duration_s, faces, len(seconds), tuple(notes))

    def _follow(self) -> None:
        """Decode, follow faces, and take in mouths and sound."""
        tracker = self._model.new_tracker()
        try:
            with contextlib.closing(iter(self._decoding)) as items, self._boxes.open("wb") as file:
                for item in items:
                    if isinstance(item, Frame):
                        self._take(tracker.add(item.time_s, item.pixels), file)
                        total_s = self._decoding.info.duration_s or 0.0
                        self._report("sync", self._next_tick / self._rate, total_s)
                    else:
                        self._agreement.add_sound(item)
                self._take(tracker.finish(), file)
                self._agreement.finish()
        except ClipError as error:
            if error.reason not in ("no_audio", "no_video"):
                raise
            raise ClipError(error.reason, f"{error.detail} Lips and sound are compared.") from error

    def _take(self, pictures: "Iterable[TrackedPicture]", file: BinaryIO) -> None:
        """Take in pictures in order. A tick without one of its own shows the one before, as in cutting."""
        for picture in pictures:
            tick = math.floor((picture.time_s + TICK_SLACK_S) * self._rate)
            if tick < self._next_tick:
                continue
            while self._next_tick < tick:
                self._add(self._last, file)
            self._last = _Shown(
                [(face.track, self._mouth(picture.picture, face)) for face in picture.faces],
                [
                    FaceBox(face.track, *(float(each) / len(picture.picture) for each in face.box))
                    for face in picture.faces
                ],
            )
            self._num_left_out = max(self._num_left_out, picture.num_left_out)
            self._add(self._last, file)

    def _add(self, shown: _Shown, file: BinaryIO) -> None:
        """Take in what the next tick shows."""
        for box in shown.boxes:
            self._seen.setdefault(box.face, [self._next_tick, 0])[1] = self._next_tick
        self._agreement.add_mouths(self._next_tick, shown.mouths)
        write_boxes(file, shown.boxes)
        self._next_tick += 1

    def _mouth(self, picture: np.ndarray, face: "TrackedFace") -> np.ndarray:
        """[S, S, 3] the crop as it comes back from a tar."""
        side = self._model.spec.frame_height
        mouth = crop_mouth(picture, mouth_transform(face.points, side), side)
        return simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(mouth, quality=self._model.jpeg_quality), colorspace="RGB")

    def _face(self, track: int, speaking: Sequence[int | None]) -> Face:
        """What is known of a face."""
        first, last = self._seen[track]
        scores = self._agreement.of_face(track)
        offset_ms = confidence = None
        if scores is not None and not np.isnan(scores).all():
            frames, stands_out = found_offset(_without_nan(scores))
            offset_ms, confidence = round(1000 * int(frames) / self._rate), round(float(stands_out), DIGITS)
        start_s, end_s = first / self._rate, (last + 1) / self._rate
        return Face(track, round(start_s, DIGITS), round(end_s, DIGITS), offset_ms, confidence, speaking.count(track))

    def _seconds(self, num_seconds: int) -> list[dict[str, Any]]:
        """Who speaks in each second, and each face's score."""
        offsets_ms = {track: self._face(track, ()).offset_ms for track in self._seen}
        seconds = []
        for second in range(num_seconds):
            scores = {}
            for track, cosines in sorted(self._agreement.of_second(second).items()):
                offset_ms = offsets_ms[track]
                if offset_ms is not None:
                    offset = round(offset_ms * self._rate / 1000)
                    scores[track] = second_scores(torch.from_numpy(cosines)[None], offset)
            best = int(name_speaker(torch.stack([*scores.values()]), self._model.min_score)) if scores else -1
            speaking = [*scores][best] if best >= 0 and self._agreement.is_heard(second) else None
            rounded = {str(track): round(float(score), DIGITS) for track, score in scores.items() if not score.isnan()}
            seconds.append({"start_s": second, "speaking": speaking, "scores": rounded})
        return seconds

    def _draw(self, speaking: Sequence[int | None], duration_s: float) -> list[str]:
        """Write the video with boxes; return notes."""
        size = self._decoding.picture_size
        if size is None:
            return [f"no {VIDEO}: the file does not state how large its picture is"]
        layers, area = (
            self._outputs.work_file("layers"),
            picture_in_frame(self._model.spec, self._decoding.picture_shape),
        )
        write_layers(self._boxes, layers, area, size, speaking, self._rate)
        return write_outlined(
            self._path, self._decoding.choice, size, layers, self._rate, duration_s, VIDEO, self._outputs, self._report
        )

    def _notes(self) -> list[str]:
        """What is odd about the file."""
        info = self._decoding.info
        found = [info.detail] if info.detail else []
        if self._num_left_out:
            found.append(f"up to {self._num_left_out} more faces in a picture, smaller ones, are not followed")
        return found


def _without_nan(scores: np.ndarray) -> torch.Tensor:
    """Scores whose median leaves out offsets at which nothing is heard."""
    return torch.from_numpy(np.where(np.isnan(scores), np.nanmedian(scores), scores))


def _describe(face: Face) -> str:
    if face.offset_ms is None:
        return f"{face.track} not long enough in view"
    return f"{face.track} at {face.offset_ms:+d} ms ({face.confidence:.2f}) speaks {face.speaks_s} s"
