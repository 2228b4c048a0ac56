"""What the checks know of a node: plain facts that a `Probe` gathers there, and what the driver and Ray add."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from cluster.machine_facts import MachineFacts, measure
from pipeline.media import face_files
from pipeline.media.ffmpeg_features import Features, find_ffmpeg, try_ffmpeg
from pipeline.storage import files
from pipeline.storage.access import read_error, try_root

Facts = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """Gathers the facts of the machine that calls it."""

    root: str | None = None
    video: str | None = None
    """Address of a video of the collection."""
    is_quick: bool = False
    """Leave out what takes longer than half a second."""

    def __call__(self, resources: dict[str, float]) -> Facts:
        """`machine`, `ffmpeg`, `faces`, and where there is a root or video `access`, `read_error`: of plain types."""
        asks_torch = bool(resources.get("GPU", 0)) and not self.is_quick
        folders = {"the root": self.root} if self.root is not None and files.store_at(self.root).is_local else {}
        facts: Facts = {"machine": measure(asks_torch, folders)}
        facts["ffmpeg"] = find_ffmpeg() if self.is_quick else try_ffmpeg()
        facts["faces"] = face_files.problems(face_files.faces_folder())
        if self.root is not None:
            facts["access"] = try_root(self.root)
        if self.video is not None:
            facts["read_error"] = read_error(self.video)
        return facts


class Node(NamedTuple):
    """What the checks know of one node."""

    facts: MachineFacts
    resources: dict[str, float]
    """What Ray counts of it; {} where Ray did not start."""
    ffmpeg: Features
    driver: MachineFacts
    driver_ffmpeg: Features
    clock_ahead_s: float = 0.0
    """Its clock less the driver's, as far as the time between question and answer proves."""
    lacking_faces: Sequence[str] = ()
    """What is wrong with the models that find faces: a sentence for each file."""


def clock_ahead(node_s: float, asked_s: float, answered_s: float) -> float:
    """Seconds by which a node's clock is ahead of the driver's at least: 0 where it may be right.

    >>> clock_ahead(100.0, 99.0, 101.0), clock_ahead(160.0, 99.0, 101.0), clock_ahead(60.0, 99.0, 101.0)
    (0.0, 59.0, -39.0)
    """
    return max(0.0, node_s - answered_s) + min(0.0, node_s - asked_s)
