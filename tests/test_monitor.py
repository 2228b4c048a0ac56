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
        for clock[0], running in ((0, 3), (10, 3), (19, 4), (20, 5), (25, 5), (39.9, 5)):
            monitor.hand_out(running)  # the first time it is written at once
            if clock[0]:
                monitor.advance(1, {"clips": clock[0]}, "")
            found = read_progress(workspace, "clips/events")
            assert found is not None
            seen.append((found.done, found.running, found.figures.get("clips")))
        assert seen == [(0, 3, None), (0, 3, None), (0, 3, None), (2, 5, 19.0), (2, 5, 19.0), (2, 5, 19.0)]
    last = read_progress(workspace, "clips/base")
    assert last is not None
    assert (last.done, last.running, last.figures, last.error) == (5, 0, {"clips": 39.9}, "")
    # the first result at 10 s holds the start of the workers; 4 more in 29.9 s, 5 to go
    assert last.per_s == pytest.approx(4 / 29.9)
    assert last.seconds_to_go == pytest.approx(5 * 29.9 / 4)


def test_what_ended_a_step_is_kept(workspace: Workspace, clock: list[float]) -> None:
    def fail(error: BaseException) -> str:
        with pytest.raises(type(error)), Monitor(workspace, ["scores/m"], "score m", 2):
            raise error
        found = read_progress(workspace, "scores/m")
        assert found is not None
        return found.error

    assert fail(ValueError("part 00042: \x1b[2J" + "x" * 1000)) == ("ValueError: part 00042: ?[2J" + "x" * 1000)[:500]
    assert fail(KeyboardInterrupt()) == "stopped"


def test_gauges_are_set_at_every_change(workspace: Workspace, clock: list[float]) -> None:
    published: list[tuple[str, Progress]] = []
    with Monitor(
        workspace, ["models/m"], "train coincidence", 100, "steps", lambda *of: published.append(of)
    ) as monitor:
        monitor.advance(60, {}, "", are_new=False)  # an earlier run's
        clock[0] = 5.0
        monitor.advance(10, {"train_loss": 0.5}, "")
    assert [(stage, of.done, of.per_s) for stage, of in published] == [
        ("models/m", 0, None),
        ("models/m", 60, None),
        ("models/m", 70, 2.0),
        ("models/m", 70, 2.0),
    ]
    assert published[-1][1].seconds_to_go == 15.0
