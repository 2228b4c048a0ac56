"""Which videos are uploads of the same content."""

from typing import Annotated, TypedDict

import pyarrow as pa

from schemas.fields import table_schema


class DuplicateRow(TypedDict):
    """one video that has another upload, or a copy"""

    video_id: Annotated[str, "the video"]
    group_id: Annotated[str, "name of its group: the smallest video_id in it when it was found"]
    split: Annotated[str, "split of the whole group: the first of train, validate, test that a member is in"]
    can_represent: Annotated[
        bool, "whether a selection may keep it: its own split is the group's, and it bridges no groups of two splits"
    ]
    bridged_groups: Annotated[
        list[str] | None, "other groups that were there before, joined by it", pa.list_(pa.string())
    ]
    linked_video_ids: Annotated[
        list[str], "videos that it shares half of its clips, or of theirs, with", pa.list_(pa.string())
    ]
    like_video_id: Annotated[str, "the video of the group that it shares most with"]
    shared_fraction: Annotated[
        float, "share of the shorter one's clips that the two have in common; 1 for a copy", pa.float32()
    ]


DUPLICATES = table_schema("duplicates", version=5, row=DuplicateRow, partitions={"selection": "name of the selection"})
