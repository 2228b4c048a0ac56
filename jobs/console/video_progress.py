"""Work on videos, one after the other: a bar for each thing that is done with one, its line, and the last line."""

import contextlib
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from jobs.console.messages import say
from jobs.console.progress import printable, progress_bar
from pipeline.errors import ClipError, ConfigError, DataError
from pipeline.formatting import format_bytes, format_number

if TYPE_CHECKING:
    from pipeline.inference.inputs import Job

R = TypeVar("R")


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


def each_video(jobs: "list[Job]", out: str, work: "Callable[[Job, VideoProgress], R]") -> list[R]:
    """What `work` gives of each video that it succeeds with; the others are named, and the rest goes on.

    Args:
        jobs: the videos.
        out: folder that was asked for, for the message.
        work: takes a video, and what to call with how far it is.
    Raises:
        ConfigError: `out` cannot be written to.
    """
    results = []
    for job in jobs:
        try:
            if job.error is not None:
                raise job.error
            with VideoProgress(job.uri.rpartition("/")[2]) as report:
                result = work(job, report)
        except (ClipError, DataError) as error:
            shown = str(error) if job.uri in str(error) else f"{job.uri}: {error}"
            say(printable(f"earshot: {shown}".replace("\n", " ")), "error")
            continue
        except OSError as error:
            raise ConfigError(f"--out {out}: cannot be written to ({error}). Choose another folder.") from error
        results.append(result)
        print(printable(f"{job.uri}: {result} -> {job.folder}"), flush=True)
    return results


def run_on_videos(
    jobs: "list[Job]",
    out: str,
    work: "Callable[[Job, VideoProgress], R]",
    summary: Callable[[list[R], int, float, str], str],
) -> None:
    """Do the work on each video as `each_video`, and print the last line; the exit code is 1 if one failed.

    Args:
        summary: (results, number of videos, seconds, out) -> the last line.
    """
    began = time.monotonic()
    results = each_video(jobs, out, work)
    print(summary(results, len(jobs), time.monotonic() - began, out), flush=True)
    if len(results) < len(jobs):
        raise typer.Exit(1)


def format_pace(length_s: float, elapsed_s: float) -> str:
    """`12 s (3.2 times real time)`, for videos of `length_s` together."""
    return f"{format_number(elapsed_s)} s" + (f" ({length_s / elapsed_s:.1f} times real time)" if length_s else "")


def last_line(command: str, num_done: int, num_videos: int, facts: str, out: str) -> str:
    """The last line of a command; its peak memory is that of the largest process, this one or an ffmpeg."""
    from pipeline.estimate.usage import peak_bytes

    failed = f"{num_videos - num_done} of {num_videos} failed; " if num_done < num_videos else ""
    return f"{command}: {failed}{facts}, peak memory {format_bytes(peak_bytes())} -> {out}"
