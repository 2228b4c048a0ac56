"""What judged pairs teach a classifier, and that they teach nothing else."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.console.presets import preset
from pipeline.clips.splitting import SplittingConfig, split_of
from pipeline.hashing import as_dict
from pipeline.learners import LEARNERS
from pipeline.learners.coincidence_config import CoincidenceLearnerConfig
from pipeline.learners.loading import load_model
from pipeline.learners.vector_sets import VectorClip
from pipeline.models.projections import ProjectionConfig
from pipeline.storage.workspace import Workspace
from pipeline.training.checkpointing import MAGIC
from schemas.scores import SCORES
from tests.helpers.command import earshot
from tests.helpers.vectors import clip_ids, write_root, write_scores

SPLITTING = SplittingConfig(validate_fraction=0.1, test_fraction=0.2)  # of the preset tiny
DIM = 8


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A model m of projections as they were drawn, and scores of 200 videos by it."""
    workspace = write_root(tmp_path_factory.mktemp("pairs") / "root", num_videos=200, num_parts=2, clips_per_video=1)
    config = CoincidenceLearnerConfig(
        inputs=("clip.image", "clap.audio"),
        input_dims=(DIM, DIM),
        projection=ProjectionConfig(embedding_dim=DIM),
        model=dataclasses.replace(preset("tiny").coincidence.model, matcher="product"),
    )
    torch.manual_seed(0)
    model = LEARNERS["coincidence"].build(config).model()
    settings = {"learner": "coincidence", "coincidence": as_dict(config), "splitting": as_dict(SPLITTING)}
    workspace.begin("models/m", settings, {})
    path = Path(workspace.uri("models/m", "model.pt"))
    path.parent.mkdir(parents=True)
    torch.save({"model": model.state_dict()}, path)
    assert path.read_bytes().startswith(MAGIC)
    workspace.finish("models/m", content="drawn")
    vectors = np.random.default_rng(0).standard_normal((2, 200, DIM)).astype(np.float32)
    write_scores(workspace, "m", *(rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in vectors))
    return workspace


def test_a_classifier_learns_what_people_mean_by_a_match_and_the_projections_stay(
    root: Workspace, tmp_path: Path
) -> None:
    """People say that a pair matches where the first of the 8 numbers of both embeddings has one sign."""
    ids = clip_ids(root)
    scores = root.read_all("scores/m", SCORES).to_pylist()
    first = {side: [row[f"{side}_embedding"][0] > 0 for row in scores] for side in ("visual", "audio")}
    split = [split_of(key[:10], SPLITTING) for key in ids]
    drawn = np.random.default_rng(2).random((len(ids), len(ids)))
    share = {"train": 0.1, "validate": 1.0, "test": 0.0}
    chosen = [(a, b) for a, b in np.ndindex(drawn.shape) if split[a] == split[b] and drawn[a, b] < share[split[a]]]
    lines = [f"{ids[a]},{ids[b]},{int(first['visual'][a] == first['audio'][b])}" for a, b in chosen]
    (tmp_path / "pairs.csv").write_text("\n".join(["picture,sound,match", *lines]) + "\n")
    sets = ("--set", "coincidence.first_model=m", "--set", "coincidence.pair_training.num_steps=400")
    steps = (*sets, "--set", "coincidence.pair_training.learning_rate=0.01", "--workers", "0", "--root", root.root)
    code, _, err = earshot("train", "coincidence", "--pairs", str(tmp_path / "pairs.csv"), "--name", "judged", *steps)
    assert code == 0, err
    record = root.stage("models/judged")
    figures = record["figures"]
    assert figures["validate_cosine_auc"] < 0.75
    assert figures["validate_match_auc"] > 0.9
    assert figures["validate_match_auc_low"] < figures["validate_match_auc"] < figures["validate_match_auc_high"]
    assert figures["validate_match_calibration_error"] < 0.2
    assert figures["validate_num_pairs"] == split.count("validate") ** 2
    assert record["inputs"].keys() == {"scores/m", "clips/base", "models/m", "pairs"}

    (learner, judged), (_, plain) = (load_model(root, name, "coincidence") for name in ("judged", "m"))
    for name, weights in plain.state_dict().items():
        changed = not torch.equal(weights, judged.state_dict()[name])
        assert changed == name.startswith(("matcher.", "match_")), name
    pair = VectorClip("", *np.ones((2, DIM), np.float32))
    assert (
        learner.embed(judged, [pair])[1].tolist()
        == LEARNERS["coincidence"]
        .build(CoincidenceLearnerConfig(inputs=("a.b", "c.d"), input_dims=(DIM, DIM)))
        .embed(plain, [pair])[1]
        .tolist()
    )


def test_pairs_are_refused_before_anything_is_written(root: Workspace, tmp_path: Path) -> None:
    one, two = clip_ids(root)[:2]
    (tmp_path / "pairs.csv").write_text(f"picture,sound,match\n{one},gone,1\n{one},{two},0\n")
    pairs = ("train", "coincidence", "--pairs", str(tmp_path / "pairs.csv"), "--root", root.root, "--workers", "0")
    first = ("--set", "coincidence.first_model=m")
    for options, message in (
        ((*first, "--name", "x"), "no clip that m has scored has the name in row 1: gone."),
        ((*first, "--name", "m"), "learns on top of models/m, which stays. Give another --name"),
        (("--set", "coincidence.first_model=none_yet", "--name", "x"), "models/none_yet: nothing there yet"),
    ):
        code, _, err = earshot(*pairs, *options)
        assert (code, message in err) == (2, True), err
        assert not root.has_stage("models/x")
