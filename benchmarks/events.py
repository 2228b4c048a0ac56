"""What each part of PSP and CPSP brings: held-out segment accuracy with it and without it, over several trainings.

Usage: python -m benchmarks.events ROOT [--seeds 3] [--steps 300]

ROOT is a workspace after `earshot demo --system events`, whose stored features are read; nothing is written to it. Each
variant is trained once for each seed, and measured on the test split: accuracy over all segments, category accuracy
over those with an event, foreground accuracy. Shown are means with intervals of 95 % (Student's t over the trainings),
and the mean difference in segment accuracy to the whole system of the same supervision, seed by seed.
"""

import argparse
import dataclasses
import tempfile
import time

import numpy as np
import scipy.stats
import torch

from pipeline.clips.splitting import SplittingConfig
from pipeline.config import from_dict
from pipeline.features.feature_samples import FeatureClip
from pipeline.features.feature_sets import load_features
from pipeline.learners.event_objectives import decide
from pipeline.learners.events import TINY, EventsLearner, EventsLearnerConfig
from pipeline.metrics.segments import (
    BACKGROUND,
    category_accuracy,
    foreground_accuracy,
    segment_accuracy,
    whole_clips,
)
from pipeline.models.psp import PSPModel
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet
from pipeline.training.checkpointing import load_weights
from pipeline.training.loop import train
from pipeline.training.protocols import LocalContext

SPLITS = ("train", "validate", "test")
FULL = {"full": {}, "full, no propagation": {"model.propagate": False}, "full, no L_avpsp": {"loss.pair_weight": 0.0}}
FULL |= {"full, no PSA_S": {"loss.segment_weight": 0.0}, "full, no PSA_V": {"loss.clip_weight": 0.0}}
FULL |= {"full, joint head (PSP)": {"model.head": "joint", "loss.segment_weight": 0.0, "loss.clip_weight": 0.0}}
WEAK = {"weak": {}, "weak, no propagation": {"model.propagate": False}, "weak, no PSA_V": {"loss.clip_weight": 0.0}}
WEAK |= {"weak, loss as released": {"loss.weak_form": "released"}}
SELF = {"self, then probe": {}, "self, no propagation": {"model.propagate": False}, "untrained, then probe": {}}
VARIANTS = {"full": FULL, "weak": WEAK, "self": SELF}


def changed(config: EventsLearnerConfig, changes: dict[str, object]) -> EventsLearnerConfig:
    """The config with other values of fields named `group.field`."""
    for path, value in changes.items():
        group, _, field = path.partition(".")
        config = dataclasses.replace(config, **{group: dataclasses.replace(getattr(config, group), **{field: value})})
    return config


def fitted(config: EventsLearnerConfig, seed: int, sets: list[ClipSet[FeatureClip]], is_trained: bool) -> PSPModel:
    """The network that validates best; or a fresh one whose head alone has learnt."""
    learner, context = EventsLearner(config), LocalContext()
    if not is_trained:
        torch.manual_seed(seed)
        network = learner.model()
        learner.begin(context)
        learner.conclude(network, sets[0], sets[1], seed, context)
        return network.eval()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder)
        workspace.begin("models/events", {}, {})
        train(learner, sets[0], sets[1], workspace, "models/events", seed, context)
        network = learner.model().eval()
        load_weights(network, workspace, "models/events")
    return network


@torch.inference_mode()
def measure(config: EventsLearnerConfig, network: PSPModel, clips: ClipSet[FeatureClip]) -> list[float]:
    """Segment, category and foreground accuracy."""
    learner, numbers = EventsLearner(config), {name: number for number, name in enumerate(config.categories)}
    batch = learner.stack(clips.read_many(range(len(clips))))
    decided, likeliest = (found.numpy() for found in decide(*learner.predict(network, batch)))
    truth = truth_of(clips, numbers)
    figures = segment_accuracy(truth, decided), category_accuracy(truth, likeliest), foreground_accuracy(truth, decided)
    return [figure.of() for figure in figures]


def truth_of(clips: ClipSet[FeatureClip], numbers: dict[str, int]) -> np.ndarray:
    """[V, N] category numbers; a category without a number has one that no model gives."""
    rows = clips.rows["categories"].to_pylist()
    return np.array([[BACKGROUND if name is None else numbers.get(name, len(numbers)) for name in row] for row in rows])


def shown(values: np.ndarray) -> str:
    """Mean and half the width of its interval."""
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():.3f} +- {half:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    workspace, folder = Workspace(options.root), "features/events/coincidence"
    splitting = from_dict(SplittingConfig, workspace.stage("models/coincidence")["settings"]["splitting"])
    sets = load_features(
        workspace, "coincidence", SPLITS, splitting, workspace.parts(folder), "events", labelled_only=True
    )
    first = sets[0].rows.slice(0, 1).to_pylist()[0]
    sizes = {name: first[name] for name in ("num_segments", "num_cells", "visual_dim", "audio_dim")}
    categories = sorted({name for row in sets[0].rows["categories"].to_pylist() for name in row if name is not None})
    training = dataclasses.replace(TINY.training, num_steps=options.steps)
    common = dataclasses.replace(TINY, training=training, categories=tuple(categories), **sizes)
    truth = truth_of(sets[2], {name: number for number, name in enumerate(categories)})
    background = segment_accuracy(truth, np.full_like(truth, BACKGROUND)).of()
    print(f"{len(sets[0])} training and {len(truth)} test clips; always background {background:.3f}, ", end="")
    print(f"perfect category and never background {segment_accuracy(truth, whole_clips(truth)).of():.3f}", flush=True)
    for supervision, variants in VARIANTS.items():
        whole = np.zeros(options.seeds)
        for name, changes in variants.items():
            is_whole = name == next(iter(variants))
            began = time.monotonic()
            config = changed(dataclasses.replace(common, supervision=supervision), changes)
            is_trained = not name.startswith("untrained")
            networks = [fitted(config, seed, sets, is_trained) for seed in range(options.seeds)]
            figures = np.array([measure(config, network, sets[2]) for network in networks])
            whole = figures[:, 0] if is_whole else whole
            seconds = (time.monotonic() - began) / options.seeds
            said = " | ".join(shown(column) for column in figures.T)
            difference = "" if is_whole else shown(figures[:, 0] - whole)
            print(f"| {name} | {said} | {difference} | {seconds:.0f} s |", flush=True)


if __name__ == "__main__":
    main()
