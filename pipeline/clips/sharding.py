"""Video -> clips: each video is decoded once, and each clip is written to the part's WebDataset tar when complete.

In: one part of `collection/`. Out: `clips/<part>.tar`, `clips/<part>.parquet` with a row per planned clip, and last
`videos/<part>.parquet` with a row per video: the part counts as finished when that exists. Overlapping clips share
each frame's encoded bytes. A video whose decoding fails half way keeps the clips before that point.

Clip i covers [i * hop, i * hop + clip), for every i whose end lies within the video; up to `max_padding_s` of missing
sound at the very end is filled with silence, so that a 9.98 s video still gives the clip that ends at 10 s. The rest
of a video that fills no clip is left out. Where the collection prescribes spans, clips start at each span's start and
every hop after it, as long as they end within the span. A span's first clip is always planned, even if the span is too
short: so each line of a clip list becomes a row, possibly `too_short` or with its video's reason.
"""

import collections
import contextlib
import dataclasses
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import simplejpeg
from pydantic import Field, NonNegativeFloat

from pipeline.clip_specs import ClipSpec
from pipeline.clips.samples import encode_flac
from pipeline.clips.spans import Plan, milliseconds, plan_clips
from pipeline.clips.statistics import picture_levels, sound_levels
from pipeline.clips.tars import TarWriter
from pipeline.config import Positive, config_dataclass
from pipeline.errors import ClipError, MissingError
from pipeline.media.decoding import Decoding
from pipeline.media.ffmpeg_log import MediaInfo
from pipeline.media.frame_buffer import MAX_LEAD_S, FrameBuffer
from pipeline.media.streams import Frame
from pipeline.storage import files
from pipeline.storage.workspace import CLIPS_FOLDER, COLLECTION_FOLDER, VIDEOS_FOLDER, Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.videos import COLLECTION, VIDEOS, CollectionRow

ROWS_AT_ONCE = 500  # of clips are turned into columns: as dicts, the 7 000 of a two-hour video take 30 MB
EncodedFrame = tuple[float, bytes, np.ndarray]  # its time, JPEG, and a small grey picture of it in 0 to 1


@config_dataclass
class ShardingConfig:
    """How clips are cut and which are rejected; their lengths and sizes are the clip spec's."""

    min_rms_db: float = -60.0
    """Clips quieter than this (dBFS) are rejected as silent. Nothing can be learnt from silence."""
    max_padding_s: NonNegativeFloat = 0.1
    """Sound missing at a clip's end up to this length is filled with silence; more rejects the clip as short_audio."""
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = 90
    """1 to 100. 90 is about 5 kB for a 128x128 frame."""
    video_limit_s: Positive = 3600.0
    """Wall-clock and CPU limit for decoding one video. A video that takes longer is rejected as timeout."""
    max_duration_s: Positive = 12 * 3600.0
    """Clips are cut up to this time of a video: bounds the work that a file with wrong time stamps can cause."""


@dataclasses.dataclass(frozen=True, slots=True)
class Clip:
    """One planned span: its row, and its tar members if it is kept."""

    row: dict[str, Any]
    members: dict[str, bytes] | None

    def write(self, tar: TarWriter) -> dict[str, Any]:
        """Write the members, if there are any; return the row with their place in the tar."""
        offset, size_bytes = tar.add(self.row["clip_id"], self.members) if self.members is not None else (None, None)
        return self.row | {"tar_offset": offset, "tar_bytes": size_bytes}


class ShardPart:
    """Cuts one part of the collection. A plain callable: it runs in a loop or on a worker."""

    def __init__(self, workspace: Workspace, spec: ClipSpec, config: ShardingConfig) -> None:
        self._workspace, self._spec, self._config = workspace, spec, config

    def __call__(self, part: str) -> dict[str, float]:
        """Cut every video of the part and commit it; return seconds of video, and videos and clips by outcome."""
        videos, tables = [], [CLIPS.empty_table()]
        clip_counts: collections.Counter[str] = collections.Counter()
        with files.building(self._workspace.uri(CLIPS_FOLDER, f"{part}.tar")) as path, TarWriter(path) as tar:
            for video in self._workspace.read(COLLECTION_FOLDER, part, COLLECTION).to_pylist():
                cutting = Cutting(video, self._spec, self._config)
                rows = (clip.write(tar) | {"part": part} for clip in cutting)
                while batch := list(itertools.islice(rows, ROWS_AT_ONCE)):
                    tables.append(from_rows(batch, CLIPS, part))
                videos.append(cutting.video_row(part))
                clip_counts.update({f"clips {outcome}": count for outcome, count in cutting.outcomes.items()})
        self._workspace.commit(CLIPS_FOLDER, part, pa.concat_tables(tables).combine_chunks(), CLIPS)
        self._workspace.commit(VIDEOS_FOLDER, part, from_rows(videos, VIDEOS, part), VIDEOS)
        counts = collections.Counter(f"videos {row['outcome']}" for row in videos) + clip_counts
        return {"video_s": sum(row["duration_s"] or 0.0 for row in videos), **counts}


class Cutting:
    """One pass over one video: iterate for its clips, then call `video_row`.

    Sound is kept from the start of the next clip on, frames as encoded bytes in a FrameBuffer: memory depends on the
    clip spec and on how the container interleaves, not on the video's length.
    """

    def __init__(self, video: CollectionRow, spec: ClipSpec, config: ShardingConfig) -> None:
        self._video, self._spec, self._config = video, spec, config
        self._plans = plan_clips(video.get("spans"), spec, config.max_padding_s)
        self._next: Plan | None = next(self._plans)
        self._sound = np.zeros(0, dtype="<i2")
        self._sound_start = 0  # in samples: where `_sound` begins on the video's clock
        self._frames: FrameBuffer[EncodedFrame] = FrameBuffer(spec)
        self.outcomes: collections.Counter[str] = collections.Counter()
        self._reason: str | None = None
        self._detail: str | None = None
        self._decoding: Decoding | None = None

    def __iter__(self) -> Iterator[Clip]:
        try:
            with files.local_copy(self._video["uri"]) as path:
                yield from self._cut(path)
        except ClipError as error:
            self._reason, self._detail = error.reason, error.detail
        except MissingError as error:
            self._reason, self._detail = "missing", str(error)
        yield from self._last_clips()

    def video_row(self, part: str) -> dict[str, Any]:
        """The video's row of `schemas.videos.VIDEOS`, once iteration has ended."""
        known = {name: self._video[name] for name in ("video_id", "uri", "size_bytes", "license", "author", "split")}
        info: dict[str, Any] = dataclasses.asdict(self._decoding.info) if self._decoding else {}
        detail = self._detail or info.pop("detail", None)
        if self.outcomes["kept"]:
            outcome = "kept"
        elif self._reason:
            outcome = self._reason
        elif self.outcomes:
            outcome = self.outcomes.most_common(1)[0][0]
        else:
            outcome = "too_short"
            detail = f"{self._duration_s():.3f} s, expected at least {self._spec.clip_s:g} s."
        facts = {"duration_s": self._duration_s() or None, "num_clips": self.outcomes.total(), "outcome": outcome}
        return known | info | facts | {"part": part, "detail": detail}

    def _cut(self, path: Path) -> Iterator[Clip]:
        self._decoding = Decoding(path, self._spec, self._config.video_limit_s, self._config.max_duration_s)
        try:
            with contextlib.closing(iter(self._decoding)) as items:
                for item in items:
                    if isinstance(item, Frame):
                        self._add_frame(item)
                    else:
                        self._sound = np.concatenate([self._sound, item])
                    self._drop_unneeded()  # what lies before the first clip, where the collection prescribes a start
                    while self._next is not None and self._is_complete(self._next):
                        yield self._clip(self._next)
                    if self._next is None and min(self._sound_end_s(), self._frames.last_s) >= self._last_end_s():
                        break  # at the same point however fast the decoder is: the rest need not be read
        except ClipError as error:  # what was decoded before is still good
            self._reason, self._detail = error.reason, error.detail

    def _last_clips(self) -> Iterator[Clip]:
        """The clips that end with the video, and a row for each span that it does not reach."""
        duration_s = self._duration_s()
        while self._next is not None and self._next.start_s <= duration_s:
            if self._next.is_certain or self._ends_by(self._next, duration_s):
                yield self._clip(self._next)
            else:
                self._next = next(self._plans, None)
        starts = sorted(span["start_s"] for span in self._video.get("spans") or () if span["start_s"] > duration_s)
        for _, same in itertools.groupby(starts, key=milliseconds):
            yield self._describe(Plan(next(same), is_certain=True), self._sound[:0], [])

    def _add_frame(self, frame: Frame) -> None:
        jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(frame.pixels), quality=self._config.jpeg_quality)
        small = frame.pixels[::4, ::4].mean(axis=2, dtype=np.float32) / 255
        self._frames.add(frame.time_s, (frame.time_s, jpeg, small))

    def _ends_by(self, plan: Plan, end_s: float) -> bool:
        return plan.start_s + self._spec.clip_s <= end_s + self._config.max_padding_s

    def _sound_end_s(self) -> float:
        return (self._sound_start + len(self._sound)) / self._spec.sample_rate_hz

    def _duration_s(self) -> float:
        """Length of what has been decoded, up to the end that the collection prescribes."""
        info = self._decoding.info if self._decoding else MediaInfo()
        picture_s = 0.0
        if self._frames.last_s >= 0:
            # frames come one per tick: the picture ends within a tick of the last one, and the container says where
            frame_s = 1 / info.frame_rate_hz if info.frame_rate_hz and info.frame_rate_hz >= 1 else 0.0
            least_s = self._frames.last_s + frame_s
            picture_s = max(least_s, min(info.duration_s or 0.0, least_s + 1 / self._spec.frame_rate_hz))
        return min(max(self._sound_end_s(), picture_s), self._last_end_s())

    def _last_end_s(self) -> float:
        """End of the last span that the collection prescribes; inf where it prescribes none."""
        ends = (span["end_s"] for span in self._video.get("spans") or ())
        return max((math.inf if end_s is None else end_s for end_s in ends), default=math.inf)

    def _is_complete(self, plan: Plan) -> bool:
        """Whether no later sound or frame can change this clip."""
        end_s = plan.start_s + self._spec.clip_s
        sound = self._sound_end_s() >= end_s or self._frames.last_s > end_s + MAX_LEAD_S
        return sound and self._frames.is_complete(plan.start_s, self._sound_end_s())

    def _clip(self, plan: Plan) -> Clip:
        """The planned clip. Afterwards `_next` is the following one, and what no later clip needs is dropped."""
        spec = self._spec
        first = round(plan.start_s * spec.sample_rate_hz) - self._sound_start
        samples = self._sound[max(0, first) : first + spec.num_samples]
        frames = [frame for frame in self._frames.shown(plan.start_s) if frame is not None]
        clip = self._describe(plan, samples, frames)
        self._next = next(self._plans, None)
        self._drop_unneeded()
        return clip

    def _drop_unneeded(self) -> None:
        if self._next is None:
            return
        first = round(self._next.start_s * self._spec.sample_rate_hz)
        passed = min(len(self._sound), max(0, first - self._sound_start))
        self._sound, self._sound_start = self._sound[passed:], self._sound_start + passed
        self._frames.drop_before(self._next.start_s)

    def _describe(self, plan: Plan, samples: np.ndarray, frames: list[EncodedFrame]) -> Clip:
        """A clip's row, and its members if it is kept."""
        spec, video_id = self._spec, self._video["video_id"]
        missing_s = (spec.num_samples - len(samples)) / spec.sample_rate_hz
        row: dict[str, Any] = {
            "clip_id": f"{video_id}_{milliseconds(plan.start_s):08d}",
            "video_id": video_id,
            "start_s": plan.start_s,
            "duration_s": spec.clip_s,
            "num_frames": len(frames),
            **sound_levels(samples, spec.sample_rate_hz),
            **picture_levels([small for _, _, small in frames]),
            "outcome": "kept",
        }
        if not self._ends_by(plan, min(plan.span_end_s, self._duration_s())):
            row["outcome"] = self._reason or "too_short"
        elif missing_s > self._config.max_padding_s + 1e-9:
            row["outcome"] = "short_audio"
        elif len(frames) < spec.num_frames:
            row["outcome"] = "no_frame"
        elif row["rms_db"] < self._config.min_rms_db:
            row["outcome"] = "silent"
        self.outcomes[row["outcome"]] += 1
        if row["outcome"] != "kept":
            return Clip(row, None)
        facts = {name: row[name] for name in ("clip_id", "video_id", "start_s", "duration_s")}
        facts |= {"sample_rate_hz": spec.sample_rate_hz, "frame_times_s": [round(frame[0], 6) for frame in frames]}
        members = {f"{k}.jpg": frame[1] for k, frame in enumerate(frames)}
        padded = np.pad(samples, (0, spec.num_samples - len(samples)))
        members["flac"] = encode_flac(padded, spec.sample_rate_hz)
        members["json"] = json.dumps(facts, sort_keys=True).encode()
        return Clip(row, members)
