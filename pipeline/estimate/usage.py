"""CPU time, wall time and memory of a stage's work on each part, as one row of `schemas.usage` per part.

The rows have a table of their own, `usage`, because measurements differ from run to run and results must not.
A part has no row if its worker died after the result was written and before the row was. Of a training, a part is the
steps of one process from its start to its last checkpoint: what was lost after that has no row.
"""

import datetime
import platform
import resource
import sys
import time

from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.usage import USAGE, UsageRow

USAGE_FOLDER = "usage"


def usage_folder(stage: str) -> str:
    """The folder of a stage's rows. A stage with several results in a root names each: `score-coincidence`."""
    return f"{USAGE_FOLDER}/{stage}"


def cpu_s() -> float:
    """CPU time so far of this process and of its children that have ended, in seconds."""
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_bytes() -> int:
    """The peak memory of this process, or of one of its children that have ended, if that is larger."""
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return max(peaks) * (1 if sys.platform == "darwin" else 1024)  # macOS counts bytes, Linux kB


class Meter:
    """What this process has taken since the meter was made."""

    def __init__(self) -> None:
        self._began_s, self._before_s = time.monotonic(), cpu_s()

    def row(self, part: str, steps: int | None = None) -> UsageRow:
        """The part's row of usage, up to now."""
        wall_s = time.monotonic() - self._began_s
        return {
            "part": part,
            "host": platform.node(),
            "cpu_s": cpu_s() - self._before_s,
            "gpu_s": wall_s if holds_gpu() else 0.0,
            "wall_s": wall_s,
            "peak_bytes": peak_bytes(),
            "steps": steps,
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }


def holds_gpu() -> bool:
    """Whether this process computes on a GPU; asks torch only where something else has loaded it."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


def commit_usage(workspace: Workspace, stage: str, row: UsageRow) -> None:
    """Write the row of a part, in place of the one that there was."""
    workspace.commit(usage_folder(stage), row["part"], from_rows([row], USAGE, row["part"]), USAGE)
