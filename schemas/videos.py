"""The collection's videos: what is to be cut (`collection`), and what became of each (`videos`)."""

import pyarrow as pa

from schemas.fields import field, table_schema

SPLITS = ("train", "validate", "test")
# What may become of a video beside `kept`. The first six speak of its file, the others of each of its clips.
REJECTED = (
    "missing",
    "unreadable",
    "no_video",
    "no_audio",
    "timeout",
    "killed",
    "too_short",
    "silent",
    "short_audio",
    "no_frame",
)
SPAN = pa.struct([pa.field("start_s", pa.float64()), pa.field("end_s", pa.float64())])

COLLECTION = table_schema(
    "collection",
    version=2,
    row="one video of the collection, assigned to the part that will cut it",
    fields=[
        field("video_id", pa.string(), "stable name: readable stem and a hash of the URI below the collection's root"),
        field("uri", pa.string(), "path or s3:// address of the media file, as text (non-UTF-8 bytes escaped)"),
        field("size_bytes", pa.int64(), "size of the file when it was listed", unit="bytes", nullable=True),
        field("revision", pa.string(), "ETag, or time of last change, when it was listed", nullable=True),
        field("license", pa.string(), "licence as the collection states it", nullable=True),
        field("author", pa.string(), "who published the video, as the collection states it", nullable=True),
        field("split", pa.string(), "split that the collection prescribes: train, validate or test", nullable=True),
        field("spans", pa.list_(SPAN), "cut only within these; an end of null is the video's", nullable=True),
    ],
)

VIDEOS = table_schema(
    "videos",
    version=2,
    row="one video of the collection, cut or rejected with a reason",
    fields=[
        field("video_id", pa.string(), "stable name of the video"),
        field("uri", pa.string(), "path or s3:// address of the media file"),
        field("part", pa.string(), "the part that holds its clips, such as 00042"),
        field("size_bytes", pa.int64(), "size of the file when it was listed", unit="bytes", nullable=True),
        field("duration_s", pa.float64(), "decoded duration: the longer of sound and picture", unit="s", nullable=True),
        field("width", pa.int32(), "coded width", unit="pixels", nullable=True),
        field("height", pa.int32(), "coded height", unit="pixels", nullable=True),
        field("pixel_format", pa.string(), "how the codec stores a pixel, such as yuv420p10le", nullable=True),
        field("frame_rate_hz", pa.float64(), "average frame rate the container states", unit="Hz", nullable=True),
        field("video_codec", pa.string(), "codec of the first real video stream", nullable=True),
        field("audio_codec", pa.string(), "codec of the first audio stream", nullable=True),
        field("audio_rate_hz", pa.int32(), "its sample rate", unit="Hz", nullable=True),
        field("audio_layout", pa.string(), "its channels: mono, stereo, 5.1(side), ...", nullable=True),
        field("license", pa.string(), "licence as the collection states it", nullable=True),
        field("author", pa.string(), "who published the video, as the collection states it", nullable=True),
        field("split", pa.string(), "split that the collection prescribes", nullable=True),
        field("num_clips", pa.int32(), "clips planned from it, kept or not"),
        field("outcome", pa.string(), f"kept, or why no clip came of it: {', '.join(REJECTED)}"),
        field("detail", pa.string(), "the decoder's last words, or what was found and expected", nullable=True),
    ],
)
