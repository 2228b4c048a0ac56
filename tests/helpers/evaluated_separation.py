"""A separation model of one step, evaluated on frozen sets of a small world."""

import shutil
from pathlib import Path

from pipeline.evaluation.mixing import MixingConfig
from pipeline.evaluation.onscreen_evaluation import OnScreenEvaluation
from pipeline.hashing import as_dict
from pipeline.learners.separation import SeparationLearner
from pipeline.learners.separation_config import SeparationLearnerConfig
from pipeline.models.separator import SeparationConfig
from pipeline.models.tdcn import TDCNConfig
from pipeline.models.towers import CoincidenceConfig
from pipeline.storage.workspace import Workspace
from pipeline.training.clipsets import load_clips
from pipeline.training.loop import train
from pipeline.training.protocols import LocalContext, TrainingConfig
from tests.helpers.selections import select_and_mix

CONFIG = SeparationLearnerConfig(
    model=SeparationConfig(
        basis="stft",
        hop_ms=16.0,
        tdcn=TDCNConfig(bottleneck=8, hidden=8, num_repeats=1, num_dilations=2),
        towers=CoincidenceConfig(backbone="small_cnn", frame_size=32, width=0.25, embedding_dim=16),
    ),
    training=TrainingConfig(num_steps=1, batch_size=2, validate_every=1, num_validation_batches=1),
    first_model=None,
    first_separator=None,
)


def evaluate_separation(cut: Workspace, folder: Path) -> Workspace:
    """A copy of a workspace of clips, in the folder, with a selection of everything, frozen sets `m`, and a model `s`
    of one step, evaluated on them."""
    workspace = Workspace(str(folder))
    shutil.copytree(cut.root, workspace.root)
    select_and_mix(workspace, "m", MixingConfig(max_clips_per_video=1, moms_per_clip=1, examples_per_part=3))
    workspace.begin("models/s", {"learner": "separation", "separation": as_dict(CONFIG)}, {})
    sets = [load_clips(workspace, "all", split, labelled=True) for split in ("train", "validate")]
    train(SeparationLearner(CONFIG), *sets, workspace, "models/s", 0, LocalContext())
    evaluate = OnScreenEvaluation(workspace, "s", "m")
    evaluate.batch_size = 2
    for part in workspace.parts("mixtures/m"):
        evaluate(part)
    return workspace
