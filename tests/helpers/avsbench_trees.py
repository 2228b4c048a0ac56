"""AVSBench's three data sets, generated: true to the published names and depths, with what trips up their readers."""

import csv
import functools
import json
import wave
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

SIDE, RATE_HZ = 224, 16000
MODES = ("L", "RGB", "P", "RGBA", "1")  # of one mask: all are to be read alike
BOMB = b"cbuiltins\nopen\n(S'%s'\nS'w'\ntR."  # creates a file when it is unpickled
LABELS = {"background": 0, "dog": 1, "guitar": 2, "horn": 3}
COLOURS = {"background": (0, 0, 0), "dog": (128, 0, 0), "guitar": (0, 128, 0), "horn": (128, 128, 0)}


@dataclass(frozen=True)
class Video:
    """One video: a red and a blue disc, of which those that sound are in its masks."""

    name: str
    split: str = "train"
    category: str = "male_speech"
    subset: str = "v1s"
    """Of AVSBench-semantic."""
    seed: int = 0
    sounding: tuple[str, ...] = ("red",)
    lacks: tuple[int, ...] = ()
    """Frames that are not there."""
    has_wav: bool = True
    rate_hz: int = RATE_HZ
    """Of its wav."""
    channels: int = 1
    sound_s: float = 60.0
    """Its wav ends there."""
    photo: Image.Image | None = None
    """In place of the discs."""
    mask: np.ndarray | None = None
    """[224, 224] bool of all frames, in place of the discs."""

    @property
    def num_frames(self) -> int:
        return 10 if self.subset == "v2" else 5

    def masks(self) -> np.ndarray:
        """[frames, 224, 224] bool of all that sounds."""
        if self.mask is not None:
            return np.repeat(self.mask[None], self.num_frames, axis=0)
        found = discs(self.seed % 3)
        return np.any([found[name] & (name in self.sounding) for name in found], axis=0)[: self.num_frames]

    def frames(self) -> np.ndarray:
        """[frames, 224, 224, 3] uint8."""
        picture = np.empty((self.num_frames, SIDE, SIDE, 3), np.uint8)
        picture[:] = np.linspace(60, 120, SIDE).astype(np.uint8)[None, None, :, None]
        for name, colour in (("red", (220, 30, 30)), ("blue", (30, 30, 220))):
            picture[discs(self.seed % 3)[name][: self.num_frames]] = colour
        return picture

    def sound(self, rate_hz: int = RATE_HZ) -> np.ndarray:
        """[frames * rate] int16: a tone of each disc that sounds."""
        times = np.arange(self.num_frames * rate_hz) / rate_hz
        tones = {"red": 440.0, "blue": 1500.0}
        total = sum((np.sin(2 * np.pi * tones[name] * times) for name in self.sounding), np.zeros(len(times)))
        return np.rint(6000 * total).astype(np.int16)


@functools.cache
def discs(place: int) -> dict[str, np.ndarray]:
    """[10, 224, 224] bool of each disc, which move to the right; they do not touch."""
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    row = 0.25 + 0.05 * place
    steps = np.arange(10)[:, None, None] * 0.05
    return {
        "red": np.hypot(rows - row, columns - 0.2 - steps) < 0.12,
        "blue": np.hypot(rows - row - 0.4, columns - 0.3 - steps) < 0.15,
    }


def write_mask(path: Path, mask: np.ndarray, mode: str = "L") -> None:
    """A mask as a PNG of a mode. In L and RGB its grey values are not pure: 255 and 180 sound, 0 and 100 do not."""
    values = np.where(mask, 255, 0).astype(np.uint8)
    if mode in ("L", "RGB") and mask.any():
        stripes = (np.arange(mask.shape[0]) % 2 == 0)[:, None]
        values = np.where(mask, np.where(stripes, 255, 180), np.where(stripes, 0, 100)).astype(np.uint8)
    picture = Image.fromarray(values)
    if mode == "RGBA":
        picture = Image.merge("RGBA", [picture] * 3 + [Image.new("L", picture.size, 255)])
    elif mode == "P":  # black has another number than white's half: a reader of numbers finds anything
        picture = Image.fromarray(np.where(mask, 3, 200).astype(np.uint8), "P")
        colours = np.zeros((256, 3), np.uint8)
        colours[3] = 255
        picture.putpalette(colours.tobytes())
    elif mode != "L":
        picture = picture.convert(mode)
    save(path, picture)


def save(path: Path, picture: Image.Image) -> None:
    """A picture file, with the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **({"quality": 95} if path.suffix == ".jpg" else {"compress_level": 1}))


def write_wav(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ, channels: int = 1) -> None:
    """16-bit PCM; several channels are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.repeat(samples[:, None], channels, axis=1).astype("<i2").tobytes())


def write_sound(path: Path, video: Video) -> None:
    """The wav of a video, if it has one."""
    if video.has_wav:
        samples = video.sound(video.rate_hz)[: round(video.sound_s * video.rate_hz)]
        write_wav(path, samples, video.rate_hz, video.channels)


def write_frames(paths: Sequence[Path], video: Video) -> None:
    """The frames of a video."""
    for number, (path, frame) in enumerate(zip(paths, video.frames(), strict=False)):
        if number not in video.lacks:
            save(path, video.photo or Image.fromarray(frame))


def write_masks(paths: Sequence[Path], video: Video) -> None:
    """The masks of a video, in modes by turns."""
    for number, (path, mask) in enumerate(zip(paths, video.masks(), strict=False)):
        write_mask(path, mask, MODES[(video.seed + number) % len(MODES)])


def write_bomb(path: Path, canary: Path) -> None:
    """A pickle that creates `canary` when it is read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(BOMB % str(canary).encode())


def write_s4(folder: Path, videos: Sequence[Video], has_header: bool = True) -> Path:
    """`avsbench_data` with the single-source subset; returns its folder."""
    base = folder / "avsbench_data" / "Single-source"
    rows = [["name", "start_time", "category", "split"]] if has_header else []
    rows += [[video.name, "0", video.category, video.split] for video in videos]
    write_csv(base / "s4_meta_data.csv", rows)
    for video in videos:
        below, data = f"{video.split}/{video.category}/{video.name}", base / "s4_data"
        num_masks = 1 if video.split == "train" else 5
        write_frames([data / "visual_frames" / below / f"{video.name}_{k}.png" for k in range(1, 6)], video)
        write_masks([data / "gt_masks" / below / f"{video.name}_{k}.png" for k in range(1, num_masks + 1)], video)
        write_sound(data / "audio_wav" / f"{below}.wav", video)
        write_bomb(data / "audio_log_mel" / f"{below}.pkl", folder / "canary")
    return folder / "avsbench_data"


def write_ms3(folder: Path, videos: Sequence[Video], has_header: bool = True) -> Path:
    """`avsbench_data` with the multi-sources subset; returns its folder."""
    base = folder / "avsbench_data" / "Multi-sources"
    rows = [["video_id", "split"]] if has_header else []
    write_csv(base / "ms3_meta_data.csv", rows + [[video.name, video.split] for video in videos])
    for video in videos:
        name, data, below = video.name, base / "ms3_data", f"{video.split}/{video.name}"
        write_frames([data / "visual_frames" / name / f"{name}.mp4_{k}.png" for k in range(1, 6)], video)
        write_masks([data / "gt_masks" / below / f"{name}_{k}.png" for k in range(1, 6)], video)
        write_sound(data / "audio_wav" / f"{below}.wav", video)
        write_bomb(data / "audio_log_mel" / f"{below}.pkl", folder / "canary")
    return folder / "avsbench_data"


def write_semantic(
    folder: Path, videos: Sequence[Video], labels: dict[str, int] = LABELS, size: tuple[int, int] = (180, 320)
) -> Path:
    """AVSBench-semantic: pictures of `size`, the red disc a dog, the blue one a guitar; returns its folder."""
    header = ["vid", "uid", "s_min", "s_sec", "a_obj", "split", "label"]
    rows = [[video.name[:11], video.name, "0", "5", "dog", video.split, video.subset] for video in videos]
    write_csv(folder / "metadata.csv", [header, *rows])
    (folder / "label2idx.json").write_text(json.dumps(labels))
    colours = np.zeros((SIDE, SIDE, 3), np.uint8)
    for video in videos:
        base = folder / video.subset / video.name
        pictures = [Image.fromarray(frame).resize(size[::-1]) for frame in video.frames()]
        for number, picture in enumerate(pictures):
            save(base / "frames" / f"{number}.jpg", picture)
        num_masks = 1 if (video.subset, video.split) == ("v1s", "train") else video.num_frames
        for number in range(num_masks):
            colours[:] = COLOURS["background"]
            for name, label in (("red", "dog"), ("blue", "guitar")):
                if name in video.sounding:
                    colours[discs(video.seed % 3)[name][number]] = COLOURS[label]
            picture = Image.fromarray(colours).resize(size[::-1], Image.Resampling.NEAREST)
            if number % 2:  # a palette of the colours that are there
                picture = picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
            save(base / "labels_rgb" / f"{number}.png", picture)
        write_sound(base / "audio.wav", video)
    return folder


def write_csv(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """A csv with the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
