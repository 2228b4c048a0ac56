"""What the loop, a learner and a context agree on: settings that cannot work are refused by name."""

import math

import pytest

from pipeline.training.protocols import LocalContext, TrainingConfig


@pytest.mark.parametrize("name", ["learning_rate", "clip_norm", "weight_decay", "warmup_steps"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_a_setting_that_is_no_number_or_less_than_nothing_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"training\.{name} = {value}: expected a number"):
        TrainingConfig(num_steps=1, batch_size=1, **{name: value})


def test_a_context_without_ray_passes_reports_on_and_leaves_figures_as_they_are() -> None:
    seen: list[tuple[int, dict[str, float]]] = []
    context = LocalContext(lambda step, metrics: seen.append((step, metrics)))
    context.report(3, context.mean({"loss": 0.5}, weight=2.0))
    assert seen == [(3, {"loss": 0.5})]
