"""One file per seed system: its batches, model, loss and evaluation. `load_model` brings a trained one back."""

from typing import Any

import torch

from pipeline.artifacts import Workspace
from pipeline.config import from_dict
from pipeline.errors import ConfigError
from pipeline.learners.coincidence import CoincidenceLearner, CoincidenceLearnerConfig
from pipeline.learners.separation import SeparationLearner, SeparationLearnerConfig
from pipeline.training import load_weights

LEARNERS: dict[str, tuple[Any, Any]] = {
    "coincidence": (CoincidenceLearner, CoincidenceLearnerConfig),
    "separation": (SeparationLearner, SeparationLearnerConfig),
}


def build(name: str, config: dict[str, Any]) -> Any:
    """The learner `name` with a config read from JSON.

    Raises:
        ConfigError: there is no such learner.
    """
    if name not in LEARNERS:
        raise ConfigError(f"learner `{name}`: expected one of {', '.join(LEARNERS)}.")
    learner, config_class = LEARNERS[name]
    return learner(from_dict(config_class, config))


def load_model(workspace: Workspace, run: str, expected: str) -> tuple[Any, torch.nn.Module]:
    """A trained model and its learner, built from what `models/<run>/` says of itself.

    Raises:
        ConfigError: there is no such model, it is not of the learner `expected`, or its training has not finished.
    """
    stage = workspace.stage(f"models/{run}")
    if stage["config"]["learner"] != expected:
        found = stage["config"]["learner"]
        raise ConfigError(f"{workspace.uri('models', run)}: a {found} model, expected a {expected} model.")
    learner = build(stage["config"]["learner"], stage["config"]["config"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = learner.model().eval().to(device)
    load_weights(model, workspace, f"models/{run}")
    return learner, model
