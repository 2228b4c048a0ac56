"""An estimate of the work of cutting a collection, from a sample that is cut in memory; writes nothing."""

import importlib.resources
import math
from typing import Annotated

import typer

from jobs.console.options import Collection, Media, Preset, Set
from jobs.console.overrides import override
from jobs.console.presets import preset as find_preset
from jobs.console.progress import printable, progress_bar
from jobs.console.session import DEFAULT_PRESET, open_session
from jobs.console.tables import show
from pipeline.collection.listing import list_videos
from pipeline.estimate.deadlines import parse_hours, schedule
from pipeline.estimate.estimating import Estimate, actual, estimate, probe_all
from pipeline.estimate.pricing import Prices, read_prices
from pipeline.estimate.stratified_sampling import draw
from pipeline.formatting import format_bytes, format_hours, format_number

PRICES = str(importlib.resources.files("cluster") / "prices.toml")
GB = 1e9
ROWS = (
    ("videos", "videos", format_number),
    ("usable videos", "usable_videos", format_number),
    ("length of video", "video_hours", format_hours),
    ("size of video files", "read_bytes", format_bytes),
    ("clips", "clips", format_number),
    ("size of clips", "tar_bytes", format_bytes),
    ("parts", "parts", format_number),
    ("CPU time", "cpu_hours", format_hours),
)


def table(found: Estimate, took: dict[str, float], prices: Prices) -> list[list[str]]:
    """Label, estimate, range and any actual figure of each quantity, and of the cost of each that has a price."""
    costs = (
        ("for cores", "cpu_hours", prices.per_core_hour),
        ("for reading", "read_bytes", prices.per_gb_read / GB),
        ("per month of storage", "tar_bytes", prices.per_gb_month / GB),
    )
    priced = [(f"{prices.currency} {what}", name, format_number, price) for what, name, price in costs if price]
    cells = []
    for label, name, text, scale in [*((*row, 1.0) for row in ROWS), *priced]:
        value, low, high = (text(scale * end) for end in found.ranges[name])
        span = f"{low} or more" if math.isinf(found.ranges[name].high) else f"{low} to {high}" if low != high else ""
        reached = [text(scale * took[name]) if name in took else "-"] if took else []
        cells.append([label, value, span, *reached])
    return cells


def deadline_note(deadline_hours: float, found: Estimate, videos_per_part: int) -> str:
    """The cores that meet a deadline at the upper end of the CPU time."""
    cpu_hours, num_videos = found.ranges["cpu_hours"].high, round(found.ranges["videos"].value)
    if math.isinf(cpu_hours):
        return "unknown, because so small a sample gives no upper end of the CPU time. Use a larger --sample."
    num_cores, hours = schedule(deadline_hours, cpu_hours, num_videos, videos_per_part)
    if num_cores:
        return f"{num_cores} or more cores; {num_cores} take up to {format_hours(hours)}."
    return (
        f"cannot be met: one core cuts a part, and a part of {min(videos_per_part, num_videos)} videos takes up to "
        f"{format_hours(hours)}. Lower collecting.videos_per_part."
    )


def command(
    collection: Collection,
    root: Annotated[
        str | None, typer.Option(help="A workspace: estimate with its settings, beside the actual figures.")
    ] = None,
    media: Media = None,
    sample: Annotated[int, typer.Option(min=1, help="Videos to cut. Four times as many halve the ranges.")] = 20,
    deadline: Annotated[
        str | None, typer.Option(help="Print how many cores finish in this time, such as 90m, 6h or 2d.")
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

    After `earshot shard`, with its --root: prints the actual figures beside the estimate.

    Example: earshot plan --collection my_videos --deadline 6h --prices my_prices.toml
    """
    price_table = read_prices(prices or PRICES)
    deadline_hours = parse_hours(deadline) if deadline is not None else None
    session = open_session(root, preset, settings) if root else None
    config = session.config if session else override(find_preset(preset or DEFAULT_PRESET), settings or [])
    videos = list_videos(collection, session.workspace.root if session else None, media)
    strata = draw(((video["video_id"], video["size_bytes"], video) for video in videos), sample)
    with progress_bar("plan", sum(len(stratum.sampled) for stratum in strata)) as advance:
        probes = probe_all(strata, config.clips.base, config.sharding, advance)
    found = estimate(strata, probes, config.collecting.videos_per_part)
    took = actual(session.workspace) if session else {}
    show(["", "estimate", "range (95 %)", *(["actual"] if took else [])], table(found, took, price_table))
    print("\n".join(map(printable, str(found).splitlines())))
    print(f"Prices: {printable(price_table.source)}.")
    if deadline_hours is not None:
        print(f"Deadline {deadline}: {deadline_note(deadline_hours, found, config.collecting.videos_per_part)}")
