"""Clips -> features of each second by the towers of a coincidence model: one sample and one row per kept clip.

A clip whose sound or picture cannot be decoded gets a row without a place in the tar, and is drawn by no training.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pipeline.clip_specs import ClipSpec
from pipeline.clips.samples import Clip
from pipeline.clips.tars import TarWriter
from pipeline.errors import ConfigError, DataError
from pipeline.features.feature_samples import FeatureClip, encode
from pipeline.models.segment_features import segment_features
from pipeline.models.towers import CoincidenceModel
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from pipeline.training.reading import read_clips
from schemas.clips import CLIPS
from schemas.features import FEATURES, FeatureRow
from schemas.fields import from_rows
from schemas.samples import FeatureFacts

# Frames per forward pass: the first layer of a MobileNet tower takes 0.5 MB for each, and a worker has 2 GiB.
BATCH_FRAMES = 160


def check_clips(name: str, spec: ClipSpec, rate_hz: int) -> None:
    """Refuse clips that have no features per second.

    Args:
        name: of the clip spec.
        rate_hz: sample rate that the model's audio tower expects.
    Raises:
        ConfigError: there are no frames, or no whole number of seconds or of frames per second, or another rate.
    """
    if not spec.num_frames:
        raise ConfigError(f"clips/{name}: clips of sound alone have no visual features; expected clips with frames.")
    if spec.clip_s % 1:
        raise ConfigError(
            f"clips.{name}.clip_s = {spec.clip_s:g}: expected a whole number of seconds, because each has its features."
        )
    if spec.frame_rate_hz % 1:
        raise ConfigError(
            f"clips.{name}.frame_rate_hz = {spec.frame_rate_hz:g}: expected a whole number of frames per second."
        )
    if spec.sample_rate_hz != rate_hz:
        raise ConfigError(
            f"clips.{name}.sample_rate_hz = {spec.sample_rate_hz}: expected {rate_hz}, the rate of the model."
        )


class FeaturesPart:
    """Extracts the features of one part of clips. Loads the model at its first part and keeps it.

    Args:
        spec_name: of the clips, as in `ClipSpecs`; they pass `check_clips`.
        name: of the features.
        load: gives a coincidence learner and its trained network.
    """

    def __init__(
        self, workspace: Workspace, spec_name: str, spec: ClipSpec, name: str, load: Callable[[], tuple[Any, Any]]
    ) -> None:
        self._workspace, self._spec, self._load = workspace, spec, load
        self._source, self._folder = f"clips/{spec_name}", f"features/{spec_name}/{name}"
        self._model: CoincidenceModel | None = None

    def __call__(self, part: str) -> dict[str, int]:
        """Write the features of every kept clip of the part, and its rows; return how many, and how many are damaged.

        Raises:
            DataError: the tar is not what its rows promise, none of its several clips can be decoded, or features are
                beyond half floats.
        """
        self._model = model = self._model or self._load()[1]
        workspace, spec = self._workspace, self._spec
        read = workspace.read(self._source, part, CLIPS, ["clip_id", "video_id", "start_s", "outcome"]).to_pylist()
        kept = [row for row in read if row["outcome"] == "kept"]
        keys = [row["clip_id"] for row in kept]
        damaged: dict[str, DataError] = {}
        places: dict[str, tuple[int, int]] = {}
        with files.building(workspace.tar_uri(self._folder, part)) as path, TarWriter(path) as tar:
            batch_size = max(1, BATCH_FRAMES // spec.num_frames)
            for clips in read_clips(workspace, self._source, part, keys, batch_size, damaged):
                for clip in extract(model, spec, clips):
                    places[clip.key] = tar.add(clip.key, encode(clip))
        num_rows, num_columns = model.visual_tower.cells(spec.frame_height, spec.frame_width)
        rows: list[FeatureRow] = []
        for row in kept:
            offset, length = places.get(row["clip_id"], (None, None))
            rows.append(
                {
                    "clip_id": row["clip_id"],
                    "video_id": row["video_id"],
                    "start_s": row["start_s"],
                    "tar_offset": offset,
                    "tar_bytes": length,
                    "num_segments": round(spec.clip_s),
                    "num_cells": num_rows * num_columns,
                    "visual_dim": model.visual_tower.local_dim,
                    "audio_dim": model.config.embedding_dim,
                    "split": None,
                }
            )
        workspace.commit(self._folder, part, from_rows(rows, FEATURES, part), FEATURES)
        return {"clips": len(places), "damaged": len(damaged)}


@torch.inference_mode()
def extract(model: CoincidenceModel, spec: ClipSpec, clips: list[Clip]) -> list[FeatureClip]:
    """Single-precision features of each clip, by a model in evaluation mode."""
    device = next(model.parameters()).device
    frames = torch.from_numpy(np.stack([clip.frames for clip in clips])).to(device).float() / 255
    waveform = torch.from_numpy(np.stack([clip.waveform for clip in clips])).to(device)
    visual, audio = segment_features(model, frames, waveform, round(spec.clip_s))
    rows = zip(clips, visual.cpu().numpy(), audio.cpu().numpy(), strict=True)
    return [FeatureClip(clip.key, seen, heard, _facts(clip)) for clip, seen, heard in rows]


def _facts(clip: Clip) -> dict[str, Any]:
    return {name: clip.facts[name] for name in FeatureFacts.__annotations__}
