"""What workers wait for, as the driver says it: by place, once a minute, until it is over; and over a real Ray."""

import json
import time

import pytest

from cluster import waits
from cluster.mapping import map_parts
from cluster.resources import WorkerResources
from cluster.waits import Waits, report

FOUND = ("no answer from https://store (Connection refused)", 6.0)


def value(node: str, **waiting: tuple[str, float]) -> bytes:
    return json.dumps({"node": node, "waiting": {f"s3://{name}": wait for name, wait in waiting.items()}}).encode()


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.mark.usefixtures("ray_session")
def test_a_place_is_said_when_it_is_new_then_once_a_minute_and_when_it_is_over(lines: list[str]) -> None:
    board = Waits(lines.append)
    found = {b"1": value("node a", bucket=FOUND), b"2": value("node b", bucket=(FOUND[0], 4.0))}
    for now_s in (0, 5, 58, 61):
        board.show(found, now_s)
    board.show({}, 66)
    said = "s3://bucket: no answer from https://store (Connection refused); waiting for {} s on node a, node b"
    assert lines == [said.format(6), said.format(67), "s3://bucket: no longer waited for"]


@pytest.mark.usefixtures("ray_session")
def test_a_worker_that_was_killed_while_it_waited_is_forgotten(lines: list[str]) -> None:
    board = Waits(lines.append)
    found = {b"1": value("node a", bucket=FOUND)}
    for now_s in (0, 149, 151):
        board.show(found, now_s)
    assert lines[-1] == "s3://bucket: no longer waited for"


@pytest.mark.usefixtures("ray_session")
def test_of_many_nodes_three_are_named(lines: list[str]) -> None:
    Waits(lines.append).show({b"%d" % n: value(f"node {n}", bucket=(FOUND[0], n)) for n in range(9)}, 0)
    assert lines[0].endswith("waiting for 8 s on node 8, node 7, node 6 and 6 more")


@pytest.mark.usefixtures("ray_session")
def test_the_driver_says_what_a_worker_waits_for(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr("cluster.mapping.REFRESH_S", 0.1)

    def wait_and_go_on(part: str) -> None:
        report({"disk /data": ("full", 3.0)})
        time.sleep(0.5)
        report({})

    needs = WorkerResources(num_cpus=1, memory_bytes=2**26)
    parts = [str(number) for number in range(4)]
    assert len(list(map_parts(wait_and_go_on, parts, needs, say=lines.append))) == 4
    assert lines[0].startswith("disk /data: full; waiting for 3 s on node ")
