"""What clips of mouths show: each face is followed through the pictures, and a span gives a clip for each of them.

Of a picture, only the mouths are kept, as JPEG: it is cropped as soon as the tracker is sure of its faces, and given up
after a few others. A face that is found late or lost early misses frames at an end of a span; they are cropped where it
was in the nearest frame that has it, with confidence 0.

A face's clip is rejected as `small_face`, `cut` or `partly_tracked`, the first that applies; a span without any face
has one row, `no_face`. A cut inside a span ends all faces before it, so every face there is on one side of it.

Design note: what a clip shows depends on the pictures up to the end of its span alone, and never on when its sound
comes. So where a face has been before counts first, and only then where it is later.
"""

import collections
import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence

import numpy as np

from pipeline.clip_specs import ClipSpec
from pipeline.clips.pictures import Shown, Timed, encode_jpeg
from pipeline.clips.spans import plan_clips
from pipeline.clips.statistics import Look, look_at, picture_levels
from pipeline.media.faces import FaceFinder
from pipeline.media.mouths import crop_mouth, mouth_transform
from pipeline.media.streams import Frame
from pipeline.media.tracking import FaceTracker, TrackedFace, TrackedPicture
from schemas.videos import Span

MIN_EYE_DISTANCE_PX = 12.0  # of the crop's 60: what is enlarged more shows no lips
MIN_TRACKED = 0.9  # of a clip's frames
MAX_FACES = 8  # at once, the largest
MAX_FILLED = 5  # pictures in a row without the face that are cropped all the same; so many pictures are held
MARGIN_S = 1.0  # around the spans that a collection prescribes: faces are followed from there to there


@functools.cache
def face_finder() -> FaceFinder:
    """The one of this process, opened when it is first asked for.

    Raises:
        ConfigError: a model file is missing, or is another than it should be.
    """
    return FaceFinder()


@dataclasses.dataclass(frozen=True, slots=True)
class Mouth:
    """One face's mouth in one picture."""

    jpeg: bytes
    look: Look
    transform: np.ndarray
    face: TrackedFace | None
    """None where the picture was cropped without it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Mouths:
    """The mouths in one picture, by track."""

    is_cut: bool
    """Whether the picture is the first after a cut."""
    by_track: dict[int, Mouth] = dataclasses.field(default_factory=dict)


class MouthPictures:
    """Of each picture, the mouths of the faces that are followed. Is a `Pictures`.

    Args:
        spans: that the collection prescribes for the video.
        spec: sizes and lengths.
        max_padding_s: how far a clip may reach beyond its span.
        jpeg_quality: 1 to 100.
        tracker: of this video alone; None: one with the process' finder.
    """

    def __init__(
        self,
        spans: list[Span] | None,
        spec: ClipSpec,
        max_padding_s: float,
        jpeg_quality: int,
        tracker: FaceTracker | None = None,
    ) -> None:
        self._spec, self._quality = spec, jpeg_quality
        self._tracker = FaceTracker(face_finder(), MAX_FACES) if tracker is None else tracker
        self._plans = plan_clips(spans, spec, max_padding_s)
        self._plan = next(self._plans, None)
        self._passed_s = -math.inf  # end of the last span that lies before the picture
        self._unneeded: Frame | None = None
        self._held: collections.deque[tuple[np.ndarray, Mouths]] = collections.deque(maxlen=MAX_FILLED + 1)
        self._known: dict[int, tuple[np.ndarray, int]] = {}  # of each face its last place, and pictures since then
        self._most_left_out = 0

    def add(self, frame: Frame) -> Iterable[Timed]:
        """The mouths of pictures up to this one. Far from all spans of a collection, no face is looked for."""
        before, self._unneeded = self._unneeded, None
        if before is not None and self._plan is not None and frame.time_s > self._plan.start_s:
            yield from self._crop(self._tracker.add(before.time_s, before.pixels))  # the span begins with it
        if self._is_needed(frame.time_s):
            yield from self._crop(self._tracker.add(frame.time_s, frame.pixels))
        else:
            self._unneeded = frame

    def finish(self) -> Iterable[Timed]:
        """The mouths of the last pictures."""
        return self._crop(self._tracker.finish())

    def show(self, kept: list[Mouths]) -> list[Shown]:
        """A clip for each face that is followed in some of the pictures, by track; if there is none, why not."""
        tracks = {track for mouths in kept for track, mouth in mouths.by_track.items() if mouth.face is not None}
        cuts = [k for k in range(1, len(kept)) if kept[k].is_cut and kept[k] is not kept[k - 1]]
        of_tracks = [_show(track, [mouths.by_track.get(track) for mouths in kept], cuts) for track in sorted(tracks)]
        return of_tracks or [Shown(jpegs=[], levels={}, outcome="no_face")]

    def note(self) -> str | None:
        """How many faces there were beyond those that are followed."""
        if not self._most_left_out:
            return None
        return f"up to {self._most_left_out} faces at once were left out, beside the {MAX_FACES} largest"

    def _is_needed(self, time_s: float) -> bool:
        """Whether a picture lies in a planned span or near one; times come in order."""
        while self._plan is not None and self._plan.start_s + self._spec.clip_s <= time_s:
            self._passed_s = self._plan.start_s + self._spec.clip_s
            self._plan = next(self._plans, None)
        begins_s = math.inf if self._plan is None else self._plan.start_s
        return time_s >= begins_s - MARGIN_S or time_s <= self._passed_s + MARGIN_S

    def _crop(self, tracked: Iterable[TrackedPicture]) -> Iterable[Timed]:
        for each in tracked:
            self._most_left_out = max(self._most_left_out, each.num_left_out)
            if each.is_cut:
                self._held.clear()
                self._known.clear()
            mouths = Mouths(each.is_cut)
            self._held.append((each.picture, mouths))
            for face in each.faces:
                transform = mouth_transform(face.points, self._spec.frame_width)
                mouths.by_track[face.track] = self._encode(each.picture, transform, face)
                self._known[face.track] = transform, 0
                for picture, earlier in self._held:
                    if face.track not in earlier.by_track:
                        earlier.by_track[face.track] = self._encode(picture, transform, None)
            for track, (transform, since) in list(self._known.items()):
                if track not in mouths.by_track and since < MAX_FILLED:
                    mouths.by_track[track] = self._encode(each.picture, transform, None)
                    self._known[track] = transform, since + 1
                elif track not in mouths.by_track:
                    del self._known[track]
            yield each.time_s, mouths

    def _encode(self, picture: np.ndarray, transform: np.ndarray, face: TrackedFace | None) -> Mouth:
        pixels = crop_mouth(picture, transform, self._spec.frame_width)
        return Mouth(encode_jpeg(pixels, self._quality), look_at(pixels), transform, face)


def _show(track: int, shown: Sequence[Mouth | None], cuts: list[int]) -> Shown:
    """The clip of one face.

    Args:
        track: its number.
        shown: [K] its mouth in each frame; None where there is none.
        cuts: the frames, but for the first one, that follow a cut.
    """
    followed = [(k, mouth, mouth.face) for k, mouth in enumerate(shown) if mouth is not None and mouth.face is not None]
    faces = [face for _, _, face in followed]
    first, last = followed[0][0], followed[-1][0]
    row = {
        "track": track,
        "tracked_fraction": len(followed) / len(shown),
        "eye_distance_px": float(np.median([face.eye_distance_px for face in faces])),
        "confidence": float(np.mean([face.confidence for face in faces])),
        "box": np.median([face.box for face in faces], axis=0).tolist(),
    }
    mouths = [mouth for mouth in shown if mouth is not None]
    outcome = "kept"
    if row["eye_distance_px"] < MIN_EYE_DISTANCE_PX:
        outcome = "small_face"
    elif any(last < cut or first >= cut for cut in cuts):
        outcome = "cut"
    elif row["tracked_fraction"] < MIN_TRACKED or len(mouths) < len(shown):
        outcome = "partly_tracked"
    facts = {
        "track": track,
        "transforms": [mouth.transform.round(4).ravel().tolist() for mouth in mouths],
        "confidences": [0.0 if mouth.face is None else round(mouth.face.confidence, 4) for mouth in mouths],
    }
    return Shown(
        jpegs=[mouth.jpeg for mouth in mouths],
        levels=picture_levels([mouth.look for _, mouth, _ in followed], are_whole=False),
        outcome=outcome,
        id_ending=f"_f{track}",
        facts=facts,
        track=row,
    )
