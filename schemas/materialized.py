"""Training shards: a selection's kept clips, copied in shuffled order."""

import pyarrow as pa

from schemas.fields import field, table_schema

MATERIALIZED = table_schema(
    "materialized",
    version=1,
    row="one kept clip of a selection, with its place in a shuffled shard",
    fields=[
        field("clip_id", pa.string(), "the clip: its key in the tar"),
        field("video_id", pa.string(), "the video it was cut from"),
        field("split", pa.string(), "the split of every clip of the shard"),
        field("part", pa.string(), "the shard whose tar holds it, such as train-00042"),
        field("tar_offset", pa.int64(), "where its first tar header begins in the shard", unit="bytes"),
        field("tar_bytes", pa.int64(), "bytes from there to the end of its last member", unit="bytes"),
        field("source_part", pa.string(), "the part of clips/ it was copied from"),
    ],
)
