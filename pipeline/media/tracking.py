"""Pictures of a video, one after the other -> the same pictures with the faces in them, each followed under a number.

Faces are looked for in every fifth picture, and at once after a cut or where one was lost; in every picture each face's
points come from the square around its last ones. A cut ends all tracks. Where a face is not found in up to three
pictures, it is put between its last and its next place; after more, or where its box jumps, another track follows.
"""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.media.cuts import CutDetector
from pipeline.media.faces import (
    MAX_OVERLAP,
    MIN_SCORE,
    Box,
    Face,
    Mesh,
    box_of,
    five_points,
    overlap,
    region_of_face,
    region_of_points,
)

DETECT_EVERY = 5  # pictures: 0.2 s at 25 Hz, and a fifth of what a detection costs
MAX_GAP = 3  # pictures in which a face may be missing
SMOOTHED = 2  # pictures before and after, whose points are averaged with a picture's own
# A picture is final once nothing that is still open can move its points: those two pictures later, and a gap that
# begins there.
LATENCY = SMOOTHED + MAX_GAP
MAX_TRACKS = 8
# From one picture to the next. The people of 13 talking-head videos moved by 0.54 distances between their eyes at most,
# and grew by 1.19; a distance is 1.6 m/s at 25 Hz.
MAX_SHIFT, MAX_GROWTH = 1.0, 1.4


class Finder(Protocol):
    """What finds faces: `faces.FaceFinder`, or a stand-in."""

    def detect(self, picture: NDArray[np.uint8]) -> list[Face]:
        """All faces of a picture."""

    def mesh(self, picture: NDArray[np.uint8], region: Any) -> Mesh:
        """The points of the face in a region."""


@dataclass(frozen=True, slots=True)
class TrackedFace:
    """A face in one picture."""

    track: int
    """From 0 in the order of appearance in the video, the largest first; never used twice."""
    points: NDArray[np.float64]
    """[5, 2] px, the mean over up to five pictures: right eye, left eye, tip of the nose, corners of the mouth (the
    viewer's left first)."""
    box: Box
    """Around all points of the mesh, of this picture alone."""
    eye_distance_px: float
    confidence: float
    """Presence of the mesh; 0 where the face was not found and is put between its neighbours."""


@dataclass(frozen=True, slots=True)
class TrackedPicture:
    """A picture and its faces."""

    time_s: float
    picture: NDArray[np.uint8]
    faces: tuple[TrackedFace, ...]
    """By their number."""
    is_cut: bool
    """Whether it is the first after a cut: the picture, or the place of a face, has jumped."""
    num_left_out: int
    """Faces at the last detection that are not followed, because larger ones are."""


@dataclass(slots=True)
class _Place:
    """A face in one picture, as it was found."""

    points: NDArray[np.float64]
    """[5, 2] px."""
    box: Box
    confidence: float


@dataclass(slots=True)
class _Track:
    number: int
    mesh: NDArray[np.float64]
    """[468, 2] px, the last that was found."""
    last: int
    """Index of the picture in which it was found last."""
    places: dict[int, _Place]
    """By the picture's index, as far back as smoothing needs."""
    before: int = -1
    """Index of the picture in which it was found before that; -1 for none."""
    is_live: bool = True

    @property
    def box(self) -> Box:
        return self.places[self.last].box


@dataclass(slots=True)
class _Waiting:
    time_s: float
    picture: NDArray[np.uint8]
    is_cut: bool
    num_left_out: int


class FaceTracker:
    """Follows the faces of one video.

    Args:
        finder: what finds faces.
        max_tracks: faces that are followed at once; of more, the largest that are there first.
    """

    def __init__(self, finder: Finder, max_tracks: int = MAX_TRACKS) -> None:
        self._finder, self._max_tracks = finder, max_tracks
        self._waiting: deque[_Waiting] = deque()
        self._tracks: list[_Track] = []
        self._num_tracks = self._index = self._num_left_out = 0
        self._next_detection = 0
        self._cuts = CutDetector()

    def add(self, time_s: float, picture: NDArray[np.uint8]) -> list[TrackedPicture]:
        """Take the next picture; returns those before it that nothing later can change, in order: none or one.

        Args:
            time_s: its time.
            picture: [H, W, 3] RGB, of the same size throughout. It is kept for LATENCY pictures and must not change.
        """
        (is_cut,) = self._cuts.find(picture[None])
        if is_cut:
            self._end(self._tracks)
        live = [track for track in self._tracks if track.is_live]
        jumped = [track for track in live if self._follow(track, picture)]
        self._drop_doubles()
        is_lost = any(track.last != self._index for track in live)
        if is_cut or is_lost or self._index >= self._next_detection:
            self._detect(picture)
        self._end(track for track in self._tracks if self._index - track.last >= MAX_GAP + 1)
        self._waiting.append(_Waiting(time_s, picture, is_cut or bool(jumped), self._num_left_out))
        self._index += 1
        return [self._release()] if len(self._waiting) > LATENCY else []

    def finish(self) -> list[TrackedPicture]:
        """The pictures that are still held, in order. Faces that are missing at the end have left before."""
        self._end(self._tracks)
        return [self._release() for _ in range(len(self._waiting))]

    def _follow(self, track: _Track, picture: NDArray[np.uint8]) -> bool:
        """Look for a face where it was; True if what is there has jumped, and so is another."""
        found = self._finder.mesh(picture, region_of_points(track.mesh, track.box))
        if found.presence < MIN_SCORE:
            return False
        place = _place_of(found)
        if self._has_jumped(track, place):
            self._end([track])
            self._begin(found, place)
            return True
        self._continue(track, found, place)
        return False

    def _has_jumped(self, track: _Track, place: _Place) -> bool:
        old, new = track.places[track.last].points, place.points
        pictures = self._index - track.last
        eyes, new_eyes = _eye_distance(old), _eye_distance(new)
        shift = math.hypot(*(new - old).sum(axis=0).tolist()) / len(new)
        grown = max(eyes, new_eyes) / max(min(eyes, new_eyes), 1e-6)
        return shift > MAX_SHIFT * pictures * max(eyes, new_eyes) or grown > MAX_GROWTH**pictures

    def _detect(self, picture: NDArray[np.uint8]) -> None:
        """Find faces anywhere: those of tracks that are lost, and new ones."""
        self._next_detection = self._index + DETECT_EVERY
        self._num_left_out = 0
        for face in sorted(self._finder.detect(picture), key=lambda face: -_area(face.box)):
            if self._is_here(face.box):
                continue
            live = [track for track in self._tracks if track.is_live]
            lost = [track for track in live if track.last < self._index and overlap(face.box, track.box) > 0]
            if not lost and len(live) >= self._max_tracks:
                self._num_left_out += 1
                continue
            found = self._finder.mesh(picture, region_of_face(face))
            place = _place_of(found)
            if found.presence < MIN_SCORE or self._is_here(place.box):
                continue
            shared = {track.number: overlap(place.box, track.box) for track in lost}
            near = [track for track in lost if shared[track.number] > 0 and not self._has_jumped(track, place)]
            if near:
                self._continue(max(near, key=lambda track: shared[track.number]), found, place)
            elif len(live) < self._max_tracks:
                self._begin(found, place)
            else:
                self._num_left_out += 1

    def _is_here(self, box: Box) -> bool:
        """Whether a track has its face in this picture already."""
        here = (track for track in self._tracks if track.is_live and track.last == self._index)
        return any(overlap(box, track.box) > MAX_OVERLAP for track in here)

    def _begin(self, found: Mesh, place: _Place) -> None:
        self._tracks.append(_Track(self._num_tracks, found.points, self._index, {self._index: place}))
        self._num_tracks += 1

    def _continue(self, track: _Track, found: Mesh, place: _Place) -> None:
        track.places[self._index] = place
        for index in range(track.last + 1, self._index):
            share = (index - track.last) / (self._index - track.last)
            track.places[index] = _between(track.places[track.last], track.places[self._index], share)
        track.mesh, track.before, track.last = found.points, track.last, self._index

    def _drop_doubles(self) -> None:
        """Where two tracks have come to one face, the older one stays."""
        here = [track for track in self._tracks if track.is_live and track.last == self._index]
        for position, track in enumerate(here):
            if any(older.is_live and overlap(track.box, older.box) > MAX_OVERLAP for older in here[:position]):
                self._end([track])
                track.places = {at: place for at, place in track.places.items() if at <= track.before}
                track.last = track.before

    @staticmethod
    def _end(tracks: Iterable[_Track]) -> None:
        for track in tracks:
            track.is_live = False

    def _release(self) -> TrackedPicture:
        """The oldest picture that is held, with its faces."""
        index = self._index - len(self._waiting)
        waiting = self._waiting.popleft()
        faces = [_smooth(track, index) for track in self._tracks if index in track.places]
        # What lies further back than smoothing looks, and tracks that are over, are forgotten.
        for track in self._tracks:
            track.places = {
                at: place for at, place in track.places.items() if at > index - SMOOTHED or at == track.last
            }
        self._tracks = [track for track in self._tracks if track.is_live or track.last > index - SMOOTHED]
        return TrackedPicture(waiting.time_s, waiting.picture, tuple(faces), waiting.is_cut, waiting.num_left_out)


def _smooth(track: _Track, index: int) -> TrackedFace:
    place = track.places[index]
    near = [track.places[at].points for at in range(index - SMOOTHED, index + SMOOTHED + 1) if at in track.places]
    points = sum(near[1:], near[0]) / len(near)
    return TrackedFace(track.number, points, place.box, _eye_distance(points), place.confidence)


def _place_of(found: Mesh) -> _Place:
    return _Place(five_points(found.points), box_of(found.points), found.presence)


def _between(first: _Place, second: _Place, share: float) -> _Place:
    """What lies a share of the way from one place to another; nobody has seen it."""
    points = (1 - share) * first.points + share * second.points
    box = [(1 - share) * one + share * other for one, other in zip(first.box, second.box, strict=True)]
    return _Place(points, (box[0], box[1], box[2], box[3]), 0.0)


def _eye_distance(points: NDArray[np.float64]) -> float:
    (x0, y0), (x1, y1) = points[:2].tolist()
    return math.hypot(x1 - x0, y1 - y0)


def _area(box: Sequence[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
