"""Why a video may be rejected: outcomes of the table `videos` that the command line lists, so without pyarrow."""

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
