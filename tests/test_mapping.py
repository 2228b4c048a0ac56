"""Parts over a real Ray: state, retries after a killed worker, a wall-clock limit, errors that name the part."""

import dataclasses
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import ray

from cluster import mapping
from cluster.faults import MAX_ALIKE, PartError, QuarantineError
from cluster.following import Follow
from cluster.mapping import map_parts
from cluster.placement import num_workers
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


def test_of_a_task_that_fails_only_the_part_at_fault_is_set_aside() -> None:
    done, parts = [], [f"{index:05d}" for index in range(130)]
    with pytest.raises(
        QuarantineError, match=r"^this part failed: 00003: ZeroDivisionError: .*The others are"
    ) as caught:
        done.extend(part for part, _ in map_parts(lambda part: 1 / (int(part) - 3), parts, SMALL, 2))
    assert caught.value.causes.keys() == {"00003"}
    assert sorted(done) == [part for part in parts if part != "00003"]


def test_a_head_that_is_lost_ends_a_mapping_whose_parts_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise ConnectionError("the cluster was lost")

    monkeypatch.setattr(mapping, "is_silent", lambda: True)
    monkeypatch.setattr(mapping, "check_head", refuse)
    with pytest.raises(PartError, match="in flight: ConnectionError: the cluster was lost"):
        list(map_parts(lambda part: part, PARTS, SMALL))


def test_work_that_does_parts_together_has_those_of_a_task_and_each_alone_once_one_fails() -> None:
    class Together:
        def __call__(self, part: str) -> int:
            return next(self.run_parts([part]))

        def run_parts(self, parts: Sequence[str]) -> Iterator[int]:
            if "00003" in parts:
                raise ValueError(parts)
            yield from [len(parts)] * len(parts)

    done, parts = {}, [f"{index:05d}" for index in range(130)]
    with pytest.raises(QuarantineError, match=r"^this part failed: 00003: ValueError"):
        done.update(map_parts(Together(), parts, SMALL, 2))
    assert done | {"00003": 0} == dict.fromkeys(parts, 2) | {"00002": 1, "00003": 0}


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
    assert len(calls) <= num_workers(POOL)


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
    with pytest.raises(QuarantineError, match=r"this part failed: bad: ActorDiedError"):
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


@pytest.mark.parametrize("needs", [SMALL, POOL])
def test_a_part_that_raises_is_named_with_its_cause_once_all_others_are_done(needs: WorkerResources) -> None:
    def work(part: str) -> str:
        if part in ("00001", "00004"):
            raise ValueError(f"no such tone in {part}")
        return part

    done = []
    named = (
        "these 2 parts failed: 00001: ValueError: no such tone in 00001; 00004: ValueError: no such tone in 00004. The"
    )
    with pytest.raises(QuarantineError, match=named) as caught:
        done.extend(part for part, _ in map_parts(work, PARTS, needs))
    assert sorted(done) == ["00000", "00002", "00003", "00005", "00006"]
    assert isinstance(caught.value.cause, ValueError)


def test_a_defect_that_hits_every_part_stops_the_run_before_all_were_tried(tmp_path: Path) -> None:
    def work(part: str) -> str:
        (tmp_path / part).touch()
        raise ValueError("no such module")

    with pytest.raises(PartError, match=r"ValueError: no such module It and .* so the cause is not a part's own"):
        list(map_parts(work, [f"{index:05d}" for index in range(400)], SMALL))
    assert MAX_ALIKE <= len(list(tmp_path.iterdir())) < 100


def test_parts_that_failed_before_and_come_first_do_not_stop_those_that_are_new() -> None:
    def work(part: str) -> str:
        return part if int(part) >= MAX_ALIKE + 5 else str(1 / 0)

    done, parts = [], [f"{index:05d}" for index in range(MAX_ALIKE + 30)]
    one_worker = dataclasses.replace(POOL, num_cpus=ray.cluster_resources()["CPU"])
    with pytest.raises(QuarantineError, match=r"these 15 parts failed: .*; and 5 more. The others") as caught:
        done.extend(part for part, _ in map_parts(work, parts, one_worker))
    assert sorted([*done, *caught.value.causes]) == parts


def test_what_concerns_the_whole_run_stops_it_at_once() -> None:
    with pytest.raises(PartError, match=r"^part 0000[0-6]: ZeroDivisionError") as caught:
        list(map_parts(lambda part: 1 / 0, PARTS, SMALL, fatal=(ZeroDivisionError,)))
    assert not isinstance(caught.value, QuarantineError)


def test_workers_asked_for_to_show_demand_get_no_part_before_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(part: str) -> int:
        time.sleep(0.1)
        return os.getpid()

    monkeypatch.setattr("cluster.placement.grows", lambda nodes: True)
    room = int(ray.cluster_resources()["CPU"])
    assert num_workers(POOL) == room + max(room, 4)
    parts = [f"{index:05d}" for index in range(6 * room)]
    assert len(set(dict(map_parts(work, parts, POOL)).values())) <= room


def test_a_second_stage_takes_parts_while_the_first_goes_on_and_starves_neither(tmp_path: Path) -> None:
    def cut(part: str) -> str:
        before = tmp_path / f"{int(part) - 3:05d}"
        deadline_s = time.monotonic() + 120
        while int(part) >= 3 and not before.exists() and time.monotonic() < deadline_s:
            time.sleep(0.05)  # ends only if the second stage gets a CPU while this one holds the other
        return part

    def score(part: str) -> str:
        if part == "00001":
            raise ValueError("set aside; left to its own command")
        (tmp_path / part).touch()
        return part

    scored: list[str] = []
    follow = Follow(score, POOL, scored.append, done=["00000"])
    (tmp_path / "00000").touch()
    (tmp_path / "00001").touch()
    assert sorted(part for part, _ in map_parts(cut, PARTS, SMALL, follow=follow)) == PARTS
    assert {"00002", "00003"} <= set(scored) <= set(PARTS[2:])


def test_needs_that_no_node_has_are_refused_at_once() -> None:
    with pytest.raises(ConnectionError, match="1024 CPUs"):
        list(map_parts(lambda part: part, PARTS, WorkerResources(num_cpus=1024)))
