"""The options that several commands share, each with its help: what is typed, and what a name may look like."""

import re
from typing import Annotated, Any

import typer

from pipeline.errors import ConfigError


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
Preset = Annotated[str | None, typer.Option(help="tiny, small, base or contrastive. Default: the root's, else tiny.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a field: stage.field=value. Repeatable. `earshot settings` lists the fields."),
]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of every random choice. Default: the root's, else 0.")]
Address = Annotated[str | None, typer.Option(help="Ray cluster: auto or ray://head:10001. Default: this machine.")]
Name = Annotated[str, named("Name of what this makes, so that several can stand side by side.")]
Scorer = Annotated[str, named("Name of the coincidence model.", "--model")]
Selection = Annotated[str, named("Name of the selection.")]
