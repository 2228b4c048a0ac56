"""A data card beside a selection's shards: materialized/<name> -> README.md, croissant.json and two tables."""

from typing import Annotated

import typer

from jobs.console.options import ReadRoot, Selection


def command(
    root: ReadRoot,
    selection: Selection = "default",
    creator: Annotated[str | None, typer.Option(help="Who publishes the data. Default: not stated.")] = None,
    url: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Page on which it is published. Default: README.md.")
    ] = None,
    energon: Annotated[
        bool, typer.Option("--energon", help="Also write the index by which Megatron-Energon reads the tars.")
    ] = False,
) -> None:
    """Write a data card and a manifest beside a selection's shards.

    Reads the shards that `earshot materialize` wrote, the tables and the records of the stages. Writes to
    materialized/<selection>/: README.md, a card as the Hugging Face Hub reads it; croissant.json, a manifest in
    Croissant 1.1 with the sha256 of each file; clips.parquet and videos.parquet, the rows of its clips and their
    videos. Every number is from a table or a record; one that cannot be traced is an error, and no card is written.

    Example: earshot card --root my_workspace --selection strict
    """
    from jobs.console.card_files import write_card
    from pipeline.formatting import format_number
    from pipeline.storage.tombstones import check_finished
    from pipeline.storage.workspace import open_workspace

    workspace = open_workspace(root)
    check_finished(workspace)
    facts = write_card(workspace, selection, creator, url, energon)
    total = facts.only("all")
    notes = [] if creator else ["no creator is stated, which Croissant asks for: --creator states one"]
    unclear = sum(not each.permits for each in facts.licenses)
    notes += [f"{unclear} of {len(facts.licenses)} licences have no known terms"] if unclear else []
    print(
        f"card: {format_number(total['clips'].value)} clips of {format_number(total['videos'].value)} videos in "
        f"{format_number(total['shards'].value)} tars{''.join(f'; {note}' for note in notes)} -> "
        f"{workspace.uri('materialized', selection)}",
        flush=True,
    )
