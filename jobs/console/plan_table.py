"""What `earshot plan` tells: a table of quantities and costs with their ranges, and the notes below it."""

import math
import os
from collections.abc import Sequence
from typing import NamedTuple

from jobs.console.progress import printable
from pipeline.estimate.deadlines import advise, format_cores, format_hours
from pipeline.estimate.estimating import CPU_DOUBT, WORKER_START_S, Actual, Estimate, Sample
from pipeline.estimate.pricing import Prices, bill
from pipeline.estimate.stratified_sampling import Range


class Unit(NamedTuple):
    """A unit's name, and how many of it make one of the quantity's own."""

    name: str
    scale: float


COUNT = (Unit("", 1),)
TIME = (Unit("hours", 1), Unit("minutes", 60), Unit("seconds", 3600))
SIZE = (Unit("GB", 1), Unit("MB", 1e3), Unit("kB", 1e6))
# The first unit of which the estimate is at least this much is the row's.
LEAST = 0.1
ROWS = {
    "videos": ("videos", COUNT),
    "usable": ("usable videos", COUNT),
    "hours": ("{} of video", TIME),
    "gigabytes_read": ("{} of video files", SIZE),
    "clips": ("clips", COUNT),
    "gigabytes": ("{} of clips", SIZE),
    "parts": ("parts", COUNT),
    "cpu_hours": ("CPU {}", TIME),
}
SAMPLED = ("usable", "hours", "clips", "gigabytes")  # what only cutting tells
# Wall time over CPU time of the sample, from which on cores are worth a warning: they are paid while they wait.
WAITING = 1.25


def table(found: Estimate, took: Actual | None, prices: Prices) -> tuple[list[str], list[list[str]]]:
    """Names of columns, and a row per quantity and cost; with what cutting took, if it did."""
    is_whole = len(found.probes) == found.ranges["videos"].value
    rows = []
    for name, (label, units) in ROWS.items():
        figure = found.ranges[name]
        unit = fitting(figure.value, units)
        value = getattr(took.quantities, name) * unit.scale if took else math.nan
        rows.append(row(label.format(unit.name), Range(*(unit.scale * end for end in figure)), value))
        if name in SAMPLED and not rows[-1][2] and not is_whole:
            rows[-1][2] = "all sampled alike"
    bills = [bill(quantities, prices) for quantities in (found.expected(), found.low(), found.high())]
    spent = bill(took.quantities, prices) if took else None
    for label, name in (("once", "once"), ("each month", "storage_per_month")):
        value = getattr(spent, name) if spent else math.nan
        rows.append(row(f"{prices.currency}, {label}", Range(*(getattr(made, name) for made in bills)), value))
    names = ["", "estimate", "range (95 %)", "actual", "in range"]
    if took is None:
        return names[:3], [cells[:3] for cells in rows]
    if took.num_pending:
        return names, [[*cells[:4], "-"] for cells in rows]
    return names, rows


def row(label: str, figure: Range, value: float) -> list[str]:
    """Label, estimate, range, actual value, and whether that is in the range; `-` where it is not known."""
    return [label, amount(figure.value), span(figure), amount(value), verdict(figure, value)]


def fitting(value: float, units: Sequence[Unit]) -> Unit:
    """The unit that a value is readable in: the first of which it is 0.1 or more, else the last."""
    return next((unit for unit in units if not 0 < value * unit.scale < LEAST), units[-1])


def amount(value: float) -> str:
    """Three digits, thousands apart; a count exactly; `-` if it is not known, `?` without an end.

    >>> amount(1234567.0), amount(0.012345), amount(98765.4), amount(0.0000123)
    ('1 234 567', '0.0123', '98 800', '< 0.01')
    """
    if not math.isfinite(value):
        return "-" if math.isnan(value) else "?"
    if value == round(value):
        return f"{value:,.0f}".replace(",", " ")
    if 0 < value < 0.01:
        return "< 0.01"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}".replace(",", " ") if abs(rounded) >= 100 else f"{rounded:.3g}"


def span(figure: Range) -> str:
    """`90 to 110`; nothing where both ends read alike."""
    low, high = amount(figure.low), amount(figure.high)
    return "" if low == high else f"{low} to {high}"


def verdict(figure: Range, value: float) -> str:
    """Whether a value is as estimated; else by how much it is off."""
    if math.isnan(value):
        return "-"
    if figure.holds(value) or amount(value) == amount(figure.value):
        return "yes"
    off = value / figure.value - 1 if figure.value else math.inf
    return f"no: {100 * off:+.0f} %"


def sample_notes(drawn: Sample, found: Estimate) -> list[str]:
    """What the estimate rests on, and why videos of the sample are not usable."""
    num_usable = sum(probe.num_kept > 0 for probe in found.probes)
    lines = [f"Sample: {drawn.num_sampled} of {amount(drawn.num_videos)} videos; {num_usable} are usable."]
    for reason, probes in found.unusable().items():
        lines.append(f"  {len(probes)} {reason}, such as {printable(probes[0].uri)}")
    cpu_s, wall_s = (sum(getattr(probe, name) for probe in found.probes) for name in ("cpu_s", "wall_s"))
    video_s = sum(probe.duration_s for probe in found.probes)
    if not video_s:
        return [*lines, "Nothing of the sample could be decoded: is this a collection of videos?"]
    num_cores = os.cpu_count() or 1
    wall_hours = found.expected().cpu_hours / num_cores
    lines.append(
        f"Time: {format_hours(wall_hours)} on {format_cores(num_cores)} like this machine's, at "
        f"{1000 * cpu_s / video_s:.0f} ms of CPU per second of video. Measured time is never exact: its range is "
        f"{100 * CPU_DOUBT:.0f} % to either side at least, and {WORKER_START_S:g} s above for each part that a worker "
        "may start with."
    )
    if wall_s > WAITING * cpu_s:
        lines.append(
            f"  The sample took {wall_s:.3g} s for {cpu_s:.3g} s of CPU: this machine is busy, or the videos come "
            f"slowly. If they come slowly, time and core price are {wall_s / cpu_s:.1f} times what is said here."
        )
    return lines


def cost_note(found: Estimate, prices: Prices) -> str:
    """What the cost is made of, and whose prices these are."""
    made = bill(found.expected(), prices)
    return (
        f"Cost: {amount(made.once)} {prices.currency} once (cores {amount(made.cores)}, reading "
        f"{amount(made.reading)}, requests {amount(made.requests)}), and {amount(made.storage_per_month)} for each "
        f"month that the clips are kept. Prices: {prices.source}."
    )


def actual_notes(found: Estimate, took: Actual | None, root: str | None) -> list[str]:
    """What the column of actual figures does not hold."""
    if root is None:
        return []
    if took is None:
        return [f"Actual: nothing has been cut in {root} yet."]
    lines, num_parts = [], round(took.quantities.parts)
    if took.num_pending:
        lines.append(f"Actual: {num_parts} parts so far, {took.num_pending} are not cut yet.")
    if took.num_metered < num_parts:
        known = f"{format_hours(took.known_cpu_hours)} of CPU for {took.num_metered} of {num_parts} parts"
        lines.append(f"Actual: {known}; the others have no row of usage.")
    if not took.num_pending and took.quantities.videos != found.ranges["videos"].value:
        lines.append("Actual: of another number of videos. Has the collection changed since?")
    return lines


def deadline_note(deadline: str, deadline_hours: float, found: Estimate, videos_per_part: int) -> str:
    """The cores that meet a deadline, with all the CPU hours that the range allows for."""
    cpu_hours, num_videos = found.ranges["cpu_hours"], round(found.ranges["videos"].value)
    if math.isfinite(cpu_hours.high):
        basis, most = "at the upper end of the CPU time", cpu_hours.high
    else:
        basis, most = "at the estimate of the CPU time, as so small a sample tells no upper end", cpu_hours.value
    advice = advise(deadline_hours, most, num_videos, videos_per_part)
    return f"Deadline {deadline}, {basis}: {advice}" + (
        "" if most == cpu_hours.high else " A larger --sample tells it."
    )
