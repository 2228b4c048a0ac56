"""From the machine of a node to findings: memory, limits, disk, GPUs and clock, each limit with its reason."""

from collections.abc import Iterator

from cluster.connect import OBJECT_STORE_BYTES
from cluster.resources import GIB, SHARDING
from jobs.console.findings import PROBLEM, WARNING, Finding
from jobs.console.node_facts import Node
from pipeline.formatting import format_bytes

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
    refusal = "and S3 refuses signatures that are 15 minutes old"
    yield from compare_clocks(
        node.clock_ahead_s, "the driver's", refusal, "Let it follow a time server (chrony, ntpd)."
    )


def compare_clocks(
    ahead_s: float, others: str, refusal: str, remedy: str, nodes: tuple[str, ...] = ()
) -> Iterator[Finding]:
    """A clock against another one.

    Args:
        refusal: what is not possible where they are too far apart.
    """
    if abs(ahead_s) > USUAL_CLOCK_S:
        is_late = abs(ahead_s) > MAX_CLOCK_S
        text = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} {others}"
        yield Finding(
            PROBLEM if is_late else WARNING, "clock", f"{text}, {refusal}" if is_late else text, remedy, nodes
        )
