"""Metrics of a running command, which Prometheus scrapes from the driver's node; `cluster/grafana/` draws them.

Ray puts `ray_` before each name. `stage` is what is being made, such as clips/base, and `step` the work, such as shard
base. Rates are left to Prometheus: rate(ray_earshot_finished_parts_total[5m]).
"""

import functools
from collections.abc import Mapping
from typing import Any

from ray.util.metrics import Counter, Gauge

STEP = ("stage", "step")
# Name -> description and labels. A counter's name ends in _total.
METRICS: dict[str, tuple[str, tuple[str, ...]]] = {
    "earshot_parts": ("Parts that this run has to do, by state: done, running, failed, pending", (*STEP, "state")),
    "earshot_remaining_seconds": ("Estimated time to the end of the step", STEP),
    "earshot_finished_parts_total": ("Parts finished", STEP),
    "earshot_items_total": ("What the finished parts counted, such as videos kept", (*STEP, "what")),
    "earshot_video_seconds_total": ("Length of the videos that were cut", STEP),
    "earshot_written_bytes_total": ("Size of the clips that were written", STEP),
    "earshot_training_step": ("Step that the training has reached", STEP),
    "earshot_training_steps": ("Steps of the whole training", STEP),
    "earshot_training_clips_per_second": ("Examples of all workers, validations included", STEP),
    "earshot_training_figure": ("Last losses and other figures, such as train_loss", (*STEP, "figure")),
}
COUNTED_AS = {"video_s": "earshot_video_seconds_total", "clip_bytes": "earshot_written_bytes_total"}
_last: dict[tuple[str, ...], float] = {}  # value of each counter so far


def publish_parts(
    stage: str, step: str, states: Mapping[str, int], seconds_to_go: float | None, counts: Mapping[str, float]
) -> None:
    """Set the metrics of a step that works on parts; Ray must be connected.

    Args:
        stage, step: see the module.
        states: parts by state, done, running, failed and pending.
        seconds_to_go: None where it is not known yet.
        counts: what the parts that are done have counted since the step began, by name.
    """
    of_step = {"stage": stage, "step": step}
    for state, count in states.items():
        _metric("earshot_parts").set(count, of_step | {"state": state})
    _set_remaining(of_step, seconds_to_go)
    _count("earshot_finished_parts_total", states["done"], of_step)
    for name, value in counts.items():
        if name in COUNTED_AS:
            _count(COUNTED_AS[name], value, of_step)
        else:
            _count("earshot_items_total", value, of_step | {"what": name})


def publish_training(
    stage: str, step: str, done: int, total: int, seconds_to_go: float | None, figures: Mapping[str, float]
) -> None:
    """Set the metrics of a training; Ray must be connected.

    Args:
        stage, step: see the module.
        done, total: steps.
        seconds_to_go: None where it is not known yet.
        figures: of the loop's last report; `clips_per_s` has a metric of its own.
    """
    of_step = {"stage": stage, "step": step}
    _metric("earshot_training_step").set(done, of_step)
    _metric("earshot_training_steps").set(total, of_step)
    _set_remaining(of_step, seconds_to_go)
    for name, value in figures.items():
        if name == "clips_per_s":
            _metric("earshot_training_clips_per_second").set(value, of_step)
        else:
            _metric("earshot_training_figure").set(value, of_step | {"figure": name})


def _set_remaining(of_step: dict[str, str], seconds_to_go: float | None) -> None:
    if seconds_to_go is not None:
        _metric("earshot_remaining_seconds").set(seconds_to_go, of_step)


def _count(name: str, value: float, labels: dict[str, str]) -> None:
    """Bring a counter to `value`, counted since the step began: a step that begins anew counts from zero."""
    key = (name, *labels.values())
    before = _last.get(key, 0.0)
    _last[key] = value
    if (more := value - before if value >= before else value) > 0:
        _metric(name).inc(more, labels)


@functools.cache
def _metric(name: str) -> Any:
    description, labels = METRICS[name]
    return (Counter if name.endswith("_total") else Gauge)(name, description, tag_keys=labels)
