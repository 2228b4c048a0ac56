"""What stages have found out, output beside what it is held against."""

import pytest

from pipeline.reports.headline_metrics import list_figures

FOUND = {"validate_match_auc": 0.75, "validate_match_calibration_error": 0.125, "validate_gallery": 8.0}
RECALLS = {"validate_picture_recall_at_1": 0.5, "validate_sound_recall_at_1": 0.25}
MODEL = {"stage": "models/c", "settings": {"learner": "coincidence"}, "figures": FOUND | RECALLS}
LABELS = {"stage": "labels/base", "num_kept": 200, "num_judged": 50, "num_conflicts": 5, "num_rated_twice": 40}
SELECTION = {"stage": "selections/s", "reasons": {"kept": 30, "low_score": 60, "not_cut:silent": 10}}


def test_training_labels_and_selections_are_told_before_anything_is_evaluated() -> None:
    stages = [{"stage": "clips/base"}, MODEL, LABELS | {"fleiss_kappa": 0.25}, SELECTION]
    output = [(row.of, row.value, row.baseline, row.n) for row in list_figures([], stages)]
    assert output == [
        ("c", 0.75, 0.5, None),
        ("c", 0.125, 0.0, None),
        ("c", 0.5, 1 / 8, None),  # of eight videos, a blind guess finds one
        ("c", 0.25, 1 / 8, None),
        ("labels", 0.25, None, 200),
        ("labels", 0.1, None, 50),
        ("labels", 0.25, 0.0, 40),
        ("selection s", 0.3, None, 100),
    ]
    assert "among 8 videos" in list_figures([], stages)[2].what


def test_what_an_unfinished_stage_has_not_found_out_is_left_out() -> None:
    assert list_figures([], [MODEL | {"figures": {}}, {"stage": "labels/base"}, {"stage": "selections/s"}]) == []
    kappa = list_figures([], [LABELS | {"fleiss_kappa": None}])[-1]  # nobody judged a clip twice
    assert kappa.cells()[1] == "-"


def test_the_figures_of_one_model_are_next_to_each_other() -> None:
    summary = [
        {
            "model": "c",
            "mixtures": "-",
            "eval_set": "held_out_pairs",
            "metric": "match_auc",
            "value": 0.7,
            "unit": "1",
            "n": 9,
        }
    ]
    models = [figure.of for figure in list_figures(summary, [MODEL, SELECTION])]
    assert models == ["c"] * 5 + ["selection s"]


def test_figures_of_one_model_on_two_frozen_sets_are_told_apart() -> None:
    figure = {"model": "s", "eval_set": "off_mom", "metric": "median_osr_db", "unit": "dB", "n": 9}
    summary = [figure | {"mixtures": "default", "value": 8.0}, figure | {"mixtures": "hard", "value": 2.0}]
    found = list_figures(summary, [{"stage": "models/s", "settings": {"learner": "separation"}}])
    assert [(row.of, row.value) for row in found] == [("s", 8.0), ("s on hard", 2.0)]


@pytest.mark.parametrize("n", [1200, None])
def test_a_count_is_told_where_there_is_one(n: int | None) -> None:
    (figure,) = list_figures([], [SELECTION])
    assert figure._replace(n=n).cells()[-1] == ("1 200" if n else "")
