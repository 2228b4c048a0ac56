"""Progress of long work: one bar with count, rate and remaining time, or without a terminal a line every 15 s."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY_S = 15.0
console = Console(stderr=True, highlight=False)


def printable(text: str) -> str:
    """A name that others gave, for a terminal: `?` for what would move its cursor or change its colours."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[..., Any]]:
    """One bar with count, rate and remaining time; without a terminal, a line at the start and at most every 15 s.

    Gives a function (steps, note) that advances it; with are_new=False by steps that an earlier run has done, which do
    not speak of this one's rate.
    """
    if sys.stderr.isatty():
        columns = (
            TextColumn("{task.description:<18}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(what, total=total, note="")

            def move(steps: int, note: str, are_new: bool = True) -> None:
                progress.update(task, advance=steps, note=note)
                if not are_new:
                    progress.reset(task, completed=int(progress.tasks[task].completed))

            yield move
        return
    began = last = time.monotonic()
    done = restored = 0
    print(f"{what}: 0 of {total}", file=sys.stderr, flush=True)

    def advance(steps: int, note: str, are_new: bool = True) -> None:
        nonlocal began, done, last, restored
        done += steps
        now = time.monotonic()
        if not are_new:
            began, restored = now, done
        if now - last >= LINE_EVERY_S and done < total:
            last = now
            to_go = f"{(now - began) / (done - restored) * (total - done):.0f} s to go; " if done > restored else ""
            print(f"{what}: {done} of {total}, {to_go}{note}", file=sys.stderr, flush=True)

    yield advance
