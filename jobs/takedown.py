"""Remove videos from a workspace for good: names of videos -> a tombstone, and nothing else that names them."""

from typing import TYPE_CHECKING, Annotated

import typer

from jobs.console.options import ReadRoot
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.storage.workspace import Workspace
    from pipeline.takedown.requests import Request


def command(
    root: ReadRoot,
    videos: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Names of videos: one in each line, or a CSV. Default: those of the takedown that was stopped.",
        ),
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is kept in the tombstone.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be rewritten, and write nothing.")] = False,
    every_byte: Annotated[
        bool, typer.Option("--every-byte", help="For the proof, also open the tars that hold none of them.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Take down all videos, if all are named.")] = False,
) -> None:
    """Remove videos and all that was made of their clips, and prove it.

    Reads FILE and every table. Writes tombstones/, by which later runs know what stays away, and rewrites tars, tables,
    records and logs without the videos, and without copies of their bytes under other names; it removes pages that show
    them. Models that learnt from them are listed and stay. Ends with a scan of every file of the workspace. The
    collection's own files always stay. Stopped, the same command goes on.

    Example: earshot takedown --root my_workspace --videos asked.txt --reason "asked by the author"
    """
    from jobs.console.taking_down import plan, take_down
    from pipeline.storage.workspace import open_workspace
    from pipeline.takedown.new_tombstones import unfinished
    from pipeline.takedown.requests import find_videos
    from pipeline.takedown.taking_down import alone

    if videos is not None and not reason.strip() and not dry_run:  # before any table is read
        raise ConfigError("takedown: no reason. Give --reason TEXT, which the tombstone keeps.")
    workspace = open_workspace(root)
    request = None
    if videos is None:
        if not unfinished(workspace):
            raise ConfigError(f"takedown: none was stopped in {root}. Give --videos FILE and --reason TEXT.")
    else:
        request = find_videos(workspace, videos)
        _check_all(workspace, request, yes or dry_run)
    if dry_run:
        plan(workspace, request)
        return
    with alone(workspace):
        take_down(workspace, request, reason, every_byte)


def _check_all(workspace: "Workspace", request: "Request", is_meant: bool) -> None:
    """Refuse to take down every video by mistake."""
    num_there = sum(video["part"] is not None for video in request.videos)
    if num_there and num_there >= request.num_videos and not is_meant:
        raise ConfigError(
            f"takedown: all {request.num_videos} videos of {workspace.root} are named. If that is meant, give --yes; "
            "nothing was changed."
        )
