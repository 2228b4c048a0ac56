"""What `separate` begins and ends with: the model, and the line about what was done, its speed and its memory."""

import dataclasses
from typing import TYPE_CHECKING, Any

from jobs.console.video_progress import format_pace, last_line
from pipeline.errors import ConfigError
from pipeline.formatting import format_number

if TYPE_CHECKING:
    from pipeline.clip_specs import ClipSpec
    from pipeline.inference.separating import Separated


def load_separation(root: str | None, model: str) -> "tuple[ClipSpec, Any, bool]":
    """The clip spec that a separation model was trained on, the network, and whether it knows what is on screen.

    Raises:
        ConfigError: there is no such model, or it is not one for separation.
    """
    from pipeline.clip_specs import ClipSpecs
    from pipeline.config import from_dict
    from pipeline.learners.loading import load_model
    from pipeline.storage.workspace import open_workspace

    if root is None:
        raise ConfigError("separate needs a model, and --root was not given.", "no model")
    workspace = open_workspace(root)
    learner, network = load_model(workspace, model, "separation")
    specs = from_dict(ClipSpecs, workspace.stage(f"clips/{learner.clip_spec}")["settings"]["clips"])
    spec = getattr(specs, learner.clip_spec)
    if not spec.num_frames:  # the network takes frames: one in each window, black where there is no picture
        spec = dataclasses.replace(spec, frame_rate_hz=1 / spec.clip_s)
    return spec, network, learner.config.phase == "joint"


def summary(results: "list[Separated]", num_videos: int, elapsed_s: float, out: str) -> str:
    """The last line: how much sound was separated, and how much of its power is on screen."""
    length_s = sum(result.duration_s for result in results)
    shares = [(result.kept_share, result.duration_s) for result in results if result.kept_share is not None]
    facts = f"{format_number(length_s, 4)} s of sound in {format_pace(length_s, elapsed_s)}"
    if shares:
        mean = sum(share * duration_s for share, duration_s in shares) / sum(duration_s for _, duration_s in shares)
        facts += f", {mean:.0%} of the power on screen"
    return last_line("separate", len(results), num_videos, facts, out)
