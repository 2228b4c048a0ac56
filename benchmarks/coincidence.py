"""What the preset `small` learns of a synthetic world in a quarter of an hour, on videos that it has not seen.

Usage: python -m benchmarks.coincidence [FOLDER]

World: 3 000 videos of 5 s whose sound is on screen (70 % train, 10 % validate, 20 % test), and 600 more for test alone,
half of which have only sound from off screen. FOLDER keeps what is rendered, cut and trained. Prints the figures beside
their limits, and writes the validation curve to docs/coincidence.svg. Half an hour on 2 cores, half of it training.
"""

import dataclasses
import itertools
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jobs.console.presets import preset
from pipeline.clip_specs import BASE
from pipeline.clips.sharding import ShardPart
from pipeline.clips.splitting import split_of
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.hashing import as_dict
from pipeline.learners.coincidence import CoincidenceLearner
from pipeline.learners.loading import load_model
from pipeline.metrics.bootstrap import bootstrap_interval
from pipeline.metrics.calibration import expected_calibration_error
from pipeline.metrics.detection import matched_mismatched_auc
from pipeline.metrics.retrieval import found_among, recall_at
from pipeline.selection.scoring import ScorePart
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.synthetic.planning import WorldConfig, plan_scene
from pipeline.synthetic.rendering import RenderVideo
from pipeline.training.clipsets import load_splits
from pipeline.training.loop import train
from pipeline.training.protocols import LocalContext
from schemas.reports import TRAINING
from schemas.scores import SCORES
from schemas.videos import VIDEOS

ON_SCREEN = WorldConfig(
    num_videos=3000, duration_s=5.0, seed=11, on_only_fraction=1.0, mixed_fraction=0.0, second_source_fraction=0.15
)
BOTH = dataclasses.replace(ON_SCREEN, num_videos=600, seed=12, on_only_fraction=0.5)
GALLERY, FIRST = 50, 5
SIDES = ("visual", "audio")
CURVE = Path(__file__).parent.parent / "docs" / "coincidence.svg"


def main() -> None:
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary)
        workspace = Workspace(str((folder / "workspace").absolute()))
        config = preset("small")
        cut(workspace, collect(folder), config)
        learner = CoincidenceLearner(config.coincidence)
        sets = load_splits(workspace, ("train", "validate"), config.splitting, workspace.parts(CLIPS_FOLDER))
        workspace.begin("models/m", {"learner": "coincidence", "coincidence": as_dict(config.coincidence)}, {})
        began = time.monotonic()
        train(learner, *sets, workspace, "models/m", 0, LocalContext(show_figures))
        print(f"trained on {sets[0].num_videos} videos in {time.monotonic() - began:.0f} s (limit 900)")
        draw(workspace)
        measure(workspace, folder, config)


def collect(folder: Path) -> Path:
    """Render what is missing; a table of both worlds, the second for test alone."""
    rows = ["uri,split"]
    for name, world in (("on_screen", ON_SCREEN), ("both", BOTH)):
        finished = {path.stem for path in (folder / name / "videos").glob("world_*")}
        parts = [f"{index:05d}" for index in range(world.num_videos) if f"world_{index:05d}" not in finished]
        with ProcessPoolExecutor(2) as pool:
            list(pool.map(RenderVideo(world, folder / name), parts, chunksize=8))
        split = "test" if world is BOTH else ""
        rows += [f"{path},{split}" for path in sorted((folder / name / "videos").absolute().iterdir())]
    table = folder / "collection.csv"
    table.write_text("\n".join(rows) + "\n")
    return table


def cut(workspace: Workspace, table: Path, config) -> None:
    plan_parts(workspace, list_videos(str(table)), CollectingConfig(videos_per_part=100))
    workspace.begin("clips/base", {}, {})
    with ProcessPoolExecutor(2) as pool:
        shard = ShardPart(workspace, {BASE: config.clips.base}, config.sharding)
        list(pool.map(shard, workspace.pending("collection", "videos/base")))
    workspace.finish("clips/base")


def show_figures(step: int, metrics: dict[str, float]) -> None:
    if "loss" in metrics:
        print(step, {name: round(value, 3) for name, value in metrics.items() if "train" not in name}, flush=True)


def measure(workspace: Workspace, folder: Path, config) -> None:
    _, model = load_model(workspace, "m", "coincidence")
    work = ScorePart(workspace, "m")
    for part in workspace.parts("clips/base"):
        work(part)
    videos = workspace.read_all("videos/base", VIDEOS).to_pylist()
    test = {
        row["video_id"]: Path(row["uri"])
        for row in videos
        if split_of(row["video_id"], config.splitting, row["split"]) == "test"
    }
    rows = [row for row in workspace.read_all("scores/m", SCORES).to_pylist() if row["video_id"] in test]
    on = [row for row in rows if "on_screen" in test[row["video_id"]].parts]
    visual, audio = embeddings(on)
    probability = probabilities(model, on)
    kinds = [kinds_in_view(ON_SCREEN, test[row["video_id"]]) for row in on]
    same = np.array([[one == other for other in kinds] for one in kinds])
    is_pair = np.eye(len(on), dtype=bool)
    matched, mismatched = probability[is_pair], probability[~is_pair]
    print(f"{len(on)} held-out clips of as many videos, {len(mismatched):,} pairs that do not match")
    print(f"match AUC {matched_mismatched_auc(matched, mismatched):.3f} (limit 0.95)")
    print(f"  of who knows all kinds, and nothing else: {matched_mismatched_auc(same[is_pair], same[~is_pair]):.3f}")
    balanced = np.concatenate([np.tile(matched, len(on) - 1), mismatched])
    error = expected_calibration_error(balanced, np.repeat([1, 0], len(mismatched)))
    print(f"calibration error {error:.3f} (limit 0.1)")
    logits = model.logits(visual, audio).detach().numpy()
    galleries = [slice(start, start + GALLERY) for start in range(0, len(on) - GALLERY + 1, GALLERY)]
    for name, scores in (("sound for a picture", logits), ("picture for a sound", logits.T)):
        found = np.mean([recall_at(scores[rows, rows], 1) for rows in galleries])
        print(f"R@1 among {GALLERY}, {name}: {found:.3f} (limit 0.3)")
    print_found(f"{len(on)} videos whose sound is on screen", probability)
    print_found(f"all {len(rows)} videos", probabilities(model, rows))
    chance = np.mean([(1 / same[rows, rows].sum(axis=1)).mean() for rows in galleries])
    print(f"  of who knows all kinds, and nothing else: {chance:.3f}")
    other = [row for row in rows if "both" in test[row["video_id"]].parts]
    score = np.array([row["score"] for row in other])
    seen = np.array([bool(kinds_in_view(BOTH, test[row["video_id"]])) for row in other])
    print(f"on- over off-screen scenes, AUC {matched_mismatched_auc(score[seen], score[~seen]):.3f} (limit 0.8)")
    top = score >= np.median(score)
    print(f"share of on-screen clips: {seen.mean():.2f} of all, {seen[top].mean():.2f} of the top half")


def embeddings(rows: list[dict[str, Any]]) -> list[torch.Tensor]:
    """[N, D] of the pictures and [N, D] of the sounds of clips."""
    return [torch.tensor(np.array([row[f"{name}_embedding"] for row in rows], np.float32)) for name in SIDES]


@torch.no_grad()
def probabilities(model, rows: list[dict[str, Any]]) -> np.ndarray:
    """[N, N] that they match, picture by sound."""
    visual, audio = embeddings(rows)
    square = (len(rows), len(rows), -1)
    return model.score(visual[:, None].expand(square), audio.expand(square)).numpy()


def print_found(what: str, probability: np.ndarray) -> None:
    """How often the right one is among the FIRST of GALLERY, of match probabilities [N, N], picture by sound."""
    for name, scores in (("sound for a picture", probability), ("picture for a sound", probability.T)):
        found = found_among(scores, FIRST, GALLERY)
        interval = bootstrap_interval(lambda drawn, found=found: float(found[drawn].mean()), np.arange(len(found)))
        print(
            f"{what}, {name} among the first {FIRST} of {GALLERY}: {found.mean():.3f} "
            f"[{interval.low:.3f}, {interval.high:.3f}] (limit 0.6)"
        )


def kinds_in_view(world: WorldConfig, video: Path) -> frozenset[str]:
    """Kinds of all that sounds in view. Two videos of equal kinds can hardly be told apart: they bound the AUC."""
    scene = plan_scene(world, int(video.stem.removeprefix("world_")))
    return frozenset(source.kind for source in scene.sources if source.on_screen)


def draw(workspace: Workspace) -> None:
    """The validation loss over the steps, as a picture of 480 x 240."""
    rows = workspace.read("training/m", "m", TRAINING).to_pylist()
    curve = [(row["step"], row["value"]) for row in rows if row["metric"] == "info_nce" and row["split"] == "validate"]
    high, low, last = max(value for _, value in curve), min(value for _, value in curve), curve[-1][0]
    points = " ".join(f"{40 + 420 * x / last:.1f},{20 + 190 * (high - y) / (high - low):.1f}" for x, y in curve)
    marks = [f'<text x="40" y="12">validation InfoNCE, nats: {high:.2f} to {low:.2f}; steps to {last}</text>']
    marks += [f'<polyline points="{points}" fill="none" stroke="#06c" stroke-width="2"/>']
    marks += [f'<line x1="40" y1="{a}" x2="{b}" y2="210" stroke="#999"/>' for a, b in ((20, 40), (210, 460))]
    head = '<svg xmlns="http://www.w3.org/2000/svg" width="480" height="240" font-size="12" font-family="sans-serif">'
    CURVE.write_text("\n".join(itertools.chain([head], marks, ["</svg>"])) + "\n")


if __name__ == "__main__":
    main()
