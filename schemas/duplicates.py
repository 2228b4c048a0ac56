"""Which videos are uploads of the same content, and which of them represents its group."""

import pyarrow as pa

from schemas.fields import field, table_schema

DUPLICATES = table_schema(
    "duplicates",
    version=3,
    row="one video whose clips are another video's too",
    fields=[
        field("video_id", pa.string(), "the video"),
        field("group_id", pa.string(), "name of its group: the smallest video_id in it when it was found"),
        field("split", pa.string(), "split of the whole group: the first of train, validate, test that a member is in"),
        field(
            "is_representative",
            pa.bool_(),
            "whether it represents its group: it is in the group's split, and no better upload of the same content is",
        ),
        field(
            "bridged_groups", pa.list_(pa.string()), "other groups that were there before, joined by it", nullable=True
        ),
        field("like_video_id", pa.string(), "the video of the group that it shares most with"),
        field("shared_fraction", pa.float32(), "share of the shorter one's clips that the two have in common"),
    ],
)
