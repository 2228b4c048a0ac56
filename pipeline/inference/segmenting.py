"""One video -> which pixels of its picture make the sound that is heard: masks, `masks.json` and `outlined.mp4`.

The video is cut as the clips of training were: windows of one clip in a row, each frame through JPEG and back. The last
window ends with the video and takes in frames of the one before, of which only those that are new count; a video
shorter than a clip ends in silence and its last frame. Memory does not grow with the rest of the video.

A mask is of one moment, and its outline is shown for the whole time from one frame to the next that the moment lies in,
such as the second from 1 to 2 s. Where the sound of that time is digital silence, nothing sounds, whatever the model
says.
"""

import contextlib
import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.clip_specs import ClipSpec
from pipeline.errors import ClipError
from pipeline.inference.choosing import picture_in_frame
from pipeline.inference.inputs import open_input
from pipeline.inference.opening import LIMIT_S, length_notes
from pipeline.inference.outlines import draw_outline, layer_size
from pipeline.inference.outputs import Outputs, earlier_files
from pipeline.inference.video_writing import Report, write_outlined
from pipeline.inference.windows import MAX_REST_S, Window, as_stored, windows
from pipeline.masks.mask_pictures import MAX_SIDE, encode_mask
from pipeline.media.decoding import Decoding

RECORD, VIDEO, FOLDER = "masks.json", "outlined.mp4", "masks"
OWN_NAMES = re.compile(rf"{FOLDER}/\d+\.png|outlined\.mp4")
SPEC = "segmentation"
MIN_PROBABILITY = 0.5  # above it a pixel sounds: the rule of evaluation
DIGITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationModel:
    """Predicts which pixels of the frames of a clip sound."""

    spec: ClipSpec
    """Of the clips that it was trained on."""
    jpeg_quality: int
    """That their frames were stored with."""
    predict: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """frames [B, K, 3, H, W] uint8 RGB and sound [B, T] float32 -> probability [B, K, H, W] float32."""


@dataclass(frozen=True, slots=True)
class Segmented:
    """The result for one video."""

    duration_s: float
    """Length of its sound."""
    num_masks: int
    num_empty: int
    """Of them, those in which nothing sounds."""
    mean_share: float
    """Mean share of the picture that sounds."""
    notes: tuple[str, ...]
    """What is odd about the file."""

    def __str__(self) -> str:
        masks = f"{self.num_masks} mask{'s' * (self.num_masks != 1)}, {self.mean_share:.1%} of the picture sounds"
        empty = f"nothing sounds in {self.num_empty} of them" if self.num_empty else ""
        return "; ".join(filter(None, [f"{self.duration_s:.1f} s", masks, empty, *self.notes]))


def segment_video(
    uri: str,
    folder: str,
    model: SegmentationModel,
    batch_size: int = 1,
    report: Report = lambda phase, done_s, total_s: None,
) -> Segmented:
    """Write masks, `masks.json` and `outlined.mp4` of a video into a folder; nothing if it cannot be used.

    The masks are `masks/<ms>.png`, black and white, of the picture's own size; `earshot label` reads such files.

    Args:
        uri: path or s3:// address of the video.
        folder: path or s3:// address of the folder to write to; what an earlier run wrote there is replaced.
        model: predicts masks.
        batch_size: windows per call of the model.
        report: called with what is being done, the seconds that are done, and those in all (0 if unknown).
    Raises:
        ClipError: the video cannot be decoded, or has no picture or no sound (no_video, no_audio; see
            `pipeline.media.decoding.Decoding`).
        DataError: there is no such file.
        OSError: the folder cannot be written to.
    """
    with open_input(uri) as path, Outputs(folder, earlier_files(folder, RECORD, OWN_NAMES)) as outputs:
        return _Segmentation(path, outputs, model, report).run(batch_size)


class _Segmentation:
    """The work on one video."""

    def __init__(self, path: Path, outputs: Outputs, model: SegmentationModel, report: Report) -> None:
        self._path, self._outputs, self._model, self._report = path, outputs, model, report
        self._decoding = Decoding(path, {SPEC: model.spec}, LIMIT_S, every_picture=True)
        self._end = 0
        """Samples of sound."""

    def run(self, batch_size: int) -> Segmented:
        """Write everything."""
        rows: list[dict[str, Any]] = []
        layers = self._outputs.work_file("layers")
        with layers.open("wb") as file:
            for time_s, probability, is_heard in self._frames(batch_size):
                mask, row = self._mask(probability, is_heard)
                name = f"{FOLDER}/{round(1000 * time_s)}.png"
                self._outputs.file(name).write_bytes(encode_mask(mask))
                file.write(draw_outline(mask, layer_size(mask.shape)))
                rows.append({"time_s": round(time_s, DIGITS), "mask": name, "is_heard": is_heard} | row)
        duration_s = self._end / self._model.spec.sample_rate_hz
        notes = self._notes(duration_s, sum(not row.pop("is_heard") for row in rows))
        size = self._decoding.picture_size
        if size is None:
            notes.append(f"no {VIDEO}: the file does not state how large its picture is")
        else:
            notes += write_outlined(
                self._path, self._decoding.choice, size, layers, self._model.spec.frame_rate_hz, duration_s,
                VIDEO, self._outputs, self._report,
            )  # fmt: skip
        record = {"duration_s": round(duration_s, DIGITS), "frames": rows, "files": self._outputs.names, "notes": notes}
        self._outputs.file(RECORD).write_text(json.dumps(record, indent=1))
        shares = [row["share"] for row in rows]
        return Segmented(duration_s, len(rows), shares.count(0.0), float(np.mean(shares)), tuple(notes))

    def _frames(self, batch_size: int) -> Iterator[tuple[float, np.ndarray, bool]]:
        """Of each moment its time, the probability [H, W], and whether there is any sound around it."""
        spec = self._model.spec
        tick = round(spec.sample_rate_hz / spec.frame_rate_hz)  # samples from one frame to the next
        done = 0  # moments
        try:
            with contextlib.closing(iter(self._decoding)) as items:
                cut = windows(as_stored(items, self._model.jpeg_quality), spec, spec.num_samples, grid=tick)
                while batch := list(itertools.islice(cut, batch_size)):
                    frames = np.stack([window.frames for window in batch]).transpose(0, 1, 4, 2, 3)
                    sound = np.stack([np.pad(each.sound, (0, spec.num_samples - len(each.sound))) for each in batch])
                    said = self._model.predict(np.ascontiguousarray(frames), sound)
                    for window, probabilities in zip(batch, said, strict=True):
                        first = window.start // tick
                        for moment in range(done, first + _num_moments(window, spec)):
                            place = moment - first
                            is_heard = bool(window.sound[place * tick : (place + 1) * tick].any())
                            time_s = moment / spec.frame_rate_hz + spec.frame_offset_s
                            yield time_s, probabilities[place], is_heard
                            done = moment + 1
                        self._end = window.end
                    self._report("segment", done / spec.frame_rate_hz, self._decoding.info.duration_s or 0.0)
        except ClipError as error:
            if error.reason not in ("no_audio", "no_video"):
                raise
            raise ClipError(error.reason, f"{error.detail} What sounds is found by sound and picture.") from error

    def _mask(self, probability: np.ndarray, is_heard: bool) -> tuple[np.ndarray, dict[str, Any]]:
        """[h, w] bool of the picture's size, and its area and confidence."""
        probability = self._in_picture(probability)
        mask = (probability > MIN_PROBABILITY) & is_heard
        area = int(mask.sum())
        confidence = round(float(probability[mask].mean()), DIGITS) if area else None
        return mask, {"area": area, "share": round(area / mask.size, DIGITS), "confidence": confidence}

    def _in_picture(self, probability: np.ndarray) -> np.ndarray:
        """Probability [H, W] of a frame, without bars and at the picture's size, with at most MAX_SIDE a side."""
        height, width = probability.shape
        left, top, right, bottom = picture_in_frame(self._model.spec, self._decoding.picture_shape)
        columns, rows = self._decoding.picture_size or (width, height)
        scale = min(1.0, MAX_SIDE / max(columns, rows))
        size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
        box = (left * width, top * height, right * width, bottom * height)
        picture = Image.fromarray(probability.astype(np.float32))
        return np.asarray(picture.resize(size, Image.Resampling.BILINEAR, box=box))

    def _notes(self, duration_s: float, num_silent: int) -> list[str]:
        """What is odd about the file."""
        info, spec = self._decoding.info, self._model.spec
        found = [info.detail] if info.detail else []
        if num_silent:
            found.append(f"there is no sound around {num_silent} of the moments: nothing sounds in them")
        return found + length_notes(info, duration_s, spec.clip_s, MAX_REST_S)


def _num_moments(window: Window, spec: ClipSpec) -> int:
    """Frames of a window that lie before the end of its sound; at least one."""
    sound_s = len(window.sound) / spec.sample_rate_hz
    return min(spec.num_frames, max(1, int(np.ceil((sound_s - spec.frame_offset_s) * spec.frame_rate_hz - 1e-6))))
