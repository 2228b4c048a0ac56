"""What a learner reads: stages, and the clips or features of their parts. Only here `Learner.reads` is looked at."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.clips.splitting import SplittingConfig
from pipeline.config import from_dict
from pipeline.errors import ConfigError, DataError
from pipeline.features.feature_sets import load_features
from pipeline.hashing import hash_bytes
from pipeline.learners.judged_pairs import load_pairs
from pipeline.learners.vector_sets import load_vectors, read_vector_clips
from pipeline.masks.masked_clips import load_masked
from pipeline.outside.vectors import check_vectors, table_of
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, MASKS_FOLDER, SPANS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet
from pipeline.training.clipsets import count_videos, load_selected, load_splits
from pipeline.training.protocols import Learner
from pipeline.training.reading import read_clips
from pipeline.training.weight_files import read_weights
from pipeline.training.word_clips import load_words


def read_stages(learner: Learner[Any], selection: str, features: str) -> list[str]:
    """The stages that a learner reads; the last one has the parts of its clips.

    Args:
        selection, features: names of those that it reads if it reads any.
    Raises:
        ConfigError: it reads a selection of clips that no selection is of, or columns that are no imported ones.
    """
    clips = f"clips/{learner.clip_spec}"
    if learner.reads == "features":
        return [SPANS_FOLDER, f"features/{learner.clip_spec}/{features}"]
    if learner.reads == "clips":
        return [clips]
    if learner.reads == "vectors":
        return [*dict.fromkeys(map(table_of, learner.vector_columns)), clips]
    if learner.reads == "pairs":
        return [f"scores/{learner.config.first_model}", clips]
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
    if learner.reads == "vectors":
        picture, sound = learner.vector_columns
        return [*load_vectors(workspace, (picture, sound), splits, splitting, parts, learner.clip_spec)]
    if learner.reads == "pairs":
        return [*load_pairs(workspace, learner.config.pairs, learner.config.first_model, splits, splitting, parts)]
    if learner.reads == "masks":
        return load_masked(workspace, splits, splitting, parts, learner.clip_spec)
    if learner.reads == "words":
        return load_words(workspace, splits, splitting, parts, learner.clip_spec, *learner.word_window)
    name, spec = settings["features"], learner.clip_spec
    return load_features(workspace, name, splits, splitting, parts, spec, learner.needs_labels)


def read_samples(
    workspace: Workspace,
    learner: Learner[Any],
    part: str,
    keys: list[str],
    batch_size: int,
    errors: dict[str, DataError],
) -> Iterator[list[Any]]:
    """What a trained coincidence model is given of the clips of a part, in order: clips, or their imported vectors.

    Args:
        keys: of the clips, in the order of their tar.
        batch_size: clips at a time.
        errors: gets each clip that is left out, with what is wrong with it: damaged, or without a vector.
    Raises:
        ConfigError: the columns that it needs are not there.
        DataError: as `read_clips`.
    """
    if not learner.vector_columns:
        yield from read_clips(workspace, f"clips/{learner.clip_spec}", part, keys, batch_size, errors)
        return
    picture, sound = learner.vector_columns
    left = set(keys)
    for clips in read_vector_clips(workspace, (picture, sound), part, keys, batch_size):
        left.difference_update(clip.key for clip in clips)
        yield clips
    errors |= {key: DataError(f"{key}: no vector in {picture} or {sound}.") for key in keys if key in left}


def vector_inputs(workspace: Workspace, learner: Learner[Any]) -> dict[str, str]:
    """The hash of each imported table that a learner reads, by its stage: inputs of what is made with it.

    Raises:
        ConfigError: there is no such table or column.
    """
    return {table_of(where): check_vectors(workspace, where, learner.clip_spec) for where in learner.vector_columns}


def file_inputs(learner: Learner[Any]) -> dict[str, str]:
    """The hash of each file outside the workspace that a learner reads, by what it is for: inputs of its model.

    Raises:
        DataError: one is missing, or holds other things than the weights that it is read for.
    """
    found = {f"weights {part}": read_weights(uri)[1] for part, uri in learner.weight_files().items()}
    if learner.reads == "pairs":
        with files.local_copy(learner.config.pairs) as path:
            found["pairs"] = hash_bytes(path.read_bytes())
    return found


def count_held_out(
    workspace: Workspace, learner: Learner[Any], settings: Mapping[str, Any], parts: Sequence[str], enough: int
) -> int:
    """How many videos the best weights are chosen on, counted up to `enough`. Other arguments as of `load_sets`."""
    if learner.reads in ("features", "masks", "words", "vectors", "pairs"):
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
            mask, a word or vectors, or no pair of both kinds, and it reads these.
    """
    if not learner.decided_by_clips and learner.reads not in ("masks", "pairs"):
        return learner.config
    (clips,) = load_sets(workspace, learner, settings, ("train",), parts)
    if not len(clips) and learner.reads == "vectors":
        raise ConfigError(
            f"coincidence.inputs = {','.join(learner.vector_columns)}: no kept clip of a training video has a vector "
            "in both. Expected vectors of the clips of a few hundred videos."
        )
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
