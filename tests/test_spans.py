"""Which clips are planned: a grid where nothing is prescribed, each line of a list where something is."""

import itertools
import math

import pytest

from pipeline.clip_specs import ClipSpec
from pipeline.clips.spans import PlannedClip, plan_clips

SPEC = ClipSpec()  # 5 s every 1 s


def starts(*spans: tuple[float, float | None], spec: ClipSpec = SPEC, most: int = 50) -> list[float]:
    given = [{"start_s": start_s, "end_s": end_s} for start_s, end_s in spans]
    return [plan.start_s for plan in itertools.islice(plan_clips(given, spec, 0.1), most)]


def test_without_spans_there_is_one_every_hop_and_no_end() -> None:
    plans = itertools.islice(plan_clips(None, ClipSpec(hop_s=2.0), 0.1), 1000)
    assert list(plans) == [PlannedClip(2.0 * index, is_certain=False) for index in range(1000)]


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ((12.34, 17.34), [12.34]),
        ((12.34, 17.30), [12.34]),
        ((12.34, 14.0), [12.34]),
        ((0.0, 8.0), [0, 1, 2, 3]),
        ((0.5, 7.9), [0.5, 1.5, 2.5]),  # ends at 7.5; the next would end at 8.5
        ((0.5, 8.45), [0.5, 1.5, 2.5, 3.5]),  # 0.05 s of padding
    ],
)
def test_a_span_gives_its_start_and_every_hop_that_ends_within_it(
    span: tuple[float, float], expected: list[float]
) -> None:
    assert starts(span) == pytest.approx(expected)


def test_a_clip_that_several_spans_ask_for_is_planned_once() -> None:
    assert starts((3.0, 9.0), (0.0, 6.0), (1.0, 6.0), (3.0, 9.0)) == [0, 1, 3, 4]
    both = list(plan_clips([{"start_s": 0.0, "end_s": 7.0}, {"start_s": 2.0, "end_s": 4.0}], SPEC, 0.1))
    assert [(plan.start_s, plan.is_certain, plan.span_end_s) for plan in both] == [
        (0.0, True, 7.0),
        (1.0, False, 7.0),
        (2.0, True, 7.0),
    ]


def test_spans_come_in_order_of_their_start_and_an_open_one_has_no_end() -> None:
    assert starts((100.0, 105.0), (7.25, None), (2.0, 7.0), most=4) == [2.0, 7.25, 8.25, 9.25]
    first = next(plan_clips([{"start_s": 7.25, "end_s": None}], SPEC, 0.1))
    assert first == PlannedClip(7.25, is_certain=True, span_end_s=math.inf)


def test_clips_lie_within_shots_and_each_shot_has_one() -> None:
    cuts_s = [6.3, 8.0, 20.0]

    def find_cut(start_s: float, end_s: float) -> float | None:
        return next((cut_s for cut_s in cuts_s if start_s < cut_s < end_s), None)

    spec = ClipSpec(clip_s=5.0, hop_s=2.0)
    plans = plan_clips([{"start_s": 0.0, "end_s": 17.0}], spec, 0.0, find_cut)
    # from each cut on anew; those that cross a cut are told so when the next one is asked for
    assert [(plan.start_s, plan.is_first) for plan in plans] == [
        (0.0, True), (2.0, False), (6.3, True), (8.0, True), (10.0, False), (12.0, False)
    ]  # fmt: skip
    of_grid = list(itertools.islice(plan_clips(None, spec, 0.0, find_cut), 3))
    assert [plan.is_certain for plan in of_grid] == [False, False, True]
    short = list(plan_clips([{"start_s": 7.0, "end_s": 8.0}], spec, 0.0, find_cut))
    assert short == [PlannedClip(7.0, True, 8.0, True)]
