"""Pairs that were judged and of which is known whether they belong together -> how right the judgements are.

Accuracy, AUC, calibration error and Brier score of the probability, each with an interval over other pictures: the
pairs of one picture are alike. The probability is for a prior of one half: among pairs of which fewer match, the
calibration error has that difference in it.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.metrics.bootstrap import bootstrap_interval
from pipeline.metrics.calibration import accuracy, brier_score, expected_calibration_error
from pipeline.metrics.detection import matched_mismatched_auc

BASELINES = {"accuracy": 0.5, "auc": 0.5, "calibration_error": 0.0, "brier": 0.25}


class PairFigure(NamedTuple):
    """A figure of judged pairs."""

    figure: str
    value: float
    low: float | None
    """Of the interval of 95 % over other pictures; None below five pictures."""
    high: float | None
    baseline: float
    """Chance, or for the calibration error a perfect probability."""
    num_pairs: int
    num_matched: int


def pair_figures(rows: pa.Table) -> list[PairFigure]:
    """Figures of the rows of `matching_pairs.ROWS` that have a probability and a verdict; none without such rows.

    There is no AUC if all match, or none.
    """
    found = rows.select(["picture", "probability", "match"]).drop_null()
    if not len(found):
        return []
    probability, label = found["probability"].to_numpy(), found["match"].to_numpy()
    _, pictures = np.unique(found["picture"].to_numpy(zero_copy_only=False), return_inverse=True)
    figures: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
        "accuracy": accuracy,
        "auc": _auc,
        "calibration_error": expected_calibration_error,
        "brier": brier_score,
    }
    made = []
    for name, figure in figures.items():
        value = figure(probability, label)
        if np.isnan(value):
            continue
        interval = bootstrap_interval(functools.partial(_of_drawn, figure, probability, label), pictures)
        made.append(PairFigure(name, value, interval.low, interval.high, BASELINES[name], len(label), int(label.sum())))
    return made


def _of_drawn(
    figure: Callable[[np.ndarray, np.ndarray], float], probability: np.ndarray, label: np.ndarray, drawn: np.ndarray
) -> float:
    return figure(probability[drawn], label[drawn])


def _auc(probability: np.ndarray, label: np.ndarray) -> float:
    """NaN where there is one class alone."""
    if label.min() == label.max():
        return np.nan
    return matched_mismatched_auc(probability[label == 1], probability[label == 0])
