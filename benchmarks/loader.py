"""The training loader against a plain sequential read and decode of the same tars: batches per second, at least 0.8.

Run: python benchmarks/loader.py [clips, 1200]. Both read the same generated clips (5 s at 16 kHz, 5 frames of 128x128)
and give the same tensors, [32, 5, 3, 128, 128] and [32, 80000] float: the loader in random order by offset with nothing
cached, the peer with webdataset from the first tar to the last. Passes alternate; the median of their
ratios counts, in batches per second and, since other work on the machine changes those, per CPU second. Beside it, for
what they are: the loader with augmentation, and with LATENCY_S more before each clip's bytes, as of an object store.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
import webdataset
from torch import Tensor

from pipeline.clips.samples import Clip, decode_sample, encode_flac
from pipeline.clips.tars import TarWriter
from pipeline.learners.augmentation import STRONG, stack_frames, stack_waveforms
from pipeline.learners.coincidence import CoincidenceLearner, CoincidenceLearnerConfig
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet, prefetch, step_rng

BATCH_SIZE, CLIPS_PER_TAR, NUM_PASSES, LIMIT = 32, 300, 5, 0.8
LATENCY_S = 0.03


def main() -> None:
    torch.set_num_threads(1)  # as a worker of one CPU
    num_clips = int(sys.argv[1]) if len(sys.argv) > 1 else 1200
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder)
        rows = generate(workspace, num_clips)
        ratios = []
        for number in range(NUM_PASSES):
            loader, peer = speed(ours(workspace, rows, number)), speed(sequential(folder))
            ratios.append(loader / peer)
            print(f"pass {number}: loader {loader[0]:.2f}, sequential {peer[0]:.2f} batches/s", flush=True)
        augmented = speed(ours(workspace, rows, 0, augment=True))[0]
        read = files.read_bytes
        files.read_bytes = lambda *place: (time.sleep(LATENCY_S), read(*place))[1]
        late = speed(ours(workspace, rows.slice(0, CLIPS_PER_TAR), 0))[0]
    wall, cpu = np.median(ratios, axis=0)
    print(f"loader over sequential: {wall:.2f} per second, {cpu:.2f} per CPU second (limit {LIMIT})")
    print(f"with augmentation: {augmented:.2f} batches/s")
    in_turn = 1 / (BATCH_SIZE * LATENCY_S)
    print(f"with {LATENCY_S * 1000:.0f} ms before each clip: {late:.2f} batches/s (in turn: at most {in_turn:.2f})")


def ours(workspace: Workspace, rows: pa.Table, seed: int, augment: bool = False) -> Iterator[dict[str, Tensor]]:
    """Batches as the coincidence model trains on them, without a cache."""
    clips = ClipSet(workspace, CLIPS_FOLDER, rows, cache_bytes=0)
    learner = CoincidenceLearner(CoincidenceLearnerConfig(augmentation=STRONG))

    def batch(step: int) -> dict[str, Tensor]:
        return learner.batch(clips, step_rng(seed, step), BATCH_SIZE, slice(None), augment=augment)

    yield from prefetch(batch, range(len(rows) // BATCH_SIZE))


def sequential(folder: str) -> Iterator[dict[str, Tensor]]:
    """The same tars in order, read by webdataset, made ahead as the loader does."""
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
