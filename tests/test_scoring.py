"""Scoring: one row per kept clip, in the tar's order, each the model's own verdict on that clip."""

import dataclasses
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import ray
import torch
from conftest import World

from cluster.mapping import map_parts
from cluster.resources import SCORING
from jobs.console.presets import preset
from jobs.console.session import Session
from jobs.score import score as score_all
from pipeline.clips.splitting import SplittingConfig
from pipeline.clips.tars import TarWriter
from pipeline.errors import ConfigError, DataError
from pipeline.hashing import as_dict
from pipeline.learners.coincidence import CoincidenceLearner
from pipeline.learners.coincidence_config import CoincidenceLearnerConfig
from pipeline.learners.loading import check_model, load_model
from pipeline.learners.matching import MatchingConfig
from pipeline.models.towers import CoincidenceConfig
from pipeline.selection.scoring import ScorePart
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.loop import train
from pipeline.training.protocols import LocalContext, TrainingConfig
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.scores import SCORES
from tests.helpers.clips import load_split

CONFIG = CoincidenceLearnerConfig(
    model=CoincidenceConfig(backbone="small_cnn", frame_size=32, width=0.25, embedding_dim=16),
    training=TrainingConfig(num_steps=2, batch_size=3, validate_every=1, num_validation_batches=1),
    matching=MatchingConfig(num_steps=5, num_batches=2),
)


@pytest.fixture(scope="module")
def trained(world: World, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The world's workspace with a coincidence model `c` of two steps."""
    workspace = Workspace(str(tmp_path_factory.mktemp("trained") / "workspace"))
    shutil.copytree(world.workspace.root, workspace.root)
    workspace.begin("models/c", {"learner": "coincidence", "coincidence": as_dict(CONFIG)}, {})
    sets = [load_split(workspace, split, SplittingConfig()) for split in ("train", "validate")]
    train(CoincidenceLearner(CONFIG), *sets, workspace, "models/c", 0, LocalContext())
    return workspace


def score(workspace: Workspace, part: str = "00000", batch_size: int = 32) -> list[dict]:
    counts = ScorePart(workspace, "c", batch_size)(part)
    rows = workspace.read("scores/c", part, SCORES).to_pylist()
    assert counts == {"clips": len(rows), "damaged": 0}
    return rows


def copy_of(workspace: Workspace, tmp_path_root: str) -> Workspace:
    shutil.copytree(workspace.root, tmp_path_root)
    return Workspace(tmp_path_root)


def test_every_clip_has_a_row_with_what_the_model_says_of_it_alone(trained: Workspace) -> None:
    rows = score(trained, batch_size=7)
    clips = trained.read(CLIPS_FOLDER, "00000", CLIPS).to_pylist()
    assert [(row["clip_id"], row["video_id"]) for row in rows] == [(c["clip_id"], c["video_id"]) for c in clips]
    learner, model = load_model(trained, "c", "coincidence")
    whole = load_split(trained, "train", SplittingConfig())
    numbers = {whole.clip_id(number): number for number in range(len(whole))}
    for row in rows[:3]:
        probability, audio, visual = learner.embed(model, [whole.read(numbers[row["clip_id"]])])
        assert row["score"] == pytest.approx(float(probability[0]), abs=1e-5)
        np.testing.assert_allclose(row["audio_embedding"], audio[0], atol=1e-3)  # half floats
        np.testing.assert_allclose(row["visual_embedding"], visual[0], atol=1e-3)


def test_a_score_is_the_models_calibrated_cosine_of_its_embeddings(trained: Workspace) -> None:
    _, model = load_model(trained, "c", "coincidence")
    for row in score(trained):
        seen, heard = (torch.tensor([row[f"{name}_embedding"]]).float() for name in ("visual", "audio"))
        assert float(heard.norm()) == pytest.approx(1, abs=2e-3)
        assert row["score"] == pytest.approx(float(model.score(seen, heard).detach()), abs=5e-3)


def test_the_batch_size_changes_scores_in_their_last_digits_only(trained: Workspace) -> None:
    one, all_at_once = score(trained, batch_size=1), score(trained, batch_size=100)
    for first, second in zip(one, all_at_once, strict=True):
        assert first["score"] == pytest.approx(second["score"], abs=1e-5)


def test_scoring_twice_writes_the_same_bytes(trained: Workspace) -> None:
    score(trained)
    first = files.read_bytes(trained.part_uri("scores/c", "00000"))
    score(trained)
    assert files.read_bytes(trained.part_uri("scores/c", "00000")) == first


def test_a_part_without_kept_clips_has_an_empty_table(trained: Workspace, tmp_path: object) -> None:
    workspace = copy_of(trained, f"{tmp_path}/copy")
    rows = workspace.read(CLIPS_FOLDER, "00001", CLIPS).to_pylist()
    rows = [row | {"outcome": "silent", "tar_offset": None, "tar_bytes": None} for row in rows]
    workspace.commit(CLIPS_FOLDER, "00001", from_rows(rows, CLIPS, "here"), CLIPS)
    with files.building(workspace.tar_uri(CLIPS_FOLDER, "00001")) as path, TarWriter(path):
        pass
    assert score(workspace, "00001") == []
    assert workspace.parts("scores/c")[-1] == "00001"


def test_a_clip_that_cannot_be_decoded_has_a_row_without_a_score_and_costs_no_other(
    trained: Workspace, tmp_path: Path
) -> None:
    whole, workspace = score(trained), copy_of(trained, f"{tmp_path}/copy")
    clips = workspace.read(CLIPS_FOLDER, "00000", CLIPS).to_pylist()
    uri = workspace.tar_uri(CLIPS_FOLDER, "00000")
    data = bytearray(files.read_bytes(uri))

    def damage(clip: dict, magic: bytes) -> None:
        data[data.index(magic, clip["tar_offset"])] ^= 0x5A
        files.commit_bytes(uri, bytes(data))

    damage(clips[3], b"\xff\xd8\xff")
    damage(clips[5], b"fLaC")
    assert ScorePart(workspace, "c", batch_size=4)("00000") == {"clips": len(clips) - 2, "damaged": 2}
    rows = workspace.read("scores/c", "00000", SCORES).to_pylist()
    for number, (row, before) in enumerate(zip(rows, whole, strict=True)):
        if number in (3, 5):
            nothing = {"score": None, "audio_embedding": None, "visual_embedding": None}
            assert row == before | nothing
        else:
            assert row == before | {"score": pytest.approx(before["score"], abs=1e-5)} | {
                name: pytest.approx(before[name], abs=1e-3) for name in ("audio_embedding", "visual_embedding")
            }
    for clip in clips:
        if clip not in (clips[3], clips[5]):
            damage(clip, b"fLaC")
    with pytest.raises(
        DataError, match=rf"00000\.tar: {clips[0]['clip_id']}: .* Delete .*videos/spec=base/00000\.parquet and run"
    ):
        ScorePart(workspace, "c")("00000")


def test_a_truncated_tar_is_an_error_and_leaves_no_scores(trained: Workspace, tmp_path: object) -> None:
    workspace = copy_of(trained, f"{tmp_path}/copy")
    last = workspace.read(CLIPS_FOLDER, "00001", CLIPS).to_pylist()[-1]
    uri = workspace.tar_uri(CLIPS_FOLDER, "00001")
    files.commit_bytes(uri, files.read_bytes(uri)[: last["tar_offset"]])  # at a block, between two samples
    with pytest.raises(DataError, match=r"00001\.tar: .* Delete .*/videos/spec=base/00001\.parquet and run"):
        score(workspace, "00001")
    assert "00001" not in workspace.parts("scores/c")


def test_a_model_that_is_not_trained_or_of_another_shape_is_refused(trained: Workspace, tmp_path: Path) -> None:
    workspace = copy_of(trained, f"{tmp_path}/copy")
    workspace.begin("models/new", {"learner": "coincidence", "coincidence": as_dict(CONFIG)}, {})
    for use in (lambda: ScorePart(workspace, "new")("00000"), lambda: check_model(workspace, "new", "coincidence")):
        with pytest.raises(ConfigError, match="not trained yet"):
            use()
    stage = json.loads(files.read_bytes(workspace.record_uri("models/c")))
    stage["settings"]["coincidence"]["model"]["embedding_dim"] = 32
    files.commit_bytes(workspace.record_uri("models/c"), json.dumps(stage).encode())
    with pytest.raises(DataError, match="does not fit"):
        ScorePart(workspace, "c")("00000")


def test_a_model_trained_anew_under_its_name_is_another_input_of_its_scores(trained: Workspace, tmp_path: Path) -> None:
    workspace = copy_of(trained, f"{tmp_path}/copy")
    before = check_model(workspace, "c", "coincidence")
    workspace.begin("scores/c", {}, before)
    shutil.rmtree(workspace.uri("models/c"))
    workspace.begin("models/c", {"learner": "coincidence", "coincidence": as_dict(CONFIG)}, {})
    sets = [load_split(workspace, split, SplittingConfig()) for split in ("validate", "train")]  # on other clips
    train(CoincidenceLearner(CONFIG), *sets, workspace, "models/c", 0, LocalContext())
    assert workspace.stage("models/c")["hash"] == trained.stage("models/c")["hash"]
    with pytest.raises(ConfigError, match=r"scores/model=c: .*models/c: "):
        workspace.begin("scores/c", {}, check_model(workspace, "c", "coincidence"))


def test_scores_whose_command_was_killed_after_the_last_part_are_declared_finished(trained: Workspace) -> None:
    for part in trained.parts(CLIPS_FOLDER):
        score(trained, part)
    trained.begin("scores/c", {}, check_model(trained, "c", "coincidence"))
    assert not trained.is_finished("scores/c")
    score_all(Session(trained, preset("tiny"), 0), "c")
    assert trained.is_finished("scores/c")


@pytest.mark.usefixtures("ray_session")
def test_a_worker_that_dies_while_it_scores_costs_no_clip(trained: Workspace, tmp_path: Path) -> None:
    parts = trained.parts(CLIPS_FOLDER)
    whole = {part: score(trained, part) for part in parts}
    killed, work = tmp_path / "killed", ScorePart(trained, "c")
    for part in parts:
        files.delete(trained.part_uri("scores/c", part))

    def scored(part: str) -> dict[str, int]:
        if not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return work(part)

    one_worker = dataclasses.replace(SCORING, num_cpus=ray.cluster_resources()["CPU"])  # each imports torch, for 3 s
    assert sorted(part for part, _ in map_parts(scored, parts, one_worker)) == parts
    assert killed.exists()
    assert {part: trained.read("scores/c", part, SCORES).to_pylist() for part in parts} == whole
