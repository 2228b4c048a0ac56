"""What `earshot status` prints: a row of cells for each stage."""

import textwrap

from pipeline.estimate.stage_status import StageStatus
from pipeline.formatting import format_hours, format_number

COLUMNS = ["stage", "state", "done", "running", "failed", "rate", "to go", "time", "note"]
MAX_ERROR = 100  # letters in the table; --json has more
RATES = ((1.0, 1, "s"), (1 / 60, 60, "min"), (0.0, 3600, "h"))  # lowest rate per second, seconds and name of the unit


def row(status: StageStatus) -> list[str]:
    """The cells of a stage, in the order of COLUMNS."""

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


def note(status: StageStatus) -> str:
    """Who works on a stage, at which step, and what it reached; or what ended it."""
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
