"""What the JSON of a sample in a tar says: of a clip, of a frozen evaluation example, of features."""

from typing import Annotated, Any, TypedDict

from schemas.mixtures import MixtureRow


class ClipFacts(TypedDict):
    """a clip, in the tars of `clips/` and `materialized/`"""

    clip_id: Annotated[str, "<video_id>_<start in ms>, and _<spec> but for base: the key in the tar"]
    video_id: Annotated[str, "the video it was cut from"]
    start_s: Annotated[float, "start of the span on the video's clock", "s"]
    duration_s: Annotated[float, "length of the span", "s"]
    sample_rate_hz: Annotated[int, "of the sound", "Hz"]
    frame_times_s: Annotated[list[float], "when each frame is shown, on the video's clock", "s"]
    uri: Annotated[str, "path or s3:// address of the video"]
    license: Annotated[str | None, "licence as the collection states it"]
    author: Annotated[str | None, "who published the video, as the collection states it"]
    extra: Annotated[dict[str, Any] | None, "the collection's other columns"]


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


SAMPLES = (ClipFacts, ExampleFacts, SourceFacts, FeatureFacts)
