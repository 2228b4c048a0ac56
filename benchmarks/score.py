"""Clips scored per second, over the model's own forward throughput on tensors that are there already.

Usage: python -m benchmarks.score [PRESET]

Ten minutes of generated 720p, cut into 5 s clips at 1 s hop, scored by an untrained model of the preset (tiny, if none
is given). Both with one thread of torch, as a worker; reading the tar, decoding and writing the rows are included.
"""

import io
import itertools
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks._media import minute_of_720p, repeated
from jobs.presets import preset
from pipeline import storage
from pipeline.artifacts import Workspace
from pipeline.collecting import CollectingConfig, plan_parts
from pipeline.config import as_dict
from pipeline.learners.coincidence import CoincidenceLearner
from pipeline.learners.common import stack_frames, stack_waveforms
from pipeline.samples import decode_sample
from pipeline.scoring import ScorePart, ScoringConfig
from pipeline.sharding import ShardingConfig, ShardPart
from pipeline.tars import read_sequence
from pipeline.views import ClipView
from schemas.clips import CLIPS

LIMIT = 0.8


def main() -> None:
    torch.set_num_threads(1)
    config = preset(sys.argv[1] if len(sys.argv) > 1 else "tiny").coincidence
    learner, batch_size = CoincidenceLearner(config), ScoringConfig().batch_size
    with tempfile.TemporaryDirectory() as folder:
        collection = repeated(minute_of_720p(Path(folder)), 10, Path(folder) / "videos" / "ten_minutes.mp4").parent
        workspace = Workspace(f"{folder}/workspace")
        plan_parts(workspace, str(collection), CollectingConfig())
        ShardPart(workspace, ClipView(), ShardingConfig())("00000")
        model = learner.model().eval()
        workspace.begin("models/m", {"learner": "coincidence", "config": as_dict(config)}, {})
        weights = io.BytesIO()
        torch.save({"model": model.state_dict()}, weights)
        storage.commit_bytes(workspace.uri("models", "m", "model.pt"), weights.getvalue())
        workspace.finish("models/m")
        rows = workspace.read("clips", "00000", CLIPS).to_pylist()
        keys = [row["clip_id"] for row in rows if row["outcome"] == "kept"]
        path = Path(workspace.uri("clips", "00000.tar"))
        clips = [decode_sample(*sample) for sample in itertools.islice(read_sequence(path, keys), batch_size)]
        frames, waveforms = stack_frames(clips), stack_waveforms([clip.waveform for clip in clips])
        forward = 0.0
        with torch.no_grad():
            for _ in range(4):  # the fastest: what else runs on the machine only adds
                began = time.monotonic()
                visual, audio = model(frames, waveforms)
                model.score(visual, audio)
                forward = max(forward, len(clips) / (time.monotonic() - began))
        work = ScorePart(workspace, "m", learner, ScoringConfig())
        work("00000")  # loads the model
        began = time.monotonic()
        work("00000")
        scored = len(keys) / (time.monotonic() - began)
    print(
        f"{len(keys)} clips: {scored:.0f} scored per second, {forward:.0f} forward only, ratio {scored / forward:.2f}"
    )
    print(f"(limit {LIMIT})")


if __name__ == "__main__":
    main()
