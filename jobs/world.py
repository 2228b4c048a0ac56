"""Render a synthetic collection: a seed -> videos/, truth/, masks/, labels.csv, events.csv, words.csv."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.addresses import cluster_address
from cluster.resources import WORLD
from jobs.console.options import Address
from jobs.console.progress import progress_bar
from pipeline.errors import ConfigError
from pipeline.hashing import as_dict

if TYPE_CHECKING:
    from pipeline.synthetic.planning import WorldConfig

RECORD = "world.json"
# Fields of `WorldConfig` for a world to learn lip reading from: mouths of 20 pixels and more.
TALKING_HEADS: dict[str, Any] = {"talking_fraction": 1.0, "frame_scale": 2}
PARTS_PER_TASK = 8  # handing out a task takes 10 ms, rendering 5 s of video 200


def render(config: "WorldConfig", out: str, address: str | None) -> None:
    """Render the videos that are missing."""
    from pipeline.synthetic.rendering import RenderVideo
    from pipeline.synthetic.truth import write_labels, write_words

    folder = Path(out).absolute()
    claim_folder(config, folder)
    finished = {path.stem for path in (folder / "videos").glob("world_*")}
    parts = [f"{index:05d}" for index in range(config.num_videos) if f"world_{index:05d}" not in finished]
    if parts:
        from cluster.connect import connect
        from cluster.mapping import map_parts
        from cluster.sharing import OnShared, check_shared

        connect(address)
        record = str(folder / RECORD)
        seen = {record: check_shared(f"--out {out}", record)} if cluster_address(address) else {}
        with progress_bar("world", len(parts)) as advance:
            for _ in map_parts(OnShared(RenderVideo(config, folder), seen), parts, WORLD, PARTS_PER_TASK):
                advance(1, "")
    labels, events = write_labels(config, folder)
    words = f", words -> {write_words(config, folder)}" if config.talking_fraction else ""
    found = f"{len(parts)} videos rendered" if parts else "nothing to do, every video is rendered"
    places = f"{folder / 'videos'}, labels -> {labels}, events -> {events}{words}, masks -> {folder / 'masks'}"
    print(f"world: {found} -> {places}", flush=True)


def claim_folder(config: "WorldConfig", folder: Path) -> None:
    """Make the folder, or make sure that it holds this very world (of any number of videos)."""
    from pipeline.synthetic.planning import WorldConfig

    record, asked = folder / RECORD, as_dict(config)
    unsaid = as_dict(WorldConfig(num_videos=1))  # a field that is newer than the folder has its default there
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = json.loads(record.read_text()) if record.exists() else asked
        changed = [name for name in asked if name != "num_videos" and there.get(name, unsaid[name]) != asked[name]]
        if not changed:
            record.write_text(json.dumps(asked, indent=1))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--out {folder}: cannot be used ({error}). Choose another folder.") from None
    for name in changed:
        found = f"holds a world of {name} {there.get(name, unsaid[name])}, asked for {asked[name]}"
        raise ConfigError(f"--out {folder}: {found}. Choose another folder.")


def command(
    out: Annotated[str, typer.Option(help="Folder to write to.")],
    num_videos: Annotated[int, typer.Option(help="How many videos.")] = 100,
    duration_s: Annotated[float, typer.Option(help="Length of each, in seconds.")] = 8.0,
    seed: Annotated[int, typer.Option(help="Another seed is another world of the same kinds of things.")] = 0,
    talking_heads: Annotated[
        bool, typer.Option("--talking-heads", help="Of people who say words, to learn lip reading from; words.csv too.")
    ] = False,
    address: Address = None,
) -> None:
    """Render a small world of things that move and sound to real video files, with full ground truth.

    Writes videos/ (a collection), truth/ (stems, masks, silhouettes, boxes, spans per video), labels.csv (for
    --labels), events.csv (for --spans) and masks/ (for --masks); of talking heads also words.csv (for --spans).

    Example: earshot world --out my_world --seed 1 --num-videos 50
    """
    from pipeline.synthetic.planning import WorldConfig

    fields = TALKING_HEADS if talking_heads else {}
    render(WorldConfig(num_videos=num_videos, duration_s=duration_s, seed=seed, **fields), out, address)
