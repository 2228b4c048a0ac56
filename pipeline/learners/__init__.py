"""One file per seed system: its batches, model, loss and evaluation. `build` turns a saved config back into one."""

from typing import Any

from pipeline.config import from_dict
from pipeline.errors import ConfigError
from pipeline.learners.coincidence import CoincidenceLearner, CoincidenceLearnerConfig
from pipeline.learners.separation import SeparationLearner, SeparationLearnerConfig

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
