"""What cutting a collection will take, from a sample that is cut in memory, beside what it took: writes nothing."""

import importlib.resources
from typing import Annotated

import typer

from jobs.console.options import Collection, Media, Preset, Set
from jobs.console.plan_table import actual_notes, cost_note, deadline_note, sample_notes, table
from jobs.console.presets import preset as find_preset
from jobs.console.progress import progress_bar
from jobs.console.session import DEFAULT_PRESET, open_session
from jobs.console.tables import show
from pipeline.collection.listing import list_videos
from pipeline.config import override
from pipeline.estimate.deadlines import parse_hours
from pipeline.estimate.estimating import actual, draw, estimate, probe_all
from pipeline.estimate.pricing import read_prices

PRICES = str(importlib.resources.files("cluster") / "prices.toml")


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
        probes = probe_all(drawn, config.clips.base, config.sharding, advance)
    videos_per_part = config.collecting.videos_per_part
    found = estimate(drawn, probes, videos_per_part)
    took = actual(session.workspace) if session else None
    show(*table(found, took, price_table))
    print("\n".join([*sample_notes(drawn, found), cost_note(found, price_table), *actual_notes(found, took, root)]))
    if deadline is not None and deadline_hours is not None:
        print(deadline_note(deadline, deadline_hours, found, videos_per_part))
