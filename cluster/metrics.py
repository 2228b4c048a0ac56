"""Gauges of a running command, which Ray's dashboard and any Prometheus scrape from each node.

`ray_earshot_parts_done`, `ray_earshot_parts_total` and `ray_earshot_seconds_to_go` by stage, and `ray_earshot_items` by
stage and what: for `shard` the seconds of video, and videos and clips by outcome.
"""

import functools
from collections.abc import Mapping

from ray.util.metrics import Gauge


def publish(stage: str, done: int, total: int, seconds_to_go: float, counts: Mapping[str, float]) -> None:
    """Set the gauges of one stage; Ray must be connected.

    Args:
        stage: the command, such as shard.
        done: parts finished.
        total: parts that this run has to do.
        seconds_to_go: estimated from the parts so far.
        counts: what the finished parts counted, by name.
    """
    of_stage = {"stage": stage}
    _gauge("parts_done", "Parts finished").set(done, of_stage)
    _gauge("parts_total", "Parts that this run has to do").set(total, of_stage)
    _gauge("seconds_to_go", "Estimated seconds to the end of the stage").set(seconds_to_go, of_stage)
    for name, count in counts.items():
        _gauge("items", "What the finished parts counted").set(count, of_stage | {"what": name})


@functools.cache
def _gauge(name: str, description: str) -> Gauge:
    keys = ("stage", "what") if name == "items" else ("stage",)
    return Gauge(f"earshot_{name}", description, tag_keys=keys)
