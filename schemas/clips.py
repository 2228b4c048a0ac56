"""The clips: spans of a video, each with its place in a WebDataset tar."""

import pyarrow as pa

from schemas.fields import field, table_schema

CLIPS = table_schema(
    "clips",
    version=2,
    row="one planned span of a video, kept in the part's tar or rejected with a reason",
    fields=[
        field("clip_id", pa.string(), "<video_id>_<start in ms>: the key in the tar"),
        field("video_id", pa.string(), "the video it was cut from"),
        field("start_s", pa.float64(), "start of the span on the video's clock", unit="s"),
        field("duration_s", pa.float64(), "length of the span", unit="s"),
        field("part", pa.string(), "the part whose tar holds it, such as 00042"),
        field("tar_offset", pa.int64(), "where its first tar header begins", unit="bytes", nullable=True),
        field("tar_bytes", pa.int64(), "bytes from there to the end of its last member", unit="bytes", nullable=True),
        field("num_frames", pa.int32(), "frames kept"),
        field("rms_db", pa.float64(), "level of the sound, floor -120", unit="dBFS", nullable=True),
        field("peak_db", pa.float64(), "largest sample, floor -120", unit="dBFS", nullable=True),
        field("loudness_lufs", pa.float64(), "integrated loudness (BS.1770-4), floor -70", unit="LUFS", nullable=True),
        field("silent_fraction", pa.float64(), "share of 20 ms blocks below -60 dBFS", nullable=True),
        field("clipped_fraction", pa.float64(), "share of samples at full scale", nullable=True),
        field("luma", pa.float64(), "mean brightness of the frames, 0 to 1", nullable=True),
        field("motion", pa.float64(), "mean absolute difference between frames, 0 to 1", nullable=True),
        field("frozen_fraction", pa.float64(), "share of frames equal to the one before", nullable=True),
        field("outcome", pa.string(), "kept, silent, short_audio, no_frame, too_short, or its video's reason"),
    ],
)
