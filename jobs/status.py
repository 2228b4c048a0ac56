"""How far every stage of a workspace is, from disk alone: also while another machine works on it."""

import dataclasses
import datetime
import json
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.console.options import ReadRoot

if TYPE_CHECKING:
    from pipeline.estimate.stage_status import StageStatus

# What `earshot run` makes of every collection, in its order; labels, duplicates and a separator are shown once begun.
# Of other systems without it: RUN_ALONE, by the clip spec that their name is too.
RUN = (
    *("clips/base", "models/coincidence", "scores/coincidence", "selections/default", "mixtures/default"),
    *("models/separation", "reports/coincidence/-", "reports/separation/default"),
)
RUN_ALONE = {
    "events": (
        *("clips/base", "clips/events", "models/coincidence", "scores/coincidence", "spans"),
        *("features/events/coincidence", "models/events", "reports/coincidence/-", "reports/events/-"),
    ),
    "segmentation": (
        *("clips/base", "clips/segmentation", "models/coincidence", "scores/coincidence", "masks"),
        *("models/segmentation", "reports/coincidence/-", "reports/segmentation/-"),
    ),
}
RUN_PUBLISHED = ("clips/segmentation", "masks", "models/segmentation", "reports/segmentation/-")  # after `ingest`
COLUMNS = ["stage", "state", "done", "running", "failed", "rate", "to go", "time", "note"]
MAX_ERROR = 100  # letters in the table; --json has more
RATES = ((1.0, 1, "s"), (1 / 60, 60, "min"), (0.0, 3600, "h"))  # lowest rate per second, seconds and name of the unit


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
    from jobs.console.tables import show
    from pipeline.estimate.stage_status import list_statuses
    from pipeline.storage.lineage import published_stage
    from pipeline.storage.workspace import open_workspace

    workspace = open_workspace(root)
    alone = [stages for spec, stages in RUN_ALONE.items() if workspace.has_stage(f"clips/{spec}")]
    is_alone = alone and not workspace.has_stage("selections/default")
    expected = dict.fromkeys(sum(alone, ())) if is_alone else RUN
    statuses = list_statuses(workspace, RUN_PUBLISHED if published_stage(workspace) else expected)
    if as_json:
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        stages = [dataclasses.asdict(status) for status in statuses]
        print(json.dumps({"root": workspace.root, "at": at, "stages": stages}, indent=1))
        return
    show(COLUMNS, [row(status) for status in statuses])


def row(status: "StageStatus") -> list[str]:
    """The cells of a stage, in the order of COLUMNS."""
    from pipeline.formatting import format_hours, format_number

    def time(seconds: float | None) -> str:
        return "" if seconds is None else format_hours(round(seconds) / 3600)

    is_running, per_s = status.state == "running", status.per_s
    counted = [format_number(count) for count in (status.done, status.total) if count is not None]
    rate = ""
    if per_s:
        of_s, unit = next((of_s, unit) for least, of_s, unit in RATES if per_s >= least)
        rate = f"{format_number(per_s * of_s)}/{unit}"
    return [
        status.stage,
        status.state,
        " of ".join(counted) + (f" {status.unit}" if counted and status.unit != "parts" else ""),
        format_number(status.running) if is_running and status.unit == "parts" else "",
        format_number(status.failed) if status.failed else "",
        rate,
        time(status.seconds_to_go),
        time(status.seconds),
        note(status),
    ]


def note(status: "StageStatus") -> str:
    """Who works on a stage, at which step, and what it reached; or what ended it."""
    from pipeline.formatting import format_number

    facts = [textwrap.shorten(status.error, MAX_ERROR, placeholder=" ...")] if status.error else []
    if status.by:
        facts.append(f"{status.step or 'begins'}: process {status.by['pid']} on {status.by['host']}")
    elif status.finished:
        facts.append(f"at {status.finished}")
    elif status.updated:
        facts.append(f"{status.step}, last heard of at {status.updated}")
    if status.unit != "parts":
        figures = status.figures.items()
        facts += [
            f"{name} {format_number(value)}" for name, value in figures if "loss" in name or name == "clips_per_s"
        ]
    return ", ".join(facts)
