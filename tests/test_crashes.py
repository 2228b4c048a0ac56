"""Exactly once: SIGKILL to the driver, a worker and Ray's raylet, then the same command again, gives the same bytes."""

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from jobs.cli import main
from jobs.console.overrides import override
from jobs.console.presets import preset
from pipeline.clips.reconciling import reconcile
from pipeline.clips.sharding import ShardPart
from pipeline.collection.collecting import plan_parts
from pipeline.collection.listing import list_videos
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, COLLECTION_FOLDER, VIDEOS_FOLDER
from pipeline.storage.locking import claim
from pipeline.storage.workspace import Workspace
from tests.helpers.kills import SETTINGS, SPECS, Kill, content, disturb, make_videos, shard

NUM_VIDEOS = 12  # six parts: three are left, of which two may be at work, when the last kill comes
# What a part's commits write, in their order: a crash loses one of them and all that follow, whichever specs are cut.
COMMITS = ("clips/events.tar", "clips/base.tar", "clips/base", "videos/base", "clips/events", "videos/events")
CUT = (("base",), ("events",), SPECS)
OF_SPECS = [[name for name in COMMITS if any(spec in name for spec in specs)] for specs in CUT]
WINDOWS = sorted({tuple(commits[first:]) for commits in OF_SPECS for first in range(len(commits))})

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc, needs taskset")


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crashes") / "videos"
    make_videos(folder, NUM_VIDEOS)
    return folder


def cut(collection: Path, workspace: Workspace) -> Workspace:
    """Cut what is missing in this process, a part after the other: no Ray, no second worker, no crash."""
    config = override(preset("tiny"), list(SETTINGS))
    plan_parts(workspace, list_videos(str(collection)), config.collecting)
    pending = {spec: workspace.pending(COLLECTION_FOLDER, f"videos/{spec}") for spec in SPECS}
    for part in sorted(set().union(*pending.values())):
        lacking = {spec: getattr(config.clips, spec) for spec in SPECS if part in pending[spec]}
        ShardPart(workspace, lacking, config.sharding)(part)
    return workspace


def earshot_shard(collection: Path, workspace: Workspace) -> int:
    """The exit code of the command, run in this process: it needs Ray only where a part is missing."""
    return main(shard(collection, workspace.root)[3:])  # without `python -m jobs.cli`


@pytest.fixture(scope="module")
def undisturbed(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return cut(collection, Workspace(str(tmp_path_factory.mktemp("undisturbed"))))


@on_linux
def test_what_two_workers_began_and_the_same_command_ended_has_the_bytes_of_no_worker_and_no_kill(
    collection: Path, undisturbed: Workspace, ray_session: None, tmp_path: Path
) -> None:
    workspace = Workspace(str(tmp_path))
    command = shard(collection, workspace.root)  # Ray gets a worker for each CPU that it may run on
    first = disturb(command, workspace, [Kill("worker", after_parts=1), Kill("raylet", after_parts=3)])
    assert (first.exit_code, len(first.killed)) == (1, 2), first.stderr
    assert "earshot: part in flight: ConnectionError: Ray lost its raylet" in first.stderr
    assert workspace.pending(COLLECTION_FOLDER, VIDEOS_FOLDER) != []
    assert earshot_shard(collection, workspace) == 0
    assert content(workspace.root) == content(undisturbed.root)
    assert workspace.is_finished(CLIPS_FOLDER)
    assert reconcile(workspace) == reconcile(undisturbed)


@on_linux
def test_what_one_worker_left_in_a_bucket_when_its_driver_was_killed_becomes_the_bytes_of_a_local_root(
    collection: Path, undisturbed: Workspace, s3_bucket: str, tmp_path: Path
) -> None:
    workspace = Workspace(f"{s3_bucket}/{tmp_path.name}")
    command = ["taskset", "--cpu-list", str(min(os.sched_getaffinity(0))), *shard(collection, workspace.root)]
    first = disturb(command, workspace, [Kill("driver", after_parts=2)])
    assert (first.exit_code, len(first.killed)) == (-signal.SIGKILL, 1), first.stderr
    assert workspace.pending(COLLECTION_FOLDER, VIDEOS_FOLDER) != []
    cut(collection, workspace)
    assert earshot_shard(collection, workspace) == 0  # nobody renews the dead driver's lease
    assert workspace.is_finished(CLIPS_FOLDER)
    assert content(workspace.root) == content(undisturbed.root)
    assert reconcile(workspace) == reconcile(undisturbed)


def address(workspace: Workspace, name: str) -> str:
    """Of a file of COMMITS, of the first part."""
    stage, _, tar = name.partition(".")
    return workspace.tar_uri(stage, "00000") if tar else workspace.part_uri(stage, "00000")


def lose(undisturbed: Workspace, root: Path, names: Iterable[str]) -> Workspace:
    """A copy that lacks these files of its first part."""
    workspace = Workspace(shutil.copytree(undisturbed.root, str(root)))
    for name in names:
        files.delete(address(workspace, name))
    return workspace


def test_a_part_is_committed_tars_first_and_each_specs_videos_after_its_clips(
    collection: Path, undisturbed: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = lose(undisturbed, tmp_path / "root", COMMITS)
    building, committed = files.building, []

    @contextlib.contextmanager
    def watched(uri: str) -> Iterator[Path]:
        with building(uri) as path:
            yield path
        committed.append(uri)

    monkeypatch.setattr(files, "building", watched)
    cut(collection, workspace)
    assert committed == [address(workspace, name) for name in COMMITS]


@pytest.mark.parametrize("lost", WINDOWS, ids="+".join)
def test_between_any_two_commits_of_a_part_a_crash_costs_nothing(
    collection: Path, undisturbed: Workspace, tmp_path: Path, lost: tuple[str, ...]
) -> None:
    workspace = lose(undisturbed, tmp_path / "root", lost)
    for spec in SPECS:
        whole, found = (reconcile(place, spec).num_videos for place in (undisturbed, workspace))
        assert (found < whole) == (f"videos/{spec}" in lost)
    cut(collection, workspace)
    assert content(workspace.root) == content(undisturbed.root)


def test_a_second_driver_on_one_root_stops_and_changes_nothing(
    collection: Path, undisturbed: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    before = content(undisturbed.root)
    with claim(undisturbed, CLIPS_FOLDER):
        assert earshot_shard(collection, undisturbed) == 2
    output = capfd.readouterr().err
    assert output.startswith(f"earshot: {undisturbed.root}/clips/base: process {os.getpid()} ")
    assert output.count("\n") == 1
    assert content(undisturbed.root) == before


def test_a_run_killed_after_its_last_part_is_finished_by_the_next(collection: Path, undisturbed: Workspace) -> None:
    assert not undisturbed.is_finished(CLIPS_FOLDER)
    assert earshot_shard(collection, undisturbed) == 0
    assert undisturbed.is_finished(CLIPS_FOLDER)
