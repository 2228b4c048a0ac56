"""The lists of AVSBench -> where the frames, the sound and the masks of each video are published.

The three data sets: the single-source (S4) and the multi-sources (MS3) subset of AVSBench-object (Zhou et al. 2022,
arXiv:2207.05042), and AVSBench-semantic (Zhou et al. 2023, arXiv:2301.13190), which has colours for 70 categories.
Names come from a csv that anybody may have written: one that is no plain name is refused, and never becomes a path.
"""

import contextlib
import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pipeline.collection.csv_rows import csv_rows
from pipeline.errors import ConfigError

SPLIT_NAMES = {"train": "train", "val": "validate", "test": "test"}
NAME = re.compile(r"[\w-][\w .-]{0,199}", re.ASCII)  # YouTube's ids begin with - too; none has two dots in a row


class Column(NamedTuple):
    """A column of a list."""

    place: int
    """Where it is in a list without a header."""
    names: tuple[str, ...]
    """What a header may call it."""
    is_optional: bool = False
    """A header that lacks it leaves it out."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the files of a video are, as paths below the folder of the list, with / between names."""

    folder: str
    """Of its frames, or of all its files."""
    frames: tuple[str, ...]
    """In the order of time."""
    sound: str
    masks: tuple[str, ...]
    """Of the first frames, in their order: of all, or of one."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """One of the published data sets."""

    name: str
    list_name: str
    folder: str
    """That holds the list, below `avsbench_data`."""
    columns: Mapping[str, Column]
    names: tuple[str, ...]
    """The columns whose values become parts of a path."""
    source: str
    """The column that names the video a line's clip was cut from."""
    trees: tuple[str, ...]
    """Folders with the files of the videos."""
    locate: Callable[[Mapping[str, str]], Places]
    num_seconds: int
    """Length of its clips, one frame a second; a shorter video is padded."""
    has_colours: bool = False
    """Masks have a colour for each category, in place of black and white."""
    published: Mapping[str, int] = field(default_factory=dict)
    """Videos of each split, where they are known."""


@dataclass(frozen=True, slots=True)
class ListedVideo:
    """One line of a list."""

    line: int
    values: Mapping[str, str]
    split: str | None
    places: Places | None
    """None where its names are refused."""
    refusal: str = ""

    @property
    def folder(self) -> str:
        """Where it is below the folder of the list; of a line that is refused its number."""
        return self.places.folder if self.places else f"line {self.line}"


def _s4(values: Mapping[str, str]) -> Places:
    name, split = values["name"], values["split"]
    below = f"{split}/{values['category']}/{name}"
    masks = 1 if split == "train" else 5
    return Places(
        f"s4_data/visual_frames/{below}",
        tuple(f"s4_data/visual_frames/{below}/{name}_{number}.png" for number in range(1, 6)),
        f"s4_data/audio_wav/{below}.wav",
        tuple(f"s4_data/gt_masks/{below}/{name}_{number}.png" for number in range(1, masks + 1)),
    )


def _ms3(values: Mapping[str, str]) -> Places:
    name, split = values["name"], values["split"]
    return Places(
        f"ms3_data/visual_frames/{name}",
        tuple(f"ms3_data/visual_frames/{name}/{name}.mp4_{number}.png" for number in range(1, 6)),
        f"ms3_data/audio_wav/{split}/{name}.wav",
        tuple(f"ms3_data/gt_masks/{split}/{name}/{name}_{number}.png" for number in range(1, 6)),
    )


def _semantic(values: Mapping[str, str]) -> Places:
    subset, below = values["label"], f"{values['label']}/{values['uid']}"
    frames = 10 if subset == "v2" else 5
    masks = 1 if (subset, values["split"]) == ("v1s", "train") else frames
    return Places(
        below,
        tuple(f"{below}/frames/{number}.jpg" for number in range(frames)),
        f"{below}/audio.wav",
        tuple(f"{below}/labels_rgb/{number}.png" for number in range(masks)),
    )


_NAME = Column(0, ("name", "video_id", "video_name", "id", "uid"))
DATA_SETS = {
    entry.name: entry
    for entry in (
        DataSet(
            name="avsbench-s4",
            list_name="s4_meta_data.csv",
            folder="Single-source",
            columns={
                "name": _NAME,
                "start_time": Column(1, ("start_time",), is_optional=True),
                "category": Column(2, ("category",)),
                "split": Column(3, ("split",)),
            },
            names=("name", "category"),
            source="name",
            trees=("s4_data/visual_frames", "s4_data/audio_wav", "s4_data/gt_masks"),
            locate=_s4,
            num_seconds=5,
            published={"train": 3452, "validate": 740, "test": 740},
        ),
        DataSet(
            name="avsbench-ms3",
            list_name="ms3_meta_data.csv",
            folder="Multi-sources",
            columns={"name": _NAME, "split": Column(1, ("split",))},
            names=("name",),
            source="name",
            trees=("ms3_data/visual_frames", "ms3_data/audio_wav", "ms3_data/gt_masks"),
            locate=_ms3,
            num_seconds=5,
            published={"train": 296, "validate": 64, "test": 64},
        ),
        DataSet(
            name="avsbench-semantic",
            list_name="metadata.csv",
            folder="AVSBench-semantic",
            columns={
                "vid": Column(0, ("vid",), is_optional=True),
                "uid": Column(1, ("uid",)),
                "a_obj": Column(4, ("a_obj",), is_optional=True),
                "split": Column(5, ("split",)),
                "label": Column(6, ("label",)),
            },
            names=("uid", "label"),
            source="vid",
            trees=("v1s", "v1m", "v2"),
            locate=_semantic,
            num_seconds=10,
            has_colours=True,
        ),
    )
}


def find_list(folder: Path, data_set: DataSet) -> Path:
    """The list of a data set: in the folder, or below it as `avsbench_data` is published.

    Raises:
        ConfigError: it is at none of these places.
    """
    paths = [folder / data_set.list_name, folder / data_set.folder / data_set.list_name]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise ConfigError(
            f"{folder}: neither {data_set.list_name} nor {data_set.folder}/{data_set.list_name} is there. Expected "
            f"{data_set.name} as published: that list beside {', '.join(data_set.trees)}."
        )
    return found


def read_list(path: Path, data_set: DataSet) -> list[ListedVideo]:
    """Every line of a list, in its order; columns by name where the first line is a header, else by place.

    A line is refused, and says why, if a name leads elsewhere or is odd, if its split is unknown, or if an earlier line
    has its place.

    Raises:
        ConfigError: the file is no CSV, has no line, or its header lacks a column.
    """
    try:
        with contextlib.closing(csv_rows(path)) as rows:
            numbered = [(number, row) for number, row in enumerate(rows, 1) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read ({error}). Expected a CSV in UTF-8.") from error
    header = [cell.strip().lower() for cell in numbered[0][1]] if numbered else []
    places = {name: column.place for name, column in data_set.columns.items()}
    if "split" in header:
        numbered = numbered[1:]
        places = dict(_named(path, header, data_set.columns))
    if not numbered:
        raise ConfigError(f"{path}: no lines, expected one or more: {', '.join(data_set.columns)}.")
    known: dict[str, int] = {}
    return [_video(number, row, places, data_set, known) for number, row in numbered]


def _named(path: Path, header: list[str], columns: Mapping[str, Column]) -> Iterator[tuple[str, int]]:
    """The place of each column that a header names; the first may have any name."""
    for name, column in columns.items():
        place = next((header.index(known) for known in column.names if known in header), None)
        if place is None and column is _NAME:
            place = column.place
        if place is not None:
            yield name, place
        elif not column.is_optional:
            raise ConfigError(f"{path}: columns {', '.join(header)}; expected {name} among them.")


def _video(
    number: int, row: list[str], places: Mapping[str, int], data_set: DataSet, known: dict[str, int]
) -> ListedVideo:
    values = {name: row[place].strip() if place < len(row) else "" for name, place in places.items()}
    split = SPLIT_NAMES.get(values["split"])
    refusal = _refusal(values, data_set)
    if refusal:
        return ListedVideo(number, values, split, None, refusal)
    found = data_set.locate(values)
    first = known.setdefault(found.folder, number)
    if first != number:
        return ListedVideo(number, values, split, None, f"line {first} has this video too.")
    return ListedVideo(number, values, split, found)


def _refusal(values: Mapping[str, str], data_set: DataSet) -> str:
    """What is wrong with a line; "" where nothing is."""
    if values["split"] not in SPLIT_NAMES:
        return f"split {values['split'][:40]!r}, expected one of {', '.join(SPLIT_NAMES)}."
    for column in data_set.names:
        value = values[column]
        if not NAME.fullmatch(value) or ".." in value:
            return f"{column} {value[:80]!r}, expected letters, digits, _, - and single dots."
    if "label" in data_set.names and values["label"] not in data_set.trees:
        return f"label {values['label'][:40]!r}, expected one of {', '.join(data_set.trees)}."
    return ""
