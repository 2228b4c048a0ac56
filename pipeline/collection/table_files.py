"""A collection -> the files of its table, or none: then it is a folder of videos.

A table is a CSV or Parquet file, or a folder of nothing but files of one of these kinds, as Spark writes it. One file
of another kind makes it a folder of videos, in which `labels.csv` is no table. Tables whose folder also holds rows
that were deleted or replaced are refused by name.
"""

import contextlib
import posixpath
import re

from pipeline.collection.mixture_lists import SUFFIX as MIXTURE_LIST
from pipeline.errors import ConfigError
from pipeline.storage import files

SUFFIXES = (".csv", ".parquet")
# Below an Iceberg table, beside its data/: the states of the table, and lists of the files of each state.
ICEBERG = re.compile(r"metadata/([^/]+\.(metadata\.json(\.gz)?|avro|puffin|stats)|version-hint\.text)")


def find_tables(collection: str) -> list[str]:
    """The files of a table: itself, or those of a folder that holds no other file; [] for videos.

    Files whose names begin with `.` count for nothing, and so do the marks that Spark leaves, such as `_SUCCESS`.

    Raises:
        ConfigError: a Delta, Iceberg or Hudi table, whose files are not all of the table, or a folder of CSV and
            Parquet files.
    """
    if collection.endswith((*SUFFIXES, MIXTURE_LIST)) and files.exists(collection):
        return [collection]
    if not files.store_at(collection).has_folder(collection):
        return []
    found: list[str] = []
    folder, is_iceberg = files.absolute(collection, follow_links=True), False
    with contextlib.suppress(PermissionError):  # the listing of the videos says so
        for entry in files.list_files(folder, skipped=files.Skipped()):
            relative = files.relative(entry.uri, folder)
            if relative.startswith("_delta_log/"):
                raise _unreadable(collection, "a Delta")
            if ICEBERG.fullmatch(relative):
                is_iceberg = True
            elif entry.uri.endswith(SUFFIXES) and not _is_mark(relative):
                found.append(entry.uri)
            elif not _is_mark(relative):
                return []
    if found and is_iceberg:
        raise _unreadable(collection, "an Iceberg")
    if found and files.exists(files.join(folder, ".hoodie", "hoodie.properties")):
        raise _unreadable(collection, "a Hudi")
    _require_one_kind(collection, folder, found)
    return found


def _is_mark(relative: str) -> bool:
    """Whether a file is none of the table's data: `_SUCCESS`, `_spark_metadata/0`, `_temporary/0/part-0.csv`.

    `_trailer.mp4` is a video.
    """
    suffix = posixpath.splitext(relative)[1]
    is_marked = any(name.startswith("_") for name in relative.split("/"))
    return is_marked and (suffix in ("", *SUFFIXES) or relative.startswith("_spark_metadata/"))


def _require_one_kind(collection: str, folder: str, found: list[str]) -> None:
    examples = [next((uri for uri in found if uri.endswith(suffix)), None) for suffix in SUFFIXES]
    if None not in examples:
        names = " and ".join(files.relative(uri, folder) for uri in examples if uri is not None)
        raise ConfigError(
            f"collection {collection}: a folder of CSV and Parquet files, such as {names}; expected files of one kind, "
            "or videos. Give one of the files, or a folder of one kind."
        )


def _unreadable(collection: str, kind: str) -> ConfigError:
    return ConfigError(
        f"collection {collection}: {kind} table, whose files also hold rows that were deleted or replaced; expected "
        "a plain table. Give an export of it as Parquet or CSV."
    )
