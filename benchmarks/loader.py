"""The training loader on a disk and on an S3 store 30 ms away, against a sequential read and decode of the same tars.

Run: python -m benchmarks.loader [clips, 4800]. All read the same generated clips (5 s at 16 kHz, 5 frames of 128x128)
and give the tensors that a loss takes, [32, 5, 3, 128, 128] and [32, 80000] float: the loader in random order by offset
with nothing cached, the peer with webdataset from the first tar to the last. Passes alternate; the median of their
ratios counts, in batches per second and, since other work on the machine changes those, per CPU second.

Four CPUs are taken for as fast as these, and for busy with nothing else. How many clips they could be kept busy with is
bounded further by what runs under Python's lock: all but decoding, which is measured with the decoders taken out.
Of few clips the first second counts, in which a pass from afar has no connections yet.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import torch
import webdataset
from torch import Tensor

from pipeline.clips.samples import Clip, EncodedClip, decode_sample, encode_flac
from pipeline.clips.tars import TarWriter
from pipeline.learners.augmentation import STRONG, stack_frames, stack_waveforms
from pipeline.learners.coincidence import CoincidenceLearner
from pipeline.learners.coincidence_config import CoincidenceLearnerConfig
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import NUM_PRODUCERS, ClipSet, prefetch, step_rng
from tests.helpers.far_store import far_store

BATCH_SIZE, CLIPS_PER_TAR, NUM_PASSES = 32, 300, 5
LATENCY_S = 0.03
LIMIT, LIMIT_PER_CPU, LIMIT_FAR, LIMIT_CLIPS = 0.8, 1.0, 0.9, 1000
FOUR = 4


def main() -> None:
    torch.set_num_threads(1)  # as a worker of one CPU
    num_clips = int(sys.argv[1]) if len(sys.argv) > 1 else 4800
    with tempfile.TemporaryDirectory() as folder, far_store(folder, LATENCY_S) as environment:
        os.environ |= environment
        disk, far = Workspace(folder), Workspace("s3://bucket")
        rows = generate(disk, num_clips)
        ratios, far_ratios, far_speeds = [], [], []
        for number in range(NUM_PASSES):
            loader, peer = speed(ours(disk, rows, number)), speed(sequential(folder))
            far_speeds.append(speed(ours(far, rows, number)))
            ratios.append(loader / peer)
            far_ratios.append(far_speeds[-1] / loader)
            speeds = f"loader {loader[0]:.2f}, sequential {peer[0]:.2f}, loader from far {far_speeds[-1][0]:.2f}"
            print(f"pass {number}: {speeds} batches/s", flush=True)
        augmented = speed(ours(disk, rows, 0, augment=True))
        packed = speed(ours(far, rows, 0, is_unpacked=False))
        with mock.patch.multiple(EncodedClip, take_frames=black, take_sound=silent):
            undecoded = speed(ours(far, rows, 0, is_unpacked=False))
    wall, cpu = np.median(ratios, axis=0)
    print(f"loader over sequential: {wall:.2f} per second (limit {LIMIT}), {cpu:.2f} per CPU second ({LIMIT_PER_CPU})")
    wall, cpu = np.median(far_ratios, axis=0)
    print(
        f"from {LATENCY_S * 1000:.0f} ms away over disk: {wall:.2f} per second ({LIMIT_FAR}), {cpu:.2f} per CPU second"
    )
    each, of_python = (1000 / (BATCH_SIZE * of[1]) for of in (packed, undecoded))
    print(f"from far, sent as it is: {each:.2f} ms of CPU per clip, {of_python:.2f} of them not decoding")
    clips = min(FOUR / each, 1 / of_python) * 1000
    print(f"scaled to {FOUR} CPUs: {clips:.0f} clips/s per process (limit {LIMIT_CLIPS})")
    print(f"with augmentation, from disk: {1000 / (BATCH_SIZE * augmented[1]):.2f} ms of CPU per clip")


def black(clip: EncodedClip, first: int, count: int) -> np.ndarray:
    return np.zeros((count, 3, 128, 128), np.uint8)


def silent(clip: EncodedClip, first: int, count: int) -> np.ndarray:
    return np.zeros(count, np.float32)


def ours(
    workspace: Workspace, rows: pa.Table, seed: int, augment: bool = False, is_unpacked: bool = True
) -> Iterator[dict[str, Tensor]]:
    """Batches as the coincidence model trains on them, without a cache; as they are sent to a GPU, or unpacked here."""
    clips = ClipSet(workspace, CLIPS_FOLDER, rows, cache_bytes=0)
    learner = CoincidenceLearner(CoincidenceLearnerConfig(augmentation=STRONG))

    def batch(step: int) -> dict[str, Tensor]:
        return learner.batch(clips, step_rng(seed, step), BATCH_SIZE, slice(None), augment=augment)

    batches = prefetch(batch, range(len(rows) // BATCH_SIZE), NUM_PRODUCERS, NUM_PRODUCERS)
    yield from map(learner.unpack, batches) if is_unpacked else batches


def sequential(folder: str) -> Iterator[dict[str, Tensor]]:
    """The same tars in order, read by webdataset, two batches made ahead."""
    tars = sorted(str(path) for path in Path(folder, CLIPS_FOLDER).glob("*.tar"))
    samples = iter(webdataset.WebDataset(tars, shardshuffle=False, nodesplitter=None))

    def batch(_: int) -> dict[str, Tensor]:
        clips = [decode(next(samples)) for _ in range(BATCH_SIZE)]
        return {
            "frames": stack_frames([clip.frames for clip in clips]),
            "waveform": stack_waveforms([clip.waveform for clip in clips]),
        }

    yield from prefetch(batch, range(len(tars) * CLIPS_PER_TAR // BATCH_SIZE))


def decode(sample: dict) -> Clip:
    return decode_sample(sample["__key__"], {k: v for k, v in sample.items() if not k.startswith("__")}, "the tars")


def speed(batches: Iterator[dict[str, Tensor]]) -> np.ndarray:
    """Batches per second, and per CPU second of this process."""
    began, used_s = time.perf_counter(), time.process_time()
    shapes = [(batch["frames"].shape, batch["waveform"].shape) for batch in batches]
    assert shapes[0] == ((BATCH_SIZE, 5, 3, 128, 128), (BATCH_SIZE, 80_000)), shapes[0]
    return len(shapes) / np.array([time.perf_counter() - began, time.process_time() - used_s])


def generate(workspace: Workspace, num_clips: int) -> pa.Table:
    """Clips of as many videos: noise under a slow tone, frames of smooth colour with grain."""
    import simplejpeg

    rows = []
    for first in range(0, num_clips, CLIPS_PER_TAR):
        part = f"{first // CLIPS_PER_TAR:05d}"
        with files.building(workspace.tar_uri(CLIPS_FOLDER, part)) as path, TarWriter(path) as tar:
            for number in range(first, first + CLIPS_PER_TAR):
                rng = np.random.default_rng(number)
                tone = np.sin(np.arange(80_000) * rng.uniform(0.01, 0.2)) * 6000
                members = {"flac": encode_flac((tone + rng.normal(0, 300, 80_000)).astype(np.int16), 16_000)}
                for k in range(5):
                    frame = np.add.outer(np.arange(128), np.arange(128))[..., None] / 2 + rng.normal(
                        0, 12, (128, 128, 3)
                    )
                    frame = np.ascontiguousarray(np.clip(frame, 0, 255).astype(np.uint8))
                    members[f"{k}.jpg"] = simplejpeg.encode_jpeg(frame, quality=90, colorspace="RGB")
                clip = {"clip_id": f"v{number}_00000000", "video_id": f"v{number}"}
                facts = {"frame_times_s": list(range(5)), "duration_s": 5.0, "sample_rate_hz": 16_000}
                members["json"] = json.dumps(facts).encode()
                offset, length = tar.add(clip["clip_id"], members)
                rows.append(clip | {"part": part, "tar_offset": offset, "tar_bytes": length})
    return pa.Table.from_pylist(rows)


if __name__ == "__main__":
    main()
