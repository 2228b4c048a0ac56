"""The rows of a selection's clips and videos as two Parquet files beside its shards: clips.parquet, videos.parquet.

Who receives the folder of shards has no tables. So what is known of its clips and of the videos they come from goes
along, with meaning and unit of each column inside the files. Rows are in the order of the shards, and are read and
written a batch at a time; same rows, same bytes.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.reports.querying import stream
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.materialized import MATERIALIZED
from schemas.selections import SELECTIONS
from schemas.videos import VIDEOS

ROWS = 100_000  # of a row group
# The columns of each file: by the view they come from.
OF_CLIPS: Mapping[str, tuple[pa.Schema, tuple[str, ...]]] = {
    "m": (MATERIALIZED, ("clip_id", "video_id", "split", "part", "tar_offset", "tar_bytes")),
    "c": (
        CLIPS,
        (
            *("start_s", "duration_s", "num_frames", "rms_db", "peak_db", "loudness_lufs", "silent_fraction"),
            *("clipped_fraction", "snr_db", "speech_fraction", "bandwidth_hz", "dc_offset", "num_channels"),
            *("channel_correlation", "luma", "motion", "frozen_fraction", "sharpness", "num_cuts"),
            *("black_fraction", "letterbox_fraction"),
        ),
    ),
    "s": (SELECTIONS, ("unique_s", "score", "label")),
    "v": (VIDEOS, ("license", "author", "source_url", "rights")),
}
OF_VIDEOS: Mapping[str, tuple[pa.Schema, tuple[str, ...]]] = {
    "v": (
        VIDEOS,
        (
            *("video_id", "uri", "license", "author", "source_url", "rights", "rights_from"),
            *("duration_s", "width", "height", "frame_rate_hz", "video_codec"),
            *("audio_codec", "audio_rate_hz", "audio_layout", "extra", "content_hash"),
        ),
    )
}
SQL = {
    "clips": """SELECT {columns} FROM (FROM materialized WHERE selection = '{selection}') AS m
        JOIN (FROM selections WHERE selection = '{selection}' AND kept) AS s ON s.clip_id = m.clip_id
        JOIN (FROM clips WHERE spec = 'base') AS c ON c.clip_id = m.clip_id
        JOIN (FROM videos WHERE spec = 'base') AS v ON v.video_id = m.video_id
        ORDER BY m.part, m.tar_offset""",
    "videos": """SELECT {columns} FROM (FROM videos WHERE spec = 'base') AS v
        WHERE video_id IN (SELECT video_id FROM materialized WHERE selection = '{selection}') ORDER BY video_id""",
}


class CardTable(NamedTuple):
    """One of the files."""

    name: str
    """clips or videos."""
    schema: pa.Schema
    num_rows: int
    size_bytes: int
    sha256: str

    @property
    def file(self) -> str:
        """Its name in the folder."""
        return f"{self.name}.parquet"


def write_tables(workspace: Workspace, selection: str) -> list[CardTable]:
    """Write both files beside the shards, each in one atomic step."""
    return [
        _write(workspace, selection, name, columns) for name, columns in (("clips", OF_CLIPS), ("videos", OF_VIDEOS))
    ]


def _write(
    workspace: Workspace, selection: str, name: str, columns: Mapping[str, tuple[pa.Schema, tuple[str, ...]]]
) -> CardTable:
    named = [f'{view}."{column}"' for view, (_, names) in columns.items() for column in names]
    fields = [source.field(column) for source, names in columns.values() for column in names]
    schema = pa.schema(fields, metadata={"row": f"one of the {name} of the selection {selection}"})
    sql = SQL[name].format(columns=", ".join(named), selection=selection)
    uri, num_rows = workspace.uri("materialized", selection, f"{name}.parquet"), 0
    with files.building(uri) as path:
        with (
            stream(workspace, sql) as reader,
            files.open_patiently(path) as file,
            pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer,
        ):
            for table in _groups(reader):
                writer.write_table(table.cast(schema))
                num_rows += len(table)
        with path.open("rb") as written:
            sha256 = hashlib.file_digest(written, "sha256").hexdigest()
        return CardTable(name, schema, num_rows, path.stat().st_size, sha256)


def _groups(reader: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """The rows in tables of ROWS each but the last, however they come: else their number would change the bytes."""
    held: list[pa.RecordBatch] = []
    for batch in reader:
        held.append(batch)
        while sum(map(len, held)) >= ROWS:
            table = pa.Table.from_batches(held)
            yield table.slice(0, ROWS)
            held = table.slice(ROWS).to_batches()
    if held:
        yield pa.Table.from_batches(held)
