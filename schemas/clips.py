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
    snr_db: Annotated[
        float | None,
        "estimated signal-to-noise ratio: level of 20 ms blocks, the 90th percentile over the 10th, 0 to 120; null for "
        "less than one block",
        "dB",
    ]
    speech_fraction: Annotated[
        float | None,
        "share of 32 ms blocks in which the voice detector Silero hears speech, 0 to 1; singing counts too; "
        "null unless the clip spec has 16 kHz, and for less than one block",
    ]
    bandwidth_hz: Annotated[
        float | None,
        "above it, the spectrum of the file's own sound, averaged over its channels and the clip, stays 50 dB below "
        "its peak, 0 to half the sample rate; null where the sound is digital silence or shorter than a block of 2048 "
        "samples, after a change of the sound's format (before it too where ffmpeg saw the later sample rate first, as "
        "of MPEG layer 2), and of clips of a published data set that were taken over",
        "Hz",
    ]
    dc_offset: Annotated[
        float | None,
        "mean of the samples of the file's channel in which it is furthest from 0, -1 to 1; null without a whole block",
    ]
    num_channels: Annotated[int | None, "channels of the file's sound; null without a whole block", pa.int32()]
    sounding_channels: Annotated[
        list[int] | None,
        "channels of the file above -60 dBFS in this clip, counted from 0 in the order of its layout (stereo: left, "
        "right); null without a whole block",
        pa.list_(pa.int32()),
    ]
    channel_correlation: Annotated[
        float | None,
        "Pearson's correlation of the file's first two channels, -1 to 1; null for mono and unless both sound",
    ]
    luma: Annotated[float | None, "mean brightness of the frames, 0 to 1; of mouths, where clips follow faces"]
    motion: Annotated[float | None, "mean absolute difference between frames, 0 to 1"]
    frozen_fraction: Annotated[float | None, "share of frames equal to the one before"]
    sharpness: Annotated[
        float | None,
        "variance of the Laplacian of the frames in 8-bit grey, mean of the frames, 0 and more; of mouths, where clips "
        "follow faces; null without frames",
    ]
    num_cuts: Annotated[
        int | None,
        "changes from shot to shot inside the span; null without frames, and where the clip spec's at_cuts is ignore",
        pa.int32(),
    ]
    black_fraction: Annotated[
        float | None,
        "share of the frames that are black, 0 to 1; null without frames, where these are mouths, and where fit is pad",
    ]
    letterbox_fraction: Annotated[
        float | None,
        "share of the picture that lies in black bars at its edges in all frames, 0 to 1; null where all is black, and "
        "as for black_fraction",
    ]
    outcome: Annotated[
        str,
        "kept, or the first that applies: its video's reason or too_short, short_audio, no_frame, silent; and where "
        "clips follow faces no_face (then the span has one row), small_face (eyes nearer than 12 px), cut (its span is "
        "of two shots, the face in one of them), partly_tracked (in less than 90 % of the frames)",
    ]


CLIPS = table_schema("clips", version=4, row=ClipRow, partitions={"spec": "the clip spec that it was cut by"})
