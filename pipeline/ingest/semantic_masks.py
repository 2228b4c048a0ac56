"""Coloured masks of AVSBench-semantic -> one mask per category that sounds.

A colour stands for the number of a category in `label2idx.json`, by the palette of PASCAL VOC; that of the background
is not always the same, and is found by its name.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import ConfigError
from pipeline.masks.mask_parts import CATEGORY

LABELS = "label2idx.json"
BACKGROUND = "background"
MAX_LABELS = 255  # 71 are published; one more value of a byte is for colours of none
MAX_LABELS_BYTES = 1 << 20
UNKNOWN = 255


def palette(count: int) -> np.ndarray:
    """[count, 3] uint8 RGB of each number: its bits 0, 3, 6, ... are red's bits from the highest down, and so on.

    >>> palette(9)[[0, 1, 2, 3, 4, 8]].tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [64, 0, 0]]
    """
    places = np.arange(8)
    bits = (np.arange(count)[:, None, None] >> (3 * places[:, None] + np.arange(3))) & 1  # [count, bits, RGB]
    return (bits << (7 - places)[:, None]).sum(axis=1).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Categories:
    """What each colour stands for."""

    names: dict[int, str]
    """By number, without the background."""
    numbers: np.ndarray
    """[2**24] uint8: the number of each colour, red in the highest byte; UNKNOWN for those of none."""
    background: int

    def split(self, pixels: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray], int]:
        """All that sounds, what sounds by category, and the number of pixels whose colour stands for nothing.

        Colours of nothing count as background, as in the published code.

        Args:
            pixels: [H, W, 3] uint8 RGB.
        Returns:
            [H, W] bool, one [H, W] bool for each category that is there, in order of their numbers, and a count.
        """
        red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
        found = self.numbers[red << 16 | green << 8 | blue]
        counts = np.bincount(found.reshape(-1), minlength=256)
        num_unknown, counts[UNKNOWN], counts[self.background] = int(counts[UNKNOWN]), 0, 0
        by_name = {self.names[int(number)]: found == number for number in np.flatnonzero(counts)}
        return (found != self.background) & (found != UNKNOWN), by_name, num_unknown


def read_categories(folder: Path) -> Categories:
    """The categories of the `label2idx.json` in a folder.

    Raises:
        ConfigError: it is missing, damaged, has other names than plain ones, numbers other than 0 and up, or no
            background.
    """
    path = folder / LABELS
    expected = f"expected numbers from 0 on by name, {BACKGROUND!r} among them."
    try:
        if path.stat().st_size > MAX_LABELS_BYTES:
            raise ConfigError(f"{path}: {path.stat().st_size} bytes; {expected}")
        labels = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); {expected}") from error
    if not isinstance(labels, dict) or not labels or len(labels) > MAX_LABELS:
        raise ConfigError(f"{path}: no object of 1 to {MAX_LABELS} names; {expected}")
    if sorted(map(str, labels.values())) != sorted(map(str, range(len(labels)))) or BACKGROUND not in labels:
        raise ConfigError(f"{path}: {len(labels)} names; {expected}")
    for name in labels:
        if not CATEGORY.fullmatch(name):
            raise ConfigError(f"{path}: name {name[:80]!r}, expected letters, digits, spaces, - or _.")
    numbers = np.full(2**24, UNKNOWN, np.uint8)
    red, green, blue = palette(len(labels)).astype(np.uint32).T
    numbers[red << 16 | green << 8 | blue] = np.arange(len(labels))
    names = {int(number): name for name, number in labels.items() if name != BACKGROUND}
    return Categories(names, numbers, int(labels[BACKGROUND]))
