"""What is looked at before work begins: all of it for `earshot doctor`, what would surely fail for a long command.

Each node runs a `Probe` and returns plain facts; what they mean is decided here, on the driver, by the functions of
`node_checks` and `access_checks`.
"""

import dataclasses
from collections.abc import Iterable, Iterator

import ray

from cluster.connect import connect
from cluster.every_node import Answer, ask_every_node
from cluster.placement import check_placement, grows
from cluster.resources import STAGES
from jobs.console.access_checks import check_bucket, check_reading, check_root
from jobs.console.findings import OK, PROBLEM, WARNING, Finding, merge
from jobs.console.messages import say
from jobs.console.node_checks import judge
from jobs.console.node_facts import Facts, Node, Probe, clock_ahead
from jobs.console.options import DEFAULT_PRESET
from pipeline.errors import ConfigError, EarshotError
from pipeline.storage import files
from pipeline.storage.access import REACH

DRIVER, HERE = "the driver", "this machine"
QUICK = ("ray", "versions", "ffmpeg", "root")  # checks whose problems would surely end a command later
NODE_S = 60.0  # a node's answer: to start a worker takes seconds, on a busy node half a minute


def examine(
    root: str | None, collection: str | None, media: str | None, address: str | None, preset: str | None
) -> list[Finding]:
    """All findings, those of several nodes merged, in the order of the checks. Connects to Ray."""
    root = files.absolute(root, follow_links=True) if root is not None else None  # as workspaces do
    access: list[Finding] = []
    video = _first_video(collection, root, media, access) if collection is not None else None
    mine = Probe(root, video)({})
    access += _access(mine, video, DRIVER if address else HERE)
    if root is not None:
        access += check_bucket(mine["access"])
    is_reached = root is None or REACH not in mine["access"]["refused"]
    probe = Probe(root if is_reached else None, video) if address else Probe()  # this machine has just been asked
    found = list(_ask_cluster(address, probe, mine))
    if found[-1].check == "placement":  # Ray has answered
        found.append(_check_preset(root if is_reached else None, preset))
    return merge([*found, *access])


def check_here(root: str, address: str | None) -> None:
    """Refuse before any work what would surely fail later, at the root and on this machine; silent where all is well.

    Raises:
        ConfigError: with a line for each problem.
    """
    mine = Probe(root, is_quick=True)({})
    found = list(_access(mine, None, DRIVER if address else HERE))
    if address is None:
        found += judge(Node(mine["machine"], {}, mine["ffmpeg"], mine["machine"], mine["ffmpeg"]), HERE)
    _refuse(found)


def check_nodes(root: str, address: str) -> None:
    """Refuse before any work what would surely fail later on some node of a cluster; Ray must be connected.

    A node that does not answer is left out: it may be busy, or about to leave.

    Raises:
        ConfigError: with a line for each problem.
    """
    mine = Probe(is_quick=True)({})
    found: list[Finding] = []
    for answer in ask_every_node(Probe(root, is_quick=True), NODE_S):
        if answer.error:
            say(f"--address {address}: {answer.node} was not looked at: {answer.error}", "warning")
        else:
            found += _of_node(answer, mine, None)
    _refuse(found)


def _of_node(answer: Answer, mine: Facts, video: str | None) -> Iterator[Finding]:
    facts = answer.result
    node = Node(
        facts=facts["machine"],
        resources=answer.resources,
        ffmpeg=facts["ffmpeg"],
        driver=mine["machine"],
        driver_ffmpeg=mine["ffmpeg"],
        clock_ahead_s=clock_ahead(facts["machine"]["time_s"], answer.asked_s, answer.answered_s),
        lacking_faces=facts["faces"],
    )
    yield from judge(node, answer.node)
    yield from _access(facts, video, answer.node)


def _refuse(found: Iterable[Finding]) -> None:
    problems = [each for each in merge(found) if each.level == PROBLEM and each.check in QUICK]
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise ConfigError(f"no work was begun, because this would fail later:\n{lines}")


def _first_video(collection: str, root: str | None, media: str | None, found: list[Finding]) -> str | None:
    from pipeline.collection.listing import list_videos

    try:
        return next(list_videos(collection, root, media))["uri"]
    except (OSError, EarshotError) + files.remote_errors() as error:  # noqa: RUF005  mypy reads the sum, not the stars
        remedy = "Allow s3:ListBucket on it, and give the credentials." if collection.startswith("s3://") else ""
        found.append(Finding(PROBLEM, "collection", f"{str(error).rstrip('.')}", remedy))
    return None


def _access(facts: Facts, video: str | None, node: str) -> Iterator[Finding]:
    if "access" in facts:
        yield from check_root(facts["access"], node)
    if "read_error" in facts:
        yield check_reading(str(video), facts["read_error"], node)


def _ask_cluster(address: str | None, probe: Probe, mine: Facts) -> Iterator[Finding]:
    """What Ray says of the cluster, and the findings of each node."""
    try:
        connect(address)
    except ConnectionError as error:
        yield Finding(PROBLEM, "ray", str(error).rstrip("."))
        if address is None:
            own, ffmpeg = mine["machine"], mine["ffmpeg"]
            yield from judge(Node(own, {}, ffmpeg, own, ffmpeg, lacking_faces=mine["faces"]), HERE)
        return
    answers = ask_every_node(probe, NODE_S)
    yield Finding(OK, "ray", f"{len(answers)} nodes" if address else "starts on this machine")
    for answer in answers:
        name = answer.node if address else HERE
        if answer.error:
            remedy = "Look at its raylet and at the logs below Ray's temporary folder there, or remove the node."
            yield Finding(PROBLEM, "ray", f"the node does not run a task: {answer.error}", remedy, (name,))
            continue
        yield from _of_node(dataclasses.replace(answer, node=name), mine, probe.video)
    yield from _placement()


def _placement() -> list[Finding]:
    refused = check_placement(STAGES)
    found = [Finding(PROBLEM, "placement", text.rstrip("."), "Add a larger node.") for text in refused]
    return found or [Finding(OK, "placement", "every stage has a node that can run it")]


def _check_preset(root: str | None, name: str | None) -> Finding:
    """Whether the cluster has the GPUs that a preset, or the settings of a root, are made for."""
    from jobs.console.presets import preset, wants_gpu
    from jobs.console.session import open_session

    of_root = name is None and root is not None
    config = open_session(str(root)).config if of_root else preset(name or DEFAULT_PRESET)
    whose = "models of this root" if of_root else f"models of {name or DEFAULT_PRESET}"
    num_gpus = ray.cluster_resources().get("GPU", 0)
    if not wants_gpu(config):
        return Finding(OK, "preset", f"{whose} train on CPUs")
    if num_gpus:
        return Finding(OK, "preset", f"{whose} want GPUs, and there are {num_gpus:g}")
    text = f"{whose} have the published sizes, which want GPUs, and no node has one"
    if grows():
        return Finding(WARNING, "preset", f"{text} yet", "See that the cluster may start nodes with GPUs.")
    return Finding(PROBLEM, "preset", text, "Add a node with GPUs, or take --preset small or tiny.")
