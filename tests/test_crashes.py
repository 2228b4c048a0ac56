"""Exactly once: SIGKILL to the driver, a worker and Ray's raylet, then the same command again, gives the same bytes."""

import os
import signal
import sys
from pathlib import Path

import pytest

from benchmarks import crashes
from benchmarks.crashes import Kill, content, disturb, shard
from jobs.presets import preset
from pipeline import storage
from pipeline.artifacts import CLIPS_FOLDER, COLLECTION_FOLDER, VIDEOS_FOLDER, Workspace
from pipeline.collecting import plan_parts
from pipeline.config import override
from pipeline.ledger import take_stock
from pipeline.locking import claim
from pipeline.sharding import ShardPart

NUM_VIDEOS, NUM_PARTS = 16, 8


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crashes") / "videos"
    crashes.make_videos(folder, NUM_VIDEOS)
    return folder


def cut(collection: Path, workspace: Workspace, parts: slice = slice(None)) -> Workspace:
    """Cut in this process, a part after the other: no Ray, no second worker, no crash."""
    config = override(preset("tiny"), list(crashes.SETTINGS))
    plan_parts(workspace, str(collection), config.collecting)
    for part in workspace.pending(COLLECTION_FOLDER, VIDEOS_FOLDER)[parts]:
        ShardPart(workspace, config.view, config.sharding)(part)
    return workspace


@pytest.fixture(scope="module")
def undisturbed(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return cut(collection, Workspace(str(tmp_path_factory.mktemp("undisturbed"))))


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_what_is_killed_and_resumed_has_the_bytes_of_an_undisturbed_run(
    collection: Path, undisturbed: Workspace, tmp_path: Path
) -> None:
    workspace = Workspace(str(tmp_path))
    command = shard(collection, workspace.root)
    first = disturb(command, workspace, [Kill("driver", after_parts=1)])
    assert (first.exit_code, len(first.killed)) == (-signal.SIGKILL, 1), first.stderr
    second = disturb(command, workspace, [Kill("worker", after_parts=3), Kill("raylet", after_parts=4)])
    assert (second.exit_code, len(second.killed)) == (1, 2), second.stderr
    assert "earshot: part in flight: ConnectionError: Ray lost its raylet" in second.stderr
    assert workspace.pending(COLLECTION_FOLDER, VIDEOS_FOLDER) != []
    third = disturb(command, workspace)
    assert third.exit_code == 0, third.stderr
    assert content(workspace.root) == content(undisturbed.root)
    assert workspace.is_finished(CLIPS_FOLDER)
    assert take_stock(workspace) == take_stock(undisturbed)


@pytest.mark.skipif(sys.platform != "linux", reason="needs taskset")
@pytest.mark.parametrize("num_workers", [1, 2])
def test_one_worker_and_two_write_the_bytes_of_no_worker_at_all(
    num_workers: int, collection: Path, undisturbed: Workspace, tmp_path: Path
) -> None:
    cpus = sorted(os.sched_getaffinity(0))[:num_workers]
    if len(cpus) < num_workers:
        pytest.skip(f"needs {num_workers} CPUs")
    workspace = Workspace(str(tmp_path))
    pinned = ["taskset", "--cpu-list", ",".join(map(str, cpus))]  # Ray gets a worker for each CPU it may run on
    done = disturb([*pinned, *shard(collection, workspace.root)], workspace)
    assert done.exit_code == 0, done.stderr
    assert content(workspace.root) == content(undisturbed.root)
    assert take_stock(workspace) == take_stock(undisturbed)


def test_what_is_killed_and_resumed_in_a_bucket_has_the_bytes_of_a_local_root(
    collection: Path, undisturbed: Workspace, s3_bucket: str, tmp_path: Path
) -> None:
    workspace = Workspace(f"{s3_bucket}/{tmp_path.name}")
    command = shard(collection, workspace.root)
    first = disturb(command, workspace, [Kill("driver", after_parts=2)])
    assert (first.exit_code, len(first.killed)) == (-signal.SIGKILL, 1), first.stderr
    assert workspace.pending(COLLECTION_FOLDER, VIDEOS_FOLDER) != []
    second = disturb(command, workspace)
    assert second.exit_code == 0, second.stderr
    assert content(workspace.root) == content(undisturbed.root)
    assert take_stock(workspace) == take_stock(undisturbed)


@pytest.mark.parametrize("lost", [("videos",), ("videos", "clips"), ("videos", "clips", "tar")])
def test_between_any_two_commits_of_a_part_a_crash_costs_nothing(
    collection: Path, undisturbed: Workspace, tmp_path: Path, lost: tuple[str, ...]
) -> None:
    workspace = cut(collection, Workspace(str(tmp_path)), slice(1))
    for name in lost:
        storage.delete(workspace.uri(*{"tar": ("clips", "00000.tar")}.get(name, (name, "00000.parquet"))))
    assert take_stock(workspace).num_pending_parts == NUM_PARTS
    cut(collection, workspace)
    assert content(workspace.root) == content(undisturbed.root)


def test_a_second_driver_on_one_root_stops_and_changes_nothing(collection: Path, undisturbed: Workspace) -> None:
    before = content(undisturbed.root)
    with claim(undisturbed, CLIPS_FOLDER):
        second = disturb(shard(collection, undisturbed.root), undisturbed)
    assert second.exit_code == 2
    assert second.stderr.startswith(f"earshot: {undisturbed.root}/clips: process ")
    assert second.stderr.count("\n") == 1
    assert content(undisturbed.root) == before


def test_a_run_killed_after_its_last_part_is_finished_by_the_next(collection: Path, undisturbed: Workspace) -> None:
    again = disturb(shard(collection, undisturbed.root), undisturbed)
    assert again.exit_code == 0, again.stderr
    assert undisturbed.is_finished(CLIPS_FOLDER)
