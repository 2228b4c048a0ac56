"""How often `earshot match` finds the right sound, the right video, and a sound that is shifted, on the demo's world.

Usage: python -m benchmarks.match ROOT [NUM_SHIFTED]

ROOT: what `earshot demo --root ROOT` made. Retrieval: the test videos that no training saw, by the embeddings of
`scores`: how often the right one is among the first five of 50 (chance 0.1), over all galleries of 50. Shifts:
NUM_SHIFTED (default 60) videos of another world, whose sound is all on screen, with their sound half a second early and
late; found means within 0.15 s (chance 0.17 by motion, 0.14 by the model). A thing that goes like clockwork (a bell, a
siren, a clock: `kinds.KINDS` gives it no jitter and no rests) fits as well a period away, and an engine shakes faster
than pictures come; the videos with another sounding thing are those that move in time with their sound. Intervals of
95 % over videos.
"""

import csv
import dataclasses
import sys
import tempfile
from pathlib import Path

import numpy as np

from jobs.console.match_model import load_match_model
from pipeline.clips.splitting import SplittingConfig
from pipeline.config import from_dict
from pipeline.evaluation.seen_videos import leaking_videos, split_of_videos
from pipeline.inference.match_sides import MatchModel
from pipeline.inference.offset_search import Offset, OffsetSearch
from pipeline.metrics.bootstrap import bootstrap_interval
from pipeline.metrics.retrieval import found_among
from pipeline.storage.workspace import Workspace
from pipeline.synthetic.kinds import KINDS
from pipeline.synthetic.planning import WorldConfig, plan_scene
from pipeline.synthetic.rendering import RenderVideo
from schemas.scores import SCORES
from schemas.videos import VIDEOS
from tests.helpers.media import ffmpeg

GALLERY, FIRST = 50, 5
SHIFT_S, NEAR_S = 0.5, 0.151
OTHER_WORLD = WorldConfig(
    num_videos=1, duration_s=5.0, seed=21, on_only_fraction=1.0, mixed_fraction=0.0, second_source_fraction=0.15
)
STEADY = {kind for kind, has in KINDS.items() if not has.jitter and not has.rest} | {"engine"}
SHARES = (1.0, 0.5, 0.25)  # of the shifted videos, those of most confidence

Found = tuple[int, float, Offset]  # number of a video, how late its sound was made, and what was found

LATE = f"adelay={round(1000 * SHIFT_S)}:all=1"
EARLY = f"atrim={SHIFT_S},asetpts=PTS-STARTPTS,apad=pad_dur={SHIFT_S}"


def main() -> None:
    root = Path(sys.argv[1])
    workspace, model = Workspace(str(root)), load_match_model(str(root), "coincidence")
    on_screen = _videos_on_screen(root)
    _retrieve(workspace, model, on_screen)
    _shift(model, int(sys.argv[2]) if len(sys.argv) > 2 else 60)


def _videos_on_screen(root: Path) -> set[str]:
    """Names of the videos in which something sounds on screen and nothing off screen."""
    on: set[str] = set()
    off: set[str] = set()
    with (root / "world" / "labels.csv").open() as file:
        for row in csv.DictReader(file):
            on |= {row["video"]} if row["on_screen"] == "1" else set()
            off |= {row["video"]} if row["off_screen"] == "1" else set()
    return on - off


def _retrieve(workspace: Workspace, model: MatchModel, on_screen: set[str]) -> None:
    splitting = from_dict(SplittingConfig, workspace.stage("models/coincidence")["settings"]["splitting"])
    splits = split_of_videos(workspace, splitting)
    held_out = {video for video, split in splits.items() if split == "test"} - leaking_videos(workspace, splits)
    names = {row["video_id"]: Path(row["uri"]).name for row in workspace.read_all("videos/base", VIDEOS).to_pylist()}
    rows = [row for row in workspace.read_all("scores/coincidence", SCORES).to_pylist() if row["video_id"] in held_out]
    for what, chosen in (
        ("all", rows),
        ("sound all on screen", [row for row in rows if names[row["video_id"]] in on_screen]),
    ):
        visual, audio = (
            np.array([row[f"{side}_embedding"] for row in chosen], np.float32) for side in ("visual", "audio")
        )
        probability = model.judge(visual[:, None], audio[None]).probability
        for way, scores in (("sound for a video", probability), ("video for a sound", probability.T)):
            found = _interval(found_among(scores, FIRST, GALLERY))
            print(f"{what}, {len(chosen)} videos: {way} among the first {FIRST} of {GALLERY}: {found}")


def _shift(model: MatchModel, num_videos: int) -> None:
    search, found = OffsetSearch(model), []
    with tempfile.TemporaryDirectory() as folder:
        world = dataclasses.replace(OTHER_WORLD, num_videos=num_videos)
        for number in range(num_videos):
            RenderVideo(world, Path(folder))(f"{number:05d}")
        kinds = [[source.kind for source in plan_scene(world, number).sources] for number in range(num_videos)]
        for number, video in enumerate(sorted((Path(folder) / "videos").iterdir())):
            for late_s, filters in ((-SHIFT_S, EARLY), (SHIFT_S, LATE)):
                made = Path(folder) / f"{video.stem}_{late_s}.mkv"
                ffmpeg("-i", video, "-af", filters, "-c:v", "copy", "-c:a", "flac", made)
                found.append((number, late_s, search(str(made))))
                made.unlink()
    for what, column in (("motion", ""), ("the model", "model_")):
        _print_shares(what, column, "all", found)
        _print_shares(what, column, "in time", [each for each in found if not STEADY.issuperset(kinds[each[0]])])
    _print_kinds(kinds, found)


def _print_shares(what: str, column: str, of: str, found: list[Found]) -> None:
    """Share of the films of which the offset was found, of those of most confidence too."""
    videos = np.array([number for number, _, _ in found])
    offset = np.array([getattr(each, f"{column}offset_s") for _, _, each in found], float)
    confidence = np.array([getattr(each, f"{column}confidence") for _, _, each in found])
    is_right = np.abs(offset - [late_s for _, late_s, _ in found]) <= NEAR_S
    for share in SHARES:
        least = np.quantile(confidence, 1 - share)
        top = confidence >= least
        print(
            f"shift of {SHIFT_S} s found by {what}, {of}, the {share:.0%} of most confidence ({least:.2f} or more), "
            f"{top.sum()} films: {_interval(is_right[top].astype(float), videos[top])}"
        )


def _print_kinds(kinds: list[list[str]], found: list[Found]) -> None:
    """Share of the films found by motion, by what sounds in them, where that is one thing."""
    alone: dict[str, list[bool]] = {}
    for number, late_s, offset in found:
        if len(kinds[number]) == 1:
            is_right = offset.offset_s is not None and abs(offset.offset_s - late_s) <= NEAR_S
            alone.setdefault(kinds[number][0], []).append(is_right)
    shares = sorted(((sum(each) / len(each), kind, len(each)) for kind, each in alone.items()), reverse=True)
    print("found by motion, by kind: " + ", ".join(f"{kind} {share:.2f} of {num}" for share, kind, num in shares))


def _interval(values: np.ndarray, groups: np.ndarray | None = None) -> str:
    videos = np.arange(len(values)) if groups is None else groups
    interval = bootstrap_interval(lambda drawn: float(values[drawn].mean()), videos)
    return f"{values.mean():.3f} [{interval.low:.3f}, {interval.high:.3f}]"


if __name__ == "__main__":
    main()
