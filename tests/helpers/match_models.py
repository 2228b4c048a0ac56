"""A coincidence model of random weights beside clips that are there, and the scores that it gives."""

from pipeline.clip_specs import ClipSpec, ClipSpecs
from pipeline.clips.cutting import ShardingConfig
from pipeline.learners.coincidence import CoincidenceLearner, CoincidenceLearnerConfig
from pipeline.models.towers import CoincidenceConfig
from pipeline.selection.scoring import ScorePart
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, SETTINGS_FILE
from pipeline.storage.workspace import Workspace
from tests.helpers.event_models import add_model

TOWERS = CoincidenceConfig(backbone="small_cnn", frame_size=32, width=0.25, embedding_dim=16, score="bilinear")


def add_scores(workspace: Workspace, spec: ClipSpec) -> Workspace:
    """Add models/coincidence, and scores of every part of clips/base, which are of the spec."""
    files.commit_bytes(workspace.uri(SETTINGS_FILE), b"{}")
    workspace.begin(CLIPS_FOLDER, {"clips": ClipSpecs(base=spec), "sharding": ShardingConfig()}, {})
    config = CoincidenceLearnerConfig(model=TOWERS)
    add_model(workspace, "coincidence", {"coincidence": config}, CoincidenceLearner(config).model())
    work = ScorePart(workspace, "coincidence")
    for part in workspace.parts(CLIPS_FOLDER):
        work(part)
    workspace.begin("scores/coincidence", {}, {})
    workspace.finish("scores/coincidence")
    return workspace
