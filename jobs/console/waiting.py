"""What workers wait for, passed on to the driver: a worker's outages become words of `cluster.waits`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cluster import waits
from pipeline.storage import outages

R = TypeVar("R")
_print = outages.say


def report_waits() -> None:
    """Have this worker's outages said to the driver too; once is enough."""
    outages.say = _say


def _say(text: str) -> None:
    _print(text)  # to Ray's logs
    waits.report(outages.current())


@dataclass(frozen=True)
class ReportingWaits(Generic[R]):
    """Work on parts whose worker reports what it waits for."""

    work: Callable[[str], R]

    def __call__(self, part: str) -> R:
        """The result of a part."""
        report_waits()
        return self.work(part)


def train_reporting_waits(context: Any, job: dict[str, Any]) -> None:
    """A training process that reports what it waits for. Arguments as of `train_job`."""
    from pipeline.learners.loading import train_job

    report_waits()
    train_job(context, job)
