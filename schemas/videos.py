"""The collection's videos: what is to be cut (`collection`), and what became of each (`videos`)."""

from typing import Annotated, Literal, TypedDict

import pyarrow as pa

from schemas.fields import table_schema
from schemas.outcomes import REJECTED

SPLITS = ("train", "validate", "test")
# Whether a video may be used for training: its owner permits it, refuses it, or says nothing that was read.
Rights = Literal["train", "no_train", "unknown"]
# Columns of both tables in which somebody declares the rights in a video; they may change after it was cut.
DECLARED = ("license", "author", "source_url", "rights", "rights_from")


class Span(TypedDict):
    """A stretch of a video."""

    start_s: float
    end_s: float | None
    """None is the video's end."""


SPAN = pa.struct([pa.field(name, pa.float64()) for name in Span.__annotations__])


class CollectionRow(TypedDict):
    """one video of the collection, assigned to the part that will cut it"""

    video_id: Annotated[str, "stable name: readable stem and a hash of the URI below the collection's root"]
    uri: Annotated[str, "path or s3:// address of the media file, as text (non-UTF-8 bytes escaped)"]
    size_bytes: Annotated[int | None, "size of the file when it was listed", "bytes"]
    revision: Annotated[str | None, "ETag, or time of last change, when it was listed"]
    license: Annotated[str | None, "licence as the collection states it"]
    author: Annotated[str | None, "who published the video, as the collection states it"]
    source_url: Annotated[str | None, "page that the video is from, as the collection states it"]
    rights: Annotated[
        Rights,
        "whether the collection lets it train models: train, no_train (its owner refuses) or unknown",
        pa.string(),
    ]
    rights_from: Annotated[
        str | None, "column of the collection that rights was read from, such as column content_usage"
    ]
    split: Annotated[str | None, "split that the collection prescribes: train, validate or test"]
    extra: Annotated[str | None, "the collection's other columns, as a JSON object"]
    spans: Annotated[list[Span] | None, "cut only within these; an end of null is the video's", pa.list_(SPAN)]


COLLECTION = table_schema("collection", version=4, row=CollectionRow)


class VideoRow(TypedDict):
    """one video of the collection, cut or rejected with a reason"""

    video_id: Annotated[str, "stable name of the video"]
    uri: Annotated[str, "path or s3:// address of the media file"]
    part: Annotated[str, "the part that holds its clips, such as 00042"]
    size_bytes: Annotated[int | None, "size of the file when it was listed", "bytes"]
    duration_s: Annotated[float | None, "decoded duration: the longer of sound and picture", "s"]
    width: Annotated[int | None, "coded width", "pixels", pa.int32()]
    height: Annotated[int | None, "coded height", "pixels", pa.int32()]
    pixel_format: Annotated[str | None, "how the codec stores a pixel, such as yuv420p10le"]
    frame_rate_hz: Annotated[float | None, "average frame rate the container states", "Hz"]
    video_codec: Annotated[str | None, "codec of the picture that was decoded"]
    audio_codec: Annotated[str | None, "codec of the sound that was decoded"]
    audio_rate_hz: Annotated[int | None, "its sample rate", "Hz", pa.int32()]
    audio_layout: Annotated[str | None, "its channels: mono, stereo, 5.1(side), ..."]
    license: Annotated[str | None, "licence as the collection states it"]
    author: Annotated[str | None, "who published the video, as the collection states it"]
    source_url: Annotated[str | None, "page that the video is from, as the collection states it"]
    rights: Annotated[
        Rights,
        "whether it may train models, by collection and file: train, no_train (either refuses) or unknown",
        pa.string(),
    ]
    rights_from: Annotated[
        str | None,
        "where rights was read: a column of the collection, an assertion in the file, or a copy of its bytes",
    ]
    split: Annotated[str | None, "split that the collection prescribes"]
    extra: Annotated[str | None, "the collection's other columns, as a JSON object"]
    content_hash: Annotated[str | None, "sha256 of the file, in hex; null if it could not be read"]
    num_clips: Annotated[int, "clips planned from it, kept or not", pa.int32()]
    outcome: Annotated[str, f"kept, or why no clip came of it: {', '.join(REJECTED)}"]
    detail: Annotated[str | None, "the decoder's last messages, or what was found and expected"]


VIDEOS = table_schema("videos", version=4, row=VideoRow, partitions={"spec": "the clip spec that it was cut by"})
