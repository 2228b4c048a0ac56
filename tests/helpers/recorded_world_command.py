"""A world bound together from recorded sounds and photographs, which are read from a folder of media.

Usage: python -m tests.helpers.recorded_world_command --out DIR [--media DIR] [--num-videos 600] [--silent 0] [--seed 0]

MEDIA (default EARSHOT_MEDIA, or ../shared/media) has a MANIFEST.csv with `path` and `notes` of each file; those whose
notes say `class=NAME` are used, sounds below sounds/ and photographs below images/, and recordings of one
`freesound_id=NUMBER` are cut from one. Writes videos/, collection.csv and labels.csv to DIR; nothing of MEDIA is needed
then. How to train on it: docs/benchmarks.md.
"""

import argparse
import os
import sys
from pathlib import Path

from pipeline.errors import ConfigError
from tests.helpers.recorded_media import read_media
from tests.helpers.recorded_world import build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, default=Path(os.environ.get("EARSHOT_MEDIA", "../shared/media")))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--num-videos", type=int, default=600)
    parser.add_argument("--duration-s", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--silent", type=float, default=0.0, help="chance that a class that is not heard is in view")
    given = parser.parse_args()
    try:
        media = read_media(given.media)
    except ConfigError as error:
        sys.exit(str(error))
    world = build(media, given.out, given.num_videos, given.duration_s, given.seed, given.silent)
    for split, sounds in world.sounds.items():
        print(f"{split}: " + ", ".join(f"{len(found)} {name or 'others'}" for name, found in sounds.items()))
    print(f"{given.num_videos} videos -> {given.out / 'collection.csv'}, {given.out / 'labels.csv'}")


if __name__ == "__main__":
    main()
