"""What the JSON of a sample in a tar says: of a clip, of a frozen evaluation example, of features."""

from typing import Annotated, Any, TypedDict

from schemas.mixtures import MixtureRow

CLIP_ID = (
    "<video_id>_<start in ms>, and _<spec> but for base, and _f<track> where it follows a face: the key in the tar"
)


class ClipFacts(TypedDict):
    """a clip, in the tars of `clips/` and `materialized/`"""

    clip_id: Annotated[str, CLIP_ID]
    video_id: Annotated[str, "the video it was cut from"]
    start_s: Annotated[float, "start of the span on the video's clock", "s"]
    duration_s: Annotated[float, "length of the span", "s"]
    sample_rate_hz: Annotated[int, "of the sound", "Hz"]
    frame_times_s: Annotated[list[float], "when each frame is shown, on the video's clock", "s"]
    uri: Annotated[str, "path or s3:// address of the video"]
    license: Annotated[str | None, "licence as the collection states it"]
    author: Annotated[str | None, "who published the video, as the collection states it"]
    extra: Annotated[dict[str, Any] | None, "the collection's other columns"]


class MouthFacts(ClipFacts):
    """a clip that follows a face, beside those of every clip"""

    track: Annotated[int, "number of the face in the order in which the video's faces appear, from 0"]
    transforms: Annotated[
        list[list[float]],
        "a, b, c, d, e, f of each frame: its pixel (x, y) is (a x + b y + c, d x + e y + f) of the decoded picture, a "
        "square of the clip spec's decode_side with bars; (0, 0) is the middle of the first pixel",
    ]
    confidences: Annotated[
        list[float], "presence of the face in each frame, 0 to 1; 0 where its place is taken from frames near by"
    ]


class SourceFacts(TypedDict):
    """one of an example's `sources`, a clip that it is made of"""

    clip_id: Annotated[str, "the clip"]
    uri: Annotated[str, "path or s3:// address of its video"]
    license: Annotated[str | None, "licence as the collection states it"]
    author: Annotated[str | None, "who published the video, as the collection states it"]
    extra: Annotated[dict[str, Any] | None, "the collection's other columns"]


class ExampleFacts(MixtureRow):
    """an evaluation example, in the tars of `mixtures/`, beside its row of the table `mixtures`"""

    sample_rate_hz: Annotated[int, "of each sound", "Hz"]
    frame_times_s: Annotated[list[float], "when each frame is shown, on the clock of the first clip's video", "s"]
    sources: Annotated[list[SourceFacts], "the clips of the frames, of the first sound and, if any, of the second"]


class FeatureFacts(TypedDict):
    """a clip's features, in the tars of `features/`"""

    clip_id: Annotated[str, "the clip: the key in the tar"]
    video_id: Annotated[str, "the video it was cut from; of published features the name of their row"]
    start_s: Annotated[float, "start of the clip on the video's clock", "s"]


SAMPLES = (ClipFacts, MouthFacts, ExampleFacts, SourceFacts, FeatureFacts)
