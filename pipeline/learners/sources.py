"""What a learner reads: stages, and the clips or features of their parts. Only here `Learner.reads` is looked at."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.clips.splitting import SplittingConfig
from pipeline.config import from_dict
from pipeline.errors import ConfigError
from pipeline.features.feature_sets import load_features
from pipeline.masks.masked_clips import load_masked
from pipeline.storage.layout import CLIPS_FOLDER, MASKS_FOLDER, SPANS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet
from pipeline.training.clipsets import count_videos, load_selected, load_splits
from pipeline.training.protocols import Learner
from pipeline.training.word_clips import load_words


def read_stages(learner: Learner[Any], selection: str, features: str) -> list[str]:
    """The stages that a learner reads; the last one has the parts of its clips.

    Args:
        selection, features: names of those that it reads if it reads any.
    Raises:
        ConfigError: it reads a selection of clips that no selection is of.
    """
    clips = f"clips/{learner.clip_spec}"
    if learner.reads == "features":
        return [SPANS_FOLDER, f"features/{learner.clip_spec}/{features}"]
    if learner.reads == "clips":
        return [clips]
    if learner.reads == "masks":
        return [MASKS_FOLDER, clips]
    if learner.reads == "words":
        return [SPANS_FOLDER, clips]
    if clips != CLIPS_FOLDER:
        raise ConfigError(f"{learner.name}: reads a selection of {clips}; selections are of {CLIPS_FOLDER} alone.")
    return [clips, f"selections/{selection}"]


def load_sets(
    workspace: Workspace,
    learner: Learner[Any],
    settings: Mapping[str, Any],
    splits: Sequence[str],
    parts: Sequence[str],
) -> list[ClipSet[Any]]:
    """What a learner draws from of each of the splits, of these parts.

    Args:
        settings: of the model's record: `splitting`, and `selection` or `features`.
    """
    if learner.reads == "selection":
        return load_selected(workspace, settings["selection"], splits, parts, labelled=True)
    splitting = from_dict(SplittingConfig, settings["splitting"])
    if learner.reads == "clips":
        return load_splits(workspace, splits, splitting, parts, learner.clip_spec)
    if learner.reads == "masks":
        return load_masked(workspace, splits, splitting, parts, learner.clip_spec)
    if learner.reads == "words":
        return load_words(workspace, splits, splitting, parts, learner.clip_spec, *learner.word_window)
    name, spec = settings["features"], learner.clip_spec
    return load_features(workspace, name, splits, splitting, parts, spec, learner.needs_labels)


def count_held_out(
    workspace: Workspace, learner: Learner[Any], settings: Mapping[str, Any], parts: Sequence[str], enough: int
) -> int:
    """How many videos the best weights are chosen on, counted up to `enough`. Other arguments as of `load_sets`."""
    if learner.reads in ("features", "masks", "words"):
        (clips,) = load_sets(workspace, learner, settings, ("validate",), parts)
        return min(enough, clips.num_videos)
    splitting = from_dict(SplittingConfig, settings["splitting"])
    return count_videos(workspace, "validate", settings["selection"], splitting, parts, learner.clip_spec, enough)


def complete_config(
    workspace: Workspace, learner: Learner[Any], settings: Mapping[str, Any], parts: Sequence[str]
) -> Any:
    """The learner's config with what its training clips decide. Arguments as of `load_sets`.

    Raises:
        ConfigError: there is no training clip of a video that people judged, and the learner needs one; or none with a
            mask or a word, and it reads these.
    """
    if not learner.decided_by_clips and learner.reads != "masks":
        return learner.config
    (clips,) = load_sets(workspace, learner, settings, ("train",), parts)
    if not len(clips) and learner.reads == "masks":
        raise ConfigError(
            f"{workspace.place(MASKS_FOLDER)}: no mask that is kept is of a frame of clips/{learner.clip_spec} of a "
            "training video. Expected masks at the times of these frames, to half a frame of the video."
        )
    if not len(clips) and learner.reads == "words":
        num_frames = learner.word_window[1]
        raise ConfigError(
            f"{workspace.place(SPANS_FOLDER)}: no word lies in a kept clip of clips/{learner.clip_spec} of a training "
            f"video, with {num_frames} frames around its middle and one face alone in view. Expected some."
        )
    if not len(clips):
        place = workspace.place(read_stages(learner, "", settings["features"])[-1])
        raise workspace.error(SPANS_FOLDER, f"no span is of a training video that has features in {place}.")
    return learner.complete_config(clips)
