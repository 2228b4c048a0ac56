"""What `segment` begins and ends with: a model with its clip spec, and the line about what was done."""

from typing import TYPE_CHECKING, Any

from jobs.console.video_progress import format_pace, last_line
from pipeline.errors import ConfigError
from pipeline.formatting import format_number

if TYPE_CHECKING:
    import numpy as np

    from pipeline.inference.segmenting import SegmentationModel, Segmented


def load_segmentation_model(root: str | None, model: str) -> "SegmentationModel":
    """A segmentation model with the clip spec and the frames' quality that it was trained on.

    Raises:
        ConfigError: there is no such model, or it is not one for segmentation.
    """
    from pipeline.clip_specs import ClipSpecs
    from pipeline.clips.cutting import ShardingConfig
    from pipeline.config import from_dict
    from pipeline.inference.segmenting import SegmentationModel
    from pipeline.ingest.published_clips import JPEG_QUALITY  # of clips that no stage has cut
    from pipeline.learners.loading import load_model
    from pipeline.storage.workspace import open_workspace

    if root is None:
        raise ConfigError("segment needs a model, and --root was not given.", "no model")
    workspace = open_workspace(root)
    learner, network = load_model(workspace, model, "segmentation")
    cut = workspace.stage(f"clips/{learner.clip_spec}")["settings"]
    return SegmentationModel(
        spec=getattr(from_dict(ClipSpecs, cut["clips"]), learner.clip_spec),
        jpeg_quality=from_dict(ShardingConfig, cut["sharding"]).jpeg_quality if "sharding" in cut else JPEG_QUALITY,
        predict=_Prediction(learner, network),
    )


class _Prediction:
    """Frames and sound as numbers of numpy -> what the model says."""

    def __init__(self, learner: Any, network: Any) -> None:
        self._learner, self._network = learner, network

    def __call__(self, frames: "np.ndarray", sound: "np.ndarray") -> "np.ndarray":
        import torch

        device = next(self._network.parameters()).device
        with torch.inference_mode():
            pixels = torch.from_numpy(frames).to(device).float().div_(255)
            probability = self._learner.predict(self._network, pixels, torch.from_numpy(sound).to(device))
        return probability.float().cpu().numpy()


def summary(results: "list[Segmented]", num_videos: int, elapsed_s: float, out: str) -> str:
    """The last line: how many masks there are of how much video."""
    length_s, num_masks = sum(result.duration_s for result in results), sum(result.num_masks for result in results)
    facts = f"{num_masks} mask{'s' * (num_masks != 1)} of {format_number(length_s, 4)} s of video in "
    return last_line("segment", len(results), num_videos, facts + format_pace(length_s, elapsed_s), out)
