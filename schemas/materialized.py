"""Training shards: a selection's kept clips, copied in shuffled order."""

from typing import Annotated, TypedDict

from schemas.fields import table_schema


class MaterializedRow(TypedDict):
    """one kept clip of a selection, with its place in a shuffled shard"""

    clip_id: Annotated[str, "the clip: its key in the tar"]
    video_id: Annotated[str, "the video it was cut from"]
    split: Annotated[str, "the split of every clip of the shard"]
    part: Annotated[str, "the shard whose tar holds it, such as train-00042"]
    tar_offset: Annotated[int, "where its first tar header begins in the shard", "bytes"]
    tar_bytes: Annotated[int, "bytes from there to the end of its last member", "bytes"]
    source_part: Annotated[str, "the part of clips/ it was copied from"]


MATERIALIZED = table_schema(
    "materialized", version=2, row=MaterializedRow, partitions={"selection": "name of the selection"}
)
