"""How far every stage of a workspace is, from disk alone: also while another machine works on it."""

import dataclasses
import datetime
import json
from typing import Annotated

import typer

from jobs.console.options import ReadRoot


def command(
    root: ReadRoot,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")] = False,
) -> None:
    """Show how far every stage of a workspace is.

    Reads records, locks and names of parts. Asks nothing of the processes at work, so it also runs on another machine,
    and takes seconds on an object store. Writes nothing.

    A stage is not begun, running, stopped (the command that made it goes on from there), finished, or grown: finished
    before what it reads had new parts. `done` counts parts, or steps of a training; `failed` are parts given up in
    the last run; rate, time to go and time are of the step that the note names.

    Example: earshot status --root my_workspace

    Example: watch -n 30 earshot status --root s3://bucket/workspace
    """
    from jobs.console.status_table import COLUMNS, row
    from jobs.console.systems import expected_stages
    from jobs.console.tables import show
    from pipeline.estimate.stage_status import list_statuses
    from pipeline.storage.workspace import open_workspace

    workspace = open_workspace(root)
    statuses = list_statuses(workspace, expected_stages(workspace))
    if as_json:
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        stages = [dataclasses.asdict(status) for status in statuses]
        print(json.dumps({"root": workspace.root, "at": at, "stages": stages}, indent=1))
        return
    show(COLUMNS, [row(status) for status in statuses])
