"""Work on parts that is measured: what each part took is a row of the table `usage`."""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from cluster.workers import run_parts
from pipeline.estimate.usage import Meter, commit_usage
from pipeline.storage.workspace import Workspace

R = TypeVar("R")


class Metered(Generic[R]):
    """A stage's work on parts, measured; a plain callable that runs in a loop or on a worker."""

    def __init__(self, workspace: Workspace, stage: str, work: Callable[[str], R]) -> None:
        self._workspace, self._stage, self._work = workspace, stage, work

    def __call__(self, part: str) -> R:
        """Do the work, commit the part's row of usage, return the result of the work."""
        return next(self.run_parts([part]))

    def run_parts(self, parts: Sequence[str]) -> Iterator[R]:
        """The same of several parts, in order. What work does for several at once is counted for the first of them."""
        meter = Meter()
        for part, result in zip(parts, run_parts(self._work, parts), strict=True):
            commit_usage(self._workspace, self._stage, meter.row(part))
            meter = Meter()
            yield result
