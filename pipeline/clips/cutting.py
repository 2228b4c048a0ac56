"""What is decoded of one video -> the clips of one clip spec, each as soon as no later sound or frame can change it.

Clip i covers [i * hop, i * hop + clip), for every i whose end lies within the video; up to `max_padding_s` of missing
sound at the very end is filled with silence, so that a 9.98 s video still gives the clip that ends at 10 s. The rest
of a video that fills no clip is left out. Where the collection prescribes spans, clips start at each span's start and
every hop after it, as long as they end within the span. A span's first clip is always planned, even if the span is too
short: so each line of a clip list becomes a row, possibly `too_short` or with its video's reason.

What a clip shows is decided elsewhere (`pictures.py`): the whole picture, or a span gives a clip for each face that is
followed through it (`mouth_cutting.py`).

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
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import numpy as np
from pydantic import Field, NonNegativeFloat

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.clips.cut_clips import CutClip, clip_members
from pipeline.clips.measuring import Meters
from pipeline.clips.pictures import Pictures, Shown, Timed
from pipeline.clips.samples import encode_flac
from pipeline.clips.spans import PlannedClip, milliseconds, plan_clips
from pipeline.clips.statistics import sound_levels
from pipeline.config import Positive, config_dataclass
from pipeline.errors import ClipError
from pipeline.media.ffmpeg_log import MediaInfo
from pipeline.media.frame_buffer import FrameBuffer
from pipeline.media.sound_buffer import SoundBuffer
from pipeline.media.streams import Frame
from schemas.samples import ClipFacts
from schemas.videos import CollectionRow

# Columns of a video's row that it takes from its row of the collection.
OF_COLLECTION = ("video_id", "uri", "size_bytes", "license", "author", "source_url", "split", "extra")
MIN_SOUND_S = 0.5  # of a clip of 5 s, less would be nine tenths silence


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


class SpecCutting:
    """The clips of one video by one clip spec: add what is decoded, take what is complete, then call `finish`.

    Sound is kept from the start of the next clip on, and what `pictures` gives, such as JPEG, in a FrameBuffer:
    memory depends on the clip spec and on how the container interleaves, not on the video's length.

    Args:
        video: its row of the collection.
        name: of the clip spec.
        spec: lengths, rates and sizes.
        config: what is rejected.
        pictures: what is kept of the pictures, and which clips come of it; of this video alone.
    """

    def __init__(
        self, video: CollectionRow, name: str, spec: ClipSpec, config: ShardingConfig, pictures: Pictures
    ) -> None:
        self._video, self._name, self._spec, self._config = video, name, spec, config
        self._pictures = pictures
        find_cut = self._find_cut if spec.at_cuts == "split" and spec.num_frames else None
        self._plans = plan_clips(video.get("spans"), spec, config.max_padding_s, find_cut)
        self._next: PlannedClip | None = next(self._plans)
        self._meters: Meters | None = None
        self._sound = SoundBuffer()
        self._frames: FrameBuffer[Timed] = FrameBuffer(spec)
        self._covered_s = -math.inf  # end of the last kept clip
        self._info = MediaInfo()
        self._reason: str | None = None
        self._detail: str | None = None
        self._loudest_db = -math.inf
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.is_done = False
        """Whether all that the collection prescribes is cut: what is decoded later changes nothing."""

    def begin(self, meters: Meters) -> None:
        """Decoding begins; `meters` has each item before `add` has it."""
        self._meters = meters

    @property
    def needed_from_s(self) -> float:
        """From when on what is measured is still needed; inf where nothing is."""
        return math.inf if self._next is None else self._next.start_s

    def add(self, item: np.ndarray | Frame, info: MediaInfo) -> Iterator[CutClip]:
        """Take in a chunk of sound [n] int16 or a frame of this spec; yield the clips that are complete."""
        if self.is_done:
            return
        self._info = info
        if isinstance(item, Frame):
            self._add_pictures(self._pictures.add(item))
        else:
            self._sound.add(item)
        self._drop_unneeded()  # what lies before the first clip, where the collection prescribes a start
        while self._next is not None and self._is_complete(self._next):
            yield from self._clips(self._next)
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
            self._add_pictures(self._pictures.finish())
        duration_s = self._duration_s()
        while self._next is not None and self._next.start_s <= duration_s:
            if self._next.is_certain or self._ends_by(self._next, duration_s) or self._may_be_filled(self._next):
                yield from self._clips(self._next)
            else:
                self._next = next(self._plans, None)
        starts = sorted(span["start_s"] for span in self._video.get("spans") or () if span["start_s"] > duration_s)
        for _, same in itertools.groupby(starts, key=milliseconds):
            yield from self._describe(PlannedClip(next(same), is_certain=True), self._sound.span(0, 0), [])

    def video_row(self, part: str) -> dict[str, Any]:
        """The video's row of `schemas.videos.VIDEOS`, after `finish`."""
        known: dict[str, Any] = {name: self._video.get(name) for name in OF_COLLECTION}
        info: dict[str, Any] = dataclasses.asdict(self._info)
        detail = self._detail or info.pop("detail", None)
        detail = " | ".join(filter(None, (detail, self._pictures.note()))) or None
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

    def _add_pictures(self, kept: Iterable[Timed]) -> None:
        for time_s, value in kept:
            self._frames.add(time_s, (time_s, value))

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
        is_measured = self._meters is None or self._meters.is_known(end_s, self._finds_cuts)
        if not is_measured and not self._leads(end_s):
            return False
        if self._sound_end_s() < end_s and not self._frames.leads(end_s):
            return False
        return self._frames.is_complete(plan.start_s) or self._sound.leads(end_s, self._spec.sample_rate_hz)

    def _leads(self, end_s: float) -> bool:
        """Whether so much sound, or so many frames, have come after `end_s` that nothing else is waited for."""
        return self._frames.leads(end_s) or self._sound.leads(end_s, self._spec.sample_rate_hz)

    def _clips(self, plan: PlannedClip) -> list[CutClip]:
        """The clips of a planned span. Then `_next` is the following one, and what no later clip needs is dropped.

        Where clips are planned within shots, a span that crosses a cut has a clip only if it is the shot's first.
        """
        cut_s = (
            self._find_cut(plan.start_s, plan.start_s + self._spec.clip_s) if self._spec.at_cuts == "split" else None
        )
        if cut_s is not None:
            plan = dataclasses.replace(plan, span_end_s=cut_s - self._config.max_padding_s)
            if not plan.is_first:
                self._next = next(self._plans, None)
                return []
        samples = self._sound.span(round(plan.start_s * self._spec.sample_rate_hz), self._spec.num_samples)
        frames = [frame for frame in self._frames.shown(plan.start_s) if frame is not None]
        clips = list(self._describe(plan, samples, frames))
        self._next = next(self._plans, None)
        self._drop_unneeded()
        return clips

    def _find_cut(self, start_s: float, end_s: float) -> float | None:
        """The first cut inside a clip."""
        return self._meters.shots.first_cut_s(start_s, end_s) if self._meters else None

    def _drop_unneeded(self) -> None:
        if self._next is None:
            return
        self._sound.drop_before(round(self._next.start_s * self._spec.sample_rate_hz))
        self._frames.drop_before(self._next.start_s)

    def _describe(self, plan: PlannedClip, samples: np.ndarray, frames: list[Timed]) -> Iterator[CutClip]:
        """The clips of a planned span: the row of each, and its members if it is kept."""
        spec = self._spec
        may_be_filled = self._may_be_filled(plan)
        if may_be_filled and plan.span_end_s < math.inf:
            samples = samples[: round((plan.span_end_s - plan.start_s) * spec.sample_rate_hz)]
        is_filled = may_be_filled and len(samples) >= MIN_SOUND_S * spec.sample_rate_hz
        of_spec = "" if self._name == BASE else f"_{self._name}"
        row: dict[str, Any] = {
            "clip_id": f"{self._video['video_id']}_{milliseconds(plan.start_s):08d}{of_spec}",
            "video_id": self._video["video_id"],
            "start_s": plan.start_s,
            "duration_s": spec.clip_s,
            "num_frames": len(frames),
            **sound_levels(samples, spec.sample_rate_hz),
            **self._measured(plan.start_s, plan.start_s + spec.clip_s),
        }
        outcome = self._outcome(plan, row, len(samples), is_filled)
        end_s = plan.start_s + (len(samples) / spec.sample_rate_hz if is_filled else spec.clip_s)
        flac = b""
        if outcome == "kept":
            flac = encode_flac(np.pad(samples, (0, spec.num_samples - len(samples))), spec.sample_rate_hz)
        times_s = [round(time_s, 6) for time_s, _ in frames]
        for shown in self._pictures.show([value for _, value in frames]):
            yield self._finish_clip(row, outcome, shown, end_s, flac, times_s)

    def _measured(self, start_s: float, end_s: float) -> dict[str, Any]:
        """What was measured while decoding, by field of `schemas.clips.CLIPS`."""
        if self._meters is None:
            return {}
        cuts = (
            {"num_cuts": self._meters.shots.num_cuts(start_s, end_s)}
            if self._finds_cuts and self._frames.last_s > 0
            else {}
        )
        return self._meters.levels(start_s, end_s) | cuts

    @property
    def _finds_cuts(self) -> bool:
        return self._spec.num_frames > 0 and self._spec.at_cuts != "ignore"

    def _outcome(self, plan: PlannedClip, row: dict[str, Any], num_samples: int, is_filled: bool) -> str:
        """Kept, or the first reason against all clips of the span, whatever they show."""
        missing_s = (self._spec.num_samples - num_samples) / self._spec.sample_rate_hz
        if not is_filled and not self._ends_by(plan, min(plan.span_end_s, self._duration_s())):
            return self._reason or "too_short"
        if not is_filled and missing_s > self._config.max_padding_s + 1e-9:
            return "short_audio"
        if row["num_frames"] < self._spec.num_frames:
            return "no_frame"
        if row["rms_db"] < self._config.min_rms_db:
            self._loudest_db = max(self._loudest_db, row["rms_db"])
            return "silent"
        return "kept"

    def _finish_clip(
        self,
        of_span: dict[str, Any],
        outcome: str,
        shown: Shown,
        end_s: float,
        flac: bytes,
        frame_times_s: list[float],
    ) -> CutClip:
        """One clip of a span.

        Args:
            of_span: what the rows of all its clips have.
            outcome: of the span; unless it is kept, that of the clip.
            shown: what the clip shows.
            end_s: where its sound ends on the video's clock.
            flac: its sound.
            frame_times_s: of its frames.
        """
        clip_id = of_span["clip_id"] + shown.id_ending
        row = of_span | shown.levels | {"clip_id": clip_id}
        row["outcome"] = shown.outcome if outcome == "kept" else outcome
        ids = {"clip_id": clip_id, "video_id": row["video_id"]}
        track = None if shown.track is None else ids | shown.track
        self.outcomes[row["outcome"]] += 1
        if row["outcome"] != "kept":
            return CutClip(self._name, row, None, track)
        start_s = row["start_s"]
        row["unique_s"] = round(end_s - max(start_s, min(end_s, self._covered_s)), 6)
        self._covered_s = max(end_s, self._covered_s)
        facts: ClipFacts = {
            "clip_id": clip_id,
            "video_id": row["video_id"],
            "start_s": start_s,
            "duration_s": self._spec.clip_s,
            "sample_rate_hz": self._spec.sample_rate_hz,
            "frame_times_s": frame_times_s,
            "uri": self._video["uri"],  # attribution travels with the clip
            "license": self._video["license"],
            "author": self._video["author"],
            "extra": json.loads(self._video.get("extra") or "null"),
        }
        return CutClip(self._name, row, clip_members(facts, shown, flac), track)
