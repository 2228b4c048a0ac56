"""Clips scored per second, over the model's own forward throughput on tensors that are there already: at least 0.8.

Usage: python -m benchmarks.score [PRESET]

Ten minutes of generated 720p, cut into 5 s clips at 1 s hop, scored by an untrained model of the preset (tiny, if none
is given). Both with one thread of torch, as a worker; reading the tar, decoding and writing the rows are included.
Overlapping clips share frames. The scorer looks at each once; a forward pass looks at all five of a clip, or, which is
the harder peer and has no limit, at each once as well.
"""

import io
import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from jobs.console.presets import preset
from pipeline.clip_specs import BASE, ClipSpec
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.samples import decode_sample
from pipeline.clips.sharding import ShardPart
from pipeline.clips.tars import read_sequence
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.hashing import as_dict
from pipeline.learners.augmentation import stack_frames, stack_waveforms
from pipeline.learners.coincidence import CoincidenceLearner
from pipeline.models.towers import CoincidenceModel, shared_embedding
from pipeline.selection.scoring import BATCH_SIZE, ScorePart
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from tests.helpers.media import minute_of_720p, repeated

LIMIT = 0.8


def main() -> None:
    torch.set_num_threads(1)
    config = preset(sys.argv[1] if len(sys.argv) > 1 else "tiny").coincidence
    learner = CoincidenceLearner(config)
    with tempfile.TemporaryDirectory() as folder:
        collection = repeated(minute_of_720p(Path(folder)), 10, Path(folder) / "videos" / "ten_minutes.mp4").parent
        workspace = Workspace(f"{folder}/workspace")
        plan_parts(workspace, list_videos(str(collection)), CollectingConfig())
        ShardPart(workspace, {BASE: ClipSpec()}, ShardingConfig())("00000")
        model = learner.model().eval()
        workspace.begin("models/m", {"learner": "coincidence", "coincidence": as_dict(config)}, {})
        weights = io.BytesIO()
        torch.save({"model": model.state_dict()}, weights)
        files.commit_bytes(workspace.uri("models", "m", "model.pt"), weights.getvalue())
        workspace.finish("models/m", content="untrained")
        rows = workspace.read("clips/base", "00000", CLIPS).to_pylist()
        keys = [row["clip_id"] for row in rows if row["outcome"] == "kept"]
        path = Path(workspace.tar_uri("clips/base", "00000"))
        samples = itertools.islice(read_sequence(path, keys), BATCH_SIZE)
        clips = [decode_sample(*sample, str(path)) for sample in samples]
        frames = stack_frames([clip.frames for clip in clips])
        waveforms = stack_waveforms([clip.waveform for clip in clips])
        each, index = torch.unique(frames.flatten(0, 1), dim=0, return_inverse=True)
        index = index.view(frames.shape[:2])

        def looks_at_all() -> Tensor:
            return model.embed_frames(frames)

        def looks_once() -> Tensor:
            return shared_embedding(model.visual_tower(each.unsqueeze(1)).embeddings[:, 0][index])

        forward = [throughput(model, looks, waveforms) for looks in (looks_at_all, looks_once)]
        work = ScorePart(workspace, "m")
        work("00000")  # loads the model
        began = time.monotonic()
        work("00000")
        scored = len(keys) / (time.monotonic() - began)
    print(f"{len(keys)} clips: {scored:.0f} scored per second, forward only")
    print(f"  of all {index.numel()} frames: {forward[0]:.0f}, ratio {scored / forward[0]:.2f} (limit {LIMIT})")
    print(f"  of the {len(each)} that differ: {forward[1]:.0f}, ratio {scored / forward[1]:.2f}")


@torch.no_grad()
def throughput(model: CoincidenceModel, look: Callable[[], Tensor], waveforms: Tensor) -> float:
    """Clips per second that the model embeds and scores; of four times the fastest, for other work only adds."""
    best_s = float("inf")
    for _ in range(4):
        began = time.monotonic()
        model.score(look(), model.embed_waveform(waveforms))
        best_s = min(best_s, time.monotonic() - began)
    return len(waveforms) / best_s


if __name__ == "__main__":
    main()
