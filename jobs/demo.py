"""The embedded default: a synthetic world rendered to real video files, then `run` on it, then what it reached."""

from typing import Annotated

import typer

from jobs.console.options import Address, Preset
from jobs.run import run
from jobs.train import Workers
from jobs.world import render
from pipeline.errors import ConfigError

# 5 s is one clip per video: what generalises is learnt from many videos, not from many moments of a few.
NUM_VIDEOS, DURATION_S = 900, 5.0


def command(
    root: Annotated[str, typer.Option(help="Folder for the world and the workspace.")] = "workspace",
    seed: Annotated[int, typer.Option(help="Of the world and of the training.")] = 0,
    num_videos: Annotated[int, typer.Option(help="Size of the world. Fewer is faster and learns less.")] = NUM_VIDEOS,
    preset: Preset = None,
    workers: Workers = None,
    address: Address = None,
) -> None:
    """Render a synthetic world, run the whole pipeline on it, and print what it reached on held-out videos.

    Writes <root>/world (videos, truth, labels.csv) and everything that `earshot run` writes.

    Example: earshot demo --root workspace
    """
    from jobs.console.session import open_session
    from pipeline.storage import files
    from pipeline.synthetic.planning import WorldConfig

    if not files.store_at(root).is_local:
        raise ConfigError(f"--root {root}: the demo renders its videos to a local folder. Choose one.")
    session = open_session(root, preset, None, seed, address)
    world = session.workspace.uri("world")
    config = WorldConfig(
        num_videos=num_videos,
        seed=seed,
        duration_s=DURATION_S,
        on_only_fraction=0.74,
        mixed_fraction=0.14,
        second_source_fraction=0.15,
    )
    render(config, world, address)
    run(session, f"{world}/videos", [f"{world}/labels.csv"], workers)
