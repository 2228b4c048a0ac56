"""AVE's published files, generated: the layout of the real ones, with numbers that say where they belong."""

from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
import numpy as np

LINES = [
    "Bark&dog-1_AbCde&good&0&10",
    "Goat&goat1234567&good&2&5",
    "Bark&goat1234567&good&1&4",  # a video of two lines
    "Bark&none1234567&good&0&0",
    "Bus&bus12345678&good&7&10",
    "Goat&last1234567&good&0&1",
]
ORDERS = {"train": [0, 1, 3], "val": [5], "test": [4, 2]}


def write_ave(
    folder: Path,
    lines: list[str] = LINES,
    orders: dict[str, Iterable[int]] = ORDERS,
    visual_shape: tuple[int, ...] = (2, 2, 3),
    audio_dim: int = 4,
    row: Callable[[int, tuple[int, ...]], np.ndarray] | None = None,
) -> None:
    """Write Annotations.txt, the orders, features in double precision and one-hot labels.

    Args:
        row: features of row i in a shape; by default whole numbers below 2 048, which half floats hold exactly.
    """
    row = row or (lambda number, shape: (np.arange(np.prod(shape)).reshape(shape) * 7 + number * 13) % 2048)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Annotations.txt").write_text("\n".join(lines) + "\n")
    for split, numbers in orders.items():
        write_h5(folder / f"{split}_order.h5", "order", np.array(list(numbers), np.int64))
    for name, shape in (("visual", (10, *visual_shape)), ("audio", (10, audio_dim))):
        with h5py.File(folder / f"{name}_feature.h5", "w") as file:
            data = file.create_dataset("avadataset", (len(lines), *shape), "f8")
            rows = 1 + (1 << 24) // int(8 * np.prod(shape))  # of 16 MB at a time
            for first in range(0, len(lines), rows):
                numbers = range(first, min(first + rows, len(lines)))
                data[first : numbers.stop] = np.stack([row(number, shape) for number in numbers])
    write_h5(folder / "labels.h5", "avadataset", one_hot(lines))


def one_hot(lines: list[str]) -> np.ndarray:
    """[rows, 10, categories + 1] as AVE has them: of whole seconds, the last for background."""
    parts = [line.split("&") for line in lines]
    categories = list(dict.fromkeys(part[0] for part in parts))
    labels = np.zeros((len(lines), 10, len(categories) + 1))
    labels[:, :, -1] = 1
    for number, (category, _, _, start, end) in enumerate(parts):
        labels[number, int(start) : int(end)] = np.arange(len(categories) + 1) == categories.index(category)
    return labels


def write_h5(path: Path, key: str, values: np.ndarray) -> None:
    """A file of one array."""
    with h5py.File(path, "w") as file:
        file[key] = values
