"""The embedded default: a synthetic world rendered to real video files, then `run` on it, then what it reached."""

from typing import Annotated, Any

import typer

from jobs.console.options import Address, Preset, one_of
from jobs.run import run
from jobs.train import Workers
from jobs.world import TALKING_HEADS, render
from pipeline.errors import ConfigError

# Fields of `WorldConfig`, by the system that the world is fit for. What generalises is learnt from many videos, not
# from many moments of a few: each lasts one clip of the system.
DEMO_WORLDS: dict[str, dict[str, Any]] = {
    "separation": {
        "num_videos": 900,
        "duration_s": 5.0,
        "on_only_fraction": 0.74,
        "mixed_fraction": 0.14,
        "second_source_fraction": 0.15,
    },
    # one thing in view that sounds now and then; in a fifth of the videos something out of view sounds too
    "events": {
        "num_videos": 600,
        "duration_s": 10.0,
        "on_only_fraction": 0.8,
        "mixed_fraction": 0.2,
        "second_source_fraction": 0.0,
        "still_fraction": 0.0,
        "event_fraction": 1.0,
    },
    # two things in view in most videos, of which both or one alone sound, most of them now and then
    "segmentation": {
        "num_videos": 1500,
        "duration_s": 5.0,
        "on_only_fraction": 1.0,
        "mixed_fraction": 0.0,
        "second_source_fraction": 0.6,
        "third_source_fraction": 0.0,
        "still_fraction": 0.5,
        "event_fraction": 0.7,
    },
    # one person who speaks, two in turns, or a silent face with another's voice
    "lipreading": {"num_videos": 800, "duration_s": 5.0} | TALKING_HEADS,
}
SIZES = ", ".join(f"{world['num_videos']} for {system}" for system, world in DEMO_WORLDS.items())


def command(
    root: Annotated[str, typer.Option(help="Folder for the world and the workspace.")] = "workspace",
    seed: Annotated[int, typer.Option(help="Of the world and of the training.")] = 0,
    num_videos: Annotated[
        int | None,
        typer.Option(help=f"Size of the world. Fewer is faster and learns less. Default: {SIZES}."),
    ] = None,
    system: Annotated[
        str,
        typer.Option(
            help=f"What is trained, on a world fit for it: {', '.join(DEMO_WORLDS)}.",
            callback=one_of("--system", DEMO_WORLDS),
        ),
    ] = "separation",
    preset: Preset = None,
    workers: Workers = None,
    address: Address = None,
) -> None:
    """Render a synthetic world, run the whole pipeline on it, and print what it reached on held-out videos.

    Writes <root>/world (videos, truth, labels.csv, events.csv, words.csv, masks) and all that `earshot run` writes.

    Example: earshot demo --root workspace
    """
    from jobs.console.session import open_session
    from pipeline.storage import files
    from pipeline.synthetic.planning import WorldConfig

    if not files.store_at(root).is_local:
        raise ConfigError(f"--root {root}: the demo renders its videos to a local folder. Choose one.")
    session = open_session(root, preset, None, seed, address)
    world = session.workspace.uri("world")
    fields = DEMO_WORLDS[system] | {"seed": seed} | ({} if num_videos is None else {"num_videos": num_videos})
    render(WorldConfig(**fields), world, address)
    # what people know of the videos, as far as the system learns from it
    known: dict[str, Any] = {
        "separation": {"labels": [f"{world}/labels.csv"]},
        "events": {"spans": [f"{world}/events.csv"]},
        "segmentation": {"masks": f"{world}/masks"},
        "lipreading": {"spans": [f"{world}/words.csv"]},
    }
    run(session, f"{world}/videos", system=[system], workers=workers, **known[system])
