"""What `events` begins and ends with: the model and what makes its features, and the line about what was done."""

from typing import TYPE_CHECKING, Any

from jobs.console.video_progress import format_pace, last_line
from pipeline.errors import ConfigError
from pipeline.formatting import format_number

if TYPE_CHECKING:
    import numpy as np

    from pipeline.clip_specs import ClipSpec
    from pipeline.clips.samples import Clip
    from pipeline.inference.locating import EventModel, Located


def load_event_model(root: str | None, model: str) -> "EventModel":
    """An events model behind the coincidence towers and the clip spec that its features were made with.

    Raises:
        ConfigError: there is no such model, it is not one for events, or its features cannot be made of a video: they
            were published, or the towers are not those of that time any more.
    """
    from pipeline.clip_specs import ClipSpecs
    from pipeline.clips.cutting import ShardingConfig
    from pipeline.config import from_dict
    from pipeline.inference.locating import EventModel
    from pipeline.learners.loading import check_model, load_model
    from pipeline.storage.workspace import open_workspace

    if root is None:
        raise ConfigError("events needs a model, and --root was not given.", "no model")
    workspace = open_workspace(root)
    learner, network = load_model(workspace, model, "events")
    features = f"features/{learner.clip_spec}/{workspace.stage(f'models/{model}')['settings']['features']}"
    record = workspace.stage(features)
    extractor = record["settings"].get("model")
    if extractor is None:
        raise ConfigError(
            f"model {model}: learnt from the published features {features}, which cannot be made of a video here. "
            "Expected a model of features by `earshot features`. Train one on your own clips."
        )
    towers_now = check_model(workspace, extractor, "coincidence")
    if not towers_now.items() <= record["inputs"].items():
        raise ConfigError(
            f"model {model}: {features} was made with another models/{extractor} than there is now. Make the features "
            "again under another name, and train a model on them."
        )
    _, towers = load_model(workspace, extractor, "coincidence")
    cut = workspace.stage(f"clips/{learner.clip_spec}")["settings"]
    spec = getattr(from_dict(ClipSpecs, cut["clips"]), learner.clip_spec)
    return EventModel(
        spec=spec,
        jpeg_quality=from_dict(ShardingConfig, cut["sharding"]).jpeg_quality,
        categories=tuple(learner.config.categories),
        predict=_Prediction(learner, network, towers, spec),
    )


class _Prediction:
    """Clips -> features, as they are stored -> what the events model says."""

    def __init__(self, learner: Any, network: Any, towers: Any, spec: "ClipSpec") -> None:
        self._learner, self._network, self._towers, self._spec = learner, network, towers, spec

    def __call__(self, clips: "list[Clip]") -> "tuple[np.ndarray, np.ndarray]":
        import torch

        from pipeline.features.extracting import extract

        batch = self._learner.stack(extract(self._towers, self._spec, clips))
        device = next(self._network.parameters()).device
        with torch.inference_mode():
            # features are stored as half floats, and the model has learnt from those
            event, category = self._learner.predict(
                self._network, {name: values.half().to(device) for name, values in batch.items()}
            )
        return event.float().cpu().numpy(), category.float().cpu().numpy()


def summary(results: "list[Located]", num_videos: int, elapsed_s: float, out: str) -> str:
    """The last line: how many events there are in how much video."""
    length_s, num_events = sum(result.duration_s for result in results), sum(len(result.events) for result in results)
    facts = f"{num_events} event{'s' * (num_events != 1)} in {format_number(length_s, 4)} s of video, found in "
    return last_line("events", len(results), num_videos, facts + format_pace(length_s, elapsed_s), out)
