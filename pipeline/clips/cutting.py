"""What is decoded of one video -> the clips of one clip spec, each as soon as no later sound or frame can change it.

Clip i covers [i * hop, i * hop + clip), for every i whose end lies within the video; up to `max_padding_s` of missing
sound at the very end is filled with silence, so that a 9.98 s video still gives the clip that ends at 10 s. The rest
of a video that fills no clip is left out. Where the collection prescribes spans, clips start at each span's start and
every hop after it, as long as they end within the span. A span's first clip is always planned, even if the span is too
short: so each line of a clip list becomes a row, possibly `too_short` or with its video's reason.

A spec without frames cuts recordings, many of which are shorter than a clip: where the first clip of a file or of a
span has MIN_SOUND_S or more of sound, silence fills the rest of it.

Design note: each spec has its own buffers, its own end and its own outcome, and nothing that it sees depends on which
other specs are cut from the same decoding. So its bytes are the same cut alone, later or together.
"""

import collections
import dataclasses
import functools
import itertools
import json
import math
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import simplejpeg
from pydantic import Field, NonNegativeFloat

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.clips.samples import encode_flac
from pipeline.clips.spans import PlannedClip, milliseconds, plan_clips
from pipeline.clips.statistics import picture_levels, sound_levels
from pipeline.clips.tars import TarWriter
from pipeline.config import Positive, config_dataclass
from pipeline.errors import ClipError
from pipeline.media.ffmpeg_log import MediaInfo
from pipeline.media.frame_buffer import FrameBuffer
from pipeline.media.sound_buffer import SoundBuffer
from pipeline.media.streams import Frame
from schemas.samples import ClipFacts
from schemas.videos import CollectionRow

MIN_SOUND_S = 0.5  # of a clip of 5 s, less would be nine tenths silence
EncodedFrame = tuple[float, bytes, np.ndarray]  # its time, JPEG, and a small grey picture of it in 0 to 1


@config_dataclass
class ShardingConfig:
    """How clips are cut and which are rejected; their lengths and sizes are the clip spec's."""

    min_rms_db: float = -60.0
    """Clips quieter than this (dBFS, a constant offset left out) are rejected as silent: they hold nothing to learn."""
    max_padding_s: NonNegativeFloat = 0.1
    """Sound missing at a clip's end up to this length is filled with silence; more rejects the clip as short_audio."""
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = 90
    """1 to 100. 90 is about 5 kB for a 128x128 frame."""
    video_limit_s: Positive = 3600.0
    """Wall-clock and CPU limit for decoding one video. A video that takes longer is rejected as timeout."""
    max_duration_s: Positive = 12 * 3600.0
    """Clips are cut up to this time of a video: bounds the work that a file with wrong time stamps can cause."""


@dataclasses.dataclass(frozen=True, slots=True)
class CutClip:
    """One planned span: its row, and its tar members if it is kept."""

    spec: str
    """Name of its clip spec."""
    row: dict[str, Any]
    members: dict[str, bytes] | None

    def write(self, tar: TarWriter) -> dict[str, Any]:
        """Write the members, if there are any; return the row with their place in the tar."""
        offset, size_bytes = tar.add(self.row["clip_id"], self.members) if self.members is not None else (None, None)
        return self.row | {"tar_offset": offset, "tar_bytes": size_bytes}


class SpecCutting:
    """The clips of one video by one clip spec: add what is decoded, take what is complete, then call `finish`.

    Sound is kept from the start of the next clip on, frames as encoded bytes in a FrameBuffer: memory depends on the
    clip spec and on how the container interleaves, not on the video's length.

    Args:
        video: its row of the collection.
        name: of the clip spec.
        spec: lengths, rates and sizes.
        config: what is rejected.
    """

    def __init__(self, video: CollectionRow, name: str, spec: ClipSpec, config: ShardingConfig) -> None:
        self._video, self._name, self._spec, self._config = video, name, spec, config
        self._plans = plan_clips(video.get("spans"), spec, config.max_padding_s)
        self._next: PlannedClip | None = next(self._plans)
        self._sound = SoundBuffer()
        self._frames: FrameBuffer[EncodedFrame] = FrameBuffer(spec)
        self._covered_s = -math.inf  # end of the last kept clip
        self._info = MediaInfo()
        self._reason: str | None = None
        self._detail: str | None = None
        self._loudest_db = -math.inf
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.is_done = False
        """Whether all that the collection prescribes is cut: what is decoded later changes nothing."""

    def add(self, item: np.ndarray | Frame, info: MediaInfo) -> Iterator[CutClip]:
        """Take in a chunk of sound [n] int16 or a frame of this spec; yield the clips that are complete."""
        if self.is_done:
            return
        self._info = info
        if isinstance(item, Frame):
            self._add_frame(item)
        else:
            self._sound.add(item)
        self._drop_unneeded()  # what lies before the first clip, where the collection prescribes a start
        while self._next is not None and self._is_complete(self._next):
            yield self._clip(self._next)
        # at the same point however fast the decoder is: the rest need not be read
        picture_end_s = self._frames.last_s if self._spec.num_frames else math.inf
        if self._next is None and min(self._sound_end_s(), picture_end_s) >= self.last_end_s:
            self.is_done, self._info = True, dataclasses.replace(info)  # without the decoder's last messages

    def finish(self, info: MediaInfo, error: ClipError | None) -> Iterator[CutClip]:
        """The clips that end with the video, and a row for each span that it does not reach.

        Args:
            info: what the container states, and the decoder's last messages.
            error: why decoding ended before the video did, if so: what was decoded before is still good.
        """
        if not self.is_done:
            self._info = info
            if error is not None:
                self._reason, self._detail = error.reason, error.detail
        duration_s = self._duration_s()
        while self._next is not None and self._next.start_s <= duration_s:
            if self._next.is_certain or self._ends_by(self._next, duration_s) or self._may_be_filled(self._next):
                yield self._clip(self._next)
            else:
                self._next = next(self._plans, None)
        starts = sorted(span["start_s"] for span in self._video.get("spans") or () if span["start_s"] > duration_s)
        for _, same in itertools.groupby(starts, key=milliseconds):
            yield self._describe(PlannedClip(next(same), is_certain=True), self._sound.span(0, 0), [])

    def video_row(self, part: str) -> dict[str, Any]:
        """The video's row of `schemas.videos.VIDEOS`, after `finish`."""
        names = ("video_id", "uri", "size_bytes", "license", "author", "split", "extra")
        known: dict[str, Any] = {name: self._video.get(name) for name in names}
        info: dict[str, Any] = dataclasses.asdict(self._info)
        detail = self._detail or info.pop("detail", None)
        if self.outcomes["kept"]:
            outcome = "kept"
        elif self._reason:
            outcome = self._reason
        elif self.outcomes:
            outcome = self.outcomes.most_common(1)[0][0]
            if outcome == "silent":
                heard = f"no clip above {self._loudest_db:.1f} dBFS, expected at least {self._config.min_rms_db:g}."
                detail = " | ".join(filter(None, (detail, heard)))
        else:
            outcome = "too_short"
            found = f"{self._duration_s():.3f} s, expected at least {self._spec.clip_s:g} s."
            detail = " | ".join(filter(None, (detail, found)))
        facts = {"duration_s": self._duration_s() or None, "num_clips": self.outcomes.total(), "outcome": outcome}
        return known | info | facts | {"part": part, "detail": detail}

    def _add_frame(self, frame: Frame) -> None:
        jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(frame.pixels), quality=self._config.jpeg_quality)
        small = frame.pixels[::4, ::4].mean(axis=2, dtype=np.float32) / 255
        self._frames.add(frame.time_s, (frame.time_s, jpeg, small))

    def _ends_by(self, plan: PlannedClip, end_s: float) -> bool:
        return plan.start_s + self._spec.clip_s <= end_s + self._config.max_padding_s

    def _may_be_filled(self, plan: PlannedClip) -> bool:
        """Whether silence may follow the clip's sound: it is the first of a whole file or of a span, without frames."""
        return not self._spec.num_frames and self._reason is None and (plan.is_certain or not self.outcomes.total())

    def _sound_end_s(self) -> float:
        return self._sound.end / self._spec.sample_rate_hz

    def _duration_s(self) -> float:
        """Length of what has been decoded, up to the end that the collection prescribes."""
        picture_s = 0.0
        if self._frames.last_s >= 0:
            # frames come one per tick: the picture ends within a tick of the last one, and the container says where
            rate_hz = self._info.frame_rate_hz
            frame_s = 1 / rate_hz if rate_hz and rate_hz >= 1 else 0.0
            least_s = self._frames.last_s + frame_s
            picture_s = max(least_s, min(self._info.duration_s or 0.0, least_s + 1 / self._spec.frame_rate_hz))
        return min(max(self._sound_end_s(), picture_s), self.last_end_s)

    @functools.cached_property
    def last_end_s(self) -> float:
        """End of the last span that the collection prescribes; inf where it prescribes none."""
        ends = (span["end_s"] for span in self._video.get("spans") or ())
        return max((math.inf if end_s is None else end_s for end_s in ends), default=math.inf)

    def _is_complete(self, plan: PlannedClip) -> bool:
        """Whether no later sound or frame can change this clip."""
        end_s = plan.start_s + self._spec.clip_s
        if self._sound_end_s() < end_s and not self._frames.leads(end_s):
            return False
        return self._frames.is_complete(plan.start_s) or self._sound.leads(end_s, self._spec.sample_rate_hz)

    def _clip(self, plan: PlannedClip) -> CutClip:
        """The planned clip. Afterwards `_next` is the following one, and what no later clip needs is dropped."""
        samples = self._sound.span(round(plan.start_s * self._spec.sample_rate_hz), self._spec.num_samples)
        frames = [frame for frame in self._frames.shown(plan.start_s) if frame is not None]
        clip = self._describe(plan, samples, frames)
        self._next = next(self._plans, None)
        self._drop_unneeded()
        return clip

    def _drop_unneeded(self) -> None:
        if self._next is None:
            return
        self._sound.drop_before(round(self._next.start_s * self._spec.sample_rate_hz))
        self._frames.drop_before(self._next.start_s)

    def _describe(self, plan: PlannedClip, samples: np.ndarray, frames: list[EncodedFrame]) -> CutClip:
        """A clip's row, and its members if it is kept."""
        spec, video_id = self._spec, self._video["video_id"]
        may_be_filled = self._may_be_filled(plan)
        if may_be_filled and plan.span_end_s < math.inf:
            samples = samples[: round((plan.span_end_s - plan.start_s) * spec.sample_rate_hz)]
        is_filled = may_be_filled and len(samples) >= MIN_SOUND_S * spec.sample_rate_hz
        missing_s = (spec.num_samples - len(samples)) / spec.sample_rate_hz
        of_spec = "" if self._name == BASE else f"_{self._name}"
        row: dict[str, Any] = {
            "clip_id": f"{video_id}_{milliseconds(plan.start_s):08d}{of_spec}",
            "video_id": video_id,
            "start_s": plan.start_s,
            "duration_s": spec.clip_s,
            "num_frames": len(frames),
            **sound_levels(samples, spec.sample_rate_hz),
            **picture_levels([small for _, _, small in frames]),
            "outcome": "kept",
        }
        if not is_filled and not self._ends_by(plan, min(plan.span_end_s, self._duration_s())):
            row["outcome"] = self._reason or "too_short"
        elif not is_filled and missing_s > self._config.max_padding_s + 1e-9:
            row["outcome"] = "short_audio"
        elif len(frames) < spec.num_frames:
            row["outcome"] = "no_frame"
        elif row["rms_db"] < self._config.min_rms_db:
            row["outcome"] = "silent"
            self._loudest_db = max(self._loudest_db, row["rms_db"])
        self.outcomes[row["outcome"]] += 1
        if row["outcome"] != "kept":
            return CutClip(self._name, row, None)
        end_s = plan.start_s + (len(samples) / spec.sample_rate_hz if is_filled else spec.clip_s)
        row["unique_s"] = round(end_s - max(plan.start_s, min(end_s, self._covered_s)), 6)
        self._covered_s = max(end_s, self._covered_s)
        facts: ClipFacts = {
            "clip_id": row["clip_id"],
            "video_id": video_id,
            "start_s": plan.start_s,
            "duration_s": spec.clip_s,
            "sample_rate_hz": spec.sample_rate_hz,
            "frame_times_s": [round(frame[0], 6) for frame in frames],
            "uri": self._video["uri"],  # attribution travels with the clip
            "license": self._video["license"],
            "author": self._video["author"],
            "extra": json.loads(self._video.get("extra") or "null"),
        }
        members = {f"{k}.jpg": frame[1] for k, frame in enumerate(frames)}
        padded = np.pad(samples, (0, spec.num_samples - len(samples)))
        members["flac"] = encode_flac(padded, spec.sample_rate_hz)
        members["json"] = json.dumps(facts, sort_keys=True).encode()
        return CutClip(self._name, row, members)
