"""Which clips of a video are planned: a grid over the whole of it, or over the spans that a collection prescribes."""

import heapq
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.clip_specs import ClipSpec
from schemas.videos import Span


@dataclass(frozen=True, slots=True)
class PlannedClip:
    """One clip to cut."""

    start_s: float
    is_certain: bool
    """Whether it has a row even where the span or the video ends before it does."""
    span_end_s: float = math.inf


def plan_clips(spans: list[Span] | None, spec: ClipSpec, max_padding_s: float) -> Iterator[PlannedClip]:
    """The clips of a video in order of their start, each start once; without an end where a span has none.

    Args:
        spans: None is one span from 0 to the video's end.
        spec: lengths.
        max_padding_s: how far a clip may reach beyond its span.
    """
    of_spans = [_of_span(span, spec, max_padding_s) for span in spans] if spans else [_of_grid(spec)]
    merged = heapq.merge(*of_spans, key=lambda plan: plan.start_s)
    for _, same in itertools.groupby(merged, key=lambda plan: milliseconds(plan.start_s)):
        first, *others = same
        is_certain = first.is_certain or any(plan.is_certain for plan in others)
        yield PlannedClip(first.start_s, is_certain, max(plan.span_end_s for plan in (first, *others)))


def milliseconds(start_s: float) -> int:
    """What a clip's key holds of its start."""
    return round(start_s * 1000)


def _of_grid(spec: ClipSpec) -> Iterator[PlannedClip]:
    return (PlannedClip(index * spec.hop_s, is_certain=False) for index in itertools.count())


def _of_span(span: Span, spec: ClipSpec, max_padding_s: float) -> Iterator[PlannedClip]:
    end_s = math.inf if span["end_s"] is None else span["end_s"]
    for index in itertools.count():
        start_s = span["start_s"] + index * spec.hop_s
        if index and start_s + spec.clip_s > end_s + max_padding_s:
            return
        yield PlannedClip(start_s, is_certain=index == 0, span_end_s=end_s)
