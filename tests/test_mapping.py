"""Parts over a real Ray: state, retries after a killed worker, a wall-clock limit, errors that name the part."""

import dataclasses
import os
import signal
import time
from pathlib import Path

import pytest
import ray

from cluster.faults import PartError
from cluster.mapping import map_parts, num_slots
from cluster.resources import WorkerResources

PARTS = [f"{index:05d}" for index in range(7)]
SMALL = WorkerResources(num_cpus=1, memory_bytes=2**26)
POOL = WorkerResources(num_cpus=1, memory_bytes=2**26, stateful=True)

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.mark.parametrize("needs", [SMALL, POOL])
def test_every_part_gives_one_result(needs: WorkerResources) -> None:
    assert dict(map_parts(lambda part: int(part) ** 2, PARTS, needs)) == {part: int(part) ** 2 for part in PARTS}


@pytest.mark.parametrize("needs", [SMALL, POOL])
def test_short_parts_share_tasks_of_which_there_are_64_or_more(needs: WorkerResources) -> None:
    parts = [f"{index:05d}" for index in range(130)]
    done = dict(map_parts(lambda part: (os.getpid(), time.monotonic()), parts, needs, parts_per_task=16))
    assert sorted(done) == parts  # tasks of two parts at most, the second after the first in one process
    assert all(
        done[a][0] == done[b][0] and done[a][1] < done[b][1] for a, b in zip(parts[::2], parts[1::2], strict=True)
    )


def test_a_task_that_fails_names_the_parts_it_had() -> None:
    with pytest.raises(PartError, match=r"^part 00002 to 00003: ZeroDivisionError"):
        list(map_parts(lambda part: 1 / (int(part) - 3), [f"{index:05d}" for index in range(130)], SMALL, 2))


def test_no_parts_give_no_results() -> None:
    assert list(map_parts(lambda part: 1 / 0, [], SMALL)) == []


def test_a_pool_keeps_its_callable_between_parts() -> None:
    class Counting:
        def __init__(self) -> None:
            self.calls = 0

        def __call__(self, part: str) -> tuple[int, int]:
            self.calls += 1
            return os.getpid(), self.calls

    calls: dict[int, int] = {}
    for _, (process, count) in map_parts(Counting(), PARTS, POOL):
        calls[process] = max(calls.get(process, 0), count)
    assert sum(calls.values()) == len(PARTS)
    assert len(calls) <= num_slots(POOL)


def test_a_part_whose_worker_is_killed_is_done_again(tmp_path: Path) -> None:
    def work(part: str) -> str:
        mark = tmp_path / part
        if part == "00003" and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return part

    assert sorted(part for part, _ in map_parts(work, PARTS, SMALL)) == PARTS
    assert (tmp_path / "00003").exists()


def test_a_pool_outlives_any_number_of_deaths_but_no_part_more_than_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.mapping.MAX_RETRIES", 1)  # a worker takes a second to start

    def work(part: str) -> str:
        tries = tmp_path / part
        with tries.open("a") as file:
            file.write(".")
        if part == "bad" or tries.stat().st_size == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return part

    one_worker = dataclasses.replace(POOL, num_cpus=ray.cluster_resources()["CPU"])
    each_dies_once = PARTS[:2]  # two deaths of the one worker, and one retry
    with pytest.raises(PartError, match="part bad: ActorDiedError"):
        list(map_parts(work, [*each_dies_once, "bad"], one_worker))
    tries = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert tries == dict.fromkeys([*each_dies_once, "bad"], 2)


def test_a_part_that_hangs_is_killed_at_its_limit_and_done_again(tmp_path: Path) -> None:
    def work(part: str) -> str:
        mark = tmp_path / part
        if part == "00002" and not mark.exists():
            mark.touch()
            time.sleep(600)
        return part

    needs = WorkerResources(num_cpus=1, memory_bytes=2**26, limit_s=1.0)
    assert sorted(part for part, _ in map_parts(work, PARTS[:4], needs)) == PARTS[:4]


def test_an_error_names_the_part_and_carries_the_cause() -> None:
    def work(part: str) -> str:
        if part == "00004":
            raise ValueError("no such tone")
        return part

    with pytest.raises(PartError, match=r"part 00004: .*no such tone") as caught:
        list(map_parts(work, PARTS, SMALL))
    assert isinstance(caught.value.cause, ValueError)


def test_needs_that_no_node_has_are_refused_at_once() -> None:
    with pytest.raises(ConnectionError, match="1024 CPUs"):
        list(map_parts(lambda part: part, PARTS, WorkerResources(num_cpus=1024)))
