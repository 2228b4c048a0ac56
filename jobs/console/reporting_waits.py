"""What workers wait for, passed on to the driver: a worker's outages become words of `cluster.waits`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cluster import waits
from cluster.workers import run_parts
from pipeline.storage import outages

R = TypeVar("R")
_print = outages.say
_is_reported = False


def report_waits() -> None:
    """Have this worker's outages said to the driver too; once is enough."""
    outages.say = _say


def _say(text: str) -> None:
    global _is_reported
    _print(text)  # to Ray's logs
    found = outages.current()
    waits.report(found)
    _is_reported = bool(found)


def _clear() -> None:
    """Report that nothing is waited for, where it is not known: a request may have been given up."""
    global _is_reported
    if _is_reported:
        waits.report({})
        _is_reported = False


@dataclass(frozen=True)
class ReportingWaits(Generic[R]):
    """Work on parts whose worker reports what it waits for."""

    work: Callable[[str], R]

    def __call__(self, part: str) -> R:
        """The result of a part."""
        (result,) = self.run_parts([part])
        return result

    def run_parts(self, parts: Sequence[str]) -> Iterator[R]:
        """The results of parts, as `run_parts` gives them."""
        report_waits()
        try:
            for result in run_parts(self.work, parts):
                _clear()
                yield result
        finally:
            _clear()


def train_reporting_waits(context: Any, job: dict[str, Any]) -> None:
    """A training process that reports what it waits for. Arguments as of `train_job`."""
    from pipeline.learners.loading import train_job

    report_waits()
    train_job(context, job)
