"""Masks: which pixels of a video's picture are of what sounds at a moment, as people or a published set say."""

from typing import Annotated, TypedDict

import pyarrow as pa

from schemas.fields import table_schema

KEPT, MISMATCH, UNREADABLE = "kept", "mask_mismatch", "unreadable"


class MaskRow(TypedDict):
    """one mask of a moment of a video, kept in the part's tar or rejected with a reason"""

    video_id: Annotated[str, "the video; one without any row is not labelled"]
    time_s: Annotated[float, "the moment on the video's clock", "s"]
    category: Annotated[str | None, "of what sounds the mask shows; null: all that sounds"]
    outcome: Annotated[str, f"{KEPT}, {MISMATCH} (no mask of this video's picture) or {UNREADABLE}"]
    tar_offset: Annotated[int | None, "where its tar header begins; null unless kept", "bytes"]
    tar_bytes: Annotated[int | None, "bytes from there to the end of its PNG", "bytes"]
    height: Annotated[int | None, "of the mask; null where it is unknown", "pixels", pa.int32()]
    width: Annotated[int | None, "of the mask; null where it is unknown", "pixels", pa.int32()]
    area: Annotated[int | None, "of what sounds; 0: nothing does; null unless kept", "pixels"]
    source: Annotated[str, "name of the file that it is read from"]
    detail: Annotated[str | None, "what was found and expected, unless kept"]


MASKS = table_schema("masks", version=1, row=MaskRow)
