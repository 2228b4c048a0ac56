"""Which videos are uploads of the same content, and which of them represents its group."""

from typing import Annotated, TypedDict

import pyarrow as pa

from schemas.fields import table_schema


class DuplicateRow(TypedDict):
    """one video whose clips are another video's too"""

    video_id: Annotated[str, "the video"]
    group_id: Annotated[str, "name of its group: the smallest video_id in it when it was found"]
    split: Annotated[str, "split of the whole group: the first of train, validate, test that a member is in"]
    is_representative: Annotated[
        bool, "whether it represents its group: it is in the group's split, and no better upload of the same content is"
    ]
    bridged_groups: Annotated[
        list[str] | None, "other groups that were there before, joined by it", pa.list_(pa.string())
    ]
    like_video_id: Annotated[str, "the video of the group that it shares most with"]
    shared_fraction: Annotated[float, "share of the shorter one's clips that the two have in common", pa.float32()]


DUPLICATES = table_schema("duplicates", version=3, row=DuplicateRow)
