"""What every learner keeps to. A new system adds a row to CASES."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from conftest import World

from pipeline.clips.splitting import SplittingConfig
from pipeline.evaluation.evaluating import commit_summary
from pipeline.evaluation.mixing import MixingConfig
from pipeline.hashing import as_dict
from pipeline.learners import LEARNERS, Entry
from pipeline.learners.coincidence_config import CoincidenceLearnerConfig, MemoryBankConfig
from pipeline.learners.events import EventsLearnerConfig
from pipeline.learners.lipreading_config import LipreadingLearnerConfig
from pipeline.learners.masked_examples import MaskedExamplesConfig
from pipeline.learners.matching import MatchingConfig
from pipeline.learners.segmentation import SegmentationLearnerConfig
from pipeline.learners.separation_config import SeparationLearnerConfig
from pipeline.learners.sources import load_sets
from pipeline.learners.verdict_calibration import CalibrationConfig
from pipeline.learners.word_examples import WordsConfig
from pipeline.models.adversaries import AdversariesConfig
from pipeline.models.avs import AVSConfig
from pipeline.models.lips import LipReadingConfig
from pipeline.models.psp import PSPConfig
from pipeline.models.separator import SeparationConfig
from pipeline.models.tdcn import TDCNConfig
from pipeline.models.towers import CoincidenceConfig
from pipeline.selection.scoring import ScorePart
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet, step_rng
from pipeline.training.loop import train
from pipeline.training.protocols import LocalContext, TrainingConfig
from schemas.reports import SUMMARY
from tests.helpers import loudness_learner
from tests.helpers.features import SIZES, write_world
from tests.helpers.line_learner import Interrupted
from tests.helpers.masks import write_masked_world
from tests.helpers.mouths import write_speech_world
from tests.helpers.selections import select_and_mix
from tests.helpers.vectors import import_class_vectors

FOUR_STEPS = TrainingConfig(
    num_steps=4, batch_size=3, validate_every=4, checkpoint_every=2, num_validation_batches=1
)  # a kill in step 4 goes on from step 2
TOWERS = CoincidenceConfig(backbone="small_cnn", frame_size=32, width=0.25, embedding_dim=16)
COINCIDENCE = {"model": TOWERS, "training": FOUR_STEPS, "matching": MatchingConfig(num_batches=2, num_steps=5)}
BODY = TDCNConfig(bottleneck=8, hidden=8, num_repeats=1, num_dilations=2)
SEPARATION = SeparationLearnerConfig(
    model=SeparationConfig(basis="stft", hop_ms=16.0, tdcn=BODY, towers=TOWERS),
    training=FOUR_STEPS,
    judge_both=True,
    contrast_weight=1.0,
    calibration=CalibrationConfig(num_examples=8),
    first_model=None,
    first_separator=None,
)
EVENTS = EventsLearnerConfig(
    model=PSPConfig(embedding_dim=8, segment_dim=8, lstm_dim=8, attention_dim=8, map_dim=4),
    training=FOUR_STEPS,
    categories=("bell", "horn"),
    **SIZES,
)
SEGMENTATION = SegmentationLearnerConfig(
    model=AVSConfig(backbone="plain", frame_size=32, channels=8, inter_channels=8, audio="tower", towers=TOWERS),
    training=FOUR_STEPS,
    mapping="per_sample",
    examples=MaskedExamplesConfig(smallest_crop=0.5, pasted_fraction=0.5, muted_fraction=0.1),
    first_model=None,
)
LIPREADING = LipreadingLearnerConfig(
    model=LipReadingConfig(frame_size=16, width=0.1, depth=1, step_dim=8, branch_dim=8, clip_dim=8),
    training=FOUR_STEPS,
    num_frames=8,
    adversaries=AdversariesConfig(momentum=0.5),
)
WORDS = dataclasses.replace(
    LIPREADING,
    task="words",
    words=WordsConfig(num_frames=8, training=FOUR_STEPS),
    vocabulary=("bell", "horn"),
    first_model=None,
    encoder="tuned",
)

READ = {"splitting": as_dict(SplittingConfig()), "selection": "all", "features": "f"}  # in a model's record


class Case(NamedTuple):
    entry: Entry
    config: Any
    prepare: Callable[[Workspace], None] = lambda workspace: None
    """Makes what the evaluation of model `m` reads."""


def score(workspace: Workspace) -> None:
    scoring = ScorePart(workspace, "m")
    for part in workspace.parts(CLIPS_FOLDER):
        scoring(part)


def freeze(workspace: Workspace) -> None:
    select_and_mix(workspace, "default", MixingConfig(max_clips_per_video=1, moms_per_clip=1, max_examples=2))


BANK = MemoryBankConfig(size=12, num_negatives=12)
CASES = {
    "coincidence": Case(LEARNERS["coincidence"], CoincidenceLearnerConfig(**COINCIDENCE), score),
    "coincidence by nce": Case(
        LEARNERS["coincidence"], CoincidenceLearnerConfig(**COINCIDENCE, objective="nce", memory_bank=BANK), score
    ),
    "coincidence on imported vectors": Case(
        LEARNERS["coincidence"],
        CoincidenceLearnerConfig(
            **COINCIDENCE, inputs=("clip.image", "clap.audio"), input_dims=(6, 4), projection_training=FOUR_STEPS
        ),
        score,
    ),
    "separation": Case(LEARNERS["separation"], SEPARATION, freeze),
    "events": Case(LEARNERS["events"], EVENTS),
    "events without labels": Case(LEARNERS["events"], dataclasses.replace(EVENTS, supervision="self")),
    "segmentation": Case(LEARNERS["segmentation"], SEGMENTATION),
    "lipreading": Case(LEARNERS["lipreading"], LIPREADING),
    "lipreading with a moving gradient": Case(
        LEARNERS["lipreading"],
        dataclasses.replace(LIPREADING, adversaries=AdversariesConfig(momentum=0.5, momentum_rule="gradient")),
    ),
    "lipreading of words": Case(LEARNERS["lipreading"], WORDS),
    "loudness": Case(loudness_learner.ENTRY, loudness_learner.LoudnessConfig(training=FOUR_STEPS)),
}


@pytest.fixture(scope="module")
def prepared(world: World, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The world with a selection of everything, frozen sets, features and spans, masks, and mouths."""
    workspace = Workspace(str(tmp_path_factory.mktemp("contract") / "workspace"))
    shutil.copytree(world.workspace.root, workspace.root)
    freeze(workspace)
    write_world(workspace)
    write_masked_world(workspace)
    import_class_vectors(workspace)
    write_speech_world(workspace, starts_s=(0.0, 0.6, 1.6))  # and in the middle of the spans above
    return workspace


def sets(workspace: Workspace, learner: Any) -> list[ClipSet]:
    """Training and validation clips, as the learner reads them."""
    return load_sets(workspace, learner, READ, ("train", "validate"), workspace.parts(CLIPS_FOLDER))


def test_every_learner_of_the_registry_has_a_case() -> None:
    assert {case.entry for case in CASES.values()} == {*LEARNERS.values(), loudness_learner.ENTRY}
    assert all(entry.learner().name == name for name, entry in LEARNERS.items())


@pytest.mark.parametrize("name", CASES)
def test_a_batch_is_a_function_of_its_step_and_workers_share_its_rows(name: str, prepared: Workspace) -> None:
    entry, config, _ = CASES[name]
    learner = entry.build(config)
    clips, _ = sets(prepared, learner)

    def batch(step: int, rows: slice = slice(None), augment: bool = True) -> dict[str, torch.Tensor]:
        return learner.batch(clips, step_rng(0, step), 4, rows, augment)

    for augment in (False, True):
        whole, again, other = batch(1, augment=augment), batch(1, augment=augment), batch(2, augment=augment)
        assert all(torch.equal(whole[key], again[key]) for key in whole)
        assert any(not torch.equal(whole[key], other[key]) for key in whole)
        for rank in range(2):
            for key, value in batch(1, slice(rank, None, 2), augment).items():
                # noise that all examples share is the same on all workers
                assert torch.equal(value, whole[key][rank::2] if len(whole[key]) == 4 else whole[key]), key


@pytest.mark.parametrize("name", CASES)
def test_a_killed_training_ends_with_the_same_weights_and_the_model_has_rows_of_its_tables(
    name: str, prepared: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, config, prepare = CASES[name]
    monkeypatch.setitem(LEARNERS, entry.learner().name, entry)
    shutil.copytree(prepared.root, tmp_path / "workspace")
    workspace, learner = Workspace(str(tmp_path / "workspace")), entry.build(config)
    record = {"learner": learner.name, learner.name: as_dict(config)} | READ
    for folder in ("models/m", "models/killed"):
        workspace.begin(folder, record, {})
    train(learner, *sets(workspace, learner), workspace, "models/m", 0, LocalContext())

    killed, num_steps = entry.build(config), 0

    def loss(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        nonlocal num_steps
        num_steps += model.training
        if num_steps == 4:
            raise Interrupted
        return learner_loss(model, batch)

    learner_loss = killed.loss
    monkeypatch.setattr(killed, "loss", loss)
    with pytest.raises(Interrupted):
        train(killed, *sets(workspace, learner), workspace, "models/killed", 0, LocalContext())
    train(entry.build(config), *sets(workspace, learner), workspace, "models/killed", 0, LocalContext())
    whole, resumed = (files.read_bytes(workspace.uri("models", model, "model.pt")) for model in ("m", "killed"))
    assert whole == resumed
    assert workspace.stage("models/m")["figures"] == workspace.stage("models/killed")["figures"]

    prepare(workspace)
    evaluation = entry.evaluation_of(record)(workspace, "m")
    for part in evaluation.pending():
        evaluation(part)  # checks the rows against their schemas
    assert evaluation.pending() == []
    for schema in evaluation.tables:
        rows = workspace.read_all(evaluation.table(schema), schema)
        assert len(rows) > 0
    summary = evaluation.summarise()
    commit_summary(evaluation, summary, {})
    assert len(workspace.read_all(evaluation.table(SUMMARY), SUMMARY)) == len(summary)
    measured = {(row["eval_set"], row["metric"]) for row in summary}
    measured |= {("validation", metric) for metric in workspace.stage("models/m")["figures"]}
    # nobody labelled these clips
    headlines = [headline for headline in evaluation.headlines if not headline.eval_set.startswith("labelled_")]
    assert {(headline.eval_set, headline.metric) for headline in headlines} <= measured
