"""Projections of imported vectors: match AUC of held-out videos against the best that any score reaches.

Usage: python -m benchmarks.projections [SEEDS] [NUM_VIDEOS]

Generated vectors of pictures and sounds that share one of 14 classes, noise as strong as the signal, one clip of each
of 200 videos (80 % train, 20 % validate). Per size of vectors, the mean over SEEDS worlds and trainings with a 95 %
interval (Student's t) of the AUC on 400 new videos:

    best       the log likelihood ratio with the true means: no score has a higher AUC
    linear     cosine of the best linear projections, from the true means
    cosine     of the trained projections
    score      the match classifier on them
    unseen     the cosine on 400 videos of 14 classes that no training video was of: 0.5 is guessing

Half a minute for each training on one core.
"""

import dataclasses
import sys
import tempfile
import time

import numpy as np
import torch
from scipy.stats import t as student

from pipeline.hashing import as_dict
from pipeline.learners import LEARNERS
from pipeline.learners.coincidence_config import CoincidenceLearnerConfig
from pipeline.learners.loading import load_model
from pipeline.learners.vector_sets import VectorClip
from pipeline.models.projections import ProjectionConfig
from pipeline.storage.workspace import Workspace
from pipeline.training.loop import train
from pipeline.training.protocols import LocalContext
from tests.helpers.vectors import Classes, make_classes, pairs_auc, vector_set

SIZES = ((32, 32), (96, 64), (512, 768))
VARIANTS = {
    "as by default": ProjectionConfig(),
    "no hidden layer": ProjectionConfig(hidden_dim=0),
    "no dropout": ProjectionConfig(dropout=0.0),
    "temperature 0.07": ProjectionConfig(temperature=0.07),
}
NUM_CLASSES = 14
CONFIG = CoincidenceLearnerConfig(inputs=("clip.image", "clap.audio"))


def main() -> None:
    torch.set_num_threads(1)
    num_seeds, num_videos = (int(text) for text in (sys.argv[1:] + ["5", "200"][len(sys.argv) - 1 :])[:2])
    for dims in SIZES:
        print(f"pictures of {dims[0]}, sounds of {dims[1]} numbers, {num_videos} videos, {num_seeds} seeds", flush=True)
        for name, shape in VARIANTS.items():
            began = time.process_time()
            runs = [measure(seed, dims, shape, num_videos) for seed in range(num_seeds)]
            figures = ", ".join(f"{figure} {interval([run[figure] for run in runs])}" for figure in runs[0])
            print(f"  {name}: {figures}; {(time.process_time() - began) / num_seeds:.0f} CPU s each", flush=True)


def measure(seed: int, dims: tuple[int, int], shape: ProjectionConfig, num_videos: int) -> dict[str, float]:
    classes, others = (make_classes(number, NUM_CLASSES, *dims) for number in (seed, seed + 1000))
    rng = np.random.default_rng([seed, 1])
    picture, sound = classes.draw(rng, rng.permutation(np.arange(num_videos) % NUM_CLASSES))
    rows = (slice(num_videos * 4 // 5), slice(num_videos * 4 // 5, None))
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder)
        sets = [vector_set(workspace, picture[part], sound[part]) for part in rows]
        given = dataclasses.replace(CONFIG, projection=shape)
        config = LEARNERS["coincidence"].build(given).complete_config(sets[0])
        workspace.begin("models/m", {"learner": "coincidence", "coincidence": as_dict(config)}, {})
        train(LEARNERS["coincidence"].build(config), *sets, workspace, "models/m", seed, LocalContext())
        learner, model = load_model(workspace, "m", "coincidence")
    seen, unseen = (embed(learner, model, of, rng) for of in (classes, others))
    visual, audio = (torch.from_numpy(rows) for rows in seen[:2])
    square = (len(visual), len(audio), -1)
    with torch.inference_mode():
        scores = model.score(visual[:, None].expand(square), audio.expand(square)).numpy()
    return {
        "best": pairs_auc(classes.best_scores(*seen[2:])),
        "linear": pairs_auc(classes.linear_scores(*seen[2:])),
        "cosine": pairs_auc(seen[0] @ seen[1].T),
        "score": pairs_auc(scores),
        "unseen": pairs_auc(unseen[0] @ unseen[1].T),
    }


def embed(learner, model, classes: Classes, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Embeddings of 400 new videos, visual and audio, and their vectors."""
    picture, sound = classes.draw(rng, rng.integers(NUM_CLASSES, size=400))
    _, audio, visual = learner.embed(model, [VectorClip("", *pair) for pair in zip(picture, sound, strict=True)])
    return visual, audio, picture, sound


def interval(values: list[float]) -> str:
    """`0.95 [0.94, 0.96]`: the mean and its 95 % interval over seeds."""
    mean, n = float(np.mean(values)), len(values)
    half = float(student.ppf(0.975, n - 1) * np.std(values, ddof=1) / n**0.5) if n > 1 else float("nan")
    return f"{mean:.3f} [{mean - half:.3f}, {mean + half:.3f}]"


if __name__ == "__main__":
    main()
