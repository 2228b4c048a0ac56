"""Faces in a picture, and the points of each: the only file that knows the detector.

BlazeFace in its full-range form finds faces in the whole picture, Face Mesh places 468 points in a square around one
(Bazarevsky et al. 2019, arXiv:1907.05047; Kartynnik et al. 2019, arXiv:1907.06724). Both are run by LiteRT on one
thread. Their conventions (one box for each place of a grid, offsets in pixels of the input, squares of 1.5 times the
face, turned by its eyes) are those of Google's published graphs of MediaPipe.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.errors import ConfigError
from pipeline.media import face_files
from pipeline.media.warping import square_transform, warp

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels of the picture."""

MIN_SCORE = 0.5  # of the detector and of the mesh: false faces of real videos had a presence of 0.12 at most
MAX_OVERLAP = 0.3  # intersection over union from which two boxes are one face
MARGIN = 1.5  # side of the mesh's square, in longer sides of the face's box
# Points of the mesh. Right is the person's own right, which is left in a picture; of the mouth the viewer's left first.
RIGHT_EYE, LEFT_EYE, NOSE, MOUTH_CORNERS = (33, 133), (362, 263), 1, (61, 291)
FIVE_LANDMARKS = np.array(
    [RIGHT_EYE, LEFT_EYE, (NOSE, NOSE), *((corner, corner) for corner in MOUTH_CORNERS)]
).T  # to average


@dataclass(frozen=True, slots=True)
class Face:
    """A face as the detector finds it."""

    box: Box
    score: float
    keypoints: NDArray[np.float64]
    """[6, 2] px: right eye, left eye, tip of the nose, middle of the mouth, right ear, left ear."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """The points of one face."""

    points: NDArray[np.float64]
    """[468, 2] px."""
    presence: float
    """In 0 to 1: whether there is a face in the region at all."""


class Region(NamedTuple):
    """A turned square of a picture, in its pixels."""

    x: float
    y: float
    side: float
    angle: float
    """In radians, from x towards y: by how much the line from the right to the left eye is turned."""


def region_of_face(face: Face) -> Region:
    """Where the mesh is looked for, of a face that the detector has found."""
    left, top, right, bottom = face.box
    (x0, y0), (x1, y1) = face.keypoints[:2]
    side = MARGIN * max(right - left, bottom - top)
    return Region((left + right) / 2, (top + bottom) / 2, side, math.atan2(y1 - y0, x1 - x0))


def region_of_points(points: NDArray[np.float64], box: Box | None = None) -> Region:
    """Where the mesh is looked for, of a face whose points are known from the frame before; and their box, if it is."""
    left, top, right, bottom = box_of(points) if box is None else box
    (x0, y0), (x1, y1) = points[RIGHT_EYE[0]].tolist(), points[LEFT_EYE[1]].tolist()
    side = MARGIN * max(right - left, bottom - top)
    return Region((left + right) / 2, (top + bottom) / 2, side, math.atan2(y1 - y0, x1 - x0))


def box_of(points: NDArray[np.float64]) -> Box:
    """The upright box around all points of a mesh."""
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return left, top, right, bottom


def five_points(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """[5, 2] of a mesh: right eye, left eye, tip of the nose, corners of the mouth (the viewer's left first)."""
    return (points[FIVE_LANDMARKS[0]] + points[FIVE_LANDMARKS[1]]) / 2


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes.

    >>> overlap((0, 0, 2, 2), (1, 0, 3, 2))
    0.3333333333333333
    """
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - shared
    return shared / union if union > 0 else 0.0


class FaceFinder:
    """Finds faces and their points.

    Args:
        folder: of the two model files; None for the environment's.
    Raises:
        ConfigError: a file is missing or is another than it should be.
    """

    def __init__(self, folder: Path | None = None) -> None:
        folder = face_files.faces_folder() if folder is None else folder
        if found := face_files.problems(folder):
            raise ConfigError(f"{' '.join(found)} `{face_files.COMMAND}` puts there what finds faces.")
        self._detector, self._mesh = (_Model(folder / name) for name in (face_files.DETECTOR, face_files.MESH))
        # One box for each place of a square grid over the input; its middle is the place's.
        num_boxes = self._detector.output_shapes[0][1]
        grid = (np.arange(math.isqrt(num_boxes)) + 0.5) * self._detector.side / math.isqrt(num_boxes)
        self._places = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(num_boxes, 2)

    def detect(self, picture: NDArray[np.uint8]) -> list[Face]:
        """Faces with a score of MIN_SCORE or more, one for each, the surest first.

        Args:
            picture: [H, W, 3] RGB.
        """
        side = self._detector.side
        height, width = picture.shape[:2]
        scale = max(height, width) / side
        size = [max(1, round(height / scale)), max(1, round(width / scale))]
        top, left = (side - size[0]) // 2, (side - size[1]) // 2
        pixels = torch.from_numpy(np.require(picture, requirements=["C", "W"])).permute(2, 0, 1)[None]
        fitted = functional.interpolate(pixels, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0)
        given = torch.full((side, side, 3), -1.0)  # black around the picture
        given[top : top + size[0], left : left + size[1]] = fitted.float().div_(127.5).sub_(1)
        raw, logits = self._detector(given)
        scores = _sigmoid(logits.reshape(-1))
        chosen = np.flatnonzero(scores >= MIN_SCORE)
        # [N, 8, 2]: middle, width and height, six key points; all but the second from the middle of the box's place.
        pairs = raw.reshape(len(scores), -1, 2)[chosen].astype(np.float64)
        half = pairs[:, 1:2] / 2
        points = np.concatenate([pairs[:, :1] - half, pairs[:, :1] + half, pairs[:, 2:]], axis=1)
        points += self._places[chosen, None] - [left, top]
        # The input's pixels are counted from an edge, the picture's from the middle of the first.
        return _one_each(points * [width / size[1], height / size[0]] - 0.5, scores[chosen])

    def mesh(self, picture: NDArray[np.uint8], region: Region) -> Mesh:
        """The points of the face in a region.

        Args:
            picture: [H, W, 3] RGB.
            region: of `region_of_face` or, from the frame before, of `region_of_points`.
        """
        transform = square_transform(*region, self._mesh.side)
        points, logit = self._mesh(warp(picture, transform, self._mesh.side).div_(255).permute(1, 2, 0))
        in_crop = points.reshape(-1, 3)[:, :2].astype(np.float64) - 0.5
        presence = 1 / (1 + math.exp(-min(max(logit.item(), -100.0), 100.0)))
        return Mesh(in_crop @ transform[:, :2].T + transform[:, 2], presence)


class _Model:
    """A model that reads a square picture, on one thread."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with _silent():
            self._interpreter: Any = Interpreter(model_path=str(path), num_threads=1)
            self._interpreter.allocate_tensors()
        (given,) = self._interpreter.get_input_details()
        outputs = sorted(self._interpreter.get_output_details(), key=lambda output: -int(np.prod(output["shape"])))
        self.side = int(given["shape"][1])
        self.output_shapes = [tuple(int(size) for size in output["shape"]) for output in outputs]
        self._input, self._outputs = given["index"], [output["index"] for output in outputs]

    def __call__(self, picture: Tensor) -> list[NDArray[np.float32]]:
        """The outputs, the largest first, of [side, side, 3]."""
        # Written where the model reads it: LiteRT's own copy of a picture in another order of axes takes 0.4 ms.
        torch.from_numpy(self._interpreter.tensor(self._input)())[0].copy_(picture)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(output) for output in self._outputs]


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -100, 100)))


def _one_each(places: NDArray[np.float64], scores: NDArray[np.float64]) -> list[Face]:
    """Of boxes that overlap, their mean weighted by the score (BlazeFace's blending), with the highest score.

    Args:
        places: [N, 2 + 6, 2] two corners of each box, and its key points.
        scores: [N].
    """
    boxes: list[Box] = [(*map(float, box[:2].reshape(4)),) for box in places]  # type: ignore[misc]
    left, found = list(np.argsort(-scores, kind="stable")), []
    while left:
        first = boxes[left[0]]
        same = [index for index in left if index == left[0] or overlap(first, boxes[index]) > MAX_OVERLAP]
        mean = np.average(places[same], axis=0, weights=scores[same])
        (x0, y0), (x1, y1) = mean[:2]
        found.append(Face((float(x0), float(y0), float(x1), float(y1)), float(scores[left[0]]), mean[2:]))
        left = [index for index in left if index not in same]
    return found


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep what a library's C++ writes to stderr from there: LiteRT says each time that it uses XNNPACK."""
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
