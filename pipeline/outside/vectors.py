"""Vectors of imported tables, by `table.column`: part by part, in the order of the clips that they are asked for."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError, DataError
from pipeline.outside.imported_types import imported_schema
from pipeline.storage.layout import IMPORTED
from pipeline.storage.workspace import Workspace


class Vectors(NamedTuple):
    """One column's vectors for some clips."""

    values: np.ndarray
    """[m, D] float32 of those clips that have one, in order; [0, 0] where none has."""
    is_there: np.ndarray
    """[n] bool of all the clips, m times True."""


def table_of(where: str) -> str:
    """The stage of the table that `where` is in: imported/clip for clip.image.

    Raises:
        ConfigError: `where` is not a table and a column, with a dot between.
    """
    table, dot, column = where.partition(".")
    if not (table and dot and column) or "/" in table:
        raise ConfigError(f"vectors {where}: expected an imported table and its column, such as clip.image.")
    return f"{IMPORTED}/{table}"


def check_vectors(workspace: Workspace, where: str, spec: str) -> str:
    """The hash of the imported table that `where` is in: an input of a stage that reads it.

    Raises:
        ConfigError: there is no such table or column, it holds no vectors, or is about the clips of another spec.
    """
    stage = table_of(where)
    name, column = stage.partition("/")[2], where.partition(".")[2]
    schema = imported_schema(workspace, name)
    if column not in schema.names:
        found = ", ".join(schema.names[1:])
        raise ConfigError(f"vectors {where}: {workspace.place(stage)} has the columns {found}, and no {column}.")
    if not pa.types.is_list(schema.field(column).type):
        raise ConfigError(f"vectors {where}: a column of {schema.field(column).type}, expected vectors.")
    record = workspace.stage(stage)
    if (of := record["settings"]["spec"]) != spec:
        raise ConfigError(f"vectors {where}: of clips/{of}, expected those of clips/{spec}.")
    content: str = record["hash"]
    return content


def read_vectors(workspace: Workspace, where: str, part: str, clip_ids: list[str]) -> Vectors:
    """The vectors of these clips of a part; a clip without a row has none, as one whose vector is null.

    Raises:
        ConfigError: the table lacks the part, because clips were cut after the import.
        DataError: the part's file is damaged.
    """
    stage, column = table_of(where), where.partition(".")[2]
    if part not in workspace.parts(stage):
        raise ConfigError(
            f"{workspace.place(stage)}: no part {part}, whose clips were cut after the import. Import the columns of "
            "all clips again, under another name, or clean the stage before."
        )
    table = workspace.read(stage, part, imported_schema(workspace, stage.partition("/")[2]), ["clip_id", column])
    table = table.filter(pc.is_valid(table[column]))
    places = pc.index_in(pa.array(clip_ids, pa.string()), table["clip_id"].combine_chunks())
    is_there = np.asarray(places.is_valid())
    vectors = table[column].combine_chunks().take(places.drop_null())
    if not len(vectors):
        return Vectors(np.zeros((0, 0), np.float32), is_there)
    lengths = pc.list_value_length(vectors).unique().to_pylist()
    if len(lengths) > 1:
        raise DataError(f"{workspace.part_uri(stage, part)}: {column} has vectors of {lengths} numbers, expected one.")
    values = np.asarray(vectors.flatten(), dtype=np.float32)
    return Vectors(values.reshape(len(vectors), lengths[0]), is_there)
