"""Speed of training lip reading: a step of `tiny`, its loader, and a step of the full size.

Usage: python -m benchmarks.lipreading [ROUNDS, 5] [full]

The step: 16 clips of 50 frames and 2 s of sound, with both contrasts and both adversaries, forward, backward and
optimiser, on 2 threads; MFCC and augmentation are part of it. The loader: the same batches, read from tars on a disk,
nothing cached, by as many threads as training has. Their rounds alternate; the medians are shown, per second and per
CPU second. With `full`, once, a step of 4 clips of the default configuration on the CPU, and on a GPU, if there is one,
clips per second in bf16 and the peak memory.
"""

import dataclasses
import sys
import tempfile
import time

import numpy as np
import torch

from pipeline.clip_specs import ClipSpec
from pipeline.clips.samples import Clip
from pipeline.clips.splitting import SplittingConfig
from pipeline.learners.lipreading import LipreadingLearner
from pipeline.learners.lipreading_config import TINY, LipreadingLearnerConfig
from pipeline.storage.layout import VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import NUM_PRODUCERS, ClipSet, prefetch, step_rng
from pipeline.training.clipsets import load_splits
from pipeline.training.protocols import Batch, half_precision
from schemas.fields import from_rows
from schemas.videos import VIDEOS
from tests.helpers.mouths import write_speech_world

NUM_VIDEOS, BATCH_SIZE, FULL_BATCH_SIZE = 32, 16, 4
ROUNDS, STEPS_PER_ROUND, GPU_STEPS, LIMIT = 5, 4, 20, 30
SPEC = ClipSpec(clip_s=2.0, hop_s=2.0, frame_rate_hz=25.0, frame_height=96, frame_width=96, exact_frames=True)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    torch.set_num_threads(2)
    learner = LipreadingLearner(dataclasses.replace(TINY, num_frames=SPEC.num_frames))
    with tempfile.TemporaryDirectory() as folder:
        clips = write_clips(Workspace(folder))
        step = Step(learner, "cpu", load(learner, clips, 0))
        step()
        rates = [(step.rate(STEPS_PER_ROUND), load_rate(learner, clips, number)) for number in range(rounds)]
        steps, loads = np.swapaxes(rates, 0, 1)  # [rounds, 2] clips per second, and per CPU second
        print("step of tiny: {:.1f} clips/s (limit {}), {:.1f} per CPU second".format(*mixed(steps)))
        print("loader: {:.1f} clips/s, {:.1f} per CPU second".format(*np.median(loads, axis=0)))
        if "full" in sys.argv:
            full = LipreadingLearner(LipreadingLearnerConfig())
            batch = full.batch(clips, step_rng(0, 0), FULL_BATCH_SIZE, slice(None), augment=True)
            step = Step(full, "cpu", batch)
            step()
            clips_per_s, _ = step.rate(1)
            print(f"full size: {FULL_BATCH_SIZE / clips_per_s:.1f} s for a step of {FULL_BATCH_SIZE} clips on the CPU")
            if torch.cuda.is_available():
                print(f"full size: {on_gpu(full, clips)}")


def mixed(steps: np.ndarray) -> tuple[float, int, float]:
    clips_per_s, per_cpu_s = np.median(steps, axis=0)
    return clips_per_s, LIMIT, per_cpu_s


def write_clips(workspace: Workspace) -> ClipSet[Clip]:
    """A clip of as many videos, in tars; nothing is cached."""
    common = {"split": "train", "part": "00000", "rights": "unknown", "num_clips": 1, "outcome": "kept"}
    videos = [{"video_id": f"v{number:03d}", "uri": f"v{number}.mp4"} | common for number in range(NUM_VIDEOS)]
    workspace.commit(VIDEOS_FOLDER, "00000", from_rows(videos, VIDEOS, "00000"), VIDEOS)
    write_speech_world(workspace, SPEC)
    (clips,) = load_splits(workspace, ("train",), SplittingConfig(), ["00000"], "speech")
    return ClipSet(workspace, "clips/speech", clips.rows, cache_bytes=0)


def load(learner: LipreadingLearner, clips: ClipSet[Clip], step: int) -> Batch:
    return learner.batch(clips, step_rng(0, step), BATCH_SIZE, slice(None), augment=True)


def load_rate(learner: LipreadingLearner, clips: ClipSet[Clip], number: int) -> np.ndarray:
    """Clips per second, and per CPU second, of the loader alone."""
    steps, since = range(number * 16, (number + 1) * 16), (time.perf_counter(), time.process_time())
    for _ in prefetch(lambda step: load(learner, clips, step), steps, NUM_PRODUCERS, NUM_PRODUCERS):
        pass
    return speed(BATCH_SIZE * len(steps), *since)


def speed(num_clips: int, began_s: float, used_s: float) -> np.ndarray:
    """[2] clips per second, and per CPU second of this process, since `time.perf_counter` and `time.process_time`."""
    return num_clips / np.array([time.perf_counter() - began_s, time.process_time() - used_s])


class Step:
    """A training step of a fresh network on one batch, as a learner's `batch` gives it."""

    def __init__(self, learner: LipreadingLearner, device: str, batch: Batch) -> None:
        torch.manual_seed(0)
        self.learner, self.model = learner, learner.model().to(device)
        self.batch = {name: value.to(device) for name, value in batch.items()}
        self.size = len(batch["frames"])
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-4)

    def __call__(self) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        with half_precision(self.learner.training.precision, self.batch["frames"].device):
            loss = self.learner.loss(self.model, self.learner.unpack(self.batch))["loss"]
        loss.backward()
        self.optimiser.step()

    def rate(self, count: int) -> np.ndarray:
        """`speed` of `count` steps."""
        since = (time.perf_counter(), time.process_time())
        for _ in range(count):
            self()
        return speed(count * self.size, *since)


def on_gpu(learner: LipreadingLearner, clips: ClipSet[Clip]) -> str:
    """Clips per second in bf16 and the peak memory, of a step of the default configuration."""
    training = dataclasses.replace(learner.training, precision="bf16")
    learner = LipreadingLearner(dataclasses.replace(learner.config, training=training))
    batch = learner.batch(clips, step_rng(0, 0), NUM_VIDEOS, slice(None), augment=True)
    step = Step(learner, "cuda", batch)
    for _ in range(5):
        step()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    for _ in range(GPU_STEPS):
        step()
    torch.cuda.synchronize()
    rate = GPU_STEPS * NUM_VIDEOS / (time.perf_counter() - began)
    return f"{rate:.0f} clips/s in bf16 on a GPU, peak memory {torch.cuda.max_memory_allocated() / 1e9:.1f} GB"


if __name__ == "__main__":
    main()
