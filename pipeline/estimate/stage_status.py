"""How far every stage of a workspace is, from what is on disk: records, locks, progress records, parts.

Nothing is asked of the processes at work, so any machine that reads the root will do. A finished stage is not listed:
it is complete if it has the last part of what it was made from. On an object store a workspace of 10^5 parts takes a
page of records, some forty requests that look for the last part, and one listing for each stage that is not complete.
"""

import dataclasses
import datetime
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, COLLECTION_FOLDER, IMPORTED, PARTITIONS, VIDEOS_FOLDER
from pipeline.storage.lineage import list_stages
from pipeline.storage.locking import holder
from pipeline.storage.progress_records import Progress, read_progress
from pipeline.storage.workspace import Workspace

NUM_THREADS = 8  # requests in flight
State = Literal["not begun", "running", "stopped", "grown", "finished"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StageStatus:
    """One stage, such as clips/base. Times are UTC, ISO 8601; what is not known is None."""

    stage: str
    state: State
    """`stopped` is begun, not finished, and nobody is at work; `grown` was finished before what it reads has grown."""
    unit: str = "parts"
    """What is counted: parts, or steps of a training."""
    done: int | None = None
    total: int | None = None
    running: int = 0
    """Parts that workers have now."""
    failed: int = 0
    """Parts given up in the last run."""
    per_s: float | None = None
    """Units per second, of the last run."""
    seconds_to_go: float | None = None
    """To the end of the step, for a stage that is running."""
    seconds: float | None = None
    """How long the last step has taken so far, or took."""
    step: str = ""
    """The last step, such as compare default of duplicates/default."""
    started: str | None = None
    """When the stage was begun first."""
    finished: str | None = None
    updated: str | None = None
    """When its driver said last how far it is."""
    by: dict[str, Any] | None = None
    """Host, pid, command and since of the process at work."""
    figures: dict[str, float] = dataclasses.field(default_factory=dict)
    """What the last run counted, or its losses and clips per second."""
    error: str = ""
    """What ended the last run before its time."""


def list_statuses(workspace: Workspace, expected: Iterable[str] = ()) -> list[StageStatus]:
    """Every stage that has begun, in the order in which they did, then those of `expected` that have not."""
    records = list_stages(workspace)
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        holders = pool.map(lambda stage: holder(workspace, stage), records)
        reported = pool.map(lambda stage: read_progress(workspace, stage), records)
        parts = _Parts(workspace, records)
        counts = pool.map(parts.count, records)
        now = datetime.datetime.now(datetime.UTC)
        found = [
            _status(stage, record, by, progress, *counted, now)
            for (stage, record), by, progress, counted in zip(records.items(), holders, reported, counts, strict=True)
        ]
    return found + [StageStatus(stage=stage, state="not begun") for stage in expected if stage not in records]


def _status(
    stage: str,
    record: dict[str, Any],
    by: dict[str, Any] | None,
    progress: Progress | None,
    done: int | None,
    total: int | None,
    now: datetime.datetime,
) -> StageStatus:
    finished = record.get("finished")
    if progress is not None and done is None:  # of a training the step; else what its driver had to do
        done, total = progress.done, progress.total
    elif progress is not None and total is None and done is not None and not finished:
        total = done + progress.total - progress.done
    elif finished and total is None:
        total = done
    is_short = done is not None and total is not None and done < total
    state: State = "running" if by else "stopped" if not finished else "grown" if is_short else "finished"
    status = StageStatus(
        stage=stage, state=state, done=done, total=total, started=record["started"], finished=finished, by=_public(by)
    )
    return status if progress is None else dataclasses.replace(status, **_progress_fields(progress, state, now))


def _progress_fields(progress: Progress, state: State, now: datetime.datetime) -> dict[str, Any]:
    """What a driver said of itself, brought forward to now where it is at work."""
    is_running = state == "running" and not progress.error
    began, updated = (datetime.datetime.fromisoformat(time) for time in (progress.began, progress.updated))
    to_go_s = progress.seconds_to_go
    if to_go_s is not None:
        to_go_s = max(0.0, to_go_s - (now - updated).total_seconds()) if is_running else None
    return {
        "unit": progress.unit,
        "running": progress.running if is_running else 0,
        "failed": progress.failed,
        "per_s": progress.per_s,
        "seconds_to_go": to_go_s,
        "seconds": max(0.0, ((now if is_running else updated) - began).total_seconds()),
        "step": progress.step,
        "updated": progress.updated,
        "figures": progress.figures,
        "error": progress.error if state != "running" else "",
    }


def _public(by: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if by is None else {name: by.get(name) for name in ("host", "pid", "command", "since")}


class _Parts:
    """Counts of parts, done and in all."""

    def __init__(self, workspace: Workspace, records: dict[str, dict[str, Any]]) -> None:
        self._workspace, self._records = workspace, records
        self._num_planned = count_consecutive(
            lambda number: files.exists(workspace.part_uri(COLLECTION_FOLDER, part_name(number)))
        )
        self._num_cut = self._done(CLIPS_FOLDER, VIDEOS_FOLDER, self._num_planned) if CLIPS_FOLDER in records else 0

    def count(self, stage: str) -> tuple[int | None, int | None]:
        """Parts of a stage that are done, and how many there will be; None for what is counted elsewhere or unknown."""
        kind, _, name = stage.partition("/")
        if stage == CLIPS_FOLDER:
            return self._num_cut, self._num_planned
        if kind == "clips":
            return self._done(stage, f"videos/{name}", self._num_planned), self._num_planned
        if kind in ("labels", "scores", "duplicates", "selections"):  # a part for each part of the clips
            return self._done(stage, stage, self._num_cut), self._num_cut
        sources = [source for source in self._records[stage]["inputs"] if source.startswith("clips/")]
        if (
            kind in ("features", IMPORTED) and sources and sources[0] in self._records
        ):  # published ones are made from no clips
            num_cut = self.count(sources[0])[0] or 0
            return self._done(stage, stage, num_cut), num_cut
        if kind in PARTITIONS:  # their parts are planned from a selection
            return len(self._workspace.parts(stage)), None
        return None, None

    def _done(self, stage: str, partition: str, total: int) -> int:
        if total == self._num_planned and "finished" in self._records[stage]:
            last = self._workspace.part_uri(partition, part_name(total - 1))
            if files.exists(last):
                return total
        return len(self._workspace.parts(partition))


def part_name(number: int) -> str:
    """The name of the collection's part of that number."""
    return f"{number:05d}"


def count_consecutive(has: Callable[[int], bool]) -> int:
    """How many of 0, 1, 2, ... there are, if all that are there come first: about 2 log2 of that many questions.

    >>> count_consecutive(lambda number: number < 1250)
    1250
    """
    if not has(0):
        return 0
    low, high = 0, 1  # the first is there
    while has(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if has(middle) else (low, middle)
    return high
