"""Which clips train and evaluate the next model, and why the others do not."""

from typing import Annotated, TypedDict

import pyarrow as pa

from schemas.fields import table_schema


class SelectionRow(TypedDict):
    """one clip of the corpus, with the decision on it"""

    clip_id: Annotated[str, "the clip"]
    video_id: Annotated[str, "the video it was cut from"]
    part: Annotated[str, "the part whose tar holds it"]
    kept: Annotated[bool, "whether the clip belongs to the selection"]
    reason: Annotated[str, "kept, or the first rule that refused it: see pipeline/selection/filtering.py"]
    split: Annotated[str, "train, validate or test: one for a video and for all uploads of its content"]
    unique_s: Annotated[float | None, "seconds that no earlier kept clip of its video holds; null if not kept", "s"]
    score: Annotated[float | None, "coincidence score, where the clip has one", pa.float32()]
    label: Annotated[str | None, "label, where the clip has one"]


# Reason of the clips of a video whose declared rights have changed since, until `filter` decides on them anew.
RIGHTS_CHANGED = "rights_changed"
SELECTIONS = table_schema("selections", version=2, row=SelectionRow, partitions={"selection": "name of the selection"})
# Reasons of refused clips that may still be drawn for what people labelled them as. Others speak of the whole video, or
# are of rules that users write.
DRAWN_REASONS = (
    *("not_scored", "labelled_off_screen", "other_label", "too_quiet", "silences", "clipped", "frozen_picture"),
    *("low_score", "not_top_video", "over_video_cap", "not_top_clip"),
)
