"""Progress of long work: one bar with count, rate and remaining time, or without a terminal a line every 15 s."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from jobs.console.messages import is_json, say
from jobs.console.pace import Pace

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
            facts = "; ".join(filter(None, ["" if to_go_s is None else f"{to_go_s:.0f} s to go", note]))
            line = ", ".join(filter(None, [f"{what}: {pace.done} of {total}", facts]))
            say(line, "info", None, pace.done, total, to_go_s, counts)

    try:
        yield advance
    finally:
        if is_json():  # for people the command's last line says it
            say(f"{what}: {pace.done} of {total}", "info", None, pace.done, total, pace.to_go_s, latest)
