"""A workspace with a small events model of random weights, the towers of its features, and no clips."""

from pathlib import Path

import torch
from torch import nn

from pipeline.clip_specs import ClipSpec, ClipSpecs
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.splitting import SplittingConfig
from pipeline.hashing import as_dict
from pipeline.learners.coincidence import CoincidenceLearner
from pipeline.learners.coincidence_config import CoincidenceLearnerConfig
from pipeline.learners.events import EventsLearner, EventsLearnerConfig
from pipeline.models.psp import PSPConfig
from pipeline.models.towers import CoincidenceConfig
from pipeline.storage import files
from pipeline.storage.layout import SETTINGS_FILE
from pipeline.storage.workspace import Workspace

SPEC = ClipSpec(clip_s=4.0, hop_s=4.0, frame_rate_hz=2.0, frame_height=32, frame_width=32)
TOWERS = CoincidenceConfig(backbone="small_cnn", frame_size=32, width=0.25, embedding_dim=16)
CATEGORIES = ("bell", "dog")
NETWORK = PSPConfig(embedding_dim=8, segment_dim=8, lstm_dim=8, attention_dim=8, map_dim=4)
SIZES = {"num_segments": 4, "num_cells": 4, "visual_dim": 128, "audio_dim": 16}  # of TOWERS and SPEC


def workspace_with_events(folder: Path, **settings: str) -> Workspace:
    """models/coincidence, and models/events for its features of clips of SPEC; `settings` of the features' record."""
    workspace = Workspace(str(folder))
    files.commit_bytes(workspace.uri(SETTINGS_FILE), b"{}")
    sharding = ShardingConfig(jpeg_quality=80)
    workspace.begin("clips/events", {"clips": ClipSpecs(events=SPEC), "sharding": sharding}, {})
    towers = CoincidenceLearnerConfig(model=TOWERS)
    add_model(workspace, "coincidence", {"coincidence": towers}, CoincidenceLearner(towers).model())
    features = settings or {"model": "coincidence"}
    workspace.begin("features/events/coincidence", features, {"models/coincidence": "coincidence"})
    config = EventsLearnerConfig(model=NETWORK, categories=CATEGORIES, **SIZES)
    record = {"events": config, "features": "coincidence", "splitting": as_dict(SplittingConfig())}
    add_model(workspace, "events", record, EventsLearner(config).model())
    return workspace


def add_model(workspace: Workspace, name: str, settings: dict, network: nn.Module) -> None:
    """A finished model of random weights."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)  # far from an even answer
    workspace.begin(f"models/{name}", {"learner": name} | settings, {})
    with files.building(workspace.uri(f"models/{name}", "model.pt")) as path, path.open("wb") as file:
        torch.save({"model": network.state_dict()}, file)
    workspace.finish(f"models/{name}", content=name)
