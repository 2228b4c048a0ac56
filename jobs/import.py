"""Take in what other tools computed for clips: files with a row for each -> a table of their own, beside the clips."""

from typing import Annotated

import typer

from jobs.console.imported_names import check_import_name
from jobs.console.options import SPECS, Session, one_of, with_session
from jobs.console.progress import printable
from pipeline.formatting import format_number


def take_in(
    session: Session,
    file: Annotated[list[str], typer.Argument(help="Parquet, CSV or JSON lines: paths or s3:// addresses.")],
    name: Annotated[str, typer.Option(help="Of the table: a-z, 0-9 and _. It is a view of `earshot query` too.")],
    clips: Annotated[
        str, typer.Option(help=f"Clip spec of the clips: {', '.join(SPECS)}.", callback=one_of("--clips", SPECS))
    ] = "base",
) -> None:
    """Take in columns that other tools computed for clips.

    Reads the files, which have a row for each clip, keyed by clip_id, or by uri and start_s (and end_s), and any
    columns of numbers, text, truth values or vectors. Writes the table imported/<name>, part by part beside the clips.
    SQL of `earshot query` knows it as <name>.

    Example: earshot import --root my_workspace --name peav scores.parquet
    """
    from pipeline.outside.imported_tables import ImportFiles
    from pipeline.storage.layout import IMPORTED

    workspace, stage = session.workspace, f"{IMPORTED}/{name}"
    check_import_name(name)
    workspace.require(f"clips/{clips}")
    with ImportFiles(workspace, name, file, clips) as opened:
        inputs = {f"clips/{clips}": workspace.stage(f"clips/{clips}")["hash"]}
        settings = {"spec": clips, "columns": opened.columns, "content": opened.content}
        with session.begin(stage, settings, inputs, needs_ray=False):
            found = opened.write(workspace.pending(f"clips/{clips}", stage))
            workspace.finish(stage, num_rows=found.num_rows, num_clips=found.num_clips)
        columns = ", ".join(f"{column} {kind}" for column, kind in opened.columns.items())
    notes = [f"{format_number(found.num_rows)} of {format_number(found.num_clips)} kept clips have a row"]
    if found.num_unknown:
        notes.append(f"{format_number(found.num_unknown)} rows of no kept clip, such as {', '.join(found.unknown)}")
    notes += [
        f"{format_number(count)} of {column} are no finite number and became null"
        for column, count in found.num_not_finite.items()
    ]
    session.done("import", printable(f"{columns}; {'; '.join(notes)}"), stage)


command = with_session(take_in)
