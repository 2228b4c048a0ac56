"""From a node's facts to findings: each limit, on both sides of it."""

import copy
from typing import Any

import pytest

from cluster.machine_facts import MachineFacts, Room
from cluster.resources import GIB
from jobs.console.node_checks import CHECKS, judge
from jobs.console.node_facts import Node, clock_ahead
from pipeline.media.ffmpeg_features import Features

GOOD = MachineFacts(
    python="3.11.7",
    packages={"ray": "2.60.0", "torch": "2.13.0+cpu", "numpy": "2.4.6"},
    code="0123456789ab",
    time_s=1e9,
    open_files=65536,
    processes=None,
    memory_bytes=16 * GIB,
    shared_memory=Room(path="/dev/shm", free_bytes=8 * GIB, total_bytes=8 * GIB),
    rooms={
        "temporary files": Room(path="/tmp", free_bytes=100 * GIB, total_bytes=200 * GIB),
        "Ray's files": Room(path="/tmp/ray", free_bytes=100 * GIB, total_bytes=200 * GIB),
        "the root": Room(path="/data", free_bytes=100 * GIB, total_bytes=200 * GIB),
    },
    gpus=[],
    gpu_error="",
)
FFMPEG = Features(path="/usr/bin/ffmpeg", version="ffmpeg version 9.0.2", missing={}, error="")
RESOURCES = {"CPU": 4.0, "memory": 12.0 * GIB, "object_store_memory": 4.0 * GIB}


def changed(value: Any, path: str, to: Any) -> Any:
    """A deep copy with one value changed: keys are separated by slashes; None removes a key."""
    whole = inner = copy.deepcopy(value)
    *folders, last = path.split("/")
    for name in folders:
        inner = inner[name]
    if to is None and folders:
        del inner[last]
    else:
        inner[last] = to
    return whole


def levels(node: Node) -> dict[str, tuple[str, str]]:
    """By check, level and text of its first finding."""
    found: dict[str, tuple[str, str]] = {}
    for each in judge(node, "a node"):
        assert each.nodes == ("a node",)
        assert bool(each.remedy) == (each.level != "ok")
        found.setdefault(each.check, (each.level, each.text))
    return found


def good(**changes: Any) -> Node:
    return Node(
        **({"facts": GOOD, "resources": RESOURCES, "ffmpeg": FFMPEG, "driver": GOOD, "driver_ffmpeg": FFMPEG} | changes)
    )


def test_a_node_like_the_driver_with_room_for_all_is_well() -> None:
    found = levels(good())
    assert list(found) == list(CHECKS)
    assert {level for level, _ in found.values()} == {"ok"}
    assert found["versions"][1] == "Python 3.11.7, Ray 2.60.0, torch 2.13.0+cpu"


@pytest.mark.parametrize(
    ("path", "to", "check", "level", "text"),
    [
        ("python", "3.12.1", "versions", "problem", "Python 3.12.1, the driver has 3.11.7"),
        ("python", "3.11.9", "versions", "warning", "Python 3.11.9, the driver has 3.11.7"),
        ("packages/ray", "2.59.0", "versions", "problem", "ray 2.59.0, the driver has 2.60.0"),
        ("packages/torch", "2.12.0+cu130", "versions", "problem", "torch 2.12.0+cu130, the driver has 2.13.0+cpu"),
        ("packages/torch", "2.13.0+cu130", "versions", "ok", "torch 2.13.0+cu130"),
        ("packages/numpy", "2.5.0", "versions", "warning", "numpy 2.5.0 (2.4.6)"),
        ("packages/numpy", None, "versions", "problem", "numpy is not installed, the driver has 2.4.6"),
        ("code", "ba9876543210", "versions", "problem", "another Earshot"),
        ("shared_memory/total_bytes", 64 * 2**20, "shared memory", "problem", "/dev/shm has 67.1 MB, less than"),
        ("shared_memory/total_bytes", 4 * GIB, "shared memory", "ok", ""),
        ("shared_memory", None, "shared memory", "ok", ""),
        ("open_files", 1023, "limits", "problem", "ulimit -n is 1023, expected 8192 or more"),
        ("open_files", 1024, "limits", "warning", "ulimit -n is 1024"),
        ("open_files", None, "limits", "ok", ""),
        ("processes", 1799, "limits", "problem", "1799 processes and threads allowed, expected 1800 or more"),
        ("processes", 1800, "limits", "ok", ""),
        ("rooms/temporary files/free_bytes", GIB, "disk", "problem", "1.07 GB free for temporary files (/tmp)"),
        ("rooms/temporary files/free_bytes", 7 * GIB, "disk", "warning", "expected 8.59 GB"),
        ("rooms/temporary files/free_bytes", 8 * GIB, "disk", "ok", ""),
        ("rooms/Ray's files/free_bytes", 9 * GIB, "disk", "problem", "95% of the disk are used"),
        ("rooms/Ray's files/free_bytes", 11 * GIB, "disk", "ok", ""),
        ("rooms/the root/free_bytes", 9 * GIB, "disk", "warning", "9.66 GB free for the root (/data)"),
        ("rooms/the root/free_bytes", GIB, "disk", "problem", "1.07 GB free for the root"),
        ("memory_bytes", 8 * GIB, "memory", "problem", "Ray counts 12.9 GB, the machine or its container has 8.59 GB"),
    ],
)
def test_a_fact_is_a_finding_beyond_its_limit_alone(path: str, to: Any, check: str, level: str, text: str) -> None:
    found = levels(good(facts=changed(GOOD, path, to)))
    assert found[check][0] == level
    assert text in found[check][1]
    assert all(of_other == "ok" for name, (of_other, _) in found.items() if name != check)


def test_a_node_without_the_models_that_find_faces_is_warned_of_with_the_command() -> None:
    (finding,) = [
        each for each in judge(good(lacking_faces=["/a: not there.", "/b: not there."]), "n") if each.check == "faces"
    ]
    assert (finding.level, finding.text) == ("warning", "no clips of mouths can be cut: /a: not there. /b: not there")
    assert finding.remedy == "Run `python -m pipeline.media.face_files` there."


def test_memory_for_fewer_cutters_than_cpus_is_a_warning() -> None:
    found = levels(good(resources=RESOURCES | {"memory": 3.0 * GIB}))
    assert found["memory"] == ("warning", "3.22 GB for 4 CPUs: 3 of them can cut videos at once")


def test_a_gpu_that_ray_counts_and_torch_does_not_use_is_a_problem() -> None:
    gpu = RESOURCES | {"GPU": 1.0}
    blind = changed(GOOD, "gpu_error", "torch 2.13.0+cpu, a build for CPUs alone, sees none")
    found = levels(good(facts=blind, resources=gpu))
    assert found["GPUs"] == ("problem", "Ray counts 1 GPUs: torch 2.13.0+cpu, a build for CPUs alone, sees none")
    assert levels(good(facts=changed(GOOD, "gpus", ["H200"]), resources=gpu))["GPUs"] == ("ok", "H200")


def test_several_gpus_want_a_gibibyte_of_shared_memory() -> None:
    two = {"GPU": 2.0, "object_store_memory": GIB / 4}
    facts = changed(changed(GOOD, "gpus", ["H200", "H200"]), "shared_memory/total_bytes", GIB // 2)
    assert levels(good(facts=facts, resources=RESOURCES | two))["shared memory"][0] == "warning"
    assert levels(good(facts=facts, resources=RESOURCES | two | {"GPU": 1.0}))["shared memory"][0] == "ok"


@pytest.mark.parametrize(("ahead_s", "level"), [(0.0, "ok"), (60.0, "ok"), (61.0, "warning"), (-901.0, "problem")])
def test_a_clock_beyond_what_s3_signs_is_a_problem(ahead_s: float, level: str) -> None:
    found = levels(good(clock_ahead_s=ahead_s))["clock"]
    assert found[0] == level
    assert ahead_s >= 0 or "901 s behind the driver's" in found[1]


def test_the_clock_is_wrong_by_what_lies_outside_question_and_answer() -> None:
    assert clock_ahead(1000.0, asked_s=40.0, answered_s=100.0) == 900.0
    assert clock_ahead(39.0, asked_s=40.0, answered_s=100.0) == -1.0
    assert clock_ahead(70.0, asked_s=40.0, answered_s=100.0) == 0.0


@pytest.mark.parametrize(
    ("changes", "level", "text"),
    [
        ({"error": "/x does not start (no such file)", "version": ""}, "problem", "/x does not start"),
        ({"missing": {"encoders": ["libx264"]}}, "problem", "/usr/bin/ffmpeg has no encoders libx264"),
        ({"missing": {"decoders": ["hevc", "vp9"]}}, "warning", "no decoders hevc, vp9: videos that need them"),
        ({"version": "ffmpeg version 5.1.9"}, "warning", "ffmpeg version 5.1.9, the driver has ffmpeg version 9.0.2"),
    ],
)
def test_what_ffmpeg_lacks_is_a_problem_where_a_command_needs_it(changes: Any, level: str, text: str) -> None:
    found = levels(good(ffmpeg={**FFMPEG, **changes}))["ffmpeg"]
    assert found[0] == level
    assert text in found[1]
