"""Visual and audio features of each clip, a row per second, as event localisation reads them."""

from typing import Annotated, TypedDict

import pyarrow as pa

from schemas.fields import table_schema

# Split of published test clips whose video is in another split too: drawn by no training, and counted apart.
LEAKED = "test_leaked"


class FeatureRow(TypedDict):
    """one clip with its features in the part's tar; or one that is damaged in its own tar, and has no features"""

    clip_id: Annotated[str, "the clip: the key in the tar"]
    video_id: Annotated[str, "the video it was cut from; of published features the name of their row"]
    start_s: Annotated[float, "start of the clip on the video's clock", "s"]
    tar_offset: Annotated[int | None, "where its first tar header begins; null if the clip is damaged", "bytes"]
    tar_bytes: Annotated[int | None, "bytes from there to the end of its last member", "bytes"]
    num_segments: Annotated[int, "segments of one second, N", pa.int32()]
    num_cells: Annotated[int, "places in the picture, R", pa.int32()]
    visual_dim: Annotated[int, "visual features of each place and second, C", pa.int32()]
    audio_dim: Annotated[int, "audio features of each second, A", pa.int32()]
    split: Annotated[
        str | None,
        f"split that a published set prescribes; {LEAKED}: test, of a video that is in another too; null: the video's",
    ]


FEATURES = table_schema(
    "features",
    version=1,
    row=FeatureRow,
    partitions={"spec": "the clip spec of the clips", "features": "name of the features"},
)
