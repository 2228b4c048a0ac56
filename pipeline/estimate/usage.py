"""What a part took: any stage's work, measured, with one row of `schemas.usage` beside its result.

The rows lie in a folder of their own, `usage/<stage>/`: costs differ from run to run, and results must not. A part
that was finished before its row was written (the worker died in between) has none.
"""

import datetime
import platform
import resource
import sys
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.usage import USAGE

R = TypeVar("R")
USAGE_FOLDER = "usage"


def usage_folder(stage: str) -> str:
    """Where the costs of a stage's parts lie. A stage that a root has several of names each: `score/coincidence`."""
    return f"{USAGE_FOLDER}/{stage}"


def cpu_s() -> float:
    """CPU time so far of this process and of its children that have ended, in seconds."""
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_bytes() -> int:
    """The most memory that this process, or one of its children that have ended, ever held."""
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return max(peaks) * (1 if sys.platform == "darwin" else 1024)  # macOS counts bytes, Linux kB


class Metered(Generic[R]):
    """A stage's work on one part, measured. A plain callable: it runs in a loop or on a worker."""

    def __init__(self, workspace: Workspace, stage: str, work: Callable[[str], R]) -> None:
        self._workspace, self._stage, self._work = workspace, stage, work

    def __call__(self, part: str) -> R:
        """Do the work, commit the part's row of usage, return what the work returned."""
        began_s, before_s = time.monotonic(), cpu_s()
        result = self._work(part)
        row = {
            "stage": self._stage,
            "part": part,
            "host": platform.node(),
            "cpu_s": cpu_s() - before_s,
            "wall_s": time.monotonic() - began_s,
            "peak_bytes": peak_bytes(),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        self._workspace.commit(usage_folder(self._stage), part, from_rows([row], USAGE, part), USAGE)
        return result
