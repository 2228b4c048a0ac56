"""Imported tables of a workspace, without files to import."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipeline.outside.imported_types import schema_of
from pipeline.storage.layout import CLIPS_FOLDER, IMPORTED
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS


def import_rows(
    workspace: Workspace,
    name: str,
    columns: Mapping[str, str],
    rows: Mapping[str, tuple[Any, ...]],
    content: str = "",
    spec: str = "base",
) -> None:
    """Write the table `imported/<name>` and its record.

    Args:
        columns: DuckDB's type of each column.
        rows: values of the columns by clip_id; clips may lack.
        content: what the record says of the files.
    """
    schema = schema_of(name, dict(columns))
    settings = {"spec": spec, "columns": dict(columns), "content": {"file": content}}
    workspace.begin(f"{IMPORTED}/{name}", settings, {})
    for part in workspace.parts(CLIPS_FOLDER):
        clips = [clip for clip in workspace.read(CLIPS_FOLDER, part, CLIPS)["clip_id"].to_pylist() if clip in rows]
        found = [dict(zip(schema.names, (clip, *rows[clip]), strict=True)) for clip in clips]
        workspace.commit(f"{IMPORTED}/{name}", part, pa.Table.from_pylist(found, schema=schema), schema)
