"""Tracks of the faces in real videos, whole; CPU of finding a face and of its points, over that of the models alone.

Usage: python -m benchmarks.faces [FOLDER]

FOLDER has the real videos that the tests use (EARSHOT_MEDIA). Each is decoded to 25 pictures a second in a square of
640, as clips of mouths are. Times: medians of RUNS calls that alternate, on one thread, in a picture of the interview.
"""

import collections
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from pipeline.media.faces import FaceFinder, five_points, region_of_face
from pipeline.media.mouths import crop_mouth, mouth_transform
from pipeline.media.tracking import FaceTracker
from tests.helpers.talking_heads import pictures

RUNS = 200
ONE, NOBODY = ("LipNet__*", "SadTalker__WDA*", "video-retalking__*"), ("*flower*", "*rabbit*", "*bento*", "*bunny*")
# By the pattern of their names: how many faces, and the share of the pictures that each is followed in at least.
EXPECTED = {
    **dict.fromkeys(ONE, (1, 0.99)),
    "VisualVoice__interview*": (2, 0.95),
    "avobjects__demo*": (4, 0.90),
    **dict.fromkeys(NOBODY, (0, 0.0)),
}


def shares(finder: FaceFinder, path: Path) -> tuple[int, list[float]]:
    """Number of pictures, and the share of them that each track is in, the largest first."""
    tracker, counts = FaceTracker(finder), collections.Counter[int]()
    shown = pictures(path)
    found = [each for index, picture in enumerate(shown) for each in tracker.add(index / 25, picture)]
    for each in [*found, *tracker.finish()]:
        counts.update(face.track for face in each.faces)
    return len(shown), [count / len(shown) for _, count in counts.most_common()]


def milliseconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return 1e3 * (time.process_time() - began)


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("EARSHOT_MEDIA", "")) / "videos"
    if not folder.is_dir():
        print(f"{folder}: not there; name a folder of real videos, or set EARSHOT_MEDIA")
        return
    torch.set_num_threads(1)
    finder, is_well = FaceFinder(), True
    for pattern, (num_faces, least) in EXPECTED.items():
        for path in sorted(folder.glob(pattern)):
            num_pictures, found = shares(finder, path)
            of_faces = found[:num_faces] + [0.0] * (num_faces - len(found))
            is_well &= all(share >= least for share in of_faces) and (num_faces > 0 or not found)
            print(f"{path.name[:40]:40} {num_pictures:4} pictures, {len(found)} tracks {[round(s, 3) for s in found]}")
    picture = pictures(folder / "VisualVoice__interview.mp4", limit_s=0.04)[0]
    face = finder.detect(picture)[0]
    transform = mouth_transform(five_points(finder.mesh(picture, region_of_face(face)).points))
    detector, mesh = (torch.zeros(model.side, model.side, 3) for model in (finder._detector, finder._mesh))
    parts: dict[str, Callable[[], object]] = {
        "detect": lambda: finder.detect(picture),
        "its model alone": lambda: finder._detector(detector),
        "mesh": lambda: finder.mesh(picture, region_of_face(face)),
        "its model alone ": lambda: finder._mesh(mesh),
        "crop of a mouth": lambda: crop_mouth(picture, transform),
    }
    times = collections.defaultdict(list)
    for _ in range(RUNS):
        for name, work in parts.items():
            times[name].append(milliseconds(work))
    print(", ".join(f"{name.strip()} {statistics.median(values):.2f} ms" for name, values in times.items()))
    assert is_well, "a face was lost, or found where there is none"


if __name__ == "__main__":
    main()
