"""The first sentences of a report: what happened, which model is best, what to do next."""

from typing import Any

import pytest

from pipeline.reports.headline_metrics import Figure
from pipeline.reports.in_short import write_in_short
from pipeline.reports.overview import Finding

ROWS: dict[str, list[dict[str, Any]]] = {
    "corpus": [{"num_videos": 2000, "hours": 50.0}],
    "cut": [{"spec": "base", "num_kept": 8000}],
    "chosen": [{"selection": "strict", "num_clips": 8000, "num_kept": 4000}],
    **{name: [{}] for name in ("training", "scores", "summary")},
}


def gain(of: str, value: float, low: float | None, high: float | None) -> Figure:
    place = ("separation", "default", "on_mom", "median_si_snr_improvement_db")
    return Figure(of, "gain", value, "dB", 0.0, "untouched mixture", 40, low, high, *place)


def test_what_happened_is_said_with_its_numbers() -> None:
    found = write_in_short(ROWS, [gain("m", 5.5, 4.0, 7.0)], [])
    assert found.happened == [
        "2 000 videos (50 h) gave 8 000 clips of the spec base.",
        "The selection “strict” keeps 4 000 of them, 50 %, for the next model to learn from.",
        "The model “m”: gain: 5.5 dB [4.0, 7.0], better than the baseline, 0.0 dB (untouched mixture).",
    ]
    assert found.next_steps[-1] == "Try m on videos of your own."


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (
            gain("b", 3.0, 2.0, 4.0),
            "The best is “a”: next is “b”, behind by more than the interval. Gain: 5.5 dB [4.0, 7.0] against 3.0",
        ),
        (
            gain("b", 4.5, 3.0, 6.0),
            "cannot be told: “a” is ahead of “b”, but the difference is within the interval. Gain: 5.5",
        ),
        (gain("b", 6.0, None, None), "cannot be told: “b” is ahead of “a”, but there is no interval"),
    ],
)
def test_the_best_of_several_models_is_named_or_it_is_said_that_it_cannot_be_told(second: Figure, said: str) -> None:
    found = write_in_short(ROWS, [gain("a", 5.5, 4.0, 7.0), second], [])
    assert said in found.happened[-1]
    assert found.next_steps[-1] == "Try a on videos of your own."  # b has no interval, or is behind


def test_of_a_model_that_was_only_trained_validation_is_said() -> None:
    first = Figure("m", "AUC, validation", 0.6, "1", 0.5, "chance", None, learner="coincidence", eval_set="validation")
    found = write_in_short(ROWS, [first, first._replace(what="another")], []).happened
    said = "The model “m” has not been evaluated on held-out videos yet. "
    assert found[-1] == said + "AUC, validation: 0.600, the baseline is 0.500 (chance)."
    assert len(found) == 3


def test_models_of_other_mixtures_or_learners_are_not_compared_nor_what_nothing_exceeds() -> None:
    capped = gain("a", 20.0, 15.0, 30.0)._replace(eval_set="on_single", baseline_of="a copy")
    others = [gain("b", 3.0, 2.0, 4.0)._replace(mixtures="large"), gain("c", 3.0, 2.0, 4.0)._replace(learner="events")]
    found = write_in_short(ROWS, [gain("a", 5.5, 4.0, 7.0), capped, *others], []).happened
    assert len(found) == 5
    assert not any("best" in sentence for sentence in found)


@pytest.mark.parametrize(
    ("missing", "said"), [("training", "Train a model"), ("chosen", "Select clips"), ("summary", "Evaluate the models")]
)
def test_the_next_step_is_the_first_that_is_missing(missing: str, said: str) -> None:
    finding = Finding("something", "Look at it.")
    steps = write_in_short(ROWS | {missing: []}, [], [finding]).next_steps
    assert steps[0].startswith("Read what needs a look")
    assert steps[1].startswith(said)
    assert len(steps) == 2


def test_an_empty_workspace_says_so() -> None:
    empty = {name: [] for name in ROWS} | {"corpus": [{"num_videos": 0, "hours": None}]}
    assert write_in_short(empty, [], []).happened == ["No video has been read yet."]
