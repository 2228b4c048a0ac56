"""A workspace with a small segmentation model of random weights, and no clips."""

from pathlib import Path

import torch
from torch import nn

from pipeline.clip_specs import ClipSpec, ClipSpecs
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.splitting import SplittingConfig
from pipeline.hashing import as_dict
from pipeline.learners.segmentation import SegmentationLearner, SegmentationLearnerConfig
from pipeline.models.avs import AVSConfig
from pipeline.models.towers import CoincidenceConfig
from pipeline.storage import files
from pipeline.storage.layout import SETTINGS_FILE
from pipeline.storage.workspace import Workspace

SPEC = ClipSpec(
    clip_s=2.0, hop_s=2.0, frame_offset_s=0.5, frame_height=32, frame_width=32, exact_frames=True
)  # fmt: skip
TOWERS = CoincidenceConfig(backbone="small_cnn", frame_size=32, width=0.1, embedding_dim=8)
NETWORK = AVSConfig(backbone="plain", frame_size=32, channels=8, inter_channels=4, audio="tower", towers=TOWERS)


def workspace_with_segmentation(folder: Path, is_published: bool = False) -> Workspace:
    """models/segmentation, for clips of SPEC, which were cut or, if `is_published`, taken over as they are."""
    workspace = Workspace(str(folder))
    files.commit_bytes(workspace.uri(SETTINGS_FILE), b"{}")
    cut = {"clips": {"segmentation": SPEC}, "published": "avsbench-s4"}
    if not is_published:
        cut = {"clips": ClipSpecs(segmentation=SPEC), "sharding": ShardingConfig(jpeg_quality=80)}
    workspace.begin("clips/segmentation", cut, {})
    config = SegmentationLearnerConfig(model=NETWORK)
    torch.manual_seed(0)
    network = SegmentationLearner(config).model()
    for parameter in network.decoder.parameters():
        nn.init.normal_(parameter, std=0.3)  # far from an even answer
    settings = {"learner": "segmentation", "segmentation": config, "splitting": as_dict(SplittingConfig())}
    workspace.begin("models/segmentation", settings, {})
    with files.building(workspace.uri("models/segmentation", "model.pt")) as path, path.open("wb") as file:
        torch.save({"model": network.state_dict()}, file)
    workspace.finish("models/segmentation", content="segmentation")
    return workspace
