"""Speed of training segmentation: a step of `tiny`, its loader, and the published sizes.

Usage: python -m benchmarks.segmentation [ROUNDS, 5] [full]

The step: 4 clips of 5 frames of 224x224 and 5 s of sound, forward, backward and optimiser, on 2 threads. The loader:
the same batches with augmentation and crops, read from tars on a disk, nothing cached, by as many threads as training
has. Their rounds alternate, and the median of their ratios counts: per second, and per CPU second, since both share the
CPUs in training. With `full`, once, a step of the published sizes on the CPU, and on a GPU, if there is one, clips per
second in bf16 and the peak memory.
"""

import dataclasses
import functools
import sys
import tempfile
import time

import numpy as np
import torch

from pipeline.clip_specs import ClipSpecs
from pipeline.clips.splitting import SplittingConfig
from pipeline.learners.segmentation import TINY, SegmentationLearner, SegmentationLearnerConfig
from pipeline.masks.masked_clips import MaskedClip, MaskedClipSet, decode_masked, load_masked
from pipeline.models.avs import AVSConfig
from pipeline.storage.layout import VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import NUM_PRODUCERS, ClipSet, prefetch, step_rng
from pipeline.training.protocols import half_precision
from schemas.fields import from_rows
from schemas.videos import VIDEOS
from tests.helpers.masks import write_masked_world

NUM_VIDEOS, BATCH_SIZE, NUM_FRAMES, NUM_SAMPLES = 64, 4, 5, 80_000
ROUNDS, STEPS_PER_ROUND, GPU_STEPS = 5, 4, 20
PUBLISHED = {name: AVSConfig(backbone=name) for name in ("resnet50", "pvt_v2_b5")}


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    torch.set_num_threads(2)
    training = dataclasses.replace(TINY.training, batch_size=BATCH_SIZE)
    learner = SegmentationLearner(dataclasses.replace(TINY, training=training, first_model=None))
    with tempfile.TemporaryDirectory() as folder:
        clips = write_clips(Workspace(folder))
        step = Step(learner, "cpu", learner.unpack(load(learner, clips, 0)))
        step()
        rates = [(step.rate(STEPS_PER_ROUND), load_rate(learner, clips, number)) for number in range(rounds)]
    steps, loads = np.swapaxes(rates, 0, 1)  # [rounds, 2] clips per second, and per CPU second
    print("step of tiny: {:.1f} clips/s (limit 6), {:.1f} per CPU second".format(*np.median(steps, axis=0)))
    print("loader: {:.1f} clips/s, {:.1f} per CPU second; ".format(*np.median(loads, axis=0)), end="")
    print("{:.1f} and {:.1f} times the step's (limit 1.5)".format(*np.median(loads / steps, axis=0)))
    for name, config in PUBLISHED.items() if "full" in sys.argv else ():
        full = SegmentationLearner(SegmentationLearnerConfig(model=config, first_model=None))
        clips_per_s, _ = Step(full, "cpu", made_batch()).rate(1)
        print(f"{name}: {BATCH_SIZE / clips_per_s:.1f} s for a step of {BATCH_SIZE} clips on the CPU", flush=True)
        if torch.cuda.is_available():
            print(f"{name}: {on_gpu(full)}", flush=True)


def speed(num_clips: int, began_s: float, used_s: float) -> np.ndarray:
    """[2] clips per second, and per CPU second of this process, since `time.perf_counter` and `time.process_time`."""
    return num_clips / np.array([time.perf_counter() - began_s, time.process_time() - used_s])


def write_clips(workspace: Workspace) -> ClipSet[MaskedClip]:
    """Clips of as many videos, in tars, with a mask for each frame of most of them; nothing is cached."""
    common = {"split": "train", "part": "00000", "rights": "unknown", "num_clips": 1, "outcome": "kept"}
    videos = [{"video_id": f"v{number:03d}", "uri": f"v{number}.mp4"} | common for number in range(NUM_VIDEOS)]
    workspace.commit(VIDEOS_FOLDER, "00000", from_rows(videos, VIDEOS, "00000"), VIDEOS)
    write_masked_world(workspace, ClipSpecs().segmentation, grain=12.0)
    (clips,) = load_masked(workspace, ("train",), SplittingConfig(), ["00000"], "segmentation")
    decode = functools.partial(decode_masked, workspace)
    return MaskedClipSet(workspace, "clips/segmentation", clips.rows, decode, cache_bytes=0)


def load(learner: SegmentationLearner, clips: ClipSet[MaskedClip], step: int) -> dict[str, torch.Tensor]:
    return learner.batch(clips, step_rng(0, step), BATCH_SIZE, slice(None), augment=True)


def load_rate(learner: SegmentationLearner, clips: ClipSet[MaskedClip], number: int) -> np.ndarray:
    """`speed` of the loader alone, up to what the loss takes."""
    steps, since = range(number * 16, (number + 1) * 16), (time.perf_counter(), time.process_time())
    for batch in prefetch(lambda step: load(learner, clips, step), steps, NUM_PRODUCERS, NUM_PRODUCERS):
        learner.unpack(batch)
    return speed(BATCH_SIZE * len(steps), *since)


def made_batch() -> dict[str, torch.Tensor]:
    """Noise of the published sizes, as `unpack` gives it."""
    frames = torch.rand(BATCH_SIZE, NUM_FRAMES, 3, 224, 224)
    masks = (torch.rand(BATCH_SIZE, NUM_FRAMES, 224, 224) < 0.2).to(torch.uint8)
    valid = torch.ones(BATCH_SIZE, NUM_FRAMES, dtype=torch.bool)
    return {
        "frames": frames,
        "waveform": torch.randn(BATCH_SIZE, NUM_SAMPLES) / 10,
        "masks": masks,
        "mask_valid": valid,
    }


class Step:
    """A training step of a fresh network on one batch."""

    def __init__(self, learner: SegmentationLearner, device: str, batch: dict[str, torch.Tensor]) -> None:
        torch.manual_seed(0)
        self.learner, self.model = learner, learner.model().to(device)
        self.batch = {name: value.to(device) for name, value in batch.items()}
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.optimiser = torch.optim.AdamW(weights, lr=1e-4)

    def __call__(self) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        with half_precision(self.learner.training.precision, self.batch["frames"].device):
            loss = self.learner.loss(self.model, self.batch)["loss"]
        loss.backward()
        self.optimiser.step()

    def rate(self, count: int) -> np.ndarray:
        """`speed` of `count` steps."""
        since = (time.perf_counter(), time.process_time())
        for _ in range(count):
            self()
        return speed(count * BATCH_SIZE, *since)


def on_gpu(learner: SegmentationLearner) -> str:
    """Clips per second in bf16 and the peak memory, of a step of the published size."""
    training = dataclasses.replace(learner.training, precision="bf16")
    step = Step(SegmentationLearner(dataclasses.replace(learner.config, training=training)), "cuda", made_batch())
    for _ in range(5):
        step()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    for _ in range(GPU_STEPS):
        step()
    torch.cuda.synchronize()
    rate = GPU_STEPS * BATCH_SIZE / (time.perf_counter() - began)
    return f"{rate:.0f} clips/s in bf16 on a GPU, peak memory {torch.cuda.max_memory_allocated() / 1e9:.1f} GB"


if __name__ == "__main__":
    main()
