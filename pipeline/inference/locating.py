"""One video -> when something is both seen and heard in it, and what: `events.json` and `timeline.png`.

The video is cut as the clips of training were: windows of one clip in a row, each frame through JPEG and back, so a
clip's features are those that are stored for it. The last window ends with the video and takes in seconds of the one
before, of which only those that are new count; a video shorter than a clip ends in silence and its last frame. What is
kept is three numbers for each second: memory does not grow with the rest of the video.

Neighbouring seconds of one category are one event, also from one window to the next. A second without any sound has
none, whatever the model says: an event is heard.
"""

import contextlib
import itertools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.clip_specs import ClipSpec
from pipeline.clips.samples import Clip
from pipeline.errors import ClipError
from pipeline.inference.event_timeline import Event, draw_timeline, lasting
from pipeline.inference.inputs import open_input
from pipeline.inference.opening import LIMIT_S, length_notes
from pipeline.inference.outputs import Outputs
from pipeline.inference.windows import MAX_REST_S, Window, as_stored, windows
from pipeline.media.decoding import Decoding, SkippedPicturesError
from pipeline.media.ffmpeg_log import MediaInfo

RECORD, PICTURE = "events.json", "timeline.png"
SPEC = "events"
MIN_PROBABILITY = 0.5  # above it there is an event: the rule of evaluation
DIGITS = 4
MAX_NAMED = 5
NOT_BOTH = ("no_video", "no_audio")
Report = Callable[[str, float, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventModel:
    """Predicts which seconds of a clip have an event, and of what category."""

    spec: ClipSpec
    """Of the clips that it was trained on, whole seconds long."""
    jpeg_quality: int
    """That their frames were stored with."""
    categories: tuple[str, ...]
    """K names."""
    predict: Callable[[list[Clip]], tuple[np.ndarray, np.ndarray]]
    """Clips -> probability [B, N] of an event in each second, and [B, N, K] of its category if there is one."""


@dataclass(frozen=True, slots=True)
class Located:
    """The result for one video."""

    duration_s: float
    """Length of its sound: without sound there is no event."""
    events: tuple[Event, ...]
    notes: tuple[str, ...]
    """What is odd about the file."""

    def __str__(self) -> str:
        kinds = [f"{category} {lasting_s:.1f} s" for category, lasting_s in lasting(self.events).items()]
        shown = kinds[:MAX_NAMED] + [f"{len(kinds) - MAX_NAMED} more"] * (len(kinds) > MAX_NAMED)
        return "; ".join([f"{self.duration_s:.1f} s", ", ".join(shown) or "no event", *self.notes])


def locate_events(
    uri: str,
    folder: str,
    model: EventModel,
    batch_size: int = 1,
    report: Report = lambda phase, done_s, total_s: None,
) -> Located:
    """Write `events.json` and `timeline.png` of a video into a folder; nothing if it cannot be used.

    Args:
        uri: path or s3:// address of the video.
        folder: path or s3:// address of the folder to write to; files of these names there are replaced.
        model: predicts where events are.
        batch_size: windows per call of the model.
        report: called with what is being done, the seconds that are done, and those in all (0 if unknown).
    Raises:
        ClipError: the video cannot be decoded, or has no picture or no sound (no_video, no_audio; see
            `pipeline.media.decoding.Decoding`).
        DataError: there is no such file.
        OSError: the folder cannot be written to.
    """
    with open_input(uri) as path, Outputs(folder) as outputs:
        seconds = _judge(path, model, batch_size, report)
        events = tuple(join_seconds(seconds, model.categories))
        draw_timeline(uri.rpartition("/")[2], events, seconds.event, seconds.duration_s, outputs.file(PICTURE))
        record = {
            "duration_s": round(seconds.duration_s, DIGITS),
            "events": [_rounded(event) for event in events],
            "event_probability": [round(float(each), DIGITS) for each in seconds.event],
            "notes": seconds.notes,
        }
        outputs.file(RECORD).write_text(json.dumps(record, indent=1))
        return Located(seconds.duration_s, events, tuple(seconds.notes))


@dataclass(slots=True)
class Seconds:
    """What the model says of each second of a video."""

    event: np.ndarray
    """[S] probability of an event."""
    category: np.ndarray
    """[S] number of the most likely category."""
    category_probability: np.ndarray
    """[S] its probability, if there is an event."""
    duration_s: float
    notes: list[str]


def join_seconds(seconds: Seconds, categories: tuple[str, ...]) -> Iterator[Event]:
    """The events: runs of seconds of one category whose probability of an event is above MIN_PROBABILITY."""
    names = np.where(seconds.event > MIN_PROBABILITY, seconds.category, -1)
    bounds = [0, *(np.flatnonzero(np.diff(names)) + 1).tolist(), len(names)]
    for start, end in itertools.pairwise(bounds):
        if start < end and names[start] >= 0:
            sure = np.mean(seconds.event[start:end] * seconds.category_probability[start:end])
            yield Event(float(start), min(float(end), seconds.duration_s), categories[names[start]], float(sure))


def _judge(path: Path, model: EventModel, batch_size: int, report: Report) -> Seconds:
    """What the model says of each second of a local file."""
    try:
        try:
            return _judge_decoded(path, model, batch_size, report, every_picture=False)
        except SkippedPicturesError:  # as cutting does: some frames are only there if every picture is decoded
            return _judge_decoded(path, model, batch_size, report, every_picture=True)
    except ClipError as error:
        if error.reason not in NOT_BOTH:
            raise
        raise ClipError(error.reason, f"{error.detail} An event is both seen and heard.") from error


def _judge_decoded(path: Path, model: EventModel, batch_size: int, report: Report, every_picture: bool) -> Seconds:
    """Raises a SkippedPicturesError if frames of this file need every picture."""
    spec, found = model.spec, list[np.ndarray]()
    decoding = Decoding(path, {SPEC: spec}, LIMIT_S, every_picture=every_picture)
    num_seconds = end = 0
    with contextlib.closing(iter(decoding)) as items:
        cut = windows(as_stored(items, model.jpeg_quality), spec, spec.num_samples, grid=spec.sample_rate_hz)
        while batch := list(itertools.islice(cut, batch_size)):
            said = model.predict([_as_clip(window, spec) for window in batch])
            for window, event, category in zip(batch, *said, strict=True):
                rows = _rows(window, event, category, spec.sample_rate_hz)
                found.append(rows[num_seconds - window.start // spec.sample_rate_hz :])
                num_seconds += len(found[-1])
                end = window.end
            report("events", num_seconds, decoding.info.duration_s or 0.0)
    events, categories, probabilities = np.concatenate(found).T
    duration_s = end / spec.sample_rate_hz
    notes = _notes(decoding.info, duration_s, int((events == 0).sum()), spec)
    return Seconds(events, categories.astype(int), probabilities, duration_s, notes)


def _as_clip(window: Window, spec: ClipSpec) -> Clip:
    """The window as a clip that was read; a short one ends in silence."""
    sound = np.pad(window.sound, (0, spec.num_samples - len(window.sound)))
    facts = {"clip_id": "", "video_id": "", "start_s": window.start / spec.sample_rate_hz}
    return Clip("", {"flac": sound}, window.frames.transpose(0, 3, 1, 2), facts)


def _rows(window: Window, event: np.ndarray, category: np.ndarray, rate_hz: int) -> np.ndarray:
    """[s, 3] of each second of the window that has sound: fields of `Seconds`.

    Args:
        event: [N] probabilities.
        category: [N, K] probabilities.
        rate_hz: samples in a second.
    """
    num_seconds = max(1, math.ceil(len(window.sound) / rate_hz - MAX_REST_S))
    is_heard = [bool(window.sound[start : start + rate_hz].any()) for start in range(0, num_seconds * rate_hz, rate_hz)]
    best = category.argmax(axis=1)
    of_best = np.take_along_axis(category, best[:, None], axis=1)[:, 0]
    return np.stack([event[:num_seconds] * is_heard, best[:num_seconds], of_best[:num_seconds]], axis=1)


def _notes(info: MediaInfo, duration_s: float, num_silent: int, spec: ClipSpec) -> list[str]:
    """What is odd about a file."""
    found = [info.detail] if info.detail else []
    if num_silent:
        found.append(f"{num_silent} seconds are without any sound: nothing is heard in them")
    return found + length_notes(info, duration_s, spec.clip_s, MAX_REST_S)


def _rounded(event: Event) -> dict[str, Any]:
    return {
        name: round(value, DIGITS) if isinstance(value, float) else value for name, value in event._asdict().items()
    }
