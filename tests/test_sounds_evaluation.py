"""Evaluation on sums of held-out sounds: rows from arithmetic, and a model trained and measured on tiny sounds."""

import collections
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch

from pipeline.clip_specs import SOUNDS, ClipSpecs
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.sharding import ShardPart
from pipeline.clips.splitting import SplittingConfig
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.errors import ConfigError
from pipeline.evaluation.evaluating import commit_summary
from pipeline.evaluation.onscreen_evaluation import OnScreenEvaluation
from pipeline.evaluation.sounds_evaluation import SoundsEvaluation, sound_example_row
from pipeline.hashing import as_dict
from pipeline.learners import LEARNERS
from pipeline.learners.mixtures_of_sounds import SoundsConfig
from pipeline.learners.separation import SeparationLearner
from pipeline.learners.separation_config import SeparationLearnerConfig
from pipeline.models.separator import SeparationConfig
from pipeline.models.tdcn import TDCNConfig
from pipeline.models.towers import CoincidenceConfig
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from pipeline.training.clipsets import load_splits
from pipeline.training.loop import train
from pipeline.training.protocols import LocalContext, TrainingConfig
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.sound_examples import SOUND_EXAMPLES
from schemas.videos import VIDEOS

TONES = np.array([[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]])  # orthogonal, of equal power: 0 dB in their sum


def row_of(references: np.ndarray, sources: np.ndarray, assignment: Any) -> dict[str, Any]:
    waveforms = np.concatenate([references, sources])
    clip_ids = [f"clip_{k}" for k in range(len(references))]
    return sound_example_row("r", clip_ids, waveforms @ waveforms.T / 4, np.array(assignment))


def test_two_sounds_have_the_improvement_of_each_matched_source() -> None:
    sources = np.stack([TONES[1] + 0.01 * TONES[0], TONES[0] + 0.1 * TONES[1], np.zeros(4)])
    row = row_of(TONES, sources, [[0, 1, 0], [1, 0, 1]])
    assert (row["reference"], row["source"]) == ([0, 1], [1, 0])
    assert row["si_snr_db"] == pytest.approx([20.0, 40.0])
    assert row["si_snr_input_db"] == pytest.approx([0.0, 0.0])
    assert row["combined_improvement_db"] == pytest.approx(30.0)
    assert (row["num_references"], row["num_active_sources"]) == (2, 2)
    assert (row["example_id"], row["clip_ids"]) == ("clip_0_2", ["clip_0", "clip_1"])
    from_rows([row], SOUND_EXAMPLES, "test")


def test_a_sound_split_in_two_is_whole_again_when_combined() -> None:
    halves = np.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]])  # sum: the first tone; each alone: 0 dB
    row = row_of(TONES, np.stack([*halves, TONES[1] + 0.1 * TONES[0]]), [[1, 1, 0], [0, 0, 1]])
    assert row["si_snr_db"] == pytest.approx([0.0, 20.0])
    assert row["combined_improvement_db"] == pytest.approx((80.0 + 20.0) / 2)  # the metric's cap for a copy
    assert (row["num_references"], row["num_active_sources"]) == (2, 3)  # over-separated


def test_one_sound_has_no_improvement() -> None:
    row = row_of(TONES[:1], np.stack([TONES[0] + 0.1 * TONES[1], -0.09 * TONES[1]]), [[1, 1]])
    assert row["si_snr_db"] == pytest.approx([20.0])
    assert row["combined_improvement_db"] is None
    assert row["num_active_sources"] == 1  # the other lies 21 dB below


def test_a_silent_sound_is_no_reference() -> None:
    row = row_of(np.stack([TONES[0], np.zeros(4)]), np.stack([TONES[0], np.zeros(4)]), [[1, 1], [0, 0]])
    assert (row["num_references"], row["reference"], row["combined_improvement_db"]) == (1, [0], None)


CONFIG = SeparationLearnerConfig(
    phase="audio",
    audio_from="sounds",
    sounds=SoundsConfig(crop_s=1.0, supervised_fraction=0.5),
    model=SeparationConfig(
        basis="stft",
        hop_ms=16.0,
        tdcn=TDCNConfig(bottleneck=8, hidden=8, num_repeats=1, num_dilations=2),
        towers=CoincidenceConfig(backbone="small_cnn", frame_size=32, width=0.25, embedding_dim=16),
    ),
    audio_training=TrainingConfig(num_steps=2, batch_size=3, validate_every=2, num_validation_batches=1),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Noise of 1 s in 10 files, 2 of them the known sources of a mixture, and a model of two steps."""
    folder, rng = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    splits = ["train"] * 3 + ["validate"] * 2 + ["test"] * 5
    rows = ["uri,split,mixture,recording"]
    for number, split in enumerate(splits):
        soundfile.write(folder / f"{number}.wav", 0.1 * rng.normal(size=16000), 16000)
        # 5 and 6 are sources of m, 7 and 8 takes of one recording
        rows.append(f"{number}.wav,{split},{'m' if number in (5, 6) else ''},{'take' if number in (7, 8) else ''}")
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    workspace = Workspace(str(folder / "workspace"))
    plan_parts(workspace, list_videos(str(folder / "list.csv")), CollectingConfig(videos_per_part=8))
    workspace.begin(f"clips/{SOUNDS}", {}, {})
    spec = dataclasses.replace(ClipSpecs().sounds, clip_s=1.0, hop_s=1.0)
    for part in workspace.parts("collection"):
        ShardPart(workspace, {SOUNDS: spec}, ShardingConfig())(part)
    learner = SeparationLearner(CONFIG)
    settings = {"learner": "separation", "separation": as_dict(CONFIG), "splitting": as_dict(SplittingConfig())}
    workspace.begin("models/m", settings, {})
    parts = workspace.parts(f"clips/{SOUNDS}")
    sets = load_splits(workspace, ("train", "validate"), SplittingConfig(), parts, learner.clip_spec)
    train(learner, *sets, workspace, "models/m", 0, LocalContext())
    return workspace


def test_a_model_that_learnt_from_sounds_is_measured_on_sums_of_held_out_ones(trained: Workspace) -> None:
    kind = LEARNERS["separation"].evaluation_of(trained.stage("models/m")["settings"])
    assert kind is SoundsEvaluation
    joint = {"separation": as_dict(SeparationLearnerConfig())}
    assert LEARNERS["separation"].evaluation_of(joint) is OnScreenEvaluation
    evaluation = kind(trained, "m", seed=1)
    assert len(evaluation.pending()) == 2
    rows = {part: evaluation.evaluate(part)["sound_examples"] for part in evaluation.pending()}
    again = kind(trained, "m", seed=1)
    assert rows == {part: again.evaluate(part)["sound_examples"] for part in reversed(rows)}
    for part in rows:
        evaluation(part)
    assert evaluation.pending() == []
    found = [row for of_part in rows.values() for row in of_part]
    # the listed mixture once; each of the three other clips alone, with 1 and with 2 of the two other recordings
    counts = collections.Counter((row["recording"].partition("-")[0], len(row["clip_ids"])) for row in found)
    assert counts == {("m", 2): 1} | {("take", n): 2 for n in (1, 2, 3)} | {("9", n): 1 for n in (1, 2, 3)}
    for row in found:
        if row["recording"] != "m":
            takes = [clip_id for clip_id in row["clip_ids"] if clip_id.startswith(("7-", "8-"))]
            assert len(takes) <= 1
        assert row["num_references"] == len(row["clip_ids"])
    summary = evaluation.summarise()
    commit_summary(evaluation, summary, evaluation.inputs())
    measured = {(row["eval_set"], row["metric"]): row for row in summary}
    assert {(headline.eval_set, headline.metric) for headline in evaluation.headlines} <= set(measured)
    pairs = [
        after - before
        for row in found
        if row["num_references"] > 1
        for after, before in zip(row["si_snr_db"], row["si_snr_input_db"], strict=True)
    ]
    row = measured["many_sounds", "mean_si_snr_improvement_db"]
    assert (row["value"], row["n"]) == (pytest.approx(np.mean(pairs)), len(pairs))


def test_parts_that_are_added_later_change_no_sum(trained: Workspace) -> None:
    parts = trained.parts(f"clips/{SOUNDS}")
    seen = SoundsEvaluation(trained, "m", seed=2).evaluate(parts[0])
    added = trained.read(f"clips/{SOUNDS}", parts[-1], CLIPS)
    trained.commit(f"clips/{SOUNDS}", "00099", added, CLIPS)
    grown = SoundsEvaluation(trained, "m", seed=2)
    try:
        assert "00099" not in grown.pending()
        assert grown.evaluate(parts[0]) == seen
    finally:
        files.delete(trained.part_uri(f"clips/{SOUNDS}", "00099"))


def test_a_recording_in_two_splits_is_refused(trained: Workspace) -> None:
    parts, videos = trained.parts("collection"), f"videos/{SOUNDS}"
    before = trained.read(videos, parts[0], VIDEOS)
    extra = pa.array([json.dumps({"recording": "r"}) for _ in range(len(before))], pa.string())
    column = before.schema.get_field_index("extra")
    trained.commit(videos, parts[0], before.set_column(column, before.schema.field("extra"), extra), VIDEOS)
    says = r"clips/sounds: recording r is in the splits test and train and validate; .* Give the collection a column"
    try:
        with pytest.raises(ConfigError, match=says):
            load_splits(trained, ("train",), SplittingConfig(), parts, SOUNDS)
    finally:
        trained.commit(videos, parts[0], before, VIDEOS)


def test_too_few_recordings_to_validate_on_are_refused_before_the_first_step(
    trained: Workspace, tmp_path: Path
) -> None:
    three = dataclasses.replace(CONFIG, sounds=SoundsConfig(crop_s=1.0, num_mixtures=3))
    parts, learner = trained.parts(f"clips/{SOUNDS}"), SeparationLearner(three)
    sets = load_splits(trained, ("train", "validate"), SplittingConfig(), parts, SOUNDS)
    assert [clips.num_videos for clips in sets] == [3, 2]
    steps: list[int] = []
    context = LocalContext(lambda step, _: steps.append(step))
    with pytest.raises(ConfigError, match="2 recordings in a split, expected 3"):
        train(learner, *sets, Workspace(str(tmp_path)), "models/x", 0, context)
    assert steps == []


def test_the_seed_draws_other_sums(trained: Workspace) -> None:
    def drawn(seed: int) -> list[list[str]]:
        evaluation = SoundsEvaluation(trained, "m", seed=seed)
        return [row["clip_ids"] for part in evaluation.workspace.parts(evaluation.source)
                for row in evaluation.evaluate(part)["sound_examples"]]  # fmt: skip

    assert any(drawn(0) != drawn(seed) for seed in range(1, 4))


def test_training_reads_the_clips_of_sounds_only_in_phase_audio() -> None:
    audio = SeparationLearner(CONFIG)
    assert (audio.reads, audio.clip_spec) == ("clips", "sounds")
    joint = SeparationLearner(dataclasses.replace(CONFIG, phase="joint"))
    assert (joint.reads, joint.clip_spec) == ("selection", "base")
    torch.manual_seed(0)
    model = audio.model()
    noise = 0.1 * torch.randn(2, 3, 4000)
    batch = {"references": noise, "mom_weight": torch.ones(2)}
    assert audio.loss(model, batch)["loss"].isfinite()  # three mixtures in one example
