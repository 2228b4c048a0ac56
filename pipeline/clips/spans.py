"""Which clips of a video are planned: a grid over the whole of it, or over the spans that a collection prescribes."""

import heapq
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.clip_specs import ClipSpec
from schemas.videos import Span

FindCut = Callable[[float, float], float | None]


@dataclass(frozen=True, slots=True)
class PlannedClip:
    """One clip to cut."""

    start_s: float
    is_certain: bool
    """Whether it has a row even where the span or the video ends before it does."""
    span_end_s: float = math.inf
    is_first: bool = False
    """Whether it is the first of its shot, where clips are planned within shots."""


def plan_clips(
    spans: list[Span] | None, spec: ClipSpec, max_padding_s: float, find_cut: FindCut | None = None
) -> Iterator[PlannedClip]:
    """The clips of a video in order of their start, each start once; without an end where a span has none.

    Args:
        spans: None is one span from 0 to the video's end.
        spec: lengths.
        max_padding_s: how far a clip may reach beyond its span.
        find_cut: the time of the first cut between two times, if clips are planned within shots: each shot is a span of
            its own. It is asked for a clip's cut when the next clip is wanted, and must know it by then.
    """
    if find_cut is not None:
        shots: list[Span] = spans or [{"start_s": 0.0, "end_s": None}]
        of_spans = [_of_shots(span, spec, max_padding_s, find_cut, spans is not None) for span in shots]
    else:
        of_spans = [_of_span(span, spec, max_padding_s) for span in spans] if spans else [_of_grid(spec)]
    # a heap, because each span's next clip may be asked for only when its last one has been cut
    heap = [
        (plan.start_s, number, plan) for number, plans in enumerate(of_spans) for plan in itertools.islice(plans, 1)
    ]
    heapq.heapify(heap)
    while heap:
        same = [heapq.heappop(heap)]
        while heap and milliseconds(heap[0][0]) == milliseconds(same[0][0]):
            same.append(heapq.heappop(heap))
        plans_here = [plan for *_, plan in same]
        yield PlannedClip(
            same[0][0],
            any(plan.is_certain for plan in plans_here),
            max(plan.span_end_s for plan in plans_here),
            any(plan.is_first for plan in plans_here),
        )
        for _, number, _ in same:
            for plan in itertools.islice(of_spans[number], 1):
                heapq.heappush(heap, (plan.start_s, number, plan))


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


def _of_shots(
    span: Span, spec: ClipSpec, max_padding_s: float, find_cut: FindCut, is_prescribed: bool
) -> Iterator[PlannedClip]:
    end_s = math.inf if span["end_s"] is None else span["end_s"]
    shot_s, index = span["start_s"], 0
    while shot_s < end_s or shot_s == span["start_s"]:
        start_s = shot_s + index * spec.hop_s
        if index and start_s + spec.clip_s > end_s + max_padding_s:
            return
        is_certain = index == 0 and (is_prescribed or shot_s > span["start_s"])
        yield PlannedClip(start_s, is_certain, end_s, is_first=index == 0)
        cut_s = find_cut(start_s, start_s + spec.clip_s)
        shot_s, index = (shot_s, index + 1) if cut_s is None else (cut_s, 0)
