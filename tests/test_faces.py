"""The detector on real pictures, against what is in them and against the same picture turned and moved."""

import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from pipeline.media.face_files import FILES, MESH, faces_folder
from pipeline.media.faces import FaceFinder, box_of, five_points, overlap, region_of_face, region_of_points
from tests.helpers.talking_heads import pictures


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder()


@pytest.fixture(scope="module")
def interview(shared_media: Path) -> NDArray[np.uint8]:
    (picture,) = pictures(shared_media / "videos" / "VisualVoice__interview.mp4", limit_s=0.04)
    return picture


def test_two_people_are_found_and_each_one_s_points_lie_where_the_detector_s_do(
    finder: FaceFinder, interview: NDArray[np.uint8]
) -> None:
    faces = sorted(finder.detect(interview), key=lambda face: face.box[0])
    assert len(faces) == 2
    for face, half in zip(faces, (range(320), range(320, 640)), strict=True):
        assert round(face.box[0]) in half
        assert round(face.box[2]) in half
        mesh = finder.mesh(interview, region_of_face(face))
        points, eyes = five_points(mesh.points), np.linalg.norm(face.keypoints[1] - face.keypoints[0])
        assert mesh.presence > 0.9
        assert np.linalg.norm(points[:3] - face.keypoints[:3], axis=1).max() < 0.25 * eyes
        assert np.linalg.norm(points[3:].mean(axis=0) - face.keypoints[3]) < 0.25 * eyes
        assert overlap(box_of(mesh.points), face.box) > 0.6
        again = finder.mesh(interview, region_of_points(mesh.points))  # as in the next frame
        assert np.linalg.norm(five_points(again.points) - points, axis=1).max() < 0.1 * eyes


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_points_turn_with_the_picture(finder: FaceFinder, interview: NDArray[np.uint8], quarters: int) -> None:
    face = finder.detect(interview)[0]
    region = region_of_face(face)
    upright = finder.mesh(interview, region)
    turned = np.ascontiguousarray(np.rot90(interview, -quarters))  # clockwise, as angles count
    last = interview.shape[0] - 1
    places = upright.points
    x, y = region.x, region.y
    for _ in range(quarters):
        places = np.stack([last - places[:, 1], places[:, 0]], axis=1)
        x, y = last - y, x
    found = finder.mesh(turned, region._replace(x=x, y=y, angle=region.angle + quarters * math.pi / 2))
    assert np.abs(found.points - places).max() < 0.01 * region.side


def test_a_face_moves_with_the_picture_s_borders(finder: FaceFinder, interview: NDArray[np.uint8]) -> None:
    upright = interview[140:500]  # without the bars: 640x360
    square, wide = (finder.detect(picture) for picture in (interview, upright))
    assert len(square) == len(wide) == 2
    for one, other in zip(square, wide, strict=True):
        assert np.abs(np.array(one.box) - other.box - [0, 140, 0, 140]).max() < 2


@pytest.mark.parametrize("num_threads", [1, 2])
def test_the_same_picture_gives_the_same_bytes_in_another_finder_and_with_other_threads(
    finder: FaceFinder, interview: NDArray[np.uint8], num_threads: int
) -> None:
    def everything(finder: FaceFinder, picture: NDArray[np.uint8]) -> bytes:
        faces = finder.detect(picture)
        meshes = [finder.mesh(picture, region_of_face(face)) for face in faces]
        return b"".join([np.array(face.box).tobytes() for face in faces] + [mesh.points.tobytes() for mesh in meshes])

    expected, before = everything(finder, interview), torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        assert everything(FaceFinder(), interview.copy()) == expected
    finally:
        torch.set_num_threads(before)


def test_a_picture_without_a_face_has_none(finder: FaceFinder) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype(np.uint8)
    assert finder.detect(noise) == []
    assert finder.mesh(noise, region_of_points(np.random.default_rng(1).uniform(50, 150, (468, 2)))).presence < 0.5


def test_missing_files_and_others_are_named_with_the_command_that_brings_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not there.*`python -m pipeline\.media\.face_files`"):
        FaceFinder(tmp_path)
    for name in FILES:
        (tmp_path / name).write_bytes((faces_folder() / name).read_bytes())
    FaceFinder(tmp_path)
    (tmp_path / MESH).write_bytes(b"another model")
    with pytest.raises(ConfigError, match=rf"{re.escape(str(tmp_path / MESH))}: its SHA-256 is \w+, expected 1055cb"):
        FaceFinder(tmp_path)


def test_nothing_is_said_on_stderr_when_the_models_are_opened() -> None:
    code = "from pipeline.media.faces import FaceFinder; FaceFinder()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
