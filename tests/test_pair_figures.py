"""Figures of judged pairs: values by hand, scikit-learn's AUC, and what has no figure."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.inference.matching_pairs import ROWS
from pipeline.inference.pair_figures import pair_figures


def rows(probability: list[float | None], match: list[int | None], pictures: int = 10) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {"picture": f"p{number % pictures}", "sound": "s", "probability": p, "match": m}
            for number, (p, m) in enumerate(zip(probability, match, strict=True))
        ],
        ROWS,
    )


def test_four_pairs_have_the_figures_that_are_worked_out_by_hand() -> None:
    found = {
        each.figure: each for each in pair_figures(rows([0.75, 0.75, 0.25, 0.75, None, 0.9], [1, 1, 0, 0, 1, None]))
    }
    assert found["accuracy"].value == 0.75
    assert found["auc"].value == 0.75  # 2 of the 4 pairs of pairs in order, 2 equal
    assert found["calibration_error"].value == pytest.approx((3 * abs(2 / 3 - 0.75) + 0.25) / 4)
    assert found["brier"].value == pytest.approx((3 * 0.0625 + 0.5625) / 4)
    assert (found["auc"].num_pairs, found["auc"].num_matched) == (4, 2)
    assert found["auc"].low is None  # of four pictures


def test_an_interval_is_about_the_value_and_the_auc_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    match = rng.integers(2, size=200)
    probability = np.clip(0.5 + 0.3 * (match - 0.5) + rng.normal(0, 0.2, 200), 0, 1)
    found = {each.figure: each for each in pair_figures(rows(probability.tolist(), match.tolist(), pictures=50))}
    assert found["auc"].value == pytest.approx(roc_auc_score(match, probability))
    for each in found.values():
        assert each.low is not None
        assert each.high is not None
        assert each.low < each.value < each.high


def test_one_class_has_no_auc_and_no_verdict_has_no_figure() -> None:
    assert [each.figure for each in pair_figures(rows([0.5, 0.7], [1, 1]))] == [
        "accuracy",
        "calibration_error",
        "brier",
    ]
    assert pair_figures(rows([0.5, None], [None, 1])) == []
