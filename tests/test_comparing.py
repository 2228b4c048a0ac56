"""Figures beside other figures: better, worse, alike, or not to be told."""

import pytest

from pipeline.reports.comparing import against_baseline, compare, side_by_side, verdict
from pipeline.reports.headline_metrics import Figure


def figure(
    of: str, value: float | None, low: float | None = None, high: float | None = None, **facts: object
) -> Figure:
    names = {"learner": "separation", "mixtures": "default", "eval_set": "on_mom", "metric": "auc_roc"} | facts
    return Figure(of, "AUC", value, "1", 0.5, str(names.pop("baseline_of", "chance")), 40, low, high, **names)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "other", "expected"),
    [
        ("auc_roc", 0.55, "better"),
        ("auc_roc", 0.65, "alike"),
        ("auc_roc", 0.85, "worse"),
        ("worse_share", 0.55, "worse"),  # of a share of bad examples, lower is better
        ("worse_share", 0.85, "better"),
        ("auc_roc", None, "unknown"),
    ],
)
def test_another_value_counts_beyond_the_interval_alone(metric: str, other: float | None, expected: str) -> None:
    assert verdict(figure("m", 0.7, 0.6, 0.8, metric=metric), other) == expected
    assert verdict(figure("m", 0.7, metric=metric), other) == "unknown"


def test_a_level_is_best_nearest_to_zero() -> None:
    level = figure("m", 1.0, 0.5, 1.5, metric="median_level_db")
    assert (verdict(level, -3.0), verdict(level, 0.0)) == ("better", "worse")


def test_no_model_is_blamed_for_staying_below_what_nothing_exceeds() -> None:
    assert against_baseline(figure("m", 0.7, 0.6, 0.8)) == "better"
    assert against_baseline(figure("m", 0.3, 0.2, 0.4)) == "worse"
    assert against_baseline(figure("m", 0.3, 0.2, 0.4, baseline_of="perfect counting")) == "unknown"


def test_models_of_two_workspaces_meet_by_name_and_those_of_one_by_their_learner() -> None:
    here = [figure("a", 0.7, 0.6, 0.8), figure("b", 0.9, 0.85, 0.95), figure("c", 0.5, 0.4, 0.6, learner="events")]
    there = [figure("a", 0.9), figure("d", 0.1)]
    changes = compare(here, there, by_model=True)
    assert [(change.figure.of, change.other.value, change.verdict) for change in changes] == [("a", 0.9, "worse")]
    changes = compare(here, here[:1], by_model=False)
    assert [(change.figure.of, change.other.of, change.verdict) for change in changes] == [("b", "a", "better")]
    assert (changes[0].value, changes[0].other_value) == ("0.900 [0.850, 0.950]", "0.700 [0.600, 0.800]")


def test_models_of_a_learner_are_columns_and_their_figures_rows() -> None:
    figures = [figure("a", 0.7, 0.6, 0.8), figure("a", 0.1, metric="worse_share"), figure("b", 0.9)._replace(n=7)]
    separation, labels = side_by_side([*figures, Figure("labels", "judged", 0.5, "1", None, "", 9)], min_examples=30)
    assert (separation.learner, separation.models) == ("separation", ["a", "b"])
    auc, worse = separation.rows
    assert [cell and (cell.value, cell.verdict, cell.is_of_few) for cell in auc.cells] == [
        ("0.700 [0.600, 0.800]", "better", False),
        ("0.900", "unknown", True),
    ]
    assert (auc.baseline, auc.baseline_of, auc.n) == ("0.500", "chance", "7 to 40")
    assert worse.cells[1] is None
    assert separation.about.startswith("separates a mixture")
    assert (labels.learner, labels.models) == ("labels", ["labels"])
    assert (separation.has_baseline, labels.has_baseline) == (True, False)


def test_held_out_figures_come_before_validation_and_models_before_labels_and_what_has_no_example_nowhere() -> None:
    validated, held_out = figure("a", 0.7, eval_set="validation"), figure("a", 0.7)
    labels = Figure("labels", "judged", 0.5, "1", None, "", 9)
    tables = side_by_side([labels, validated, held_out, held_out._replace(what="of none", metric="", n=0)], 30)
    assert [table.learner for table in tables] == ["separation", "labels"]
    assert len(tables[0].rows) == 2
    assert [row.what for row in side_by_side([validated._replace(what="first"), held_out], 30)[0].rows] == [
        "AUC",
        "first",
    ]
