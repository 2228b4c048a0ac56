"""Clips for other tools: a listing of where each lies, and with --media a wav or mp4 of each."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from jobs.console.answers import check_out, give
from jobs.console.messages import say
from jobs.console.options import SPECS, ReadRoot, named, one_of
from jobs.console.progress import printable, progress_bar
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.storage.workspace import Workspace

MAX_NAMED = 5


def command(
    root: ReadRoot,
    format: Annotated[
        Literal["csv", "jsonl", "parquet"] | None, typer.Option(help="Default: by the name of --out; else jsonl.")
    ] = None,
    selection: Annotated[str | None, named("List only the clips that this selection keeps.")] = None,
    out: Annotated[str | None, typer.Option(help="File or s3:// address for the listing. Default: print it.")] = None,
    media: Annotated[
        str | None, typer.Option(help="Folder to write each clip to as a file; the listing then has its path.")
    ] = None,
    kind: Annotated[
        Literal["wav", "mp4"], typer.Option(help="Of the files: wav is exactly the clip's sound, mp4 has its frames.")
    ] = "wav",
    clips: Annotated[
        str, typer.Option(help=f"Clip spec of the clips: {', '.join(SPECS)}.", callback=one_of("--clips", SPECS))
    ] = "base",
) -> None:
    """List clips for other tools, and write them as files.

    Reads clips, videos and the selection. Writes --out, a row for each kept clip: clip_id, video_id, uri, start_s and
    end_s of it in its video, and tar, key, tar_offset and tar_bytes of its sample. With --media also a file of each
    clip, whose path the row then has; run again, it goes on. `earshot import` takes the listing with columns added.

    Example: earshot export --root my_workspace --selection strict --out clips.csv
    """
    import pyarrow as pa

    from pipeline.outside.clip_listing import LISTING, PATH
    from pipeline.reports.answers import format_of
    from pipeline.storage.tombstones import check_finished
    from pipeline.storage.workspace import open_workspace

    workspace = open_workspace(root)
    check_finished(workspace)
    check_out(out, workspace.root)
    check_out(media, workspace.root, "--media")
    form = format or ("jsonl" if out is None else format_of(out))
    if form not in ("csv", "jsonl", "parquet"):
        raise ConfigError(f"--out {out}: expected a name that ends with .csv, .jsonl or .parquet, or --format.")
    if form == "parquet" and out is None:
        raise ConfigError("--format parquet is no text: give --out FILE.")
    schema = LISTING if media is None else LISTING.append(PATH)
    tables = _tables(workspace, clips, selection, media, kind)
    batches = (batch for table in tables for batch in table.combine_chunks().to_batches())
    give("export", pa.RecordBatchReader.from_batches(schema, batches), form, out, None)


def _tables(
    workspace: "Workspace", clips: str, selection: str | None, media: str | None, kind: Literal["wav", "mp4"]
) -> "Iterator[pa.Table]":
    """The listing; with `media` once the clips are written as files, with their paths."""
    from pipeline.outside.clip_files import ClipFiles
    from pipeline.outside.clip_listing import list_clips

    listed = list_clips(workspace, clips, selection)
    if media is None:
        return (table for _, table in listed)
    made = ClipFiles(workspace, clips, media, kind)
    total = sum(len(table) for _, table in listed)
    failed: dict[str, Exception] = {}
    with progress_bar(f"write clips as {kind}", total) as advance:
        for part, table in list_clips(workspace, clips, selection):
            failed |= made.write(part, table, lambda is_new: advance(1, "", are_new=is_new))
    if failed:
        named = "; ".join(f"{clip}: {error}" for clip, error in list(failed.items())[:MAX_NAMED])
        say(printable(f"export: {len(failed)} clips are damaged and have no file: {named}"), "warning")
    return (made.add_paths(part, table, failed) for part, table in list_clips(workspace, clips, selection))
