"""How far stages are, by files as commands leave them: local and on an object store, and how few requests it takes."""

import collections
import datetime
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.estimate import stage_status
from pipeline.estimate.stage_status import StageStatus, count_consecutive, list_statuses, part_name
from pipeline.storage import files, s3_clients
from pipeline.storage.locking import LOCKS_FOLDER, claim
from pipeline.storage.progress_records import Progress, ProgressFile
from pipeline.storage.workspace import Workspace

ELSEWHERE = {
    "host": "node-7",
    "pid": 12,
    "command": "earshot run",
    "since": "2026-11-30T00:00:00+00:00",
    "machine": "m",
}


@pytest.fixture(params=["local", "s3"])
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    """A root in both kinds of store."""
    if request.param == "local":
        return Workspace(str(tmp_path))
    return Workspace(f"{request.getfixturevalue('s3_bucket')}/{tmp_path.name}")


def commit_parts(workspace: Workspace, partition: str, numbers: range) -> None:
    for number in numbers:
        files.commit_bytes(workspace.part_uri(partition, part_name(number)), b"x")


def status(workspace: Workspace, stage: str) -> StageStatus:
    (found,) = (each for each in list_statuses(workspace) if each.stage == stage)
    return found


def ago(seconds: float) -> str:
    return (datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds)).isoformat()


def progress(**facts: Any) -> Progress:
    usual = {"step": "score m", "unit": "parts", "done": 10, "total": 60, "running": 4, "failed": 1}
    return Progress(**usual | {"began": ago(120), "updated": ago(20), "per_s": 0.1, "seconds_to_go": 500.0} | facts)


def test_a_stage_goes_from_not_begun_over_running_and_stopped_to_finished_and_grown(workspace: Workspace) -> None:
    commit_parts(workspace, "collection", range(7))
    assert list_statuses(workspace, ["clips/base"]) == [StageStatus(stage="clips/base", state="not begun")]
    with claim(workspace, "clips/base"):
        workspace.begin("clips/base", {}, {})
        commit_parts(workspace, "videos/base", range(1, 4))
        running = status(workspace, "clips/base")
        assert (running.state, running.done, running.total, running.unit) == ("running", 3, 7, "parts")
        assert running.by is not None
        assert running.by["command"].startswith(sys.argv[0].partition(" ")[0])
    stopped = status(workspace, "clips/base")
    assert (stopped.state, stopped.done, stopped.total, stopped.by) == ("stopped", 3, 7, None)
    commit_parts(workspace, "videos/base", range(7))
    workspace.finish("clips/base")
    finished = status(workspace, "clips/base")
    assert (finished.state, finished.done, finished.total) == ("finished", 7, 7)
    assert finished.finished is not None
    commit_parts(workspace, "collection", range(7, 9))
    grown = status(workspace, "clips/base")
    assert (grown.state, grown.done, grown.total) == ("grown", 7, 9)


def test_who_is_at_work_on_another_machine_is_known_while_its_lease_is_fresh(
    s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(f"{s3_bucket}/{tmp_path.name}")
    workspace.begin("scores/m", {}, {})
    files.commit_bytes(workspace.uri(LOCKS_FOLDER, "scores/m.json"), json.dumps(ELSEWHERE).encode())
    found = status(workspace, "scores/m")
    assert found.state == "running"
    assert found.by == {name: ELSEWHERE[name] for name in ("host", "pid", "command", "since")}
    monkeypatch.setattr("pipeline.storage.locking.EXPIRE_S", -5.0)  # now it is older than that
    assert status(workspace, "scores/m").state == "stopped"


def test_a_local_lock_tells_whether_its_holder_lives_here_or_elsewhere(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    workspace.begin("scores/m", {}, {})
    program = (
        "import sys; from pipeline.storage.locking import claim; from pipeline.storage.workspace import Workspace\n"
        "with claim(Workspace(sys.argv[1]), 'scores/m'): print(flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=Path(__file__).parent.parent) as driver:
        assert driver.stdout is not None
        driver.stdout.readline()
        lock = tmp_path / LOCKS_FOLDER / "scores" / "m.json"
        for machine in (None, "another boot"):  # for the second, the kernel's lock is asked
            holder = json.loads(lock.read_bytes())
            lock.write_text(json.dumps(holder | ({"machine": machine} if machine else {})))
            found = status(workspace, "scores/m")
            assert found.state == "running"
            assert found.by is not None
            assert found.by["pid"] == driver.pid
        driver.kill()
    for machine in ("another boot", holder["machine"]):  # killed: what it wrote into its lock is still there
        lock.write_text(json.dumps(holder | {"machine": machine}))
        assert status(workspace, "scores/m").state == "stopped"


def test_what_a_driver_said_20_s_ago_is_brought_forward(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    commit_parts(workspace, "collection", range(3))
    workspace.begin("scores/m", {}, {})
    ProgressFile(workspace, "scores/m").write(progress())
    with claim(workspace, "scores/m"):
        running = status(workspace, "scores/m")
    assert (running.step, running.running, running.failed, running.per_s) == ("score m", 4, 1, 0.1)
    assert running.seconds_to_go == pytest.approx(480, abs=15)
    assert running.seconds == pytest.approx(120, abs=15)
    stopped = status(workspace, "scores/m")
    assert (stopped.state, stopped.running, stopped.seconds_to_go) == ("stopped", 0, None)
    assert stopped.seconds == pytest.approx(100, abs=1)  # until it was heard of last
    ProgressFile(workspace, "scores/m").write(progress(error="PartError: part 00002: boom"))
    assert status(workspace, "scores/m").error == "PartError: part 00002: boom"


def test_a_training_counts_steps_and_a_stage_of_planned_parts_what_its_driver_has_to_do(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    for stage in ("models/m", "mixtures/s"):
        workspace.begin(stage, {}, {})
    assert (status(workspace, "models/m").done, status(workspace, "mixtures/s").total) == (None, None)
    ProgressFile(workspace, "models/m").write(progress(unit="steps", done=300, total=700, figures={"train_loss": 0.5}))
    training = status(workspace, "models/m")
    assert (training.unit, training.done, training.total, training.figures) == ("steps", 300, 700, {"train_loss": 0.5})
    commit_parts(workspace, "mixtures/s", range(12))  # two by an earlier run, ten by this one
    ProgressFile(workspace, "mixtures/s").write(progress())
    assert (status(workspace, "mixtures/s").done, status(workspace, "mixtures/s").total) == (12, 62)
    workspace.finish("mixtures/s")
    assert (status(workspace, "mixtures/s").done, status(workspace, "mixtures/s").total) == (12, 12)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 31, 32, 33, 100_000])
def test_consecutive_parts_are_counted_with_few_questions(count: int) -> None:
    asked = []

    def has(number: int) -> bool:
        asked.append(number)
        return number < count

    assert count_consecutive(has) == count
    assert len(asked) <= 2 * max(1, count).bit_length() + 2


def test_requests_to_an_object_store_do_not_grow_with_the_parts_of_finished_stages(
    s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def requests(name: str, num_parts: int) -> collections.Counter[str]:
        workspace = Workspace(f"{s3_bucket}/{tmp_path.name}/{name}")
        for stage, partition in (
            ("clips/base", "videos/base"),
            ("scores/m", "scores/m"),
            ("labels/base", "labels/base"),
        ):
            commit_parts(workspace, partition, range(num_parts))
            workspace.begin(stage, {}, {})
            workspace.finish(stage)
        commit_parts(workspace, "collection", range(num_parts))
        made: collections.Counter[str] = collections.Counter()
        events = s3_clients.client("earshot").meta.events
        events.register("before-call.s3", count := lambda model, **_: made.update([model.name]))
        try:
            found = list_statuses(workspace)
        finally:
            events.unregister("before-call.s3", count)
        assert [(each.state, each.done) for each in found] == [("finished", num_parts)] * 3
        return made

    few, more = requests("few", 2), requests("more", 8)
    assert few["ListObjectsV2"] == more["ListObjectsV2"] == 1  # the records
    assert more["HeadObject"] - few["HeadObject"] == 2 * 2  # 4 times the parts: twice the logarithm of that
    assert few["GetObject"] == more["GetObject"]


def test_no_heavy_library_is_imported_for_a_local_root(tmp_path: Path) -> None:
    Workspace(str(tmp_path)).begin("scores/m", {}, {})
    files.commit_bytes(f"{tmp_path}/earshot.json", b"{}")
    program = f"import sys, jobs.cli; jobs.cli.main(['status', '--root', {str(tmp_path)!r}]); print(*sys.modules)"
    run: Callable[..., Any] = subprocess.run
    done = run([sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    assert not {"torch", "ray", "scipy", "sklearn", "duckdb", "boto3"} & set(done.stdout.splitlines()[-1].split())
    assert stage_status.__name__ in done.stdout


def test_features_have_a_part_for_each_part_of_their_clips_and_published_ones_those_they_have(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    commit_parts(workspace, "collection", range(3))
    inputs = {"clips/events": {}, "features/events/c": {"clips/events": "1"}, "features/events/ave": {}}
    for stage, sources in inputs.items():
        workspace.begin(stage, {}, sources)
    commit_parts(workspace, "videos/events", range(3))
    for stage in ("features/events/c", "features/events/ave"):
        commit_parts(workspace, stage, range(2))
        workspace.finish(stage)
    own, published = (status(workspace, f"features/events/{name}") for name in ("c", "ave"))
    assert (own.state, own.done, own.total) == ("grown", 2, 3)
    assert (published.state, published.done, published.total) == ("finished", 2, 2)
