"""A collection of recorded sounds for `earshot shard --clips sounds`, with a split and a recording for each file.

Usage: python -m tests.helpers.recorded_sounds_command --out FILE [--media DIR] [--below sounds/esc10]

MEDIA (default EARSHOT_MEDIA, or ../shared/media) has a MANIFEST.csv with `path` and `notes`; files below BELOW whose
notes say `class=NAME` and `freesound_id=NUMBER` are listed. Takes of one recording are in one split, and of every
twenty recordings of a class 14 are in train, 2 in validate and 4 in test.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import ConfigError
from tests.helpers.recorded_media import noted, read_manifest
from tests.helpers.recorded_world import write_csv

PERIOD, STRIDE = 20, 7  # the splits take turns in steps of STRIDE, so that neighbours are spread over them
NUM_TRAIN, NUM_VALIDATE = 14, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, default=Path(os.environ.get("EARSHOT_MEDIA", "../shared/media")))
    parser.add_argument("--below", default="sounds/esc10")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    try:
        rows = read_manifest(given.media)
    except ConfigError as error:
        sys.exit(str(error))
    found = [
        (path, kind, int(number))
        for path, notes in rows
        if path.startswith(f"{given.below}/")
        and (kind := noted(notes, "class"))
        and (number := noted(notes, "freesound_id"))
    ]
    splits = split_recordings((kind, recording) for _, kind, recording in found)
    write_csv(given.out, ("uri", "split", "recording"), [(path, splits[of], of) for path, _, of in found])
    counts = Counter(splits[of] for _, _, of in found)
    shares = ", ".join(f"{counts[split]} {split}" for split in ("train", "validate", "test"))
    print(f"{len(found)} sounds, {shares} -> {given.out}")


def split_recordings(found: Iterable[tuple[str, int]]) -> dict[int, str]:
    """The split of each recording, of (class, recording); one of several classes counts in the first by name."""
    first: dict[int, str] = {}
    for kind, recording in sorted(found):
        first.setdefault(recording, kind)
    of_class: Counter[str] = Counter()
    splits = {}
    for recording, kind in sorted(first.items()):
        splits[recording] = split_of(of_class[kind])
        of_class[kind] += 1
    return splits


def split_of(index: int) -> str:
    """Split of recording `index` of a class."""
    place = index * STRIDE % PERIOD
    return "train" if place < NUM_TRAIN else "validate" if place < NUM_TRAIN + NUM_VALIDATE else "test"


if __name__ == "__main__":
    main()
