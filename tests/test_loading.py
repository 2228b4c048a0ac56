"""Learners by name, and models from the folder that a training run left."""

from pathlib import Path

import pytest
import torch

from pipeline.clips.splitting import SplittingConfig
from pipeline.errors import ConfigError
from pipeline.hashing import as_dict
from pipeline.learners.coincidence import CoincidenceLearner
from pipeline.learners.coincidence_config import CoincidenceLearnerConfig
from pipeline.learners.loading import build, load_model
from pipeline.learners.matching import MatchingConfig
from pipeline.learners.separation import SeparationLearner
from pipeline.learners.separation_config import SeparationLearnerConfig
from pipeline.models.separator import SeparationConfig
from pipeline.models.tdcn import TDCNConfig
from pipeline.models.towers import CoincidenceConfig
from pipeline.storage.workspace import Workspace
from pipeline.training.loop import train
from pipeline.training.protocols import LocalContext, TrainingConfig
from tests.helpers.clips import load_split

TOWERS = CoincidenceConfig(backbone="small_cnn", frame_size=32, width=0.25, embedding_dim=16)
COINCIDENCE = CoincidenceLearnerConfig(
    model=TOWERS,
    training=TrainingConfig(num_steps=2, batch_size=3, validate_every=1, num_validation_batches=1),
    matching=MatchingConfig(num_batches=2, num_steps=5, num_held_out_batches=2),
)
BODY = TDCNConfig(bottleneck=8, hidden=8, num_repeats=1, num_dilations=2)
SEPARATION = SeparationLearnerConfig(model=SeparationConfig(tdcn=BODY, towers=TOWERS), first_separator=None)


def test_a_trained_model_is_built_again_from_what_its_folder_says(workspace: Workspace) -> None:
    clips = load_split(workspace, "train", SplittingConfig())
    learner = CoincidenceLearner(COINCIDENCE)
    workspace.begin("models/coincidence", {"learner": "coincidence", "coincidence": as_dict(COINCIDENCE)}, {})
    with pytest.raises(ConfigError, match="not trained yet"):
        load_model(workspace, "coincidence", "coincidence")
    train(learner, clips, clips, workspace, "models/coincidence", 0, LocalContext())
    found, model = load_model(workspace, "coincidence", "coincidence")
    assert found.config == COINCIDENCE
    assert not model.training

    separating = SeparationLearner(SEPARATION)
    fresh = separating.model()
    separating.initialise(fresh, workspace)
    for tower in ("visual_tower", "audio_tower"):
        start, trained = getattr(fresh.classifier, tower).state_dict(), getattr(model, tower).state_dict()
        assert start.keys() == trained.keys()
        assert all(torch.equal(start[name], trained[name]) for name in start)


def test_a_learner_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="learner `telepathy`: expected one of coincidence, separation"):
        build("telepathy", {})


def test_a_separation_model_needs_the_coincidence_model_it_starts_from(tmp_path: Path) -> None:
    learner = SeparationLearner(SEPARATION)
    with pytest.raises(ConfigError, match="models/coincidence"):
        learner.initialise(learner.model(), Workspace(str(tmp_path)))
