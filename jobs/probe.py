"""Read labels off a coincidence model's frozen embeddings with a linear classifier; export the embeddings."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from jobs.console.answers import Format, check_out, give
from jobs.console.options import ReadRoot, Scorer
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa


def command(
    root: ReadRoot,
    model: Scorer = "coincidence",
    labels: Annotated[
        str | None,
        typer.Option(help="Table with clip_id or video_id and the column of --column. Default: the root's labels."),
    ] = None,
    column: Annotated[str, typer.Option(help="Column of --labels with the classes.")] = "label",
    split: Annotated[
        Literal["test", "validate", "train", "all"],
        typer.Option(help="Videos whose clips count; test videos with an upload in another split do not."),
    ] = "test",
    export: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write the embeddings that count, with clip_id and class: .npz or .parquet."),
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option(help="Of the figures. Default: by the name of --out; else table."),
    ] = None,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="File or s3:// address for the figures.")] = None,
) -> None:
    """Measure what a linear classifier reads off a model's frozen embeddings, beside the most frequent class.

    Reads the tables scores, clips, videos and labels, or the file of --labels. Writes nothing but --out and --export. A
    clip is classified by a probe of other videos' clips; the interval of 95 % is over videos.

    Example: earshot probe --root my_workspace --labels classes.csv --column category
    """
    import pyarrow as pa

    from pipeline.evaluation.embedding_probe import (
        label_classes,
        labelled_embeddings,
        probe_embeddings,
        read_classes,
    )
    from pipeline.learners.loading import check_model
    from pipeline.storage.tombstones import check_finished
    from pipeline.storage.workspace import open_workspace

    for place in (out, export):
        check_out(place, root)
    workspace = open_workspace(root)
    check_model(workspace, model, "coincidence")
    classes = label_classes(workspace) if labels is None else read_classes(labels, column)
    rows = labelled_embeddings(workspace, model, classes, split)
    figures = probe_embeddings(rows)
    if export is not None:
        check_finished(workspace)
        _export(rows, export)
    table = pa.Table.from_pylist([figure._asdict() for figure in figures])
    give("probe", table.to_reader(), format, out, None)


def _export(rows: "pa.Table", uri: str) -> None:
    """Write embeddings as arrays [n, D] float32 of NumPy, or as a Parquet table; neither needs Earshot to be read."""
    import numpy as np
    import pyarrow.parquet as pq

    from pipeline.selection.embeddings import to_matrix
    from pipeline.storage import files

    if not uri.endswith((".npz", ".parquet")):
        raise ConfigError(f"--export {uri}: expected a name that ends with .npz or .parquet.")
    with files.building(uri) as path, path.open("wb") as file:
        if uri.endswith(".parquet"):
            pq.write_table(rows.replace_schema_metadata(None), file)
        else:
            texts = {name: np.array(rows[name].to_pylist(), np.str_) for name in ("clip_id", "video_id", "class")}
            vectors = {
                name: to_matrix(rows[name]).astype(np.float32) for name in ("visual_embedding", "audio_embedding")
            }
            np.savez(file, **texts, **vectors)  # type: ignore[arg-type]
    print(f"probe: embeddings of {len(rows)} clips -> {uri}")
