"""What follows on each way in which the processes of a training can end: again, with more or fewer, or an error."""

from typing import Any

import pytest
import ray
import ray.train
from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError

from cluster import training
from cluster.faults import MAX_TRAINING_FAILURES, PartError
from cluster.progress import Reports

LOST = ray.train.WorkerGroupError("", {0: ConnectionError("the node is gone")})
NO_ROOM = ray.train.ControllerError(WorkerGroupStartupTimeoutError(2))
NODES = {"a": 1.0, "b": 1.0}


def left(*nodes: str) -> ray.train.Result:
    """Saved and left: these nodes are to be taken away, or none, and there is room for more."""
    return ray.train.Result(metrics=None, checkpoint=None, error=None, path="", return_value=list(nodes))


DONE = ray.train.Result(metrics=None, checkpoint=None, error=None, path="", return_value=None)


class Ends:
    """In place of Ray Train's processes: how each start of them ends, after which step and with room for how many.

    Args:
        nodes: CPUs by name of the node, of which `gone` are dead.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, nodes: dict[str, float]) -> None:
        self.nodes, self.gone, self.counts = nodes, set[str](), list[int]()
        monkeypatch.setattr(training, "_run", self._run)
        monkeypatch.setattr(training, "check_alive", lambda: None)
        monkeypatch.setattr(training, "LOOK_EVERY_S", 0.0)
        monkeypatch.setattr(ray, "nodes", self._table)
        resources = lambda: {"CPU": sum(node["Resources"]["CPU"] for node in self._table() if node["Alive"])}  # noqa: E731
        monkeypatch.setattr(ray, "cluster_resources", resources)
        monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 0.5})

    def _table(self) -> list[dict[str, Any]]:
        return [
            {"Alive": name not in self.gone, "NodeID": name, "Resources": {"CPU": cpus}}
            for name, cpus in self.nodes.items()
        ]

    def _run(self, loop: Any, job: Any, name: str, scaling: Any, most: int, reports: Reports) -> tuple[Any, int]:
        self.counts.append(scaling.num_workers)
        step, ended, further = self.script.pop(0)
        reports.step = step
        return ended, further

    def fit(self, *script: Any, num_workers: int = 2, min_workers: int | None = None) -> list[int]:
        """The numbers of workers of each start, to the end of the training."""
        self.script = [(place, end, 0) if not isinstance(end, tuple) else end for place, end in enumerate(script, 1)]
        training.fit(
            lambda context, job: None,
            {},
            "x",
            num_workers,
            lambda step, metrics: None,
            fatal=(ValueError, OSError),
            transient=(ConnectionError,),
            min_workers=min_workers,
        )
        assert not self.script
        return self.counts


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Ends:
    return Ends(monkeypatch, dict(NODES))


def test_an_error_of_any_worker_that_no_restart_mends_ends_the_training(ends: Ends) -> None:
    failed = ray.train.WorkerGroupError("", {0: RuntimeError("peer lost"), 1: ValueError("two videos are too few")})
    with pytest.raises(ValueError, match="two videos are too few"):
        ends.fit(failed)
    assert ends.counts == [2]


def test_a_training_goes_on_after_deaths_of_workers_or_of_their_controller_and_errors_that_may_pass(ends: Ends) -> None:
    passing = ray.train.WorkerGroupError("", {1: ConnectionResetError("the store is away")})
    assert ends.fit(LOST, ray.exceptions.ActorDiedError(), passing, LOST, LOST, DONE) == [2] * 6


def test_failures_without_a_further_step_end_the_training_with_their_cause(ends: Ends) -> None:
    full = ray.train.WorkerGroupError("", {0: RuntimeError("the disk is full")})
    steps = [5, 6, 7, *[8] * MAX_TRAINING_FAILURES]  # the failure after a further step is the first of a new count
    with pytest.raises(PartError, match="part x: RuntimeError: the disk is full"):
        ends.fit(*[(step, LOST, 0) for step in steps], (8, full, 0))
    assert not ends.script


def test_a_node_that_leaves_is_gone_round_and_one_that_comes_is_used(ends: Ends) -> None:
    assert ends.fit(left("b"), (2, left(), 1), DONE, min_workers=1) == [2, 1, 1]  # b itself is no room
    ends.counts = []
    ends.nodes["c"] = 1.0
    assert ends.fit(left("b"), DONE, min_workers=1) == [2, 2]


def test_no_notice_counts_as_a_failure(ends: Ends) -> None:
    assert ends.fit(*[(1, left(), 1)] * (MAX_TRAINING_FAILURES + 2), DONE) == [2] * (MAX_TRAINING_FAILURES + 3)


def test_fewer_workers_go_on_where_nodes_are_gone_for_good(ends: Ends) -> None:
    ends.gone = {"b"}
    assert ends.fit(LOST, DONE, min_workers=1) == [1, 1]


def test_workers_without_room_say_so_and_try_with_fewer_down_to_the_fewest(
    ends: Ends, capfd: pytest.CaptureFixture[str]
) -> None:
    ends.nodes = {"a": 3.0}
    assert ends.fit(NO_ROOM, NO_ROOM, NO_ROOM, DONE, num_workers=3, min_workers=2) == [3, 2, 2, 2]
    words = [f"training x: waits for {count} workers of 1 CPU each; free: 0.5 of 3 CPU" for count in (3, 2, 2)]
    assert capfd.readouterr().err.splitlines() == words


def test_a_training_waits_for_a_node_in_place_of_one_that_is_gone_but_not_forever(
    ends: Ends, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def come(_: float) -> None:
        ends.nodes["c"] = 1.0

    with monkeypatch.context() as patch:
        patch.setattr("time.sleep", come)
        assert ends.fit(left("b"), DONE) == [2, 2]
    assert "training x: waits for nodes, 600 s at most. --workers 2: each needs a CPU" in capfd.readouterr().err
    del ends.nodes["c"]
    monkeypatch.setattr(training, "MAX_NODE_WAIT_S", 0.01)
    with pytest.raises(ConnectionError, match="there is room for 1"):
        ends.fit(left("b"))
