"""Evaluation of events: rows of seconds, and the figures of a set beside its anchors, counted by hand."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.clips.splitting import SplittingConfig
from pipeline.errors import DataError
from pipeline.evaluation.event_evaluation import EventEvaluation, segment_rows, to_matrices
from pipeline.learners.loading import load_model
from pipeline.learners.sources import load_sets
from pipeline.reports.headline_metrics import list_figures
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.segments import SEGMENTS
from tests.helpers.event_models import SIZES, workspace_with_events
from tests.helpers.features import write_features, write_spans

NAMES = {"d": "dog", "v": "violin", ".": ""}


def clip_rows(video: str, truth: str, predicted: str, category: str, is_leaked: bool = False) -> list[dict[str, Any]]:
    """Rows of one clip: a mark for each second, `d` dog, `v` violin, `.` background."""
    return [
        {
            "clip_id": f"{video}_0",
            "video_id": video,
            "segment": number,
            "start_s": float(number),
            "truth": NAMES[truth[number]],
            "predicted": NAMES[predicted[number]],
            "event_probability": 0.9 if predicted[number] != "." else 0.1,
            "category": NAMES[category[number]],
            "category_probability": 0.8,
            "is_leaked": is_leaked,
        }
        for number in range(len(truth))
    ]


CLIPS = [
    clip_rows("a", "dd..", "d..d", "dddd"),
    clip_rows("b", "vvvv", "vvdd", "vvdd"),
    clip_rows("c", "....", "v...", "vvvv"),
    clip_rows("d", "ddvv", "d.vv", "ddvv"),
]
BY_HAND = {  # as counted in test_segments
    "segment_accuracy": 10 / 16,
    "always_background": 6 / 16,
    "perfect_category": 8 / 16,
    "category_accuracy": 8 / 10,
    "commonest_category": 6 / 10,
    "foreground_accuracy": 12 / 16,
    "event_f1": 8 / 11,
    "perfect_category_event_f1": 6 / 8,
    "untaught_share": 0,
}
FIGURES = BY_HAND.keys() - {"untaught_share"}  # with intervals


def evaluation(
    folder: Path, clips: list[list[dict[str, Any]]], taught: tuple[str, ...] = ("dog", "violin")
) -> EventEvaluation:
    """The evaluation of a model `m` whose rows are there already."""
    workspace = Workspace(str(folder))
    settings = {"learner": "events", "features": "f", "splitting": SplittingConfig()}
    settings |= {"events": {"categories": taught}}
    workspace.begin("models/m", settings, {})
    rows = list(itertools.chain.from_iterable(clips))
    workspace.commit("segments/m/-", "00000", from_rows(rows, SEGMENTS, "here"), SEGMENTS)
    return EventEvaluation(workspace, "m")


def test_its_source_is_the_feature_set_in_the_models_record(tmp_path: Path) -> None:
    found = evaluation(tmp_path, CLIPS)
    assert (found.source, found.stage) == ("features/events/f", "reports/m/-")


def test_every_figure_of_a_set_is_the_one_counted_by_hand(tmp_path: Path) -> None:
    summary = evaluation(tmp_path, CLIPS).summarise()
    assert {row["eval_set"] for row in summary} == {"test"}
    assert {row["metric"]: row["value"] for row in summary} == pytest.approx(BY_HAND)
    counted = {row["metric"]: row["n"] for row in summary}
    assert counted["segment_accuracy"] == 16
    assert counted["category_accuracy"] == 10
    assert counted["event_f1"] == 4 + 7
    assert {row["num_videos"] for row in summary if row["metric"] in FIGURES} == {4}
    assert {row["low"] for row in summary} == {None}  # four videos are too few


def test_clips_that_were_moved_out_of_test_count_in_the_published_set_alone(tmp_path: Path) -> None:
    leaked = clip_rows("b2", "vvvv", "vvvv", "vvvv", is_leaked=True)
    found = {
        (row["eval_set"], row["metric"]): row["value"] for row in evaluation(tmp_path, [*CLIPS, leaked]).summarise()
    }
    assert found["test", "segment_accuracy"] == 10 / 16
    assert found["published_test", "segment_accuracy"] == 14 / 20
    assert found["published_test", "always_background"] == 6 / 20


def test_intervals_draw_videos_so_clips_of_one_video_make_them_no_narrower(tmp_path: Path) -> None:
    def width(clips_of_each: int) -> float:
        clips = [
            clip_rows(f"{video}", "dddd", "dddd" if video % 2 else "....", "dddd")
            for video in range(20)
            for _ in range(clips_of_each)
        ]
        rows = evaluation(tmp_path / str(clips_of_each), clips).summarise()
        (row,) = (row for row in rows if row["metric"] == "segment_accuracy")
        assert row["num_videos"] == 20
        assert row["low"] < 0.5 < row["high"]
        return row["high"] - row["low"]

    # of 20 halves: 2 * 1.96 * sqrt(0.25 / 20) = 0.44
    assert width(1) == width(8) == pytest.approx(0.44, abs=0.07)


def test_headlines_stand_beside_both_anchors_and_beside_the_commonest_category(
    tmp_path: Path,
) -> None:
    found = evaluation(tmp_path, CLIPS)
    summary = [row | {"model": "m", "mixtures": "-"} for row in found.summarise()]
    stage = {"stage": "models/m", "settings": {"learner": "events"}}
    figures = list_figures(summary, [stage])
    shown = [(figure.value, figure.baseline) for figure in figures]
    expected = [(10 / 16, 6 / 16), (10 / 16, 8 / 16), (8 / 10, 6 / 10), (12 / 16, 10 / 16), (8 / 11, 6 / 8)]
    assert shown == [pytest.approx(pair) for pair in expected]


def test_without_a_labelled_test_clip_no_figure_has_a_value(tmp_path: Path) -> None:
    summary = evaluation(tmp_path, []).summarise()
    assert {row["metric"] for row in summary} == BY_HAND.keys()
    assert {(row["value"], row["n"]) for row in summary} == {(None, 0)}


def test_rows_of_a_clip_have_an_event_above_one_half_and_the_likeliest_category() -> None:
    clip = {"clip_id": "a_10", "video_id": "a", "start_s": 10.0, "is_leaked": True}
    clip["categories"] = ["dog", None, None]
    event = np.array([0.51, 0.5, 0.7])
    category = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    rows = segment_rows(clip, event, category, ["dog", "violin"])
    shown = ("segment", "start_s", "truth", "predicted", "category", "category_probability")
    assert [tuple(row[name] for name in shown) for row in rows] == [
        (0, 10.0, "dog", "dog", "dog", 0.9),
        (1, 11.0, "", "", "dog", 0.6),
        (2, 12.0, "", "violin", "violin", 0.8),
    ]
    from_rows(rows, SEGMENTS, "here")


def test_a_category_that_the_model_was_never_taught_is_a_mistake_and_no_other_one(tmp_path: Path) -> None:
    clip = {"clip_id": "a", "video_id": "a", "start_s": 0.0, "is_leaked": False}
    clip["categories"] = ["whale", "dog"]
    rows = segment_rows(clip, np.ones(2), np.ones((2, 1)), ["dog"])
    truth, predicted, _, _ = to_matrices(from_rows(rows, SEGMENTS, "here"))
    assert (truth == predicted).tolist() == [[False, True]]


def test_seconds_of_categories_without_a_training_clip_are_counted(tmp_path: Path) -> None:
    summary = evaluation(tmp_path, CLIPS, taught=("dog",)).summarise()
    assert {row["metric"]: (row["value"], row["n"]) for row in summary}["untaught_share"] == (6 / 16, 16)


def test_rows_that_are_missing_are_refused() -> None:
    rows = [row for clip in CLIPS for row in clip]
    with pytest.raises(DataError, match="15 rows, expected 4 for each clip"):
        to_matrices(from_rows(rows[:9] + rows[10:], SEGMENTS, "here"))


def test_labelled_clips_of_test_and_those_moved_out_of_it_are_judged_as_the_model_judges_each_alone(
    tmp_path: Path,
) -> None:
    workspace = workspace_with_events(tmp_path)
    splits = {"a": "test", "b": "train", "c": "test_leaked", "d": "test", "e": "validate"}
    clips = [{"clip_id": f"{video}_0", "video_id": video, "split": split} | SIZES for video, split in splits.items()]
    write_features(workspace, "00000", clips[:3], "features/events/coincidence")
    write_features(workspace, "00001", clips[3:], "features/events/coincidence")
    spans = [(video, 1.0, 3.0, "dog") for video in "abce"]  # d was judged by nobody
    write_spans(workspace, "00000", spans[:3])
    found = EventEvaluation(workspace, "events")
    assert found.pending() == ["00000"]
    before = found.facts()
    write_spans(workspace, "00001", spans[3:])
    assert found.pending() == ["00000", "00001"]
    assert found.facts() != before
    rows = [row for part in found.pending() for row in found.evaluate(part)["segments"]]
    assert [(row["clip_id"], row["is_leaked"]) for row in rows] == [("a_0", False)] * 4 + [("c_0", True)] * 4
    assert [row["truth"] for row in rows] == ["", "dog", "dog", ""] * 2
    learner, model = load_model(workspace, "events", "events")
    settings = workspace.stage("models/events")["settings"]
    (test,) = load_sets(workspace, learner, settings, ("test",), ["00000"])
    with torch.inference_mode():
        event, category = learner.predict(model, learner.stack([test.read(0)]))
    np.testing.assert_allclose([row["event_probability"] for row in rows[:4]], event[0], rtol=1e-5)
    np.testing.assert_allclose([row["category_probability"] for row in rows[:4]], category[0].amax(dim=1), rtol=1e-5)
    assert np.ptp(event.numpy()) > 0
