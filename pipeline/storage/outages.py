"""Faults that pass by themselves, such as a store that does not answer: work waits, says so on stderr, and goes on.

Waits grow from FIRST_WAIT_S to LONGEST_WAIT_S. A random share is taken off each, so that a thousand workers do not come
back in step. After `limit_s()` the work fails with OutageError.

Design note: a store that never answered is waited for as long as one that did. The first line on stderr comes after a
second and names the endpoint, which is enough for a person who mistyped it; a nightly job that starts during an outage
would be lost otherwise.
"""

import contextlib
import contextvars
import dataclasses
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator

from pipeline.errors import ConfigError
from pipeline.formatting import format_hours

LIMIT_VARIABLE = "EARSHOT_OUTAGE_S"
LIMIT_S = 600.0  # a gateway that restarts takes a minute, a failover or a deployment up to ten
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
SAY_AFTER_S = 1.0  # one request that is turned away is no outage
SAY_EVERY_S = 60.0
# A place that has neither failed nor answered for so long: its next failure begins another outage.
FORGET_S = 300.0


@dataclasses.dataclass(slots=True)
class _Outage:
    """What a place is known for since it last answered, in seconds of the monotonic clock."""

    began_s: float
    failed_s: float
    found: str
    said_s: float | None = None


_outages: dict[str, _Outage] = {}
_lock = threading.Lock()
_most_s: contextvars.ContextVar[float | None] = contextvars.ContextVar("most_s", default=None)


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


say: Callable[[str], None] = _print
"""Where a line about an outage goes: a worker, whose stderr nobody sees, sets another function."""


def limit_s() -> float:
    """How long work waits for an outage to pass, in seconds: LIMIT_S, or what the environment says.

    Raises:
        ConfigError: the environment does not say a number of seconds.
    """
    text = os.environ.get(LIMIT_VARIABLE, "")
    try:
        seconds = float(text or LIMIT_S)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ConfigError(f"{LIMIT_VARIABLE} = {text}: expected a number of seconds, 0 or more, such as 600.")
    return seconds


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Within the block, and in its thread, wait for no outage longer than that."""
    token = _most_s.set(seconds)
    try:
        yield
    finally:
        _most_s.reset(token)


def most_s() -> float | None:
    """The seconds of the innermost `at_most`; None outside of any."""
    return _most_s.get()


def wait_s(place: str, found: str, since_s: float, attempt: int) -> float | None:
    """How long to wait before an attempt is repeated; None if it has been repeated for long enough.

    Args:
        place: what failed, such as s3://bucket; begins the line on stderr.
        found: how it failed.
        since_s: when the first attempt began, by the monotonic clock.
        attempt: how many have failed.
    """
    now, limit, most = time.monotonic(), limit_s(), _most_s.get()
    if limit > 0:
        _announce(place, found, since_s, now, limit)
    left = since_s + (limit if most is None else min(most, limit)) - now
    if left <= 0:
        return None
    longest = min(FIRST_WAIT_S * 2.0 ** min(attempt - 1, 16), LONGEST_WAIT_S)
    return min(longest * random.uniform(0.5, 1.0), left)  # the last attempt comes when the limit is reached


def ended(place: str) -> None:
    """Say that a place is back, if it was said that it is not."""
    if place not in _outages:
        return
    with _lock:
        outage = _outages.pop(place, None)
    if outage is not None and outage.said_s is not None:
        say(f"{place}: back after {_format(time.monotonic() - outage.began_s)}")


def current() -> dict[str, tuple[str, float]]:
    """What this process waits for and has said so: by place how it failed last, and the seconds since it first did."""
    now = time.monotonic()
    with _lock:
        said = {place: outage for place, outage in _outages.items() if outage.said_s is not None}
        return {place: (outage.found, now - outage.began_s) for place, outage in said.items()}


def _announce(place: str, found: str, since_s: float, now: float, limit: float) -> None:
    with _lock:
        outage = _outages.get(place)
        if outage is None or now - outage.failed_s > FORGET_S:
            outage = _outages[place] = _Outage(since_s, now, found)
        outage.failed_s, outage.found = now, found
        lasts_s, is_first = now - outage.began_s, outage.said_s is None
        is_due = lasts_s >= SAY_AFTER_S if outage.said_s is None else now - outage.said_s >= SAY_EVERY_S
        if is_due:
            outage.said_s = now
    if is_due:
        so_far = "" if is_first else f" for {_format(lasts_s)}"
        say(f"{place}: {found}{so_far}; trying again for up to {_format(limit)}")


def _format(seconds: float) -> str:
    return format_hours(round(seconds) / 3600)
