"""A training warns where it learnt nothing about videos that it has not seen, and not where it did."""

import pytest

from jobs.console.fitting import format_record
from jobs.console.held_out import warn_of_chance
from pipeline.learners import LEARNERS

HEADLINES = LEARNERS["coincidence"].evaluation().headlines


def figures(auc: float, margin: float | None) -> dict[str, float]:
    found = {"validate_loss": 3.0, "validate_match_auc": auc, "validate_num_videos": 61.0, "validate_gallery": 50.0}
    if margin is not None:
        found |= {"validate_match_auc_low": auc - margin, "validate_match_auc_high": auc + margin}
    return found


@pytest.mark.parametrize("auc", [0.35, 0.55])
def test_an_interval_that_includes_chance_is_warned_of_with_its_videos_and_what_may_help(
    auc: float, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_of_chance("train coincidence", HEADLINES, figures(auc, 0.07))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("train coincidence: WARNING: no better than chance on the 61 held-out videos: ")
    assert f"is {auc:.2f}, between {auc - 0.07:.2f} and {auc + 0.07:.2f} " in line
    for help_ in ("more videos", "more training steps", "less augmentation", "another preset"):
        assert help_ in line


@pytest.mark.parametrize(("auc", "margin"), [(0.7, 0.1), (0.5, None)])
def test_an_interval_above_chance_or_none_is_not_warned_of(
    auc: float, margin: float | None, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_of_chance("train coincidence", HEADLINES, figures(auc, margin))
    assert capsys.readouterr().err == ""


def test_a_learner_without_an_interval_is_never_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    warn_of_chance("train separation", LEARNERS["separation"].evaluation().headlines, {"validate_loss": 1.0})
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"train_loss": 1.56, "validate_loss": 2.0}, "best at step 5: train_loss 1.56, validate_loss 2"),
        ({"train_loss": 1.56}, "no validation, the last step's weights: train_loss 1.56"),
    ],
)
def test_a_best_step_is_named_where_a_validation_found_it(figures: dict[str, float], expected: str) -> None:
    record = {"clips_per_s": 60.0, "data_wait_fraction": 0.0, "best_step": 5, "figures": figures}
    assert format_record("train separation", "separation", record) == f"60 clips/s; {expected}"
