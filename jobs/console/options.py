"""The options that several commands share, each with its help: what is typed, and what a name may look like.

Design note: this module, and each command's at its top, imports no library that computes. A command imports those, and
the modules that use them, when it runs, so that its `--help` and a typo wait for none of them.
"""

import functools
import inspect
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from pipeline.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from jobs.console.session import Session as Session
else:
    Session = Any
T = TypeVar("T", str | None, list[str] | None)
DEFAULT_PRESET = "tiny"
PRESET_NAMES = (DEFAULT_PRESET, "small", "base", "contrastive")


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


def one_of(what: str, names: Iterable[str]) -> Callable[[T], T]:
    """The check of an option or argument, repeatable or not, that it names one of `names`; it raises ConfigError."""

    def check(given: T) -> T:
        for name in [given] if isinstance(given, str) else given or []:
            if name not in names:
                raise ConfigError(f"{what} {name}: expected one of {', '.join(names)}.{did_you_mean(name, names)}")
        return given

    return check


check_preset = one_of("--preset", PRESET_NAMES)
Root = Annotated[str, typer.Option(help="Workspace: a folder or s3://bucket/prefix. Made if it is not there.")]
ReadRoot = Annotated[str, typer.Option("--root", help="Workspace: a folder or s3://bucket/prefix.")]
Collection = Annotated[
    str,
    typer.Option(
        help="Videos, or sounds for clip spec sounds: a folder, an s3:// prefix, or a .csv/.parquet with column uri."
    ),
]
Media = Annotated[
    str | None,
    typer.Option(help="Where relative addresses of a table lie. Default: beside it; a published list's: its bucket."),
]
SPECS = ("base", "events", "segmentation", "speech", "sounds")
Clips = Annotated[
    list[str] | None,
    typer.Option(
        "--clips",
        help=f"Clip spec to cut: {', '.join(SPECS)}. Repeatable. Default: base.",
        callback=one_of("--clips", SPECS),
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(help=f"One of {', '.join(PRESET_NAMES)}. Default: the root's, else tiny.", callback=check_preset),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a field: stage.field=value. Repeatable. `earshot settings` lists the fields."),
]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of every random choice. Default: the root's, else 0.")]
Address = Annotated[
    str | None, typer.Option(help="Ray cluster: auto, or ray://head:10001 (no training). Default: this machine.")
]
MaxRejectRate = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Share of videos that may be rejected, of those cut now, or of all where none was new; above it the exit "
        "code is 3 once all is done. Default: any share.",
    ),
]
Name = Annotated[str, named("Name of what this makes, so that there can be several.")]
Scorer = Annotated[str, named("Name of the coincidence model.", "--model")]
Selection = Annotated[str, named("Name of the selection.")]


def _open(
    root: Root, preset: Preset = None, settings: Set = None, seed: Seed = None, address: Address = None
) -> Session:
    from jobs.console.session import open_session

    return open_session(root, preset, settings, seed, address)


def with_session(stage: Callable[..., None]) -> Callable[..., None]:
    """The command of a stage, a function whose first argument is a `Session`.

    The command has the stage's other arguments, then the options that open a session; help is the stage's docstring.
    """
    own, ours = list(inspect.signature(stage).parameters.values())[1:], inspect.signature(_open).parameters

    @functools.wraps(stage)
    def command(**options: Any) -> None:
        stage(_open(**{name: options.pop(name) for name in ours}), **options)

    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*own, *ours.values())]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    vars(command)["__signature__"] = inspect.Signature(parameters)
    return command
