"""Progress of long work: one bar with count, rate and remaining time, or without a terminal a line every 15 s."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from jobs.console.messages import is_json, say

NOTHING: Mapping[str, float] = MappingProxyType({})
LINE_EVERY_S = 15.0
_is_quiet = False


def silence(is_asked: bool) -> bool:
    """Show no progress from here on, or show it again: what -q asks for; returns that."""
    global _is_quiet
    _is_quiet = is_asked
    return is_asked


def printable(text: str) -> str:
    """A name that others gave, for a terminal: `?` for what would move its cursor or change its colours."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class Pace:
    """How fast steps are done and how long the rest takes, from the second result on: before the first, workers start.

    Args:
        total: steps to do.
    """

    def __init__(self, total: int) -> None:
        self.done, self.total = 0, total
        self._first: tuple[float, int] | None = None  # time of the first result, and the steps done by then
        self._last_s = 0.0

    def add(self, steps: int, are_new: bool = True) -> None:
        """Count steps that are done now, or with are_new=False by an earlier run: these do not count in the rate."""
        self.done += steps
        self._last_s = time.monotonic()
        if self._first is None or not are_new:
            self._first = self._last_s, self.done

    @property
    def per_s(self) -> float | None:
        """Steps per second since the first result; None before the second."""
        if self._first is None or self.done == self._first[1] or self._last_s <= self._first[0]:
            return None
        return (self.done - self._first[1]) / (self._last_s - self._first[0])

    @property
    def to_go_s(self) -> float | None:
        """Seconds that the rest takes at this rate."""
        return None if self.per_s is None else (self.total - self.done) / self.per_s


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[..., Any]]:
    """One bar with count, rate and remaining time; without a terminal, a line at the start and at most every 15 s.

    Gives a function (steps, note) that advances it; with are_new=False by steps that an earlier run has done, which do
    not speak of this one's rate; with `counts` for messages that are JSON. The remaining time follows from the second
    result on: before the first one, workers start.
    """
    if _is_quiet:
        yield lambda *_, **__: None
        return
    if sys.stderr.isatty() and not is_json():
        from rich import progress as rich  # 40 ms, which no command without a bar waits for
        from rich.console import Console

        what_column, note_column = map(rich.TextColumn, ("{task.description:<18}", "{task.fields[note]}"))
        times = (rich.TimeElapsedColumn(), rich.TimeRemainingColumn())
        columns = (what_column, rich.BarColumn(), rich.MofNCompleteColumn(), *times, note_column)
        with rich.Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as progress:
            task = progress.add_task(what, total=total, note="")

            def move(steps: int, note: str, are_new: bool = True, counts: Mapping[str, float] = NOTHING) -> None:
                progress.update(task, advance=steps, note=note)
                if not are_new:
                    progress.reset(task, completed=int(progress.tasks[task].completed))

            yield move
        return
    last, pace, latest = time.monotonic(), Pace(total), NOTHING
    say(f"{what}: 0 of {total}", done=0, total=total)

    def advance(steps: int, note: str, are_new: bool = True, counts: Mapping[str, float] = NOTHING) -> None:
        nonlocal last, latest
        pace.add(steps, are_new)
        latest, now = counts, time.monotonic()
        if now - last >= LINE_EVERY_S and pace.done < total:
            last, to_go_s = now, pace.to_go_s
            to_go = "" if to_go_s is None else f"{to_go_s:.0f} s to go; "
            say(f"{what}: {pace.done} of {total}, {to_go}{note}", "info", None, pace.done, total, to_go_s, counts)

    try:
        yield advance
    finally:
        if is_json():  # for people the command's last line says it
            say(f"{what}: {pace.done} of {total}", "info", None, pace.done, total, pace.to_go_s, latest)
