"""What a training begins with: settings and inputs that the model's record keeps, and the clips that it draws from."""

from typing import Any, NamedTuple

from pipeline.clips.splitting import SplittingConfig
from pipeline.hashing import as_dict
from pipeline.learners.loading import check_model
from pipeline.learners.sources import complete_config, file_inputs, read_stages
from pipeline.storage.lineage import check_unused
from pipeline.storage.workspace import Workspace
from pipeline.training.clipsets import begun_parts
from pipeline.training.protocols import Learner


class TrainingPlan(NamedTuple):
    """What follows from a learner's config before its training begins."""

    settings: dict[str, Any]
    """Of the model's record: all that its weights follow from, but for what is read."""
    inputs: dict[str, str]
    """The hash of each stage, model and file that is read, by its name."""
    clips: str
    """The stage whose parts are drawn from."""
    num_parts: int
    """That it has now; a training that was begun goes on with those of then."""


def plan_training(
    workspace: Workspace,
    learner: Learner[Any],
    folder: str,
    seed: int,
    splitting: SplittingConfig,
    selection: str,
    features: str,
) -> TrainingPlan:
    """The plan of the model in `folder`.

    Args:
        selection, features: names of those that the learner reads if it reads any.
    Raises:
        ConfigError: something that it reads is not there, is of another learner, or has no training clip that it can
            learn from; or the model was removed, and others are still there that were made with it.
    """
    reads = read_stages(learner, selection, features)
    num_parts = [len(workspace.require(read)) for read in reads][-1]
    inputs = {read: workspace.stage(read)["hash"] for read in reads}
    for model, of_learner in learner.builds_on().items():
        inputs |= check_model(workspace, model, of_learner)
    inputs |= file_inputs(learner)
    settings = {"learner": learner.name, learner.name: as_dict(learner.config), "seed": seed}
    settings |= {"splitting": as_dict(splitting)}
    settings |= {"selection": selection if learner.reads == "selection" else None}
    settings |= {"features": features} if learner.reads == "features" else {}
    if not workspace.has_stage(folder):
        check_unused(workspace, folder)  # before the training that would make them useless
    begun = begun_parts(workspace, folder, reads[-1])
    settings[learner.name] = as_dict(complete_config(workspace, learner, settings, begun))
    return TrainingPlan(settings, inputs, reads[-1], num_parts)
