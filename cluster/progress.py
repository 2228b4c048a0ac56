"""Between rank 0 of a training and the driver: the last report one way, the wish for a restart the other.

The actor only carries what is said again: the next report replaces a lost one, the driver repeats its wish, and while
the actor is away training goes on. This file imports Ray alone, so that its process starts at once.
"""

from collections.abc import Callable
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

ANSWER_S = 2.0  # for the actor to answer; a process of its own starts in 1 s, on a busy machine in 60
Report = tuple[int, dict[str, float]]


class ProgressActor:
    """Holds the last report of rank 0 until the driver asks, and whether the workers are to save and leave."""

    def __init__(self) -> None:
        self._last: Report | None = None
        self._is_asked_to_leave = False

    def put(self, step: int, metrics: dict[str, float]) -> None:
        """Leave the figures of a step."""
        self._last = (step, metrics)

    def read(self) -> Report | None:
        """The last step and its figures; None before the first, also of an actor that was started again."""
        return self._last

    def ask_to_leave(self) -> None:
        """Leave word that all workers are to save a checkpoint and end."""
        self._is_asked_to_leave = True

    def is_asked_to_leave(self) -> bool:
        """Whether they are."""
        return self._is_asked_to_leave


class Reports:
    """The driver's end, which passes each report on once. A context manager: within it there is an actor.

    Args:
        on_report: called with a step and its figures.
    """

    def __init__(self, on_report: Callable[[int, dict[str, float]], None]) -> None:
        self.step = 0
        self.has_begun = False
        """Whether rank 0 of this actor's workers has said a word: they have their places."""
        self._last: Report = (0, {})
        self._on_report = on_report

    def __enter__(self) -> Any:
        self.has_begun = False
        # beside the driver, which needs it: another node may be taken away
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        kind = ray.remote(ProgressActor).options(num_cpus=0, max_restarts=-1, scheduling_strategy=here)
        self._actor: Any = kind.remote()
        return self._actor

    def __exit__(self, *_: object) -> None:
        if ray.is_initialized():
            ray.kill(self._actor)

    def show(self) -> None:
        """Pass on what rank 0 has reported since the last call, if the actor is there."""
        try:
            last = ray.get(self._actor.read.remote(), timeout=ANSWER_S)
        except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):
            return
        if last is None:
            return
        self.has_begun = True
        if last[0] > 0 and last != self._last:
            self.step, self._last = last[0], last
            self._on_report(*last)

    def ask_to_leave(self) -> None:
        """Have all workers save a checkpoint and end, at one step."""
        self._actor.ask_to_leave.remote()
