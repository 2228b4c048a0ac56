"""Views over the tables, and figures with intervals: as computed by hand from the rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.metrics.bootstrap import bootstrap_interval
from pipeline.reports.querying import query
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.mixtures import MIXTURES
from schemas.reports import EXAMPLES, SUMMARY
from schemas.scores import SCORES
from schemas.videos import VIDEOS

NUM_EXAMPLES = 40


def example(place: int, si_snr_db: float | None, eval_set: str = "on_mom") -> dict[str, Any]:
    return {
        "eval_set": eval_set,
        "example_id": f"{eval_set}-{place}",
        "video_id": f"v{place % 8}",
        "si_snr_db": si_snr_db,
        "num_references": 2,
        "num_active_sources": 2,
        "power_first": 1.0,
        "power_second": 1.0,
        "product_first_second": 0.0,
    }


def figure(metric: str, value: float | None) -> dict[str, Any]:
    return {"eval_set": "on_mom", "metric": metric, "value": value, "unit": "dB", "n": 3}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two models on the same examples, whose clips, videos and scores are known in part."""
    made = Workspace(str(tmp_path_factory.mktemp("views") / "root"))
    for shift, model in enumerate(("one", "two")):
        rows = [example(place, place * 0.25 + shift * (place % 3 - 1)) for place in range(NUM_EXAMPLES)]
        rows += [example(0, None, "off_mom")] if model == "one" else []
        made.commit(f"examples/{model}/top", "00000", from_rows(rows, EXAMPLES, model), EXAMPLES)
    mixtures = [
        {
            "example_id": f"on_mom-{place}",
            "eval_set": "on_mom",
            "kind": "NOn",
            "first_clip_id": f"v{place % 8}_00000000",
            "sound_clip_id": f"v{place % 8}_00000000",
            "split": "test",
            "label_source": "labels.csv",
            "part": "on_mom-00000",
        }
        for place in range(NUM_EXAMPLES)
    ]
    made.commit("mixtures/top", "on_mom-00000", from_rows(mixtures, MIXTURES, "m"), MIXTURES)
    clips = [
        {
            "clip_id": f"v{video}_00000000",
            "video_id": f"v{video}",
            "start_s": 0.0,
            "duration_s": 5.0,
            "part": "00000",
            "num_frames": 5,
            "loudness_lufs": -20.0 - video,
            "outcome": "kept",
        }
        for video in range(7)  # of the eighth nothing is known
    ]
    made.commit("clips/base", "00000", from_rows(clips, CLIPS, "c"), CLIPS)
    videos = [
        {
            "video_id": f"v{v}",
            "uri": f"v{v}.mp4",
            "part": "00000",
            "rights": "unknown",
            "num_clips": 1,
            "outcome": "kept",
            "license": "CC0",
        }
        for v in range(7)
    ]
    made.commit("videos/base", "00000", from_rows(videos, VIDEOS, "v"), VIDEOS)
    for model, score in (("coincidence", 0.5), ("another", 0.25)):
        scores = [{"clip_id": "v0_00000000", "video_id": "v0", "score": score}]
        made.commit(f"scores/{model}", "00000", from_rows(scores, SCORES, model), SCORES)
    reached = {
        "one": {"median_si_snr_db": 3.0, "worse_share": 0.25, "median_level_db": -0.5, "auc": 0.75},
        "two": {"median_si_snr_db": 4.0, "worse_share": 0.5, "median_level_db": 1.5, "auc": float("nan")},
    }
    for model, figures in reached.items():
        rows = [figure(*each) for each in figures.items()]
        made.commit(f"summary/{model}/top", "00000", from_rows(rows, SUMMARY, model), SUMMARY)
    return made


def test_an_example_has_what_is_known_of_its_first_clip_and_stays_one_row(workspace: Workspace) -> None:
    rows = query(workspace, "SELECT * FROM examples_with_clips WHERE model = 'one'").to_pylist()
    assert len(rows) == NUM_EXAMPLES + 1
    by_id = {row["example_id"]: row for row in rows}
    assert {name: by_id["on_mom-8"][name] for name in ("video_id", "loudness_lufs", "license", "kind", "score")} == {
        "video_id": "v0",
        "loudness_lufs": -20.0,
        "license": "CC0",
        "kind": "NOn",
        "score": 0.5,  # of the model `coincidence`
    }
    assert by_id["on_mom-7"]["loudness_lufs"] is None
    assert by_id["off_mom-0"]["kind"] is None


def test_pairs_are_both_models_on_the_same_example_in_both_orders(workspace: Workspace) -> None:
    rows = query(workspace, "SELECT * FROM pairs WHERE (model, other) = ('two', 'one')").to_pylist()
    assert sorted(row["si_snr_difference_db"] for row in rows) == sorted(place % 3 - 1 for place in range(NUM_EXAMPLES))
    assert query(workspace, "SELECT count(*) AS n FROM pairs").to_pylist() == [{"n": 2 * NUM_EXAMPLES}]


def test_the_best_is_the_highest_the_lowest_or_the_nearest_to_zero(workspace: Workspace) -> None:
    rows = query(workspace, "SELECT metric, model, value, num_models FROM best_by_metric ORDER BY metric").to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("auc", "one", 0.75, 1),  # a figure that is no number is no candidate
        ("median_level_db", "one", -0.5, 2),
        ("median_si_snr_db", "two", 4.0, 2),
        ("worse_share", "one", 0.25, 2),
    ]


@pytest.mark.parametrize("name", ["median", "mean"])
def test_an_interval_is_that_of_the_summary(workspace: Workspace, name: str) -> None:
    sql = f"SELECT model, {name}_interval(si_snr_db, video_id) AS x FROM examples GROUP BY 1 ORDER BY 1"
    one, _ = query(workspace, sql).to_pylist()
    statistic = {"median": np.median, "mean": np.mean}[name]
    videos, places = np.unique([f"v{place % 8}" for place in range(NUM_EXAMPLES)], return_inverse=True)
    order = np.lexsort((np.arange(NUM_EXAMPLES), places))  # as the aggregate sorts: by video, then by value
    values = np.arange(NUM_EXAMPLES)[order] * 0.25
    expected = bootstrap_interval(lambda drawn: float(statistic(values[drawn])), videos[places][order])
    assert one["x"] == {
        "value": statistic(values),
        "low": expected.low,
        "high": expected.high,
        "n": NUM_EXAMPLES,  # the row without a number is left out
        "num_videos": 8,
    }
    assert one["x"]["low"] < one["x"]["value"] < one["x"]["high"]


def test_few_videos_have_a_figure_without_bounds_and_no_row_has_none(workspace: Workspace, tmp_path: Path) -> None:
    sql = "SELECT median_interval(x, v) AS x FROM (VALUES (1, 'a'), (5, 'b'), (3, 'b'), ('nan'::DOUBLE, 'c')) t(x, v)"
    assert query(workspace, sql).to_pylist()[0]["x"] == {"value": 3, "low": None, "high": None, "n": 3, "num_videos": 2}
    assert query(
        workspace, "SELECT median_interval(si_snr_db, video_id) AS x FROM examples WHERE false"
    ).to_pylist() == [{"x": None}]
