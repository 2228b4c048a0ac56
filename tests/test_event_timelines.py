"""The clips whose seconds are right and wrong most: which they are, and what a page shows of them."""

import html
from pathlib import Path

import pytest

from pipeline.reports.event_timelines import NUM_CLIPS, TIMELINES, Run, Timeline, list_timelines
from pipeline.reports.querying import query
from pipeline.reports.reporting import make_report
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.segments import SEGMENTS
from schemas.videos import COLLECTION

NAMES = {"d": "dog", "v": "</td><script>alert(1)</script>\x1b", ".": ""}
# two clips of video a; of the others one each
CLIPS = {
    "a_0": ("dd..", "dd.."),
    "a_1": ("dd..", "vv.."),
    "b_0": ("dddd", "dddd"),
    "c_0": ("....", "...."),
    "d_0": ("ddv.", ".vvd"),
    "e_0": ("dddd", "...."),
    "f_0": ("d...", "d..d"),
    "g_0": (".ddd", ".ddv"),
}


@pytest.fixture
def judged(tmp_path: Path) -> Workspace:
    workspace = Workspace(str(tmp_path))
    workspace.begin("clips/events", {}, {})
    rows = []
    for clip, marks in {**CLIPS, "h_0": ("dddd", "vvvv")}.items():
        truth, predicted = ([NAMES[mark] for mark in row] for row in marks)
        rows += [
            {
                "clip_id": clip,
                "video_id": clip[0],
                "segment": number,
                "start_s": 4.0 * int(clip[-1]) + number,
                "truth": truth[number],
                "predicted": predicted[number],
                "event_probability": 0.5,
                "category": "dog",
                "category_probability": 0.5,
                "is_leaked": clip == "h_0",
            }
            for number in range(4)
        ]
    workspace.commit("segments/m/-", "00000", from_rows(rows, SEGMENTS, "here"), SEGMENTS)
    row = {"video_id": "d", "rights": "unknown", "uri": "s3://bucket/<b>d.mp4"}
    workspace.commit("collection", "00000", from_rows([row], COLLECTION, "here"), COLLECTION)
    return workspace


def found(workspace: Workspace) -> dict[str, list[Timeline]]:
    timelines = list_timelines(query(workspace, TIMELINES))
    return {which: [each for each in timelines if each.which == which] for which in ("best", "worst")}


def test_each_list_has_a_clip_of_each_video_and_clips_with_event_and_background_first(judged: Workspace) -> None:
    lists = found(judged)
    assert NUM_CLIPS == 5
    # right: a_0, b, c 4 of 4, f and g 3 of 4, a_1 2, d 1, e 0; h was moved out of test
    assert [(clip.video, clip.accuracy) for clip in lists["best"]] == [
        ("a", 1.0), ("b", 1.0), ("c", 1.0), ("f", 0.75), ("g", 0.75)
    ]  # fmt: skip
    assert [(clip.video, clip.accuracy, clip.start_s) for clip in lists["worst"]] == [
        ("e", 0.0, 0.0), ("<b>d.mp4", 0.25, 0.0), ("a", 0.5, 4.0), ("f", 0.75, 0.0), ("g", 0.75, 0.0)
    ]  # fmt: skip


def test_runs_end_where_the_category_changes_or_a_mistake_begins(judged: Workspace) -> None:
    clip = found(judged)["worst"][1]
    violin = NAMES["v"]
    assert clip.truth == (Run("dog", 2, True), Run(violin, 1, True), Run("", 1, True))
    assert clip.predicted == (Run("", 1, False), Run(violin, 1, False), Run(violin, 1, True), Run("dog", 1, False))


def test_the_page_shows_them_escaped(judged: Workspace) -> None:
    page = make_report(judged).page
    assert "Worst clips of m" in page
    assert "<script>" not in page
    assert "\x1b" not in page
    assert html.escape("</td><script>alert(1)</script>") in page
    assert "&lt;b&gt;d.mp4" in page
    assert page.count('class="missed"') == 2  # in d and e
    assert page.count('class="wrong"') == 2 + 1 + 2 * 2  # in d, a_1, and in f and g in either list
