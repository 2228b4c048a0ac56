"""The clips: spans of a video, each with its place in a WebDataset tar."""

from typing import Annotated, TypedDict

import pyarrow as pa

from schemas.fields import table_schema
from schemas.samples import CLIP_ID


class ClipRow(TypedDict):
    """one planned span of a video, or one face in it, kept in the part's tar or rejected with a reason"""

    clip_id: Annotated[str, CLIP_ID]
    video_id: Annotated[str, "the video it was cut from"]
    start_s: Annotated[float, "start of the span on the video's clock", "s"]
    duration_s: Annotated[float, "length of the span", "s"]
    unique_s: Annotated[
        float | None,
        "seconds of its video that no earlier kept clip holds; null if rejected. A second in which several faces are "
        "followed counts once, for the first of them",
        "s",
    ]
    part: Annotated[str, "the part whose tar holds it, such as 00042"]
    tar_offset: Annotated[int | None, "where its first tar header begins", "bytes"]
    tar_bytes: Annotated[int | None, "bytes from there to the end of its last member", "bytes"]
    num_frames: Annotated[int, "frames of its span", pa.int32()]
    rms_db: Annotated[float | None, "level of the sound above 22 Hz, floor -120: a constant offset has none", "dBFS"]
    peak_db: Annotated[float | None, "largest sample, floor -120", "dBFS"]
    loudness_lufs: Annotated[float | None, "integrated loudness (BS.1770-4), floor -70", "LUFS"]
    silent_fraction: Annotated[float | None, "share of 20 ms blocks below -60 dBFS"]
    clipped_fraction: Annotated[float | None, "share of samples at full scale"]
    luma: Annotated[float | None, "mean brightness of the frames, 0 to 1; of mouths, where clips follow faces"]
    motion: Annotated[float | None, "mean absolute difference between frames, 0 to 1"]
    frozen_fraction: Annotated[float | None, "share of frames equal to the one before"]
    outcome: Annotated[
        str,
        "kept, or the first that applies: its video's reason or too_short, short_audio, no_frame, silent; and where "
        "clips follow faces no_face (then the span has one row), small_face (eyes nearer than 12 px), cut (its span is "
        "of two shots, the face in one of them), partly_tracked (in less than 90 % of the frames)",
    ]


CLIPS = table_schema("clips", version=3, row=ClipRow, partitions={"spec": "the clip spec that it was cut by"})
