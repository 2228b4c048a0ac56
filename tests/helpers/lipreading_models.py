"""A workspace with a small lip-reading model of random weights, and the record of clips that it may be of."""

from pathlib import Path
from typing import Any

import torch

from pipeline.clip_specs import ClipSpecs
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.splitting import SplittingConfig
from pipeline.hashing import as_dict
from pipeline.learners import LEARNERS
from pipeline.learners.lipreading_config import LipreadingLearnerConfig
from pipeline.models.lips import LipReadingConfig
from pipeline.storage import files
from pipeline.storage.layout import SETTINGS_FILE
from pipeline.storage.workspace import Workspace

NETWORK = LipReadingConfig(frame_size=16, width=0.1, depth=1, step_dim=8, branch_dim=8, clip_dim=8)


def workspace_with_lipreading(folder: Path, **config: Any) -> Workspace:
    """models/lipreading, and clips/speech without a clip.

    Args:
        config: fields of the learner's config.
    """
    workspace = Workspace(str(folder))
    files.commit_bytes(workspace.uri(SETTINGS_FILE), b"{}")
    workspace.begin("clips/speech", {"clips": ClipSpecs(), "sharding": ShardingConfig(jpeg_quality=80)}, {})
    add_model(workspace, "lipreading", **config)
    return workspace


def add_model(workspace: Workspace, name: str, **config: Any) -> None:
    """models/<name> of random weights."""
    learner_config = LipreadingLearnerConfig(model=NETWORK, **config)
    torch.manual_seed(0)
    network = LEARNERS["lipreading"].build(learner_config).model()
    settings = {"learner": "lipreading", "lipreading": learner_config, "splitting": as_dict(SplittingConfig())}
    workspace.begin(f"models/{name}", settings, {})
    with files.building(workspace.uri("models", name, "model.pt")) as path, path.open("wb") as file:
        torch.save({"model": network.state_dict()}, file)
    workspace.finish(f"models/{name}", content=name)
