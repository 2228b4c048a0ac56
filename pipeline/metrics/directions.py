"""Which of two values of a figure is better: by its name, for views and pages that compare models."""

LOWER_IS_BETTER = (
    "equal_error_rate",
    "false_alarm_share",
    "identity_probe",
    "loss",
    "modality_probe",
    "refused_other_by_frozen",
    "refused_other_by_score",
    "validate_match_calibration_error",
    "worse_pair_share",
    "worse_share",
)
NEAREST_TO_ZERO_IS_BEST = ("median_level_db",)
"""Levels: too loud is as wrong as too quiet."""


def goodness(metric: str, value: float) -> float:
    """A number that is higher for a better value of the figure.

    >>> goodness("auc_roc", 0.75), goodness("worse_share", 0.25), goodness("median_level_db", 3.0)
    (0.75, -0.25, -3.0)
    """
    if metric in NEAREST_TO_ZERO_IS_BEST:
        return -abs(value)
    return -value if metric in LOWER_IS_BETTER else value
