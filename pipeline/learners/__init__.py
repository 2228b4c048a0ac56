"""One file per seed system: its batches, model, loss and evaluation. A worker brings a trained one back (`load_model`);
the command that starts the workers only asks whether they can (`check_model`).
"""

from typing import Any

import torch

from pipeline.config import from_dict
from pipeline.errors import ConfigError
from pipeline.learners.coincidence import CoincidenceLearner, CoincidenceLearnerConfig
from pipeline.learners.separation import SeparationLearner, SeparationLearnerConfig
from pipeline.storage.workspace import Workspace
from pipeline.training.checkpointing import load_weights

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


def check_model(workspace: Workspace, run: str, expected: str) -> dict[str, str]:
    """The hash of a trained model's weights, by its folder: what a stage that uses it has as input. Reads no weights.

    Raises:
        ConfigError: there is no such model, it is not of the learner `expected`, or its training has not finished.
    """
    stage = _stage(workspace, run, expected)
    if "content" not in stage:
        where, facts = workspace.uri("models", run), {"folder": f"models/{run}", "root": workspace.root}
        raise ConfigError(f"{where}: not trained yet.", "missing", learner=expected, **facts)
    return {f"models/{run}": stage["content"]}


def load_model(workspace: Workspace, run: str, expected: str) -> tuple[Any, Any]:
    """A trained model and its learner, built from what `models/<run>/` says of itself.

    Raises:
        ConfigError: there is no such model, it is not of the learner `expected`, or its training has not finished.
    """
    stage = _stage(workspace, run, expected)
    learner = build(expected, stage["settings"][expected])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = learner.model().eval().to(device)
    load_weights(model, workspace, f"models/{run}")
    return learner, model


def _stage(workspace: Workspace, run: str, expected: str) -> dict[str, Any]:
    stage = workspace.stage(f"models/{run}")
    found = stage["settings"]["learner"]
    if found != expected:
        raise ConfigError(f"{workspace.uri('models', run)}: a {found} model, expected a {expected} model.")
    return stage
