"""A world bound together from recorded sounds and photographs: videos, their splits, and what is heard on screen.

Each class of sounds is bound to one photograph, by chance, which pulses and hops as loud as it sounds. Recordings of
classes that have few are heard off screen alone; photographs bound to nothing lie there silent, or drift by behind.
Photographs of other classes may lie there silent too: then only the pulse distinguishes them, which few frames per
second show. Train, validate and test videos hold different recordings.

    build   media, seed -> <folder>/videos/, collection.csv (`uri`, `split`), labels.csv (for `earshot label`)

Equal arguments give equal bytes.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.audio import db_to_gain
from pipeline.synthetic.rendering import encode
from pipeline.synthetic.scenes import Scene
from tests.helpers.recorded_media import RATE_HZ, Media, Recording

SHARES = {"train": 0.7, "validate": 0.12, "test": 0.18}  # of videos, and of a class's recordings
ON_ONLY, OFF_ONLY = 0.7, 0.14  # shares of videos; in the others something sounds on screen and something off screen
WIDTH, HEIGHT, FRAME_RATE_HZ = 160, 128, 12
SIZE = (0.28, 0.5)  # of a photograph, as a share of the frame's height
PULSE, HOP = 0.3, 0.08  # how much larger, and how far up in frame heights, a thing is when loudest
PIECE_S, PAUSE_S = (1.0, 4.0), (0.2, 1.0)  # a recording is heard in pieces, with pauses between them
NOISE_FLOOR_DB = -60.0
Pixels = NDArray[np.float32]
Waveform = NDArray[np.float32]


@dataclass(frozen=True)
class World:
    """What all videos are made of."""

    media: Media
    photograph_of: dict[str, int]
    """Which photograph is the picture of a class."""
    sounds: dict[str, dict[str, list[Recording]]]
    """Recordings by split, then by class; those that are only heard off screen are of class "" ."""
    seed: int
    silent_fraction: float
    """Chance that the photograph of a class that is not heard lies there silent, of two classes for each video."""


def plan_world(media: Media, seed: int, silent_fraction: float = 0.0) -> World:
    """Bind photographs to classes, and give each recording to a split."""
    rng = np.random.default_rng([seed, 0])
    numbers = rng.permutation(len(media.photographs))
    sounds: dict[str, dict[str, list[Recording]]] = {split: {} for split in SHARES}
    for name in [*media.classes, ""]:
        found = media.classes.get(name, media.others)
        origins = rng.permutation(sorted({recording.origin for recording in found})).tolist()
        places = dict(zip(origins, (np.arange(len(origins)) + 0.5) / max(1, len(origins)), strict=True))
        for recording in found:
            is_past_train = places[recording.origin] >= SHARES["train"]
            is_past_both = places[recording.origin] >= SHARES["train"] + SHARES["validate"]
            split = list(SHARES)[int(is_past_train) + int(is_past_both)]
            sounds[split].setdefault(name, []).append(recording)
    return World(media, dict(zip(media.classes, numbers.tolist(), strict=False)), sounds, seed, silent_fraction)


def split_of(index: int) -> str:
    """Split of video `index`: every hundred videos are shared out as SHARES says."""
    place = (index * 37 % 100 + 0.5) / 100
    return "train" if place < SHARES["train"] else "validate" if place < 1 - SHARES["test"] else "test"


def render_video(world: World, index: int, duration_s: float, folder: Path) -> tuple[str, int, int]:
    """Write video `index`; its address below `folder`, and whether something sounds on screen and off screen."""
    rng = np.random.default_rng([world.seed, 1, index])
    sounds = world.sounds[split_of(index)]
    kinds = [name for name in world.media.classes if name in sounds]
    drawn = rng.random()
    on, off = drawn < 1 - OFF_ONLY, drawn >= ON_ONLY
    seen, heard, *silent = rng.permutation(kinds).tolist()
    num_samples = round(duration_s * RATE_HZ)
    soundtrack, loudness = np.zeros(num_samples, np.float32), None
    if on:
        soundtrack += (sound := arrange(rng, sounds[seen], num_samples))
        loudness = envelope(sound, round(duration_s * FRAME_RATE_HZ))
    if off:
        name = heard if rng.random() < 0.7 or "" not in sounds else ""
        soundtrack += db_to_gain(rng.uniform(-6, 0)) * arrange(rng, sounds[name], num_samples)
    bound = set(world.photograph_of.values())
    loose = [number for number in range(len(world.media.photographs)) if number not in bound]
    still = [world.photograph_of[name] for name in silent[:2] if rng.random() < world.silent_fraction]
    still = [*still, *rng.permutation(loose).tolist()][: int(rng.integers(1, 3))]
    peak_db = rng.uniform(-12, -3)
    soundtrack *= db_to_gain(peak_db) / max(1e-6, float(np.abs(soundtrack).max()))
    soundtrack += db_to_gain(NOISE_FLOOR_DB) * rng.standard_normal(num_samples, dtype=np.float32)
    scene = Scene(
        name=f"recorded_{index:05d}",
        suffix=".mp4",
        duration_s=duration_s,
        width=WIDTH,
        height=HEIGHT,
        frame_rate_hz=FRAME_RATE_HZ,
        sample_rate_hz=RATE_HZ,
        num_channels=1,
        peak_db=peak_db,
        background="photograph",
        slow_preset=False,
        seed=(world.seed, index),
    )
    shown = [world.media.photographs[number] for number in still]
    moving = world.media.photographs[world.photograph_of[seen]] if on else None
    behind = world.media.photographs[int(rng.choice(loose))]
    frames = draw(rng, behind, shown, moving, loudness, scene.num_frames)
    path = folder / "videos" / scene.video
    path.parent.mkdir(parents=True, exist_ok=True)
    encode(scene, iter([frames]), soundtrack[:, None], path)
    return f"videos/{scene.video}", int(on), int(off)


def arrange(rng: np.random.Generator, recordings: list[Recording], num_samples: int) -> Waveform:
    """[num_samples] pieces of one of the recordings, with pauses; root mean square 1 where it sounds."""
    samples, out = recordings[int(rng.integers(len(recordings)))].samples, np.zeros(num_samples, np.float32)
    place = int(rng.uniform(0, 0.5) * RATE_HZ)
    while place < num_samples:
        length = min(len(samples), int(rng.uniform(*PIECE_S) * RATE_HZ), num_samples - place)
        start = int(rng.integers(len(samples) - length + 1))
        fade = np.minimum(1, np.minimum(np.arange(length), np.arange(length)[::-1]) / (0.01 * RATE_HZ))
        out[place : place + length] = samples[start : start + length] * fade
        place += length + int(rng.uniform(*PAUSE_S) * RATE_HZ)
    return out / max(1e-6, float(np.sqrt(np.square(out[out != 0]).mean()))) if out.any() else out


def envelope(sound: Waveform, num_frames: int) -> NDArray[np.float64]:
    """[num_frames] how loud the sound is during each frame, 0 to 1: the fourth root of its power over the loudest."""
    power = np.array([np.square(part).mean() for part in np.array_split(sound.astype(np.float64), num_frames)])
    return (power / max(power.max(), 1e-12)) ** 0.25


def draw(
    rng: np.random.Generator,
    behind: Pixels,
    still: list[Pixels],
    moving: Pixels | None,
    loudness: NDArray[np.float64] | None,
    num_frames: int,
) -> NDArray[np.uint8]:
    """[num_frames, 3, HEIGHT, WIDTH] planes green, blue, red: photographs over a larger one that drifts."""
    scale = rng.uniform(1.3, 2.0) * max(HEIGHT / behind.shape[1], WIDTH / behind.shape[2])
    field = tinted(rng, resized(behind, scale * behind.shape[1], scale * behind.shape[2]))
    room = np.array([field.shape[1] - HEIGHT, field.shape[2] - WIDTH])
    from_, to = rng.uniform(0, 1, (2, 2)) * room
    path = np.rint(from_ + (to - from_) * np.linspace(0, 1, num_frames)[:, None]).astype(int)
    places = [*rng.permutation([0.2, 0.5, 0.8])[: len(still) + (moving is not None)]]
    things = [(cropped(rng, photograph), rng.uniform(*SIZE), None) for photograph in still]
    if moving is not None:
        things.append((cropped(rng, moving), rng.uniform(*SIZE), loudness))
    centres = [(x + rng.uniform(-0.08, 0.08), rng.uniform(0.35, 0.65)) for x in places]
    frames = np.empty((num_frames, 3, HEIGHT, WIDTH), np.uint8)
    for number, (top, left) in enumerate(path):
        picture = field[:, top : top + HEIGHT, left : left + WIDTH].copy()
        for (photograph, size, pulse), (x, y) in zip(things, centres, strict=True):
            level = 0.0 if pulse is None else float(pulse[number])
            paste(picture, photograph, size * (1 + PULSE * level), x, y - HOP * level)
        frames[number] = np.rint(255 * np.clip(picture[[1, 2, 0]], 0, 1))
    return frames


def paste(picture: Pixels, photograph: Pixels, size: float, x: float, y: float) -> None:
    """Lay a photograph over a picture in place, in an oval with a soft edge, around the point (x, y)."""
    height = max(4, round(size * HEIGHT))
    pixels = resized(photograph, height, height)
    v, u = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : height * 1j].astype(np.float32)
    mask = np.clip((1 - np.hypot(u, v)) * height / 6, 0, 1)
    top, left = round(y * HEIGHT - height / 2), round(x * WIDTH - height / 2)
    rows = slice(max(0, top), min(HEIGHT, top + height))
    columns = slice(max(0, left), min(WIDTH, left + height))
    inside = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    target = picture[:, rows, columns]
    target += mask[inside] * (pixels[:, *inside] - target)


def cropped(rng: np.random.Generator, photograph: Pixels) -> Pixels:
    """A tinted square of a photograph, mirrored in one half of cases, from its middle or near it."""
    side = int(rng.uniform(0.75, 1.0) * min(photograph.shape[1:]))
    top, left = (int(rng.uniform(0.3, 0.7) * (length - side)) for length in photograph.shape[1:])
    square = tinted(rng, photograph[:, top : top + side, left : left + side])
    return square[:, :, ::-1] if rng.random() < 0.5 else square


def tinted(rng: np.random.Generator, pixels: Pixels) -> Pixels:
    """The pixels in another light: brighter or darker, and each colour by another 15 % at most."""
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.85, 1.15, (3, 1, 1))
    return np.clip(pixels * gain.astype(np.float32), 0, 1)


def resized(pixels: Pixels, height: float, width: float) -> Pixels:
    """[3, height, width] by bilinear interpolation, after averaging where it shrinks by two or more."""
    while pixels.shape[1] >= 2 * height and pixels.shape[2] >= 2 * width:
        even = pixels[:, : pixels.shape[1] // 2 * 2, : pixels.shape[2] // 2 * 2]
        pixels = (even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2]) / 4
    for axis, length in ((1, round(height)), (2, round(width))):
        at = np.linspace(0, pixels.shape[axis] - 1, length)
        low = np.minimum(at.astype(int), max(0, pixels.shape[axis] - 2))
        share = (at - low).astype(np.float32).reshape((1, -1, 1) if axis == 1 else (1, 1, -1))
        high = np.minimum(low + 1, pixels.shape[axis] - 1)
        pixels = pixels.take(low, axis) * (1 - share) + pixels.take(high, axis) * share
    return pixels


def write_csv(path: Path, header: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def build(
    media: Media, folder: Path, num_videos: int, duration_s: float, seed: int, silent_fraction: float = 0.0
) -> World:
    """Write the videos that are missing, collection.csv and labels.csv."""
    world = plan_world(media, seed, silent_fraction)
    rows = [(*render_video(world, index, duration_s, folder), split_of(index)) for index in range(num_videos)]
    write_csv(folder / "collection.csv", ("uri", "split"), [(uri, split) for uri, _, _, split in rows])
    labels = [(uri, 0.0, duration_s, on, off) for uri, on, off, _ in rows]
    write_csv(folder / "labels.csv", ("video", "start_s", "end_s", "on_screen", "off_screen"), labels)
    return world
