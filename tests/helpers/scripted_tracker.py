"""A tracker that is told where the faces are: what becomes of them in clips is then arithmetic."""

from collections.abc import Callable

import numpy as np

from pipeline.media.mouths import MEAN_FACE
from pipeline.media.tracking import FaceTracker, TrackedFace, TrackedPicture

DELAY = 4  # pictures that it holds


def face(track: int, eye_distance_px: float = 30.0, x: float = 32.0, confidence: float = 1.0) -> TrackedFace:
    """An upright face whose mouth is at (x, 32): exactly the mean face, so that the transform is known."""
    points = (MEAN_FACE - MEAN_FACE[3:].mean(axis=0)) * eye_distance_px + [x, 32.0]
    left, top, right, bottom = x - 20.0, 12.0, x + 20.0, 52.0
    return TrackedFace(
        track=track,
        points=points,
        box=(left, top, right, bottom),
        eye_distance_px=eye_distance_px,
        confidence=confidence,
    )


class ScriptedTracker(FaceTracker):
    """Says what it is told of the n-th picture, DELAY pictures late as a tracker that smooths is.

    Args:
        faces: those of the n-th picture.
        cuts: numbers of pictures that are the first after a cut.
        num_left_out: of every picture.
    """

    def __init__(
        self, faces: Callable[[int], list[TrackedFace]], cuts: tuple[int, ...] = (), num_left_out: int = 0
    ) -> None:
        self._faces, self._cuts, self._num_left_out = faces, cuts, num_left_out
        self._waiting: list[TrackedPicture] = []
        self.times_s: list[float] = []

    def add(self, time_s: float, picture: np.ndarray) -> list[TrackedPicture]:
        number = len(self.times_s)
        self.times_s.append(time_s)
        tracked = TrackedPicture(
            time_s=time_s,
            picture=picture,
            faces=tuple(self._faces(number)),
            is_cut=number in self._cuts,
            num_left_out=self._num_left_out,
        )
        self._waiting.append(tracked)
        return [self._waiting.pop(0)] if len(self._waiting) > DELAY else []

    def finish(self) -> list[TrackedPicture]:
        waiting, self._waiting = self._waiting, []
        return waiting
