"""How far the command at work on a stage is: a small file beside the stage's lock, for `earshot status` to read.

A driver writes it when a step of the stage begins, at most every WRITE_EVERY_S while it works, and when the step ends.
What is on disk as parts stays the truth; the record adds what no part shows: what is being done now, how fast, how much
time that leaves, and why it ended. Losing one costs nothing.
"""

import contextlib
import dataclasses
import json
from typing import Any

from pipeline.errors import DataError, EarshotError
from pipeline.storage import files, outages
from pipeline.storage.locking import LOCKS_FOLDER
from pipeline.storage.traceless import TracelessObject
from pipeline.storage.workspace import Workspace

WRITE_EVERY_S = 20.0  # as often as a lease is renewed
MOST_S = 2.0  # of waiting for a store that does not answer: the next part will wait for as long as it takes


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """One step of a stage, as its driver saw it last."""

    step: str
    """The work, such as shard base, or compare default within duplicates/default."""
    unit: str
    """What is counted: parts, or steps of a training."""
    done: int
    """Of `total`, which is what was left to do when the step began; a training counts from its first step."""
    total: int
    running: int = 0
    """Parts handed out to workers."""
    failed: int = 0
    """Parts given up."""
    began: str
    """When the step began, UTC, ISO 8601."""
    updated: str
    """When this was written."""
    per_s: float | None = None
    """Units per second since the first one was done; None before the second."""
    seconds_to_go: float | None = None
    figures: dict[str, float] = dataclasses.field(default_factory=dict)
    """What was counted so far, or losses and clips per second of a training."""
    error: str = ""
    """What ended the step before its time; empty if nothing did."""


class ProgressFile:
    """A stage's record, written by one process; it leaves no versions behind on a bucket that keeps them."""

    def __init__(self, workspace: Workspace, stage: str) -> None:
        self._uri = _uri(workspace, stage)
        self._object = None if files.store_at(self._uri).is_local else TracelessObject(self._uri)

    def write(self, progress: Progress) -> None:
        """Put the record in place; a store that refuses it is no reason to stop the work."""
        data = json.dumps(dataclasses.asdict(progress), indent=1).encode()
        with outages.at_most(MOST_S), contextlib.suppress(OSError, EarshotError, *files.remote_errors()):
            if self._object is None:
                files.commit_bytes(self._uri, data)
            else:
                self._object.replace(data)


def read_progress(workspace: Workspace, stage: str) -> Progress | None:
    """A stage's record; None if there is none, or one of another version."""
    try:
        found: Any = json.loads(files.read_bytes(_uri(workspace, stage)))
        return Progress(**found)
    except (DataError, ValueError, TypeError):
        return None


def _uri(workspace: Workspace, stage: str) -> str:
    return workspace.uri(LOCKS_FOLDER, f"{stage}.progress.json")
