"""An estimate of the work of cutting a collection, from a sample that is cut in memory; writes nothing."""

import importlib.resources
from typing import Annotated

import typer

from jobs.console.options import DEFAULT_PRESET, Clips, Collection, Media, Preset, Set
from jobs.console.progress import printable, progress_bar

PRICES = str(importlib.resources.files("cluster") / "prices.toml")


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
    clips: Clips = None,
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
    from jobs.console.overrides import override
    from jobs.console.plan_table import deadline_note, table
    from jobs.console.presets import preset as find_preset
    from jobs.console.session import open_session
    from jobs.console.tables import show
    from pipeline.clip_specs import BASE
    from pipeline.clips.video_cutting import check_faces
    from pipeline.collection.listing import list_videos
    from pipeline.estimate.deadlines import parse_hours
    from pipeline.estimate.estimating import actual, estimate, probe_all
    from pipeline.estimate.pricing import read_prices
    from pipeline.estimate.stratified_sampling import draw

    names = list(dict.fromkeys(clips or [BASE]))
    price_table = read_prices(prices or PRICES)
    deadline_hours = parse_hours(deadline) if deadline is not None else None
    session = open_session(root, preset, settings) if root else None
    config = session.config if session else override(find_preset(preset or DEFAULT_PRESET), settings or [])
    specs = {name: getattr(config.clips, name) for name in names}
    check_faces(specs)
    videos = list_videos(collection, session.workspace.root if session else None, media)
    strata = draw(((video["video_id"], video["size_bytes"], video) for video in videos), sample)
    with progress_bar("plan", sum(len(stratum.sampled) for stratum in strata)) as advance:
        probes = probe_all(strata, specs, config.sharding, advance)
    found = estimate(strata, probes, config.collecting.videos_per_part)
    took = actual(session.workspace, names) if session else {}
    show(["", "estimate", "range (95 %)", *(["actual"] if took else [])], table(found, took, price_table))
    print("\n".join(map(printable, str(found).splitlines())))
    print(f"Prices: {printable(price_table.source)}.")
    if deadline_hours is not None:
        print(f"Deadline {deadline}: {deadline_note(deadline_hours, found, config.collecting.videos_per_part)}")
