"""One step of a command, shown to all who watch: on the terminal, to Prometheus, and on disk for `earshot status`."""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any

from jobs.console.exit_codes import note_work
from jobs.console.messages import at_work, say
from jobs.console.pace import Pace
from jobs.console.progress import printable, progress_bar
from pipeline.formatting import format_now
from pipeline.storage.progress_records import WRITE_EVERY_S, Progress, ProgressFile
from pipeline.storage.workspace import Workspace

Publish = Callable[[str, Progress], None]
MAX_ERROR = 500  # letters of an error's message that are kept
# Ray drops a gauge that is not set again for twice its report interval of 10 s, and a part may take an hour.
TICK_S = 5.0


class Monitor:
    """A context for the length of a step; whoever does the work says what is done.

    Args:
        stages: the stages that are begun, such as clips/base; each gets a progress record.
        step: the work, such as shard base.
        total: parts to do, or steps of a training.
        unit: parts or steps.
        publish: sets the gauges of a cluster; None where there is none.
    """

    def __init__(
        self,
        workspace: Workspace,
        stages: Sequence[str],
        step: str,
        total: int,
        unit: str = "parts",
        publish: Publish | None = None,
    ) -> None:
        self._stages, self._publish = tuple(stages), publish
        self._records = [ProgressFile(workspace, stage) for stage in stages]
        self._pace, self._stack = Pace(total), contextlib.ExitStack()
        self._now: dict[str, Any] = {"step": step, "unit": unit, "began": format_now(), "running": 0, "failed": 0}
        self._figures: dict[str, float] = {}
        self._began_s = self._written_s = time.monotonic()
        self._lock, self._over = threading.Lock(), threading.Event()
        self._ticker = threading.Thread(target=self._tick_until_over, daemon=True)

    def __enter__(self) -> "Monitor":
        self._stack.enter_context(at_work(step=self._now["step"]))
        self._advance = self._stack.enter_context(progress_bar(self._now["step"], self._pace.total))
        self._show(is_due=True)
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._ticker.join()
        self._stack.__exit__(kind, error, trace)
        self._now["running"] = 0
        self._show(is_due=True, error=_format(error))

    def hand_out(self, running: int, failed: Mapping[str, BaseException] = MappingProxyType({})) -> None:
        """Note how many parts workers have now, and say which parts have failed since the last call, and why."""
        for part in list(failed)[self._now["failed"] :]:  # a dict has its keys in the order in which they came
            say(f"{self._now['step']}: part {part} failed, others go on: {_format(failed[part])}", "error", part)
        self._now |= {"running": running, "failed": len(failed)}

    def advance(self, steps: int, figures: Mapping[str, float], note: str, are_new: bool = True) -> None:
        """Show that steps are done, by an earlier run if not `are_new`, with all that was counted so far."""
        if are_new:
            note_work()
        with self._lock:
            self._pace.add(steps, are_new)
            self._figures = {name: float(value) for name, value in figures.items()}
        self._advance(steps, note, are_new=are_new, counts=self._figures)

    def tick(self) -> None:
        """Set the gauges anew, and write the record where it is due: more often while a step is young."""
        elapsed_s, since_s = (time.monotonic() - begin_s for begin_s in (self._began_s, self._written_s))
        self._show(is_due=since_s >= min(WRITE_EVERY_S, elapsed_s / 2))

    def _tick_until_over(self) -> None:
        while not self._over.wait(TICK_S):
            self.tick()

    def _show(self, is_due: bool, error: str = "") -> None:
        with self._lock:
            progress = self._progress(error)
        if self._publish:
            self._publish(" ".join(self._stages), progress)
        if is_due:
            self._written_s = time.monotonic()
            for record in self._records:
                record.write(progress)

    def _progress(self, error: str) -> Progress:
        return Progress(
            **self._now,
            done=self._pace.done,
            total=self._pace.total,
            updated=format_now(),
            per_s=self._pace.per_s,
            seconds_to_go=self._pace.to_go_s,
            figures=self._figures,
            error=error,
        )


def _format(error: BaseException | None) -> str:
    if error is None:
        return ""
    if isinstance(error, KeyboardInterrupt | GeneratorExit):
        return "stopped"
    return printable(f"{type(error).__name__}: {error}".partition("\n")[0])[:MAX_ERROR]


def publish_parts(stage: str, progress: Progress) -> None:
    """Set the gauges of work on parts; Ray must be connected."""
    from cluster import metrics

    done, running, failed = progress.done, progress.running, progress.failed
    pending = max(0, progress.total - done - running - failed)
    states = {"done": done, "running": running, "failed": failed, "pending": pending}
    metrics.publish_parts(stage, progress.step, states, progress.seconds_to_go, progress.figures)


def publish_training(stage: str, progress: Progress) -> None:
    """Set the gauges of a training; Ray must be connected."""
    from cluster import metrics

    metrics.publish_training(
        stage, progress.step, progress.done, progress.total, progress.seconds_to_go, progress.figures
    )
