"""Clips in memory in which two things are in view, a disc and a bar, and the pitch says which of them sounds."""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from pipeline.masks.masked_clips import MaskedClip
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet

RATE_HZ, NUM_FRAMES, SIDE = 16_000, 2, 32  # 0.4 s of sound for each frame
KINDS = ("disc", "bar")
PITCH_HZ = {"disc": 300.0, "bar": 2500.0}


class MemoryClips(ClipSet[MaskedClip]):
    """Masked clips of as many videos, kept in memory, each with the categories of what sounds in it."""

    def __init__(self, made: Sequence[MaskedClip], categories: Sequence[Sequence[str]] | None = None) -> None:
        keys = [clip.key for clip in made]
        given = categories or [[] for _ in made]
        rows = {"clip_id": keys, "video_id": keys, "categories": pa.array(given, pa.list_(pa.string()))}
        super().__init__(Workspace("memory"), "clips/segmentation", pa.table(rows), cache_bytes=0)
        self.made = list(made)

    def read_many(self, numbers: Iterable[int]) -> list[MaskedClip]:
        return [self.made[int(number)] for number in numbers]


def tone(kind: str, rng: np.random.Generator) -> np.ndarray:
    """The sound of a kind of thing, of a whole clip."""
    times_s = np.arange(0.4 * NUM_FRAMES * RATE_HZ) / RATE_HZ
    waveform = 0.2 * np.sin(2 * np.pi * PITCH_HZ[kind] * rng.uniform(0.9, 1.1) * times_s)
    return (waveform + 0.002 * rng.standard_normal(len(times_s))).astype(np.float32)


def draw_things(rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Frames [K, 3, H, W] with a disc and a bar side by side, and the silhouette [K, H, W] of each."""
    down, across = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")
    frames = rng.integers(30, 60, size=(NUM_FRAMES, 3, SIDE, SIDE)).astype(np.uint8)
    left, right = rng.permutation([SIDE // 4, 3 * SIDE // 4])
    row = rng.integers(10, SIDE - 10, size=2)
    seen = {
        "disc": (down - row[0]) ** 2 + (across - left) ** 2 <= 36,
        "bar": (abs(down - row[1]) <= 9) & (abs(across - right) <= 2),
    }
    for kind in KINDS:
        frames[:, :, seen[kind]] = rng.integers(160, 250, size=3)[:, None]
    return frames, {kind: np.broadcast_to(mask, (NUM_FRAMES, SIDE, SIDE)).copy() for kind, mask in seen.items()}


def two_things(count: int, seed: int = 0) -> MemoryClips:
    """Clips of as many videos, in each of which one thing of either kind sounds."""
    made, sounding = [], []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        frames, seen = draw_things(rng)
        kind = KINDS[rng.integers(2)]
        valid = np.ones(NUM_FRAMES, bool)
        made.append(MaskedClip(f"v{seed}_{number:03d}", frames, tone(kind, rng), seen[kind], valid, {}))
        sounding.append([kind])
    return MemoryClips(made, sounding)
