"""Whether the nodes of a cluster see the same local files: a path means on each machine what that machine has there.

A part that runs where a folder is not mounted would find nothing, and report videos as missing for good. So a file that
the driver sees is looked at on every node before any work, and again before each part, since nodes join at any time.
"""

import dataclasses
import hashlib
import os
import socket
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.faults import UnsharedError
from cluster.workers import run_parts

R = TypeVar("R")
LOOK_S = 120.0  # of a node that is alive: a worker there has to start and to fetch the code
HEAD_BYTES = 4096


def fingerprint(path: str) -> str | None:
    """Size of a file and hash of its first HEAD_BYTES; None where no file is, or none that may be read.

    It is opened: NFS keeps what it knew of a path for up to a minute, and asks its server at each open.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # a pipe would wait for its writer
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                return None
            return f"{found.st_size} bytes, sha256 {hashlib.sha256(file.read(HEAD_BYTES)).hexdigest()}"
    except OSError:
        return None


def look_everywhere(paths: Sequence[str]) -> dict[str, list[str | None]]:
    """The fingerprints of files on every living node, by the node's name; a node that is lost meanwhile is left out."""
    task = ray.remote(_look)
    asked = {}
    for node in ray.nodes():
        if node["Alive"]:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            name = format_node(node["NodeManagerHostname"], node["NodeManagerAddress"], node["NodeID"])
            pinned = task.options(num_cpus=0, max_retries=0, scheduling_strategy=there)
            asked[pinned.remote(list(paths))] = name
    ready, silent = ray.wait(list(asked), num_returns=len(asked), timeout=LOOK_S)
    for reference in silent:
        note = f"{asked[reference]}: no answer within {LOOK_S:.0f} s to which files it sees; its parts will check that"
        print(note, file=sys.stderr, flush=True)
        ray.cancel(reference, force=True)
    found = {}
    for reference in ready:
        try:
            found[asked[reference]] = ray.get(reference)
        except ray.exceptions.RayError:  # it is gone, or going
            continue
    return found


def check_shared(what: str, path: str) -> str | None:
    """Make sure that every node sees a file as this process does, and return its fingerprint.

    Args:
        what: the folder that the file stands for, to begin the message with.
    Raises:
        UnsharedError: a node sees none there, or another one.
    """
    here = fingerprint(path)
    compare(what, path, here, {node: found for node, (found,) in look_everywhere([path]).items()})
    return here


def compare(what: str, path: str, here: str | None, there: Mapping[str, str | None]) -> None:
    """Refuse what differs between this machine and a node; for the arguments and the error see `check_shared`."""
    others = [node for node, found in there.items() if found != here]
    if others:
        nodes = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        found = "another file" if here and there[others[0]] else "no such file" if here else "a file that is not here"
        raise UnsharedError(
            f"{what}: the nodes of a cluster do not share it. {path}: {nodes} sees {found}, expected what "
            f"{socket.gethostname()} sees. Mount the same folder at the same path on every node, or use s3://."
        )


@dataclasses.dataclass(frozen=True)
class OnShared(Generic[R]):
    """Work on parts that is done only where files are seen as the driver sees them.

    Args:
        work: part -> result.
        files: fingerprints by path.
    """

    work: Callable[[str], R]
    files: Mapping[str, str | None]

    def __call__(self, part: str) -> R:
        """The result of a part.

        Raises:
            UnsharedError: this node sees other files.
        """
        return next(self.run_parts([part]))

    def run_parts(self, parts: Sequence[str]) -> Iterator[R]:
        """The results of parts, as `run_parts` gives them, each once the files were looked at."""
        results = run_parts(self.work, parts)
        for _ in parts:
            self._check()
            yield next(results)

    def _check(self) -> None:
        for path, expected in self.files.items():
            if fingerprint(path) != expected:
                node_id = ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""
                node = format_node(socket.gethostname(), ray.util.get_node_ip_address(), node_id)
                raise UnsharedError(
                    f"{node} does not see {path} as the driver does. Mount the same folder there, or take the node out "
                    "of the cluster; then the same command goes on from here."
                )


def format_node(host: str, ip_address: str, node_id: str) -> str:
    """`node worker-3 (10.0.0.7, 3f2a9c01)`: the last is how Ray's dashboard begins its id."""
    return f"node {host} ({ip_address}, {node_id[:8]})"


def _look(paths: list[str]) -> list[str | None]:
    return [fingerprint(path) for path in paths]
