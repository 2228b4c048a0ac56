"""Room on nodes, counted by hand; what fits none of them; the word to whoever waits. Without Ray."""

import pytest

from cluster import placement
from cluster.placement import Patience, count_room, count_workers, list_unplaceable, prefer_gpu, share_room
from cluster.resources import EVALUATING, GIB, SCORING, SHARDING, WorkerResources

HEAD = {"memory": 8.0 * GIB}  # as Ray describes a node without CPUs
SMALL = {"CPU": 1.0, "memory": 2.0 * GIB}
LARGE = {"CPU": 8.0, "memory": 16.0 * GIB}
WITH_GPUS = {"CPU": 48.0, "GPU": 4.0, "memory": 192.0 * GIB}


@pytest.mark.parametrize(
    ("needs", "nodes", "expected"),
    [
        (SHARDING, [HEAD, SMALL, SMALL], 2),
        (SHARDING, [HEAD, LARGE], 8),
        (EVALUATING, [LARGE], 4),  # 16 GiB of 4 each, though there are 8 CPUs
        (EVALUATING, [SMALL, SMALL], 0),  # together they had the memory
        (WorkerResources(num_cpus=0.5), [SMALL], 2),
    ],
)
def test_each_node_is_filled_by_what_is_scarcest_on_it(
    needs: WorkerResources, nodes: list[dict[str, float]], expected: int
) -> None:
    assert count_room(needs, nodes) == expected


def test_on_a_cluster_that_has_gpus_scoring_asks_for_one_each() -> None:
    nodes = [LARGE, WITH_GPUS]
    assert count_room(prefer_gpu(SCORING, nodes), nodes) == 4
    assert count_room(prefer_gpu(SCORING, [LARGE]), [LARGE]) == 8
    assert prefer_gpu(SHARDING, nodes) == SHARDING


def test_what_no_node_can_run_is_named_with_what_there_is() -> None:
    stages = {"shard": SHARDING, "evaluate": EVALUATING}
    (sentence,) = list_unplaceable(stages, [HEAD, SMALL])
    assert sentence == (
        "evaluate: no node can run a worker of 1 CPUs, 0 GPUs and 4.0 GiB. "
        "Found: 0 CPUs, 0 GPUs and 8.0 GiB; 1 CPUs, 0 GPUs and 2.0 GiB."
    )
    assert list_unplaceable(stages, [HEAD, SMALL, LARGE]) == []


def test_a_node_with_gpus_and_too_few_cpus_is_no_place_for_scoring() -> None:
    assert len(list_unplaceable({"score": SCORING}, [LARGE, {"GPU": 4.0, "memory": 64.0 * GIB}])) == 1


@pytest.mark.parametrize("num_nodes", [1, 2, 40])
def test_a_fixed_cluster_is_filled_and_one_that_grows_is_asked_for_twice_as_much(num_nodes: int) -> None:
    nodes = [LARGE] * num_nodes
    assert count_workers(SCORING, nodes, is_growing=False) == 8 * num_nodes
    assert count_workers(SCORING, nodes, is_growing=True) == 16 * num_nodes


def test_where_no_worker_fits_yet_a_pool_asks_for_few_and_tasks_for_many() -> None:
    assert count_workers(SCORING, [HEAD], is_growing=True) == 4
    assert count_workers(SHARDING, [HEAD], is_growing=True) == 128
    assert count_workers(SHARDING, [HEAD], is_growing=False) == 1


@pytest.mark.parametrize(
    ("nodes", "wanted", "expected"),
    [
        ([SMALL], 5, (1, 0)),  # one CPU is for cutting: a scorer that held it would have nothing to score
        ([SMALL, SMALL], 5, (1, 1)),
        ([LARGE], 1, (7, 1)),
        ([LARGE], 50, (1, 7)),
        ([HEAD], 5, (1, 0)),
        ([LARGE, WITH_GPUS], 50, (8 + 44, 4)),  # a GPU each, and the CPUs beside them are for cutting
    ],
)
def test_of_two_stages_at_work_together_the_first_keeps_room(
    nodes: list[dict[str, float]], wanted: int, expected: tuple[int, int]
) -> None:
    assert share_room(SHARDING, prefer_gpu(SCORING, nodes), nodes, wanted) == expected


def test_who_waits_for_room_is_told_so_every_thirty_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(placement.time, "monotonic", lambda: now)
    monkeypatch.setattr(placement.ray, "available_resources", lambda: {"CPU": 1.0, "memory": 2.0**30})
    monkeypatch.setattr(placement, "live_nodes", lambda: [SMALL, SMALL])
    patience = Patience("a worker")
    for now in range(95):  # noqa: B007  read by the clock
        patience.wait(True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"waiting for a worker since {s} s" for s in (30, 60, 90)]
    assert "2 nodes, on which 1 CPUs, 0 GPUs and 1.0 GiB are free" in lines[0]
    patience.wait(False)
    for now in range(95, 120):  # noqa: B007
        patience.wait(True)
    assert capsys.readouterr().err == ""
