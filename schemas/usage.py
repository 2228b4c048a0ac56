"""What a part took to make: time and memory. Beside the results, because no two runs take the same."""

import pyarrow as pa

from schemas.fields import field, table_schema

USAGE = table_schema(
    "usage",
    version=1,
    row="one part of one stage, as the worker that finished it measured it",
    fields=[
        field("stage", pa.string(), "the command that made the part, such as shard"),
        field("part", pa.string(), "the part, such as 00042"),
        field("host", pa.string(), "name of the machine"),
        field("cpu_s", pa.float64(), "CPU time of the worker and of its ended children", unit="s"),
        field("wall_s", pa.float64(), "time from begin to commit", unit="s"),
        field("peak_bytes", pa.int64(), "largest memory that the worker has held so far", unit="bytes"),
        field("finished", pa.string(), "when, UTC, ISO 8601"),
    ],
)
