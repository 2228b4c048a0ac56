"""A collection of recorded sounds for `earshot shard --clips sounds`, with a split and a recording for each file.

Usage: python -m tests.helpers.recorded_sounds_command --out FILE [--media DIR] [--below sounds/esc10]

MEDIA (default EARSHOT_MEDIA, or ../shared/media) has a MANIFEST.csv with `path` and `notes`; files below BELOW whose
notes say `class=NAME` and `freesound_id=NUMBER` are listed. Takes of one recording are in one split, and of every
twenty recordings of a class 14 are in train, 2 in validate and 4 in test.
"""

import argparse
import csv
import os
from collections import Counter
from pathlib import Path

from tests.helpers.recorded_media import noted
from tests.helpers.recorded_world import write_csv

PERIOD, STRIDE = 20, 7  # the splits take turns in steps of STRIDE, so that neighbours are spread over them
NUM_TRAIN, NUM_VALIDATE = 14, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, default=Path(os.environ.get("EARSHOT_MEDIA", "../shared/media")))
    parser.add_argument("--below", default="sounds/esc10")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    with (given.media / "MANIFEST.csv").open(newline="") as file:
        found = [
            (row["path"], kind, int(number))
            for row in csv.DictReader(file)
            if row["path"].startswith(f"{given.below}/")
            and (kind := noted(row["notes"], "class"))
            and (number := noted(row["notes"], "freesound_id"))
        ]
    splits = {}
    for name in {kind for _, kind, _ in found}:
        for index, recording in enumerate(sorted({number for _, kind, number in found if kind == name})):
            splits[name, recording] = split_of(index)
    write_csv(given.out, ("uri", "split", "recording"), [(path, splits[kind, of], of) for path, kind, of in found])
    counts = Counter(splits[kind, of] for _, kind, of in found)
    shares = ", ".join(f"{counts[split]} {split}" for split in ("train", "validate", "test"))
    print(f"{len(found)} sounds, {shares} -> {given.out}")


def split_of(index: int) -> str:
    """Split of recording `index` of a class."""
    place = index * STRIDE % PERIOD
    return "train" if place < NUM_TRAIN else "validate" if place < NUM_TRAIN + NUM_VALIDATE else "test"


if __name__ == "__main__":
    main()
