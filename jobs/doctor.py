"""What would fail later, found now: this machine, every node of a cluster, the root and the collection."""

import dataclasses
import json
from typing import Annotated

import typer

from jobs.console.options import Address, Media, Preset


def command(
    root: Annotated[
        str | None,
        typer.Option(help="The workspace that will be written to: its rights are tried with two small files."),
    ] = None,
    collection: Annotated[
        str | None, typer.Option(help="The videos that will be read: it is listed, and the first one is read from.")
    ] = None,
    address: Address = None,
    media: Media = None,
    preset: Preset = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with all findings.")] = False,
) -> None:
    """Check machines, root and collection before work begins.

    On every node: versions of Python, Ray, torch and Earshot, /dev/shm, ulimits, disk, memory, GPUs, clock, an ffmpeg
    that has what is used and decodes a short video, and the models that find faces. At the root: whether files can be
    written, read, created only once, listed and deleted. Whether every stage has a node that can run it, and the preset
    its GPUs.

    Prints a line for each finding: ok, warning, or problem with how to mend it. Exit code 1 if there is a problem.
    Writes nothing that stays. `earshot run` does the short part of it by itself.

    Example: earshot doctor --root s3://bucket/workspace --collection s3://bucket/videos --address auto --preset base
    """
    from jobs.console.findings import PROBLEM, WARNING
    from jobs.console.preflight import examine

    found = examine(root, collection, media, address, preset)
    problems, warnings = (sum(each.level == level for each in found) for level in (PROBLEM, WARNING))
    if as_json:
        findings = [dataclasses.asdict(each) for each in found]
        print(json.dumps({"findings": findings, "problems": problems, "warnings": warnings}, indent=1))
    else:
        print("\n".join(map(str, found)))
        print(f"doctor: problems {problems}, warnings {warnings}")
    if problems:
        raise typer.Exit(1)
