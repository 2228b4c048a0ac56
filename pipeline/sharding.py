"""Video -> clips: one decode per video gives every clip of it, written to the part's WebDataset tar as it goes.

In: one part of `collection/`. Out: `clips/<part>.tar`, `clips/<part>.parquet` with a row per planned clip, and last
`videos/<part>.parquet` with a row per video: the part counts as finished when that exists. Overlapping clips share
each frame's encoded bytes. A video whose decoding fails half way keeps the clips before that point.

Spans: clip i covers [i * hop, i * hop + clip), for every i whose end lies within the video; up to `max_padding_s` of
missing sound at the very end is filled with silence, so that a 9.98 s video still gives the clip that ends at 10 s. The
rest of a video that fills no clip is left out.
"""

import collections
import contextlib
import dataclasses
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg

from pipeline import storage
from pipeline.artifacts import CLIPS_FOLDER, COLLECTION_FOLDER, VIDEOS_FOLDER, Workspace
from pipeline.errors import ClipError, DataError
from pipeline.media import Decoding, Frame, MediaInfo
from pipeline.samples import encode_flac
from pipeline.tars import TarWriter
from pipeline.views import ClipView
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.videos import COLLECTION, VIDEOS

FULL_SCALE = 32768.0
FLOOR_DB = -120.0
# How far one stream may run ahead of the other before the other counts as ended: bounds what is held in memory.
MAX_LEAD_S = 120.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ShardingConfig:
    """What becomes a clip, beside the view's lengths and sizes."""

    min_rms_db: float = -60.0
    """Clips quieter than this (dBFS) are rejected as silent. Nothing can be learnt from silence."""
    max_padding_s: float = 0.1
    """Sound missing at a clip's end up to this length is filled with silence; more rejects the clip as short_audio."""
    jpeg_quality: int = 90
    """1 to 100. 90 is about 5 kB for a 128x128 frame."""
    video_limit_s: float = 3600.0
    """Wall-clock and CPU limit for decoding one video. A video that takes longer is rejected as timeout."""

    def __post_init__(self) -> None:
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"sharding.jpeg_quality = {self.jpeg_quality}: expected 1 to 100.")
        if self.video_limit_s <= 0:
            raise ValueError(f"sharding.video_limit_s = {self.video_limit_s}: expected more than 0.")
        if self.max_padding_s < 0:
            raise ValueError(f"sharding.max_padding_s = {self.max_padding_s}: expected 0 or more.")


@dataclasses.dataclass(frozen=True, slots=True)
class Clip:
    """One planned span: its row, and its tar members if it is kept."""

    row: dict[str, Any]
    members: dict[str, bytes] | None


class ShardPart:
    """Cuts one part of the collection. A plain callable: it runs in a loop or on a worker."""

    def __init__(self, workspace: Workspace, view: ClipView, config: ShardingConfig) -> None:
        self._workspace, self._view, self._config = workspace, view, config

    def __call__(self, part: str) -> dict[str, int]:
        """Cut every video of the part and commit it; return counts by outcome for the progress line."""
        videos, clips = [], []
        with storage.building(self._workspace.uri(CLIPS_FOLDER, f"{part}.tar")) as path, TarWriter(path) as tar:
            for video in self._workspace.read(COLLECTION_FOLDER, part, COLLECTION).to_pylist():
                planned = []
                cutting = Cutting(video, self._view, self._config)
                for clip in cutting:
                    place: tuple[int | None, int | None] = (None, None)
                    if clip.members is not None:
                        place = tar.add(clip.row["clip_id"], clip.members)
                    planned.append(clip.row | {"part": part, "tar_offset": place[0], "tar_bytes": place[1]})
                videos.append(cutting.video_row(part, planned))
                clips += planned
        self._workspace.commit(CLIPS_FOLDER, part, from_rows(clips, CLIPS, part), CLIPS)
        self._workspace.commit(VIDEOS_FOLDER, part, from_rows(videos, VIDEOS, part), VIDEOS)
        rejected = collections.Counter(row["outcome"] for row in videos if row["outcome"] != "kept")
        kept = sum(row["outcome"] == "kept" for row in clips)
        return {"videos": len(videos), "clips": len(clips), "kept": kept, **rejected}


class Cutting:
    """One pass over one video: iterate for its clips, then ask for its row.

    Sound is held from the start of the next clip on, frames as encoded bytes by tick (tick k is the time k / frame
    rate): memory depends on the view and on how the container interleaves, not on the video's length.
    """

    def __init__(self, video: dict[str, Any], view: ClipView, config: ShardingConfig) -> None:
        self._video, self._view, self._config = video, view, config
        self._sound = np.zeros(0, dtype="<i2")
        self._sound_start = 0  # in samples: where `_sound` begins on the video's clock
        self._frames: dict[int, tuple[float, bytes, np.ndarray]] = {}  # by tick: time, JPEG, small picture
        self._last_frame_s = -1.0
        self._next_clip = 0
        self._reason: str | None = None
        self._detail: str | None = None
        self._decoding: Decoding | None = None

    def __iter__(self) -> Iterator[Clip]:
        try:
            with storage.local_copy(self._video["uri"]) as path:
                yield from self._cut(path)
        except ClipError as error:
            self._reason, self._detail = error.reason, error.detail
        except DataError as error:
            self._reason, self._detail = "missing", str(error)

    def video_row(self, part: str, clips: list[dict[str, Any]]) -> dict[str, Any]:
        """The video's row of `schemas.videos.VIDEOS`, once iteration has ended."""
        known = {name: self._video[name] for name in ("video_id", "uri", "size_bytes", "license", "author", "split")}
        info: dict[str, Any] = dataclasses.asdict(self._decoding.info) if self._decoding else {}
        detail = self._detail or info.pop("detail", None)
        if any(clip["outcome"] == "kept" for clip in clips):
            outcome = "kept"
        elif self._reason:
            outcome = self._reason
        elif clips:
            outcome = collections.Counter(clip["outcome"] for clip in clips).most_common(1)[0][0]
        else:
            outcome = "too_short"
            detail = f"{self._duration_s():.3f} s, expected at least {self._view.clip_s:g} s."
        facts = {"duration_s": self._duration_s() or None, "num_clips": len(clips), "outcome": outcome}
        return known | info | facts | {"part": part, "detail": detail}

    def _cut(self, path: Path) -> Iterator[Clip]:
        self._decoding = Decoding(path, self._view, self._config.video_limit_s)
        try:
            with contextlib.closing(iter(self._decoding)) as items:
                for item in items:
                    if isinstance(item, Frame):
                        self._add_frame(item)
                    else:
                        self._sound = np.concatenate([self._sound, item])
                    while self._is_complete(self._next_clip):
                        yield self._clip()
                    self._let_go()  # what lies before the first clip, if the collection prescribes a start
                    if self._has_passed_the_end():
                        break
        except ClipError as error:  # what was decoded before is still good
            self._reason, self._detail = error.reason, error.detail
        while self._span_end() <= self._duration_s() + self._config.max_padding_s:
            yield self._clip()

    def _add_frame(self, frame: Frame) -> None:
        tick = max(0, math.floor((frame.time_s + 1e-3) * self._view.frame_rate_hz))
        jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(frame.pixels), quality=self._config.jpeg_quality)
        small = frame.pixels[::4, ::4].mean(axis=2, dtype=np.float32) / 255
        self._frames.setdefault(tick, (frame.time_s, jpeg, small))
        self._last_frame_s = max(self._last_frame_s, frame.time_s)

    def _span_end(self) -> float:
        return self._start_s(self._next_clip) + self._view.clip_s

    def _start_s(self, index: int) -> float:
        first = self._video.get("start_s") or 0.0
        return math.ceil(first / self._view.hop_s - 1e-9) * self._view.hop_s + index * self._view.hop_s

    def _sound_end_s(self) -> float:
        return (self._sound_start + len(self._sound)) / self._view.sample_rate_hz

    def _duration_s(self) -> float:
        """What has been decoded, or the end that the collection prescribes."""
        info = self._decoding.info if self._decoding else MediaInfo()
        picture_s = 0.0
        if self._last_frame_s >= 0:
            # frames come one per tick: the picture ends within a tick of the last one, and the container says where
            frame_s = 1 / info.frame_rate_hz if info.frame_rate_hz and info.frame_rate_hz >= 1 else 0.0
            least_s = self._last_frame_s + frame_s
            picture_s = max(least_s, min(info.duration_s or 0.0, least_s + 1 / self._view.frame_rate_hz))
        decoded_s = max(self._sound_end_s(), picture_s)
        end_s = self._video.get("end_s")
        return decoded_s if end_s is None else min(decoded_s, end_s)

    def _has_passed_the_end(self) -> bool:
        """Whether sound and picture have reached the end that the collection prescribes: the rest need not be read."""
        end_s = self._video.get("end_s")
        return end_s is not None and min(self._sound_end_s(), self._last_frame_s) >= end_s

    def _is_complete(self, index: int) -> bool:
        """Whether no later sound or frame can change this clip."""
        end_s = self._start_s(index) + self._view.clip_s
        limit_s = self._video.get("end_s")
        if limit_s is not None and end_s > limit_s + self._config.max_padding_s:
            return False
        sound = self._sound_end_s() >= end_s or self._last_frame_s > end_s + MAX_LEAD_S
        last_tick_s = end_s - 1 / self._view.frame_rate_hz
        picture = self._last_frame_s + 1e-3 >= last_tick_s or self._sound_end_s() > end_s + MAX_LEAD_S
        return sound and picture

    def _clip(self) -> Clip:
        """The next clip; what no later clip needs is let go."""
        view, start_s = self._view, self._start_s(self._next_clip)
        first = round(start_s * view.sample_rate_hz) - self._sound_start
        samples = self._sound[max(0, first) : first + view.num_samples]
        frames = [self._frame_at(round(start_s * view.frame_rate_hz) + k) for k in range(view.num_frames)]
        row, members = self._describe(start_s, samples, [frame for frame in frames if frame is not None])
        self._next_clip += 1
        self._let_go()
        return Clip(row, members)

    def _frame_at(self, tick: int) -> tuple[float, bytes, np.ndarray] | None:
        """The frame shown at a tick: its own, or the last one before it (a picture that stands still sends none)."""
        if tick in self._frames:
            return self._frames[tick]
        earlier = [known for known in self._frames if known < tick]
        return self._frames[max(earlier)] if earlier else None

    def _let_go(self) -> None:
        start_s = self._start_s(self._next_clip)
        passed = min(len(self._sound), max(0, round(start_s * self._view.sample_rate_hz) - self._sound_start))
        self._sound, self._sound_start = self._sound[passed:], self._sound_start + passed
        earlier = [tick for tick in self._frames if tick < round(start_s * self._view.frame_rate_hz)]
        for tick in sorted(earlier)[:-1]:  # the last one may have to stand in for a missing tick
            del self._frames[tick]

    def _describe(
        self, start_s: float, samples: np.ndarray, frames: list[tuple[float, bytes, np.ndarray]]
    ) -> tuple[dict[str, Any], dict[str, bytes] | None]:
        """A clip's row, and its members if it is kept."""
        view, video_id = self._view, self._video["video_id"]
        clip_id = f"{video_id}_{round(start_s * 1000):08d}"
        missing_s = (view.num_samples - len(samples)) / view.sample_rate_hz
        power = float(np.mean((samples / FULL_SCALE) ** 2)) if len(samples) else 0.0
        peak = float(np.abs(samples.astype(np.int32)).max()) / FULL_SCALE if len(samples) else 0.0
        small = [frame[2] for frame in frames]
        motion = [float(np.abs(a - b).mean()) for a, b in itertools.pairwise(small)]
        row = {
            "clip_id": clip_id,
            "video_id": video_id,
            "start_s": start_s,
            "duration_s": view.clip_s,
            "num_frames": len(frames),
            "rms_db": max(FLOOR_DB, 10 * math.log10(power)) if power else FLOOR_DB,
            "peak_db": max(FLOOR_DB, 20 * math.log10(peak)) if peak else FLOOR_DB,
            "luma": float(np.mean(small)) if small else None,
            "motion": float(np.mean(motion)) if motion else None,
            "outcome": "kept",
        }
        if missing_s > self._config.max_padding_s + 1e-9:
            row["outcome"] = "short_audio"
        elif len(frames) < view.num_frames:
            row["outcome"] = "no_frame"
        elif row["rms_db"] < self._config.min_rms_db:
            row["outcome"] = "silent"
        if row["outcome"] != "kept":
            return row, None
        padded = np.pad(samples, (0, view.num_samples - len(samples)))
        facts = {
            "clip_id": clip_id,
            "video_id": video_id,
            "start_s": start_s,
            "duration_s": view.clip_s,
            "sample_rate_hz": view.sample_rate_hz,
            "frame_times_s": [round(frame[0], 6) for frame in frames],
        }
        members = {f"{k}.jpg": frame[1] for k, frame in enumerate(frames)}
        members["flac"] = encode_flac(padded, view.sample_rate_hz)
        members["json"] = json.dumps(facts, sort_keys=True).encode()
        return row, members
