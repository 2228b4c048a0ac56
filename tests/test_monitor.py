"""One step, as its gauges and its record on disk show it; the bar is in test_progress."""

from pathlib import Path

import pytest

from jobs.console import progress
from jobs.console.monitor import Monitor
from pipeline.storage.progress_records import Progress, read_progress
from pipeline.storage.workspace import Workspace


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, which a test sets."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path))


def test_a_step_is_on_disk_from_its_begin_on_then_every_20_s_and_at_its_end(
    workspace: Workspace, clock: list[float]
) -> None:
    with Monitor(workspace, ["clips/base", "clips/events"], "shard base events", 10) as monitor:
        first = read_progress(workspace, "clips/base")
        assert first is not None
        assert (first.step, first.unit, first.done, first.total) == ("shard base events", "parts", 0, 10)
        seen = []
        for clock[0] in (5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60):
            monitor.hand_out(int(clock[0]))
            if clock[0] in (10, 25, 50):
                monitor.advance(1, {"clips": clock[0]}, "")
            monitor.tick()
            found = read_progress(workspace, "clips/events")
            assert found is not None
            seen.append(found.running)
        assert seen == [5, 10, 10, 20, 20, 20, 20, 40, 40, 40, 40, 60]
    last = read_progress(workspace, "clips/base")
    assert last is not None
    assert (last.done, last.running, last.figures, last.error) == (3, 0, {"clips": 50.0}, "")
    # the first result at 10 s holds the start of the workers; 2 more in 40 s, 7 to go
    assert (last.per_s, last.seconds_to_go) == (0.05, 140.0)


def test_what_ended_a_step_is_kept(workspace: Workspace, clock: list[float]) -> None:
    def fail(error: BaseException) -> str:
        with pytest.raises(type(error)), Monitor(workspace, ["scores/m"], "score m", 2):
            raise error
        found = read_progress(workspace, "scores/m")
        assert found is not None
        return found.error

    assert fail(ValueError("part 00042: \x1b[2J" + "x" * 1000)) == ("ValueError: part 00042: ?[2J" + "x" * 1000)[:500]
    assert fail(KeyboardInterrupt()) == "stopped"


def test_gauges_are_set_again_while_nothing_is_done(workspace: Workspace, clock: list[float]) -> None:
    published: list[tuple[str, Progress]] = []
    with Monitor(
        workspace, ["models/m"], "train coincidence", 100, "steps", lambda *of: published.append(of)
    ) as monitor:
        monitor.advance(60, {}, "", are_new=False)  # an earlier run's
        clock[0] = 5.0
        monitor.tick()
        monitor.advance(10, {"train_loss": 0.5}, "")
        for clock[0] in (10.0, 15.0):
            monitor.tick()
    assert [(stage, of.done, of.per_s) for stage, of in published] == [
        ("models/m", 0, None),
        ("models/m", 60, None),
        *[("models/m", 70, 2.0)] * 3,
    ]
    assert published[-1][1].seconds_to_go == 15.0


def test_each_part_that_fails_is_said_once_and_counted(
    workspace: Workspace, clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    failed: dict[str, BaseException] = {}
    with Monitor(workspace, ["scores/m"], "score m", 5) as monitor:
        for part in ("00003", "00001"):
            failed[part] = ValueError(f"bad {part}\nTraceback")
            monitor.hand_out(2, failed)
            monitor.hand_out(1, failed)
    assert capsys.readouterr().err.splitlines()[1:] == [
        "score m: part 00003 failed, others go on: ValueError: bad 00003",
        "score m: part 00001 failed, others go on: ValueError: bad 00001",
    ]
    found = read_progress(workspace, "scores/m")
    assert found is not None
    assert found.failed == 2
