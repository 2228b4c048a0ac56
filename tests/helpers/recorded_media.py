"""Recorded sounds and photographs of a folder with a MANIFEST.csv, decoded."""

import csv
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from pipeline.media.sandbox import ffmpeg_path

MANIFEST = "MANIFEST.csv"
RATE_HZ = 16000
PHOTOGRAPH_HEIGHT = 128  # pixels
MIN_RECORDINGS = 6  # of different origin, for a class to be seen: each split has one or more
SILENCE = 0.01  # of the peak: less than this, before and after a sound, is cut off


@dataclass(frozen=True)
class Recording:
    """A sound, or a piece of one."""

    origin: str
    """What it was cut from: recordings of one origin belong in one split."""
    samples: NDArray[np.float32]
    """[T] at RATE_HZ."""


@dataclass(frozen=True)
class Media:
    """What a world is made of."""

    classes: dict[str, list[Recording]]
    """Those with MIN_RECORDINGS origins or more."""
    others: list[Recording]
    """Of all other classes that a manifest names."""
    photographs: list[NDArray[np.float32]]
    """[3, H, W] RGB in 0 to 1."""


def read_media(folder: Path) -> Media:
    """The sounds and photographs whose notes in MANIFEST.csv name a class.

    Raises:
        ConfigError: there is no manifest, or it names fewer than 3 classes of MIN_RECORDINGS origins, or fewer than two
            photographs more than classes.
        RuntimeError: ffmpeg cannot decode one of them.
    """
    manifest, rows = folder / MANIFEST, read_manifest(folder)
    sounds = [(*row, named) for row in rows if row[0].startswith("sounds/") if (named := noted(row[1], "class"))]
    pictures = [path for path, notes in rows if path.startswith("images/") and noted(notes, "class")]
    origins = Counter(
        kind for kind, _ in {(kind, noted(notes, "freesound_id") or path) for path, notes, kind in sounds}
    )
    kinds = sorted(kind for kind, count in origins.items() if count >= MIN_RECORDINGS)
    if len(kinds) < 3 or len(pictures) < len(kinds) + 2:
        raise ConfigError(
            f"{manifest}: {len(kinds)} classes of {MIN_RECORDINGS} recordings or more, {len(pictures)} photographs: "
            "expected 3 classes or more, and two photographs more than classes."
        )
    classes: dict[str, list[Recording]] = {kind: [] for kind in kinds}
    others = []
    for path, notes, kind in sounds:
        if not (samples := _decode_sound(folder / path)).any():
            continue
        recording = Recording(noted(notes, "freesound_id") or path, samples)
        if kind in classes:
            classes[kind].append(recording)
        elif not any(word in kind for known in kinds for word in known.split("_")):  # not a dog, where dog_bark is seen
            others.append(recording)
    return Media(classes, others, [_decode_picture(folder / path) for path in sorted(pictures)])


def read_manifest(folder: Path) -> list[tuple[str, str]]:
    """Path and notes of each file that MANIFEST.csv names.

    Raises:
        ConfigError: there is none.
    """
    manifest = folder / MANIFEST
    if not manifest.exists():
        raise ConfigError(f"{manifest}: not there. Name a folder that has one with --media or EARSHOT_MEDIA.")
    with manifest.open(newline="") as file:
        return [(row["path"], row["notes"]) for row in csv.DictReader(file)]


def noted(notes: str, key: str) -> str | None:
    """VALUE of `key=VALUE` in a file's notes."""
    found = re.search(rf"(?:^|[;,] ?){key}=([^;]+)", notes)
    return found[1].strip() if found else None


def _decode_sound(path: Path) -> NDArray[np.float32]:
    """[T] mono at RATE_HZ, without silence before and after."""
    samples = np.frombuffer(_ffmpeg(path, "-ac", "1", "-ar", str(RATE_HZ), "-f", "f32le"), np.float32)
    heard = np.flatnonzero(np.abs(samples) > SILENCE * np.abs(samples).max(initial=1e-6))
    return samples[heard[0] : heard[-1] + 1] if len(heard) else samples[:0]


def _decode_picture(path: Path) -> NDArray[np.float32]:
    """[3, PHOTOGRAPH_HEIGHT, W] RGB in 0 to 1."""
    scale = f"scale=-2:{PHOTOGRAPH_HEIGHT}:flags=area"
    pixels = _ffmpeg(path, "-frames:v", "1", "-vf", scale, "-pix_fmt", "rgb24", "-f", "rawvideo")
    flat = np.frombuffer(pixels, np.uint8).reshape(PHOTOGRAPH_HEIGHT, -1, 3)
    return flat.transpose(2, 0, 1).astype(np.float32) / 255


def _ffmpeg(path: Path, *output: str) -> bytes:
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-i", str(path), *output, "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode or not done.stdout:
        raise RuntimeError(f"{path}: ffmpeg ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
    return done.stdout
