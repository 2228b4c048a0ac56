"""From the software of a node to findings: versions, ffmpeg and the models that find faces, against the driver's."""

from collections.abc import Iterator

from jobs.console.findings import PROBLEM, WARNING, Finding
from jobs.console.node_facts import Node
from pipeline.media.face_files import COMMAND
from pipeline.media.ffmpeg_features import ONLY_MEDIA

ONE_IMAGE = "Give every node the same image or the same constraints.txt."


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


def _public(version: str) -> str:
    """A version without its build: a node with a GPU has another build of torch than one without."""
    return version.partition("+")[0]
