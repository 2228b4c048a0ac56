"""What the loop, a learner and a context agree on: settings that cannot work are refused by name."""

import math

import pytest

from pipeline.errors import ConfigError
from pipeline.training.protocols import LocalContext, TrainingConfig


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("learning_rate", "more than 0"),
        ("clip_norm", "more than 0"),
        ("weight_decay", "0 or more"),
        ("warmup_steps", "0 or more"),
    ],
)
@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_a_setting_that_is_no_number_or_less_than_nothing_is_refused(name: str, expected: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} = {value}: expected .*{expected}\.$"):
        TrainingConfig(num_steps=1, batch_size=1, **{name: value})


def test_a_context_without_ray_passes_reports_on_and_leaves_figures_as_they_are() -> None:
    seen: list[tuple[int, dict[str, float]]] = []
    context = LocalContext(lambda step, metrics: seen.append((step, metrics)))
    context.report(3, context.mean({"loss": 0.5}, weight=2.0))
    assert seen == [(3, {"loss": 0.5})]
