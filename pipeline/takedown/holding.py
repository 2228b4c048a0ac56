"""Which parts of a workspace's tables say something about some videos, and what lies beside those parts.

Tables are taken as they lie there, by the names of their columns: one that is added later needs no line here.
"""

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import DataError
from pipeline.storage import files
from pipeline.storage.layout import COLLECTION_FOLDER, MEDIA, PARTITIONS, TABLES
from pipeline.storage.workspace import NUM_READERS, Workspace
from pipeline.takedown.names import Names
from pipeline.takedown.row_removal import has_text, mentions, rows_about

# What is rewritten first: what was made from the others. A row of an evaluation is found by the mixture that it is of,
# and every video by the collection, so these two come after what they lead to.
ORDER = ("mixtures", "materialized", "", "clips", "videos", COLLECTION_FOLDER)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a table."""

    uri: str
    size_bytes: int
    kind: str
    """Name of the table."""
    values: tuple[str, ...]
    """Of its partition columns."""
    name: str

    @property
    def stage(self) -> str:
        """The stage that made it."""
        kind = "clips" if self.kind in ("videos", "tracks") else self.kind if self.kind in PARTITIONS else "reports"
        return "/".join((kind, *self.values))

    @property
    def rank(self) -> int:
        """When it is rewritten; those of evaluations are the first."""
        if self.kind not in PARTITIONS:
            return -1
        return ORDER.index(self.kind if self.kind in ORDER else "")

    @property
    def sets(self) -> tuple[str, ...]:
        """The frozen sets whose examples its rows are about, for a table of those or of an evaluation."""
        return self.values[1:] if self.rank < 0 else self.values

    def tar(self, workspace: Workspace) -> str | None:
        """The address of the tar beside it, if its stage writes some."""
        return workspace.tar_uri(self.stage, self.name) if self.kind in MEDIA else None


def list_parts(workspace: Workspace) -> list[Part]:
    """Every part of every table, in the order in which they are rewritten."""
    found, folder = [], workspace.uri(TABLES)
    for entry in files.list_files(folder):
        kind, *columns, file = files.relative(entry.uri, folder).split("/")
        if file.endswith(".parquet"):
            values = tuple(column.partition("=")[2] for column in columns)
            found.append(Part(entry.uri, entry.size_bytes, kind, values, file.removesuffix(".parquet")))
    return sorted(found, key=lambda part: (part.rank, part.uri))


def read_texts(uri: str) -> pa.Table:
    """The columns of a Parquet file that hold texts, also within lists.

    Raises:
        DataError: it is damaged.
    """
    try:
        with files.local_copy(uri) as path, path.open("rb") as file:
            parquet = pq.ParquetFile(file, page_checksum_verification=True)
            names = [field.name for field in parquet.schema_arrow if has_text(field.type)]
            return parquet.read(columns=names, use_threads=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{uri}: {error}") from error


def holding(
    workspace: Workspace, names: Names, parts: Collection[Part], advance: Callable[[], None] = lambda: None
) -> Iterator[Part]:
    """Those of the parts that say something about the videos, in their order.

    Args:
        advance: called after each part that was read.
    """
    examples = examples_of(names, parts)

    def is_held(part: Part) -> bool:
        return mentions(read_texts(part.uri), names, examples.get(part.sets, ()))

    with ThreadPoolExecutor(NUM_READERS) as pool:
        for part, found in zip(parts, pool.map(is_held, parts), strict=True):
            advance()
            if found:
                yield part


def examples_of(names: Names, parts: Collection[Part]) -> dict[tuple[str, ...], frozenset[str]]:
    """By the name of frozen sets, their examples that are made of clips of the videos."""
    found: dict[tuple[str, ...], frozenset[str]] = {}
    for part in parts:
        if part.kind == "mixtures":
            table = read_texts(part.uri)
            ids = table.filter(rows_about(table, names))["example_id"].to_pylist()
            found[part.values] = found.get(part.values, frozenset()) | frozenset(ids)
    return found
