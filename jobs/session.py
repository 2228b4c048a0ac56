"""What every command shares: its options, the workspace with its config, parts mapped with a progress bar, the summary.

The command that begins a root stores its whole config and seed in `<root>/earshot.json`; later commands take them from
there, so `--preset`, `--set` and `--seed` are said once. Said again, they count for that command alone.
"""

import collections
import dataclasses
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from cluster.connect import connect
from cluster.mapping import map_parts
from cluster.metrics import publish
from cluster.resources import Needs
from jobs.presets import PipelineConfig, check_together, preset
from jobs.progress import progress_bar, tell
from pipeline import storage
from pipeline.artifacts import SETTINGS_FILE, Workspace
from pipeline.config import as_dict, from_dict, override
from pipeline.costing import Costed
from pipeline.errors import ConfigError
from pipeline.locking import claim


def check_name(name: str | None) -> str | None:
    """A name that is safe as a folder of the workspace.

    Raises:
        ConfigError: it is not, or would lead out of the workspace.
    """
    if name is not None and not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,99}", name):
        raise ConfigError(f"name {name!r}: expected 1 to 100 of a-z, 0-9, _ and -, beginning with a letter or digit.")
    return name


def named(text: str, *declarations: str) -> Any:
    """An option that names something of the workspace."""
    return typer.Option(*declarations, help=text, callback=check_name)


Root = Annotated[str, typer.Option(help="Workspace: a folder or s3://bucket/prefix. Made if it is not there.")]
ReadRoot = Annotated[str, typer.Option("--root", help="Workspace: a folder or s3://bucket/prefix.")]
Collection = Annotated[str, typer.Option(help="Videos: a folder, an s3:// prefix, or a .csv/.parquet with column uri.")]
Media = Annotated[
    str | None,
    typer.Option(help="Where relative addresses of a table lie. Default: beside it; a published list's: its bucket."),
]
Preset = Annotated[str | None, typer.Option(help="tiny, small or base. Default: the root's, else tiny.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Change a field: stage.field=value. Repeatable.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of every random choice. Default: the root's, else 0.")]
Address = Annotated[str | None, typer.Option(help="Ray cluster: auto or ray://head:10001. Default: this machine.")]
Name = Annotated[str, named("Name of what this makes, so that several can stand side by side.")]
Scorer = Annotated[str, named("Name of the coincidence model.", "--model")]
Selection = Annotated[str, named("Name of the selection.")]

DEFAULT_PRESET = "tiny"


@dataclasses.dataclass(frozen=True)
class Session:
    """One command's view of the world."""

    workspace: Workspace
    config: PipelineConfig
    seed: int
    address: str | None

    @contextmanager
    def begin(self, folder: str, config: Any, inputs: dict[str, str]) -> Iterator[None]:
        """Claim a stage's folder while the block runs; the first one also stores this session's settings.

        Raises:
            ConfigError: the root cannot be written to, the folder holds work of another config or of other inputs, or
                another command is at work in it.
        """
        uri = self.workspace.uri(SETTINGS_FILE)
        is_new = not storage.exists(uri)
        if is_new:
            storage.check_writable(self.workspace.root)
        with claim(self.workspace, folder):
            storage.remove_unfinished(self.workspace.uri(folder))
            self.workspace.begin(folder, config, inputs)
            if is_new:
                settings = {"config": as_dict(self.config), "seed": self.seed}
                storage.commit_bytes(uri, json.dumps(settings, indent=1).encode())
            yield

    def map(
        self,
        stage: str,
        work: Callable[[str], Any],
        parts: list[str],
        needs: Needs,
        note: Callable[[collections.Counter[str], float], str] = lambda counts, elapsed_s: tell(counts),
    ) -> collections.Counter[str]:
        """Run `work` on every part under one progress bar; return the sum of the counts it gave.

        With no part left to do, Ray is not even started. Costs and metrics of the parts are recorded on the way.

        Args:
            stage: the command, and the name of what it makes if there can be several.
            work: part -> counts by name.
            parts: those to do.
            needs: of one worker.
            note: what the bar says of the counts so far and the seconds they took.
        """
        counts: collections.Counter[str] = collections.Counter()
        if not parts:
            return counts
        connect(self.address)
        costed = Costed(self.workspace, stage.replace(" ", "-"), work)
        began = time.monotonic()
        with progress_bar(stage, len(parts)) as advance:
            for done, (_, found) in enumerate(map_parts(costed, parts, needs), start=1):
                counts.update(found)
                elapsed_s = time.monotonic() - began
                publish(stage, done, len(parts), elapsed_s / done * (len(parts) - done), counts)
                advance(1, note(counts, elapsed_s))
        return counts

    def done(self, stage: str, facts: str, folder: str) -> None:
        """The command's last line: what was done, and where it lies."""
        print(f"{stage}: {facts} -> {self.workspace.uri(folder)}", flush=True)


def open_session(
    root: str,
    preset_name: str | None = None,
    settings: list[str] | None = None,
    seed: int | None = None,
    address: str | None = None,
) -> Session:
    """The session of a command that writes to `root`.

    Raises:
        ConfigError: the preset or a setting is unknown.
    """
    if not storage.is_s3(root):
        root = str(storage.local_path(root).resolve())
    workspace = Workspace(root)
    uri = workspace.uri(SETTINGS_FILE)
    stored = json.loads(storage.read_bytes(uri)) if storage.exists(uri) else None
    if preset_name is not None or stored is None:
        config = preset(preset_name or DEFAULT_PRESET)
    else:
        config = from_dict(PipelineConfig, stored["config"])
    config = override(config, settings or [])
    check_together(config)
    if seed is None:
        seed = stored["seed"] if stored else 0
    return Session(workspace, config, seed, address)


def open_workspace(root: str) -> Workspace:
    """The workspace of a command that only reads.

    Raises:
        ConfigError: no Earshot command has written there.
    """
    workspace = Workspace(root if storage.is_s3(root) else str(storage.local_path(root).resolve()))
    if not storage.exists(workspace.uri(SETTINGS_FILE)):
        raise ConfigError(f"--root {root}: no Earshot workspace there. Make one with `earshot run` or `earshot shard`.")
    return workspace
