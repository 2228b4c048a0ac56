"""What long work tells: one bar with count, rate and remaining time, or without a terminal a line every 15 s."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY_S = 15.0
console = Console(stderr=True, highlight=False)


def tell(counts: Mapping[str, float]) -> str:
    """`1 141 kept, 59 silent`, the zeros left out."""
    return ", ".join(f"{count:,.0f} {name}".replace(",", " ") for name, count in counts.items() if count)


def printable(text: str) -> str:
    """A name that others gave, for a terminal: `?` for what would move its cursor or change its colours."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int, str], Any]]:
    """One bar with count, rate and remaining time; without a terminal, a line at most every 15 s.

    Gives a function (steps, note) that advances it.
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
            yield lambda steps, note: progress.update(task, advance=steps, note=note)
        return
    began = last = time.monotonic()
    done = 0

    def advance(steps: int, note: str) -> None:
        nonlocal done, last
        done += steps
        now = time.monotonic()
        if now - last >= LINE_EVERY_S and done < total:
            last = now
            remaining = (now - began) / max(done, 1) * (total - done)
            print(f"{what}: {done} of {total}, {remaining:.0f} s to go; {note}", file=sys.stderr, flush=True)

    yield advance
