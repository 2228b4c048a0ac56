"""As many workers as there is room for between the fewest and the most, each with all the CPUs that it can have."""

import re

import pytest
import ray

from cluster.worker_count import cpus_per_worker, format_wait, scale

HEAD = {"CPU": 0.0, "memory": 2.0**33}
Nodes = list[dict[str, float]]


def has_gpus(nodes: Nodes) -> bool:
    return any("GPU" in node for node in nodes)


@pytest.mark.parametrize(
    ("nodes", "count", "cpus"),
    [
        ([{"CPU": 2.0}], 1, 2),
        ([{"CPU": 2.0}], 2, 1),
        ([{"CPU": 3.0}, {"CPU": 3.0}], 3, 1),  # of two CPUs each, only two workers would fit
        ([{"CPU": 3.0}, {"CPU": 3.0}], 2, 3),
        ([HEAD, {"CPU": 16.0}, {"CPU": 8.0}], 3, 8),
        ([HEAD, {"CPU": 16.0, "GPU": 4.0}], 4, 4),
        ([{"CPU": 64.0}, {"CPU": 16.0, "GPU": 2.0}], 2, 8),  # where there is a GPU, all are to have one
    ],
)
def test_workers_get_as_many_cpus_as_all_of_them_find_room_for(nodes: Nodes, count: int, cpus: int) -> None:
    assert cpus_per_worker(nodes, count, False, has_gpus(nodes)) == cpus


@pytest.mark.parametrize(
    ("nodes", "count", "room"),
    [
        ([{"CPU": 2.0}], 3, "a CPU, and there is room for 2. Found: 2 CPUs, 0 GPUs."),
        ([{"CPU": 64.0}, {"CPU": 16.0, "GPU": 2.0}], 3, "a CPU and a GPU, and there is room for 2. Found: 64 CPUs, "),
        ([{"CPU": 1.0, "GPU": 8.0}], 8, "a CPU and a GPU, and there is room for 1."),
    ],
)
def test_a_crowd_of_workers_is_refused_with_how_many_fit_unless_nodes_join_on_demand(
    nodes: Nodes, count: int, room: str
) -> None:
    with pytest.raises(ConnectionError, match=re.escape(f"--workers {count}: each needs {room}")):
        cpus_per_worker(nodes, count, False, has_gpus(nodes))
    assert cpus_per_worker(nodes, count, True, has_gpus(nodes)) == 1


FOUR, EIGHT, GPUS = {"CPU": 4.0}, {"CPU": 8.0}, {"CPU": 8.0, "GPU": 2.0}


@pytest.mark.parametrize(
    ("nodes", "fewest_and_most", "use_gpu", "found"),
    [
        ([FOUR, EIGHT], (1, 2), False, (2, 4)),
        ([FOUR], (1, 8), False, (4, 1)),  # no more than there is a CPU for
        ([FOUR, EIGHT], (2, 2), False, (2, 4)),
        ([GPUS, GPUS], (1, 4), True, (4, 4)),
        ([FOUR, GPUS], (1, 4), True, (2, 4)),  # not on the node without
        ([HEAD], (2, 4), False, (2, 1)),  # nodes join on demand: the fewest are asked for
        ([HEAD, GPUS], (1, 4), True, (2, 4)),
    ],
)
def test_between_the_fewest_and_the_most_there_are_as_many_as_fit(
    nodes: Nodes,
    fewest_and_most: tuple[int, int],
    use_gpu: bool,
    found: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = [{"Alive": False, "NodeID": "gone", "Resources": EIGHT}, {"Alive": True, "NodeID": "x", "Resources": EIGHT}]
    there = [{"Alive": True, "NodeID": str(place), "Resources": node} for place, node in enumerate(nodes)]
    monkeypatch.setattr(ray, "nodes", lambda: there + gone)
    scaling = scale(*fewest_and_most, use_gpu, without={"x"})
    assert (scaling.num_workers, scaling.resources_per_worker["CPU"]) == found
    assert scaling.use_gpu == ("GPU" in scaling.resources_per_worker) == use_gpu


def test_what_has_begun_on_gpus_has_no_room_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "NodeID": "a", "Resources": EIGHT}])
    with pytest.raises(ConnectionError, match="each needs a CPU and a GPU, and there is room for 0"):
        scale(1, 2, use_gpu=True)


def test_who_waits_says_for_what_and_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "NodeID": "a", "Resources": GPUS}])
    monkeypatch.setattr(ray, "cluster_resources", lambda: GPUS)
    monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 3.0})
    assert format_wait(scale(2, 2, True)) == "2 workers of 4 CPU and 1 GPU each; free: 3 of 8 CPU, 0 of 2 GPU"
