"""Waiting for what passes: how long, how often it is said, and when it is over."""

from collections.abc import Iterator

import pytest

from pipeline.errors import ConfigError
from pipeline.storage import outages


class Clock:
    """A monotonic clock that a test moves."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(outages, "time", clock)
    yield clock
    outages.ended("place")


def fail(clock: Clock, until_s: float) -> list[float]:
    """The waits of a request that fails until so many seconds have passed; None, the end of patience, is left out."""
    since, waits, attempt = clock.now, list[float](), 0
    while clock.now < since + until_s:
        attempt += 1
        wait = outages.wait_s("place", "no answer", since, attempt)
        if wait is None:
            break
        waits.append(wait)
        clock.now += wait
    return waits


def test_waits_double_up_to_half_a_minute_and_the_last_attempt_is_made_at_the_limit(clock: Clock) -> None:
    waits = fail(clock, 10_000)
    assert sum(waits) == pytest.approx(600)
    for number, wait in enumerate(waits[:-1]):
        longest = min(0.5 * 2**number, 30)
        assert longest / 2 <= wait <= longest
    assert len(waits) >= 6 + (600 - 32) / 30  # 0.5 to 16 s take 32 s at most; from there on 30 s each at most


@pytest.mark.parametrize(("seconds", "limit"), [("0", 0), ("90.5", 90.5), ("", 600)])
def test_the_limit_is_what_the_environment_says(
    seconds: str, limit: float, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARSHOT_OUTAGE_S", seconds)
    assert sum(fail(clock, 10_000)) == pytest.approx(limit)


@pytest.mark.parametrize("text", ["ten", "-1", "inf", "nan"])
def test_a_limit_that_is_no_time_is_the_users_mistake(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARSHOT_OUTAGE_S", text)
    with pytest.raises(ConfigError, match=f"EARSHOT_OUTAGE_S = {text}: expected a number of seconds"):
        outages.limit_s()


def test_within_a_block_the_limit_is_shorter_and_never_longer(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    with outages.at_most(3):
        assert sum(fail(clock, 10_000)) == pytest.approx(3)
    monkeypatch.setenv("EARSHOT_OUTAGE_S", "2")
    with outages.at_most(3):
        assert sum(fail(clock, 10_000)) == pytest.approx(2)


def test_an_outage_is_said_within_two_seconds_then_every_minute_or_so_and_when_it_is_over(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(clock, 3)
    assert capsys.readouterr().err == "place: no answer; trying again for up to 10 min\n"
    clock.now = 1100.0
    fail(clock, 100)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "place: no answer for 100 s; trying again for up to 10 min"
    assert len(lines) == 2  # the next one a minute later, and up to half a one more
    clock.now = 1300.0
    outages.ended("place")
    assert capsys.readouterr().err == "place: back after 5 min\n"
    outages.ended("place")
    assert capsys.readouterr().err == ""


def test_a_single_failure_is_not_said(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    assert outages.wait_s("place", "no answer", clock.now, 1) is not None
    clock.now += 0.5
    outages.ended("place")
    assert capsys.readouterr().err == ""


def test_a_failure_long_after_the_last_one_begins_another_outage(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(clock, 3)
    clock.now += 3600
    capsys.readouterr()
    assert outages.wait_s("place", "no answer", clock.now, 1) is not None
    assert capsys.readouterr().err == ""
