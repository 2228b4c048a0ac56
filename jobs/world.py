"""Render a synthetic collection: a seed -> videos/, truth/ and labels.csv."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cluster.connect import connect
from cluster.mapping import map_parts
from cluster.resources import WORLD
from jobs.session import Address, progress_bar
from pipeline.errors import ConfigError
from pipeline.synthetic import WorldConfig, render_scene, write_labels


class RenderVideo:
    """Renders the video whose number is the part's name."""

    def __init__(self, config: WorldConfig, folder: Path) -> None:
        self._config, self._folder = config, folder

    def __call__(self, part: str) -> dict[str, int]:
        """Write one video and its truth; return its bytes."""
        return {"bytes": render_scene(self._config, int(part), self._folder).size_bytes}


def render(config: WorldConfig, out: str, address: str | None) -> None:
    """Render the videos that are missing."""
    folder = Path(out).absolute()
    claim(config, folder)
    finished = {path.stem for path in (folder / "videos").glob("world_*")}
    parts = [f"{index:05d}" for index in range(config.num_videos) if f"world_{index:05d}" not in finished]
    if parts:
        connect(address)
        with progress_bar("world", len(parts)) as advance:
            for _ in map_parts(RenderVideo(config, folder), parts, WORLD):
                advance(1, "")
    labels = write_labels(config, folder)
    found = f"{len(parts)} videos rendered" if parts else "nothing to do, every video is rendered"
    print(f"world: {found} -> {folder / 'videos'}, labels -> {labels}", flush=True)


def claim(config: WorldConfig, folder: Path) -> None:
    """Make the folder, or make sure that it holds this very world (of any number of videos)."""
    record = folder / "world.txt"
    text = ", ".join(f"{name} = {value}" for name, value in fields(config).items() if name != "num_videos")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if record.exists() and record.read_text() != text:
            raise ConfigError(
                f"--out {folder}: holds another world ({record.read_text()[:200]}). Choose another folder."
            )
        record.write_text(text)
    except OSError as error:
        raise ConfigError(f"--out {folder}: cannot be written to ({error}). Choose another folder.") from None


def fields(config: WorldConfig) -> dict[str, Any]:
    """The config's fields by name."""
    return {name: getattr(config, name) for name in WorldConfig.__dataclass_fields__}


def command(
    out: Annotated[str, typer.Option(help="Folder to write to.")],
    num_videos: Annotated[int, typer.Option(help="How many videos.")] = 100,
    duration_s: Annotated[float, typer.Option(help="Length of each, in seconds.")] = 8.0,
    seed: Annotated[int, typer.Option(help="Another seed is another world of the same kinds of things.")] = 0,
    address: Address = None,
) -> None:
    """Render a small world of things that move and sound to real video files, with full ground truth.

    Writes videos/ (a collection), truth/ (stems, masks, boxes, spans per video) and labels.csv (for --labels).

    Example: earshot world --out my_world --seed 1 --num-videos 50
    """
    try:
        config = WorldConfig(num_videos=num_videos, duration_s=duration_s, seed=seed)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    render(config, out, address)
