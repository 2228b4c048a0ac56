"""Colours of AVSBench-semantic: PASCAL's palette, categories by name, and label files that cannot be right."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.ingest.semantic_masks import BACKGROUND, LABELS, Categories, palette, read_categories


def categories(folder: Path, labels: Any) -> Categories:
    (folder / LABELS).write_text(labels if isinstance(labels, str) else json.dumps(labels))
    return read_categories(folder)


def test_the_palette_is_that_of_pascal_voc() -> None:
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 4: (0, 0, 128), 7: (128, 128, 128)}
    known |= {8: (64, 0, 0), 9: (192, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128), 64: (32, 0, 0), 70: (32, 128, 128)}
    found = palette(71)  # as many as are published
    assert {number: tuple(found[number].tolist()) for number in known} == known
    assert len({tuple(colour) for colour in found.tolist()}) == 71


@pytest.mark.parametrize("background", [0, 2])  # the first in the published file, the last in an older one
def test_the_background_is_found_by_its_name(tmp_path: Path, background: int) -> None:
    names = ["dog", "guitar"]
    names.insert(background, BACKGROUND)
    labels = {name: number for number, name in enumerate(names)}
    colours = palette(3)
    pixels = np.empty((4, 6, 3), np.uint8)
    pixels[:] = colours[labels[BACKGROUND]]
    pixels[0, :2] = colours[labels["guitar"]]
    pixels[3] = colours[labels["dog"]]
    pixels[1, 1] = (1, 2, 3)
    joined, by_name, num_unknown = categories(tmp_path, labels).split(pixels)
    assert {name: np.argwhere(mask).tolist() for name, mask in by_name.items()} == {
        "guitar": [[0, 0], [0, 1]],
        "dog": [[3, column] for column in range(6)],
    }
    assert list(by_name) == [name for name in names if name != BACKGROUND]
    assert np.array_equal(joined, by_name["guitar"] | by_name["dog"])
    assert num_unknown == 1


def test_a_picture_of_background_alone_says_that_nothing_sounds(tmp_path: Path) -> None:
    joined, by_name, num_unknown = categories(tmp_path, {BACKGROUND: 0, "dog": 1}).split(np.zeros((2, 3, 3), np.uint8))
    assert (joined.any(), joined.shape, by_name, num_unknown) == (False, (2, 3), {}, 0)


@pytest.mark.parametrize(
    "labels",
    [
        "[]",
        "{}",
        "{",
        "[" * 100_000,
        {"dog": 0, "cat": 1},  # no background
        {BACKGROUND: 0, "dog": 2},
        {BACKGROUND: 0, "dog": "x"},
        {BACKGROUND: 0, "dog": True},
        {BACKGROUND: 0, "dog": 0},
        {BACKGROUND: 0, "../dog": 1},
        {BACKGROUND: 0, "a/b": 1},
        {BACKGROUND: 0, "": 1},
        {BACKGROUND: 0} | {f"n{number}": number for number in range(1, 256)},
    ],
    ids=lambda labels: str(labels)[:30],
)
def test_labels_that_cannot_be_right_are_refused(tmp_path: Path, labels: Any) -> None:
    with pytest.raises(ConfigError, match=LABELS):
        categories(tmp_path, labels)


def test_labels_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_categories(tmp_path)
