"""Lines of progress without a terminal: the remaining time is that of the results, not of the workers' start."""

from collections.abc import Iterator

import pytest

from jobs.console import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time in seconds, which a test sets."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    yield now
    progress.silence(False)


def lines(clock: list[float], times: list[float], are_new: list[bool] | None = None, note: str = "note") -> None:
    with progress.progress_bar("shard", 10) as advance:
        for place, time in enumerate(times):
            clock[0] = time
            advance(1, note, are_new=are_new is None or are_new[place])


def test_the_start_of_workers_is_no_part_of_the_remaining_time(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    lines(clock, [100, 102, 120])  # 100 s until the first result, then 2 results in 20 s: 7 more take 70 s
    expected = ["shard: 0 of 10", "shard: 1 of 10, note", "shard: 3 of 10, 70 s to go; note"]
    assert capsys.readouterr().err.splitlines() == expected


def test_a_line_without_a_note_ends_with_what_is_known(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    lines(clock, [100, 102, 120], note="")
    assert capsys.readouterr().err.splitlines() == ["shard: 0 of 10", "shard: 1 of 10", "shard: 3 of 10, 70 s to go"]


def test_steps_of_an_earlier_run_are_not_in_the_rate(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    lines(clock, [10, 11, 31], [False, False, True])  # from 11 s on: 1 result in 20 s, 7 more
    assert capsys.readouterr().err.splitlines()[-1] == "shard: 3 of 10, 140 s to go; note"


def test_quiet_shows_nothing(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    progress.silence(True)
    lines(clock, [100, 120])
    assert capsys.readouterr().err == ""
