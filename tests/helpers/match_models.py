"""A coincidence model of random weights beside clips that are there with its scores, and one that adds up by hand."""

import numpy as np

from pipeline.clip_specs import ClipSpec, ClipSpecs
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.splitting import SplittingConfig
from pipeline.hashing import as_dict
from pipeline.inference.match_sides import Judgement, MatchModel
from pipeline.learners.coincidence import CoincidenceLearner
from pipeline.learners.coincidence_config import CoincidenceLearnerConfig
from pipeline.learners.loading import check_model
from pipeline.models.towers import CoincidenceConfig
from pipeline.selection.scoring import ScorePart
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, SETTINGS_FILE
from pipeline.storage.workspace import Workspace
from tests.helpers.cutting import SMALL
from tests.helpers.event_models import add_model

TOWERS = CoincidenceConfig(backbone="small_cnn", frame_size=32, width=0.25, embedding_dim=16, score="bilinear")
PLAIN_SPEC = ClipSpec(clip_s=2.0, **SMALL)


def add_scores(workspace: Workspace, spec: ClipSpec) -> Workspace:
    """Add models/coincidence, and scores of every part of clips/base, which are of the spec."""
    files.commit_bytes(workspace.uri(SETTINGS_FILE), b"{}")
    workspace.begin(CLIPS_FOLDER, {"clips": ClipSpecs(base=spec), "sharding": ShardingConfig()}, {})
    config = CoincidenceLearnerConfig(model=TOWERS)
    settings = {"coincidence": config, "splitting": as_dict(SplittingConfig())}
    add_model(workspace, "coincidence", settings, CoincidenceLearner(config).model())
    work = ScorePart(workspace, "coincidence")
    for part in workspace.parts(CLIPS_FOLDER):
        work(part)
    workspace.begin("scores/coincidence", {}, check_model(workspace, "coincidence", "coincidence"))
    workspace.finish("scores/coincidence")
    return workspace


def red(frames: np.ndarray) -> float:
    return float(frames[:, 0].mean())


def plain_model() -> MatchModel:
    """What is as red as it is loud belongs together.

    Embeds the mean red of a clip's frames and that of the last; the loudest sample of its sound and of its last half.
    """
    return MatchModel(
        spec=PLAIN_SPEC,
        cutting=ShardingConfig(),
        embed_pictures=lambda clips: np.array([[red(clip), red(clip[-1:])] for clip in clips]),
        embed_sounds=lambda clips: np.array([[np.abs(c).max(), np.abs(c[len(c) // 2 :]).max()] for c in clips]),
        judge=lambda visual, audio: Judgement(*[1 - np.abs(visual[..., 0] / 255 - audio[..., 0])] * 3),
    )
