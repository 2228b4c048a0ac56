"""Near-duplicates: growth and recall of the search among many vectors, and the whole of `find_duplicates` on a corpus.

Usage: python -m benchmarks.duplicates [largest, 1000000]

Vectors of 256 dimensions lie in a cone of 16 effective dimensions and in clusters whose densities span 1 to 10, as
those of trained models do; one in a hundred is another one with noise, at a cosine of 0.95 to 1. Recall of all near
pairs, not only of the planted ones, is measured against the product of all pairs at the smallest size; the exact time
beside it is that product's, scaled by the square. The corpus has 36 clips a video, 512 dimensions, one video in twenty
uploaded again, half of it cut off: pairs found of those, others found, and what the process grew by.
"""

import itertools
import resource
import sys
import tempfile
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from pipeline.clips.splitting import SplittingConfig
from pipeline.selection.duplicates import find_duplicates, unit
from pipeline.selection.embeddings import ScoredEmbeddings
from pipeline.selection.neighbours import near_pairs
from pipeline.selection.representatives import choose_represented
from pipeline.storage.layout import VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.duplicates import DUPLICATES
from schemas.fields import from_rows
from schemas.scores import SCORES
from schemas.videos import VIDEOS

SIZE, MIN_COSINE = 256, 0.95
NUM_VIDEOS, VIDEOS_PER_PART, NUM_CLIPS, CLIP_SIZE = 2000, 80, 36, 512
PARTS = [f"{number:05d}" for number in range(NUM_VIDEOS // VIDEOS_PER_PART)]


def main() -> None:
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else 10**6
    with tempfile.TemporaryDirectory() as folder:
        whole(Workspace(folder))
    search(largest)


def search(largest: int) -> None:
    seconds = {}
    for count in (largest // 100, largest // 10, largest):
        vectors, planted = vectors_with_copies(count)
        began = time.perf_counter()
        pairs = near_pairs(vectors, np.full(count, MIN_COSINE))
        seconds[count] = time.perf_counter() - began
        keys = pairs[:, 0] * count + pairs[:, 1]
        first, second = vectors[planted].astype(np.float32).transpose(1, 0, 2)
        near = planted[(first * second).sum(axis=1) >= MIN_COSINE]
        recall = np.isin(near[:, 0] * count + near[:, 1], keys).mean()
        print(f"{count} vectors: {seconds[count]:.1f} s, {len(pairs)} pairs; {recall:.1%} of {len(near)} planted ones")
        if count == largest // 100:
            rows = vectors.astype(np.float32)
            began = time.perf_counter()
            num_near = (np.count_nonzero(rows @ rows.T >= MIN_COSINE) - count) / 2
            exact = (time.perf_counter() - began) * 10**4
            print(f"  of all {num_near:.0f} near pairs: {len(pairs) / num_near:.1%}")
    for small, large in itertools.pairwise(sorted(seconds)):
        exponent = np.log(seconds[large] / seconds[small]) / np.log(large / small)
        print(f"growth from {small} to {large}: exponent {exponent:.2f} (limit 1.6; all pairs: 2)")
    print(f"all pairs would take {exact:.0f} s: ratio {seconds[largest] / exact:.4f}; peak {peak_mib() / 1024:.1f} GiB")


def vectors_with_copies(count: int) -> tuple[np.ndarray, np.ndarray]:
    """[count, SIZE] float16 unit vectors, and pairs [p, 2] of which one is the other with noise."""
    rng = np.random.default_rng(count)
    axis, centres = rng.standard_normal(SIZE), rng.standard_normal((200, SIZE))
    spreads, few = np.geomspace(0.5, 5, 200), rng.standard_normal((16, SIZE)) / 4
    vectors = np.empty((count, SIZE), np.float16)
    for start in range(0, count, 10_000):
        rows = min(10_000, count - start)
        cluster = rng.integers(200, size=rows)
        noise = rng.standard_normal((rows, 16), np.float32) @ few + 0.1 * rng.standard_normal((rows, SIZE), np.float32)
        vectors[start : start + rows] = unit(axis + centres[cluster] + spreads[cluster, None] * noise)
    copies = np.arange(count - count // 100, count)
    originals = rng.choice(copies[0], len(copies), replace=False)
    noise = rng.uniform(0, 0.32, (len(copies), 1)) * rng.standard_normal((len(copies), SIZE)) / np.sqrt(SIZE)
    vectors[copies] = unit(vectors[originals].astype(np.float32) + noise)
    return vectors, np.stack([originals, copies], axis=1)


def whole(workspace: Workspace) -> None:
    for part, rows, scores in corpus():
        workspace.commit(VIDEOS_FOLDER, part, rows, VIDEOS)
        workspace.commit("scores/m", part, scores, SCORES)
    before, began = peak_mib(), time.perf_counter()
    find_duplicates(
        workspace,
        "s",
        ScoredEmbeddings(workspace, "m"),
        0.9,
        SplittingConfig(),
        lambda step, work, parts: map(work, parts),
    )
    took = time.perf_counter() - began
    rows = workspace.read_all("duplicates/s", DUPLICATES).to_pylist()
    refused = choose_represented(rows, {}, set())
    rows = [row for row in rows if row["video_id"] in refused]
    num_videos = sum(len(workspace.read(VIDEOS_FOLDER, part, VIDEOS)) for part in PARTS)
    names = [(row["video_id"].removesuffix("again"), row["like_video_id"].removesuffix("again")) for row in rows]
    found = sum(one == other for one, other in names)
    print(
        f"{num_videos} videos of {NUM_CLIPS} clips: {took:.1f} s; {found} of {num_videos - NUM_VIDEOS} uploads and "
        f"{len(rows) - found} others found; grew by {peak_mib() - before:.0f} MiB"
    )


def corpus() -> Iterator[tuple[str, pa.Table, pa.Table]]:
    """(part, videos, scores): videos of 12 effective dimensions in a cone, clips that drift, a few of a part again."""
    rng = np.random.default_rng(0)
    axes = 2 * rng.standard_normal((2, CLIP_SIZE))
    few = rng.standard_normal((2, 12, CLIP_SIZE))
    for part in PARTS:
        names, videos = [], []
        for number in range(VIDEOS_PER_PART):
            drift = np.cumsum(0.1 * rng.standard_normal((NUM_CLIPS, 2, 12)), axis=0) + rng.standard_normal((2, 12))
            names.append(f"{part}x{number:03d}")
            videos.append(unit(axes + np.einsum("ksd,sde->kse", drift, few)))
        for number in range(VIDEOS_PER_PART // 20):
            names.append(f"{names[number]}again")
            noise = rng.standard_normal((NUM_CLIPS // 2, 2, CLIP_SIZE)) / np.sqrt(CLIP_SIZE)
            videos.append(unit(videos[number][NUM_CLIPS // 4 :][: NUM_CLIPS // 2] + 0.05 * noise))
        facts = {"part": part, "rights": "unknown", "num_clips": NUM_CLIPS, "outcome": "kept"}
        rows = [facts | {"video_id": name, "uri": name} for name in names]
        clips = np.concatenate(videos).astype(np.float16)
        ids = [(name, f"{name}_{i:08d}") for name, video in zip(names, videos, strict=True) for i in range(len(video))]
        columns = {
            "clip_id": [clip for _, clip in ids],
            "video_id": [name for name, _ in ids],
        }
        columns |= {"score": np.full(len(ids), 0.5, np.float32)}
        columns |= {"audio_embedding": list(clips[:, 0]), "visual_embedding": list(clips[:, 1])}
        yield part, from_rows(rows, VIDEOS, part), pa.table(columns, schema=SCORES)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
