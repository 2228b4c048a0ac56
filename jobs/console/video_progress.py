"""Progress of work on one video: a bar for each thing that is done with it, in seconds of video."""

import contextlib
from types import TracebackType
from typing import Any

from jobs.console.progress import printable, progress_bar


class VideoProgress:
    """Called with what is being done, the seconds that are done, and those in all; a context that ends its bar."""

    def __init__(self, name: str) -> None:
        self._name, self._phase, self._done = printable(name), "", 0
        self._stack = contextlib.ExitStack()
        self._advance: Any = None

    def __enter__(self) -> "VideoProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def __call__(self, phase: str, done_s: float, total_s: float) -> None:
        """Show how far the work is."""
        if phase != self._phase:
            self._stack.close()
            self._phase, self._done = phase, 0
            total = max(1, round(total_s or done_s))
            self._advance = self._stack.enter_context(progress_bar(f"{phase} {self._name}, seconds", total))
        if (steps := int(done_s) - self._done) > 0:
            self._done += steps
            self._advance(steps, "")
