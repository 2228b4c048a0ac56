"""What cutting a collection will take, from a decoded sample: nothing is written."""

from typing import Annotated

import typer

from jobs.presets import preset as find_preset
from jobs.session import Collection, Preset, Set
from pipeline.collecting import list_videos
from pipeline.config import override
from pipeline.planning import estimate


def command(
    collection: Collection,
    sample: Annotated[int, typer.Option(min=1, help="Videos to decode for the estimate.")] = 20,
    preset: Preset = None,
    settings: Set = None,
) -> None:
    """Estimate what `earshot shard` will take: hours, clips, bytes, CPU hours.

    Reads the collection's listing, and cuts a sample of its videos in memory. Writes nothing.

    Example: earshot plan --collection my_videos
    """
    config = override(find_preset(preset or "tiny"), settings or [])
    found = estimate(list_videos(collection), sample, config.view, config.sharding, config.collecting)
    for line in found.lines():
        print(line)
