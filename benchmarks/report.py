"""The report of a large root: 10 000 examples of two models and 200 000 clips, generated.

    python -m benchmarks.report [FOLDER]

Limits: 60 s of wall time on 2 cores, and a page of at most 20 MB. Clips of the highest and lowest scores are cut into
real tars, since the page shows their frames and sounds; the other rows have no media.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import simplejpeg

from pipeline.clips.samples import encode_flac
from pipeline.clips.tars import TarWriter
from pipeline.hashing import as_dict
from pipeline.storage import files
from pipeline.storage.layout import SETTINGS_FILE
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.mixtures import MIXTURES
from schemas.reports import EXAMPLES, SUMMARY, TRAINING
from schemas.scores import SCORES
from schemas.selections import SELECTIONS
from schemas.videos import COLLECTION, VIDEOS
from tests.helpers.evaluated_separation import CONFIG

NUM_VIDEOS, CLIPS_OF_VIDEO, VIDEOS_OF_PART, NUM_EXAMPLES = 10_000, 20, 1000, 10_000
MODELS = ("separation", "separation-old")
MAX_S, MAX_BYTES = 60.0, 20e6


def make_part(workspace: Workspace, part: int, rng: np.random.Generator) -> None:
    """Videos, clips, scores and decisions of one part, and a tar with the clips that the page may show."""
    name = f"{part:05d}"
    videos, clips, scores, decisions = [], [], [], []
    pictures = rng.integers(0, 256, (5, 16, 16, 3), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    frames = {f"{k}.jpg": simplejpeg.encode_jpeg(picture, quality=90) for k, picture in enumerate(pictures)}
    sound = encode_flac(0.1 * rng.standard_normal(80_000), 16_000)
    tar_uri = workspace.tar_uri("clips/base", name)
    with files.building(tar_uri) as path, TarWriter(path) as tar:
        for number in range(part * VIDEOS_OF_PART, (part + 1) * VIDEOS_OF_PART):
            video_id = f"v{number:06d}"
            facts = {"video_id": video_id, "uri": f"s3://corpus/{number % 97}/{video_id}.mp4", "license": "CC-BY-4.0"}
            videos.append(
                facts
                | {
                    "part": name,
                    "rights": "unknown",
                    "num_clips": CLIPS_OF_VIDEO,
                    "outcome": "kept",
                    "duration_s": 24.0,
                }
            )
            for place in range(CLIPS_OF_VIDEO):
                clip_id, score = f"{video_id}_{place * 1000:08d}", float(rng.random())
                is_shown = score < 0.001 or score > 0.999
                where: tuple[int | None, int | None] = (None, None)
                if is_shown:
                    json_member = (
                        f'{{"clip_id": "{clip_id}", "duration_s": 5.0, "sample_rate_hz": 16000, '
                        '"frame_times_s": [0, 1, 2, 3, 4]}'
                    )
                    where = tar.add(clip_id, frames | {"flac": sound, "json": json_member.encode()})
                ids = {"clip_id": clip_id, "video_id": video_id}
                clips.append(
                    ids
                    | {"start_s": float(place), "duration_s": 5.0, "unique_s": 1.0, "part": name, "num_frames": 5}
                    | {"tar_offset": where[0], "tar_bytes": where[1], "loudness_lufs": float(rng.uniform(-50, -10))}
                    | {"outcome": "kept"}
                )
                scores.append(ids | {"score": score, "audio_embedding": None, "visual_embedding": None})
                is_kept = score > 0.5
                decision = {"part": name, "kept": is_kept, "reason": "kept" if is_kept else "low_score"}
                decisions.append(ids | decision | {"split": "train", "unique_s": 1.0, "score": score})
    collected = [{key: row[key] for key in ("video_id", "uri", "license", "rights")} for row in videos]
    for stage, rows, schema in (
        ("collection", collected, COLLECTION),
        ("scores/coincidence", scores, SCORES),
        ("selections/default", decisions, SELECTIONS),
        ("clips/base", clips, CLIPS),
        ("videos/base", videos, VIDEOS),
    ):
        workspace.commit(stage, name, from_rows(rows, schema, name), schema)


def make_models(workspace: Workspace, rng: np.random.Generator) -> None:
    """Examples, summaries and curves of MODELS, and the frozen sets that they are of."""
    ids = [f"on_mom-{number:05d}" for number in range(NUM_EXAMPLES // len(MODELS))]
    mixtures = [
        {"example_id": example, "eval_set": "on_mom", "kind": "NOn", "first_clip_id": f"v{i:06d}_00000000"}
        | {"sound_clip_id": "x", "second_clip_id": "y", "split": "test", "label_source": "l", "part": "on_mom-00000"}
        for i, example in enumerate(ids)
    ]
    workspace.commit("mixtures/default", "on_mom-00000", from_rows(mixtures, MIXTURES, "m"), MIXTURES)
    for model in MODELS:
        workspace.begin(f"models/{model}", {"learner": "separation", "separation": as_dict(CONFIG)}, {})
        examples = [
            {"eval_set": "on_mom", "example_id": example, "video_id": f"v{i:06d}", "si_snr_improvement_db": value}
            | {"si_snr_db": value, "num_references": 2, "num_active_sources": 2}
            | {"power_first": 1.0, "power_second": 1.0, "product_first_second": 0.0}
            for i, (example, value) in enumerate(zip(ids, rng.normal(5, 3, len(ids)).tolist(), strict=True))
        ]
        workspace.commit(f"examples/{model}/default", "00000", from_rows(examples, EXAMPLES, model), EXAMPLES)
        figure = {"eval_set": "on_mom", "metric": "median_si_snr_improvement_db", "value": 5.0, "unit": "dB"}
        figure |= {"n": len(ids), "low": 4.5, "high": 5.5}
        workspace.commit(f"summary/{model}/default", "00000", from_rows([figure], SUMMARY, model), SUMMARY)
        curve = [
            {"step": step, "split": "train", "metric": metric, "value": float(rng.random()), "elapsed_s": 1.0}
            for step in range(0, 100_000, 100)
            for metric in ("loss", "mixit", "gradient_norm", "learning_rate")
        ]
        workspace.commit(f"training/{model}", model, from_rows(curve, TRAINING, model), TRAINING)


def main() -> None:
    """Print time, memory and size beside their limits; exit code 1 if one is missed."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="earshot-report-bench-") as temporary:
        folder = sys.argv[1] if len(sys.argv) > 1 else temporary
        workspace = Workspace(str(Path(folder) / "root"))
        if not files.exists(workspace.uri(SETTINGS_FILE)):
            for part in range(NUM_VIDEOS // VIDEOS_OF_PART):
                make_part(workspace, part, rng)
            make_models(workspace, rng)
            files.commit_bytes(workspace.uri(SETTINGS_FILE), b"{}")
        began = time.monotonic()
        command = [sys.executable, "-m", "jobs.cli", "-q", "report", "--root", workspace.root]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall_s = time.monotonic() - began
        size_bytes = Path(workspace.root, "report.html").stat().st_size
        print(
            f"{NUM_VIDEOS * CLIPS_OF_VIDEO:,} clips, {NUM_EXAMPLES:,} examples: {wall_s:.1f} s (limit {MAX_S:g}), "
            f"{size_bytes / 1e6:.1f} MB (limit {MAX_BYTES / 1e6:g})"
        )
    sys.exit(wall_s > MAX_S or size_bytes > MAX_BYTES)


if __name__ == "__main__":
    main()
