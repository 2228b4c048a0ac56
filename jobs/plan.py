"""What cutting a collection will take, from a sample that is cut in memory, beside what it took: writes nothing."""

import importlib.resources
import math
import os
from typing import Annotated

import typer

from jobs.presets import preset as find_preset
from jobs.progress import progress_bar
from jobs.session import DEFAULT_PRESET, Collection, Media, Preset, Set, open_session
from jobs.tables import show
from pipeline.config import override
from pipeline.deadlines import advise, parse_hours, tell_cores, tell_hours
from pipeline.listing import list_videos
from pipeline.planning import Actual, Estimate, Sample, actual, draw, estimate, probe_all
from pipeline.pricing import Prices, bill, read_prices
from pipeline.strata import Range

PRICES = str(importlib.resources.files("cluster") / "prices.toml")
ROWS = {
    "videos": "videos",
    "usable": "usable videos",
    "hours": "hours of video",
    "gigabytes_read": "GB of video files",
    "clips": "clips",
    "gigabytes": "GB of clips",
    "parts": "parts",
    "cpu_hours": "CPU hours",
}
SAMPLED = ("usable", "hours", "clips", "gigabytes", "cpu_hours")  # what only cutting tells
# A collection that was sampled whole has no range, but its tars end in padding: still as estimated.
ALIKE = 0.01
# Wall time over CPU time of the sample, from which on cores are worth a warning: they are paid while they wait.
WAITING = 1.25


def command(
    collection: Collection,
    root: Annotated[
        str | None, typer.Option(help="A workspace: plan with its settings, beside what cutting took there.")
    ] = None,
    media: Media = None,
    sample: Annotated[int, typer.Option(min=1, help="Videos to cut. Four times as many halve the ranges.")] = 20,
    deadline: Annotated[
        str | None, typer.Option(help="Say how many cores are done in this time, such as 90m, 6h or 2d.")
    ] = None,
    prices: Annotated[
        str | None, typer.Option(help="Your price table. Default: the examples of cluster/prices.toml.")
    ] = None,
    preset: Preset = None,
    settings: Set = None,
) -> None:
    """Estimate what `earshot shard` will take: hours, clips, bytes, CPU hours, cores, cost.

    Reads the collection's listing, and cuts a sample of its videos in memory: more of the large ones, because they are
    most of the work. Prices are examples until you give your own. Writes nothing.

    After `earshot shard`, with its --root: what it took stands beside the estimate.

    Example: earshot plan --collection my_videos --deadline 6h --prices my_prices.toml
    """
    price_table = read_prices(prices or PRICES)
    deadline_hours = parse_hours(deadline) if deadline is not None else None
    session = None if root is None else open_session(root, preset, settings)
    config = session.config if session else override(find_preset(preset or DEFAULT_PRESET), settings or [])
    drawn = draw(list_videos(collection, session.workspace.root if session else None, media), sample)
    with progress_bar("plan", drawn.num_sampled) as advance:
        probes = probe_all(drawn, config.view, config.sharding, advance)
    videos_per_part = config.collecting.videos_per_part
    found = estimate(drawn, probes, videos_per_part)
    took = actual(session.workspace) if session else None
    show(*table(found, took, price_table))
    print("\n".join([*sample_notes(drawn, found), cost_note(found, price_table), *actual_notes(found, took, root)]))
    if deadline_hours is not None:
        cpu_hours = found.ranges["cpu_hours"]
        most = cpu_hours.high if math.isfinite(cpu_hours.high) else cpu_hours.value
        advice = advise(deadline_hours, most, drawn.num_videos, videos_per_part)
        print(f"Deadline {deadline}, at the upper end of the CPU hours: {advice}")


def table(found: Estimate, took: Actual | None, prices: Prices) -> tuple[list[str], list[list[str]]]:
    """Names of columns, and a row per quantity and cost; with what cutting took, if it did."""
    ranges = {label: found.ranges[name] for name, label in ROWS.items()}
    is_whole = len(found.probes) == found.ranges["videos"].value
    bills = [bill(quantities, prices) for quantities in (found.expected(), found.low(), found.high())]
    ranges[f"{prices.currency}, once"] = Range(*(made.once for made in bills))
    ranges[f"{prices.currency}, each month"] = Range(*(made.storage_per_month for made in bills))
    rows = [[label, amount(figure.value), span(figure)] for label, figure in ranges.items()]
    for row, name in zip(rows, ROWS, strict=False):
        if name in SAMPLED and not row[-1] and not is_whole:
            row[-1] = "all sampled alike"
    if took is None:
        return ["", "estimate", "range (95 %)"], rows
    spent = bill(took.quantities, prices)
    values = [getattr(took.quantities, name) for name in ROWS] + [spent.once, spent.storage_per_month]
    for row, figure, value in zip(rows, ranges.values(), values, strict=True):
        row += [amount(value), verdict(figure, value) if not took.num_pending else "-"]
    return ["", "estimate", "range (95 %)", "actual", "in range"], rows


def sample_notes(drawn: Sample, found: Estimate) -> list[str]:
    """What the estimate rests on, and why videos of the sample are not usable."""
    num_usable = sum(probe.num_kept > 0 for probe in found.probes)
    lines = [f"Sample: {drawn.num_sampled} of {amount(drawn.num_videos)} videos; {num_usable} are usable."]
    for reason, probes in found.unusable().items():
        name = "".join(letter if letter.isprintable() else "?" for letter in probes[0].uri)
        lines.append(f"  {len(probes)} {reason}, such as {name}")
    cpu_s, wall_s = (sum(getattr(probe, name) for probe in found.probes) for name in ("cpu_s", "wall_s"))
    video_s = sum(probe.duration_s for probe in found.probes)
    if not video_s:
        return [*lines, "Nothing of the sample could be decoded: is this a collection of videos?"]
    num_cores = os.cpu_count() or 1
    wall_hours = found.expected().cpu_hours / num_cores
    lines.append(
        f"Time: {tell_hours(wall_hours)} on {tell_cores(num_cores)} like this machine's, at "
        f"{1000 * cpu_s / video_s:.0f} ms of CPU per second of video."
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
    if took.num_costed < num_parts:
        known = f"{amount(took.known_cpu_hours)} CPU hours for {took.num_costed} of {num_parts} parts"
        lines.append(f"Actual: {known}; the others have no row of costs.")
    if not took.num_pending and took.quantities.videos != found.ranges["videos"].value:
        lines.append("Actual: of another number of videos. Has the collection changed since?")
    return lines


def amount(value: float) -> str:
    """Three digits, thousands apart; a count exactly; `-` if it is not known.

    >>> amount(1234567.0), amount(0.012345), amount(98765.4)
    ('1 234 567', '0.0123', '98 800')
    """
    if not math.isfinite(value):
        return "-" if math.isnan(value) else "?"
    if value == round(value):
        return f"{value:,.0f}".replace(",", " ")
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}".replace(",", " ") if abs(rounded) >= 100 else f"{rounded:.3g}"


def span(figure: Range) -> str:
    """`90 to 110`; nothing where there is no doubt."""
    return "" if figure.low == figure.high else f"{amount(figure.low)} to {amount(figure.high)}"


def verdict(figure: Range, value: float) -> str:
    """Whether a value is as estimated; else by how much it is off."""
    if math.isnan(value):
        return "-"
    off = value / figure.value - 1 if figure.value else math.copysign(math.inf, value)
    return "yes" if figure.holds(value) or abs(off) < ALIKE else f"no: {100 * off:+.0f} %"
