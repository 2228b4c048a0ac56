"""Learners by name, and trained models from the folder that training left, `models/<name>/`.

The command that starts workers only checks that a model can be loaded (`check_model`); a worker loads it.
"""

from typing import Any

from pipeline.errors import ConfigError
from pipeline.learners import LEARNERS, Entry
from pipeline.storage.workspace import Workspace


def find_entry(learner: str) -> Entry:
    """The registry's entry of a learner.

    Raises:
        ConfigError: there is no such learner.
    """
    if learner not in LEARNERS:
        raise ConfigError(f"learner `{learner}`: expected one of {', '.join(LEARNERS)}.")
    return LEARNERS[learner]


def build(learner: str, config: dict[str, Any]) -> Any:
    """The learner of that name with a config read from JSON. Raises as `find_entry`."""
    from pipeline.config import from_dict

    entry = find_entry(learner)
    return entry.build(from_dict(entry.learner().config_class, config))


def rebuild(workspace: Workspace, model: str, learner: str) -> Any:
    """The learner that trained a model, with the config in the model's record.

    Raises:
        ConfigError: there is no such model, or it is not of this learner.
    """
    return build(learner, _stage(workspace, model, learner)["settings"][learner])


def learner_of(workspace: Workspace, model: str) -> str:
    """Name of the learner that a model is of.

    Raises:
        ConfigError: there is no such model.
    """
    learner: str = workspace.stage(f"models/{model}")["settings"]["learner"]
    return learner


def trained_models(workspace: Workspace) -> list[str]:
    """Names of the models whose training has finished, sorted."""
    return [name for name in workspace.names("models") if workspace.is_finished(f"models/{name}")]


def check_model(workspace: Workspace, model: str, learner: str) -> dict[str, str]:
    """The hash of a trained model's weights, by its folder: an input of a stage that uses it. Reads no weights.

    Raises:
        ConfigError: there is no such model, it is not of this learner, or its training has not finished.
    """
    stage = _stage(workspace, model, learner)
    if "content" not in stage:
        raise workspace.error(f"models/{model}", "not trained yet.", learner=learner)
    return {f"models/{model}": stage["content"]}


def check_towers(workspace: Workspace, model: str) -> None:
    """Refuse a coincidence model of imported vectors where frames and sound are to be judged.

    Raises:
        ConfigError: there is no such model, or it has no towers.
    """
    if inputs := _stage(workspace, model, "coincidence")["settings"]["coincidence"].get("inputs"):
        raise ConfigError(
            f"{workspace.uri('models', model)}: a model of the imported vectors {' and '.join(inputs)}, which has no "
            "towers for frames and sound. Expected a coincidence model of clips."
        )


def load_model(workspace: Workspace, model: str, learner: str) -> tuple[Any, Any]:
    """A learner and its trained network, built from the record of `models/<model>/`.

    Raises:
        ConfigError: there is no such model, it is not of this learner, or its training has not finished.
    """
    import torch  # here, because evaluations are listed without it

    from pipeline.training.checkpointing import load_weights

    built = rebuild(workspace, model, learner)
    network = built.model().eval().to("cuda" if torch.cuda.is_available() else "cpu")
    load_weights(network, workspace, f"models/{model}")
    return built, network


def train_job(context: Any, job: dict[str, Any]) -> None:
    """What each training process runs. `job` is the model's record, and root, folder and parts: plain JSON types."""
    from pipeline.learners.sources import load_sets
    from pipeline.training.loop import train

    workspace, learner = Workspace(job["root"]), build(job["learner"], job[job["learner"]])
    clips = load_sets(workspace, learner, job, ("train", "validate"), job["parts"])
    train(learner, clips[0], clips[1], workspace, job["folder"], job["seed"], context)


def _stage(workspace: Workspace, model: str, learner: str) -> dict[str, Any]:
    if not workspace.has_stage(f"models/{model}"):
        raise workspace.error(f"models/{model}", "nothing there yet.", learner=learner)
    found = learner_of(workspace, model)
    if found != learner:
        raise ConfigError(f"{workspace.uri('models', model)}: a model of {found}, expected one of {learner}.")
    return workspace.stage(f"models/{model}")
