"""All checks of a node, in their order: pure functions of its facts.

A function yields what is wrong; where it yields nothing, `judge` adds a line that says ok.
"""

from collections.abc import Callable, Iterator

from cluster.machine_facts import MachineFacts
from jobs.console.findings import OK, Finding
from jobs.console.machine_checks import (
    check_clock,
    check_disk,
    check_gpus,
    check_limits,
    check_memory,
    check_shared_memory,
)
from jobs.console.node_facts import Node
from jobs.console.software_checks import check_faces, check_ffmpeg, check_versions

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


def _format_versions(facts: MachineFacts) -> str:
    packages = facts["packages"]
    return f"Python {facts['python']}, Ray {packages.get('ray')}, torch {packages.get('torch')}"
