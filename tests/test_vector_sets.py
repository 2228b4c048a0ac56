"""Imported vectors as what a learner draws from and a score is made of, in a root that holds no clip but its rows."""

import numpy as np
import pytest

from pipeline.clips.splitting import SplittingConfig
from pipeline.errors import ConfigError
from pipeline.hashing import as_dict
from pipeline.learners.coincidence_config import CoincidenceLearnerConfig
from pipeline.learners.loading import build, check_towers
from pipeline.learners.matching import MatchingConfig
from pipeline.learners.sources import load_sets, read_stages, vector_inputs
from pipeline.learners.vector_sets import load_vectors
from pipeline.outside.vectors import read_vectors
from pipeline.selection.scoring import ScorePart
from pipeline.storage.workspace import Workspace
from pipeline.training.loop import train
from pipeline.training.protocols import LocalContext, TrainingConfig
from schemas.scores import SCORES
from tests.helpers.command import earshot
from tests.helpers.vectors import clip_ids, write_vectors

SPLITTING = SplittingConfig(validate_fraction=0.2, test_fraction=0.2)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return write_vectors(tmp_path_factory.mktemp("vectors") / "root")


def test_a_learner_draws_clips_with_both_vectors_and_each_keeps_its_own(root: Workspace) -> None:
    parts = root.parts("clips/base")
    sets = load_vectors(root, ("clip.image", "clap.audio"), ("train", "validate", "test"), SPLITTING, parts, "base")
    found = [key for clips in sets for key in clips.rows["clip_id"].to_pylist()]
    ids = clip_ids(root)
    assert sorted(found) == sorted(key for number, key in enumerate(ids) if number not in (3, 5))
    for clips in sets:
        assert all(len(clips) == len(rows) for rows in (clips.picture, clips.sound))
        for number, (key, part) in enumerate(zip(clips.rows["clip_id"], clips.rows["part"], strict=True)):
            for where, rows in (("clip.image", clips.picture), ("clap.audio", clips.sound)):
                own = read_vectors(root, where, part.as_py(), [key.as_py()])
                assert np.array_equal(own.values[0], rows[number])


def test_a_model_of_vectors_scores_these_and_says_which_it_needs(root: Workspace) -> None:
    short = TrainingConfig(num_steps=4, batch_size=8, validate_every=2, num_validation_batches=1)
    config = CoincidenceLearnerConfig(
        inputs=("clip.image", "clap.audio"), projection_training=short, matching=MatchingConfig(num_steps=5)
    )
    learner = build("coincidence", as_dict(config))
    parts, settings = root.parts("clips/base"), {"splitting": as_dict(SPLITTING)}
    assert read_stages(learner, "", "") == ["imported/clip", "imported/clap", "clips/base"]
    sets = load_sets(root, learner, settings, ("train", "validate"), parts)
    learner = build("coincidence", as_dict(learner.complete_config(sets[0])))
    root.begin("models/v", {"learner": "coincidence", "coincidence": as_dict(learner.config)} | settings, {})
    train(learner, *sets, root, "models/v", 0, LocalContext())
    counts = [ScorePart(root, "v", batch_size=7)(part) for part in parts]
    assert counts == [{"clips": 18, "without vectors": 2}, {"clips": 20, "without vectors": 0}]
    rows = root.read_all("scores/v", SCORES).to_pylist()
    assert [row["clip_id"] for row in rows] == clip_ids(root)
    assert [number for number, row in enumerate(rows) if row["score"] is None] == [3, 5]
    assert [number for number, row in enumerate(rows) if row["audio_embedding"] is None] == [3, 5]
    assert vector_inputs(root, learner) == {
        f"imported/{name}": root.stage(f"imported/{name}")["hash"] for name in ("clip", "clap")
    }
    with pytest.raises(ConfigError, match=r"models/v: a model of the imported vectors clip\.image and clap\.audio"):
        check_towers(root, "v")


def test_train_takes_inputs_and_its_record_has_the_tables_it_was_made_from(root: Workspace) -> None:
    steps = ("--set", "coincidence.projection_training.num_steps=2", "--set", "coincidence.matching.num_steps=5")
    steps += ("--workers", "0", "--root", root.root)
    code, out, err = earshot("train", "coincidence", "--inputs", "clip.image,clap.audio", "--name", "w", *steps)
    assert code == 0, err
    assert "2 steps" in out
    record = root.stage("models/w")
    assert record["settings"]["coincidence"]["inputs"] == ["clip.image", "clap.audio"]
    assert record["settings"]["coincidence"]["input_dims"] == [6, 4]
    assert {"imported/clip", "imported/clap"} <= record["inputs"].keys()
    for command, said in (
        (("train", "coincidence", "--inputs", "clip.image,none.audio"), "imported/name=none: nothing there yet"),
        (("train", "separation", "--inputs", "clip.image,clap.audio"), "coincidence alone learns on imported vectors"),
        (("train", "coincidence", "--inputs", "clip.image"), "expected table.column of the picture's vectors, a comma"),
    ):
        code, _, err = earshot(*command, "--name", "x", *steps)
        assert (code, said in err) == (2, True), err
        assert not root.has_stage("models/x")
