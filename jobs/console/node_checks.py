"""From the facts of a node to findings: pure functions, each with its limits and their reasons.

A function yields what is wrong; where it yields nothing, `judge` adds a line that says ok.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from cluster.connect import OBJECT_STORE_BYTES
from cluster.machine_facts import MachineFacts
from cluster.resources import GIB, SHARDING
from jobs.console.findings import OK, PROBLEM, WARNING, Finding
from pipeline.formatting import format_bytes
from pipeline.media.face_files import COMMAND
from pipeline.media.ffmpeg_features import ONLY_MEDIA, Features

MIN_OPEN_FILES = 1024  # ten reads at once, pipes of the decoder, Ray's sockets to every worker of the node
USUAL_OPEN_FILES = 8192  # what Ray advises
PROCESSES_PER_CPU = 200  # threads of a worker with torch, of an idle one beside it, and of ffmpeg
PROCESSES_OF_RAY = 1000  # threads of the raylet, its agents and the driver
# Of each worker: a video that was downloaded, and the part's tar that is being written.
SCRATCH_BYTES = 2 * GIB
ROOT_BYTES = 10 * GIB
RAY_FULL = 0.95  # from here on Ray refuses to spill objects (RAY_local_fs_capacity_threshold)
NCCL_BYTES = GIB  # what NVIDIA advises for processes that share a node's GPUs
MAX_CLOCK_S = 15 * 60.0  # S3 refuses a signature that is older
USUAL_CLOCK_S = 60.0
ONE_IMAGE = "Give every node the same image or the same constraints.txt."


class Node(NamedTuple):
    """What the checks know of one node."""

    facts: MachineFacts
    resources: dict[str, float]
    """What Ray counts of it; {} where Ray did not start."""
    ffmpeg: Features
    driver: MachineFacts
    driver_ffmpeg: Features
    clock_ahead_s: float = 0.0
    """Its clock less the driver's, as far as the time between question and answer proves."""
    lacking_faces: Sequence[str] = ()
    """What is wrong with the models that find faces: a sentence for each file."""


def check_versions(node: Node) -> Iterator[Finding]:
    """Python, Ray, torch, Earshot and what else is computed with, against the driver's."""
    mine, found = node.driver, node.facts
    check = "versions"
    if found["python"] != mine["python"]:
        is_minor = found["python"].split(".")[:2] == mine["python"].split(".")[:2]
        text = f"Python {found['python']}, the driver has {mine['python']}"
        yield Finding(WARNING if is_minor else PROBLEM, check, text, ONE_IMAGE)
    if found["code"] != mine["code"]:
        text = f"another Earshot (its source has the hash {found['code']}, the driver's {mine['code']})"
        yield Finding(PROBLEM, check, text, "Remove or update the one that is installed on the node.")
    others = []
    for name, version in mine["packages"].items():
        theirs = found["packages"].get(name)
        if theirs is None:
            yield Finding(PROBLEM, check, f"{name} is not installed, the driver has {version}", ONE_IMAGE)
        elif name in ("ray", "torch") and _public(theirs) != _public(version):
            yield Finding(PROBLEM, check, f"{name} {theirs}, the driver has {version}", ONE_IMAGE)
        elif _public(theirs) != _public(version):
            others.append(f"{name} {theirs} ({version})")
    if others:
        text = f"other versions than the driver's, so parts may differ in bytes: {', '.join(others)}"
        yield Finding(WARNING, check, text, ONE_IMAGE)


def check_shared_memory(node: Node) -> Iterator[Finding]:
    """/dev/shm against Ray's object store, and what NCCL wants of it."""
    room = node.facts["shared_memory"]
    if room is None:
        return
    check, has = "shared memory", f"{room['path']} has {format_bytes(room['total_bytes'])}"
    store = node.resources.get("object_store_memory", OBJECT_STORE_BYTES)
    remedy = (
        "In Docker give --shm-size=2g, in Kubernetes an emptyDir with `medium: Memory` at /dev/shm; elsewhere "
        "`mount -o remount,size=2g /dev/shm`. Then start Ray again."
    )
    if room["total_bytes"] < store:
        text = f"{has}, less than Ray's object store of {format_bytes(store)}, which is then kept on the disk"
        yield Finding(PROBLEM, check, text, remedy)
    elif node.resources.get("GPU", 0) > 1 and room["total_bytes"] < NCCL_BYTES:
        text = f"{has}, and several GPUs exchange gradients through it; expected {format_bytes(NCCL_BYTES)}"
        yield Finding(WARNING, check, text, remedy)


def check_limits(node: Node) -> Iterator[Finding]:
    """Files, and processes with their threads, that a worker's user may have."""
    files, processes = node.facts["open_files"], node.facts["processes"]
    if files is not None and files < USUAL_OPEN_FILES:
        is_few = files < MIN_OPEN_FILES
        yield Finding(
            PROBLEM if is_few else WARNING,
            "limits",
            f"ulimit -n is {files}, expected {USUAL_OPEN_FILES} or more",
            "Run `ulimit -n 65536` before `ray start`; in Docker give --ulimit nofile=65536.",
        )
    needed = int(PROCESSES_OF_RAY + PROCESSES_PER_CPU * node.resources.get("CPU", 1))
    if processes is not None and processes < needed:
        yield Finding(
            PROBLEM,
            "limits",
            f"{processes} processes and threads allowed, expected {needed} or more for its CPUs",
            "Raise `ulimit -u` before `ray start`, the container's --pids-limit, or the kubelet's podPidsLimit.",
        )


def check_disk(node: Node) -> Iterator[Finding]:
    """Room for temporary files, for Ray's, and for a local root."""
    workers = max(1, int(node.resources.get("CPU", 1)))
    for what, room in node.facts["rooms"].items():
        free, text = room["free_bytes"], f"{format_bytes(room['free_bytes'])} free for {what} ({room['path']})"
        remedy = {"temporary files": "or set TMPDIR to a larger disk", "Ray's files": "or give `ray start --temp-dir`"}
        mend = f"Make room, {remedy.get(what, 'or choose another root')}."
        if what == "Ray's files":
            if free < (1 - RAY_FULL) * room["total_bytes"]:
                text += f": {RAY_FULL:.0%} of the disk are used, and Ray spills no objects from there on"
                yield Finding(PROBLEM, "disk", text, mend)
            continue
        wanted = SCRATCH_BYTES * workers if what == "temporary files" else ROOT_BYTES
        if free < wanted:
            level = PROBLEM if free < SCRATCH_BYTES else WARNING
            yield Finding(level, "disk", f"{text}, expected {format_bytes(wanted)}", mend)


def check_memory(node: Node) -> Iterator[Finding]:
    """What Ray counts against what there is, and how many CPUs it is enough for."""
    counted, there = node.resources.get("memory", 0), node.facts["memory_bytes"]
    if counted > there:
        text = f"Ray counts {format_bytes(counted)}, the machine or its container has {format_bytes(there)}"
        yield Finding(PROBLEM, "memory", text, "Start Ray without --memory, or with less.")
    cpus = node.resources.get("CPU", 0)
    can_cut = int((counted or there) // SHARDING.memory_bytes)
    if can_cut < cpus:
        text = f"{format_bytes(counted or there)} for {cpus:g} CPUs: {can_cut} of them can cut videos at once"
        remedy = f"Expected {format_bytes(SHARDING.memory_bytes)} for each: take nodes with more memory for each CPU."
        yield Finding(WARNING, "memory", text, remedy)


def check_gpus(node: Node) -> Iterator[Finding]:
    """That torch computes on as many GPUs as Ray counts."""
    counted, gpus = int(node.resources.get("GPU", 0)), node.facts["gpus"]
    if len(gpus) < counted:
        why = node.facts["gpu_error"] or f"torch sees {len(gpus)}"
        remedy = (
            "Install a build of torch for this GPU and its driver, and in a container the NVIDIA runtime; or start Ray "
            "with --num-gpus 0."
        )
        yield Finding(PROBLEM, "GPUs", f"Ray counts {counted} GPUs: {why}", remedy)


def check_clock(node: Node) -> Iterator[Finding]:
    """The node's clock against the driver's."""
    if (off := abs(node.clock_ahead_s)) > USUAL_CLOCK_S:
        way = "ahead of" if node.clock_ahead_s > 0 else "behind"
        text = f"{off:.0f} s {way} the driver's"
        text += ", and S3 refuses signatures that are 15 minutes old" if off > MAX_CLOCK_S else ""
        yield Finding(
            PROBLEM if off > MAX_CLOCK_S else WARNING, "clock", text, "Let it follow a time server (chrony, ntpd)."
        )


def check_ffmpeg(node: Node) -> Iterator[Finding]:
    """That ffmpeg is there, has what the commands use, passes the trial, and is the one that the driver has."""
    found, check = node.ffmpeg, "ffmpeg"
    mend = "Install the package imageio-ffmpeg, or ffmpeg 5.1 or later, or set EARSHOT_FFMPEG to one."
    if found["error"]:
        yield Finding(PROBLEM, check, found["error"].rstrip("."), mend)
    for kind, names in found["missing"].items():
        text = f"{found['path']} has no {kind} {', '.join(names)}"
        if kind in ONLY_MEDIA:
            yield Finding(WARNING, check, f"{text}: videos that need them become rejected rows", mend)
        else:
            yield Finding(PROBLEM, check, text, mend)
    mine = node.driver_ffmpeg["version"]
    if found["version"] and mine and found["version"] != mine:
        text = f"{found['version']}, the driver has {mine}: the same video may give other bytes"
        yield Finding(WARNING, check, text, ONE_IMAGE)


def check_faces(node: Node) -> Iterator[Finding]:
    """That the models that find faces are there, as clips of the spec `speech` need them."""
    if node.lacking_faces:
        text = f"no clips of mouths can be cut: {' '.join(node.lacking_faces).rstrip('.')}"
        yield Finding(WARNING, "faces", text, f"Run `{COMMAND}` there.")


CHECKS: dict[str, tuple[Callable[[Node], Iterator[Finding]], Callable[[Node], str]]] = {
    "versions": (check_versions, lambda node: _format_versions(node.facts)),
    "shared memory": (check_shared_memory, lambda node: "room for Ray's object store"),
    "limits": (check_limits, lambda node: "of open files and processes: enough"),
    "disk": (check_disk, lambda node: f"room for {', '.join(node.facts['rooms'])}"),
    "memory": (check_memory, lambda node: "enough for its CPUs"),
    "GPUs": (check_gpus, lambda node: ", ".join(node.facts["gpus"]) or "none, and Ray counts none"),
    "ffmpeg": (check_ffmpeg, lambda node: f"{node.ffmpeg['version']} has all that is used, and decodes under limits"),
    "faces": (check_faces, lambda node: "the models that find them are there"),
    "clock": (check_clock, lambda node: "as the driver's"),
}


def judge(node: Node, name: str) -> list[Finding]:
    """All findings of one node, with a line for each check that found nothing."""
    found = []
    for check, (find, ok) in CHECKS.items():
        of_check = list(find(node)) or [Finding(OK, check, ok(node))]
        found += [Finding(each.level, each.check, each.text, each.remedy, (name,)) for each in of_check]
    return found


def clock_ahead(node_s: float, asked_s: float, answered_s: float) -> float:
    """Seconds by which a node's clock is ahead of the driver's at least: 0 where it may be right.

    >>> clock_ahead(100.0, 99.0, 101.0), clock_ahead(160.0, 99.0, 101.0), clock_ahead(60.0, 99.0, 101.0)
    (0.0, 59.0, -39.0)
    """
    return max(0.0, node_s - answered_s) + min(0.0, node_s - asked_s)


def _format_versions(facts: MachineFacts) -> str:
    packages = facts["packages"]
    return f"Python {facts['python']}, Ray {packages.get('ray')}, torch {packages.get('torch')}"


def _public(version: str) -> str:
    """A version without its build: a node with a GPU has another build of torch than one without."""
    return version.partition("+")[0]
