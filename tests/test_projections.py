"""Projections of imported vectors: what they learn, against the best that anyone could who knew all means."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.errors import ConfigError
from pipeline.hashing import as_dict
from pipeline.learners import LEARNERS
from pipeline.learners.coincidence import CoincidenceLearner
from pipeline.learners.coincidence_config import CoincidenceLearnerConfig
from pipeline.learners.loading import load_model
from pipeline.learners.projections import ProjectionLearner
from pipeline.learners.vector_sets import VectorClip
from pipeline.models.projections import Projection, ProjectionConfig
from pipeline.storage.workspace import Workspace
from pipeline.training.loop import train
from pipeline.training.protocols import LocalContext
from tests.helpers.vectors import Classes, make_classes, pairs_auc, vector_set

INPUTS = ("clip.image", "clap.audio")


def test_two_hundred_videos_teach_nine_tenths_of_what_the_best_score_reaches(tmp_path: Path) -> None:
    classes, rng, workspace = make_classes(seed=0), np.random.default_rng(1), Workspace(str(tmp_path))
    numbers = rng.permutation(np.arange(200) % 14)
    sets = [vector_set(workspace, *classes.draw(rng, numbers[rows])) for rows in (slice(160), slice(160, 200))]
    config = LEARNERS["coincidence"].build(CoincidenceLearnerConfig(inputs=INPUTS)).complete_config(sets[0])
    learner = LEARNERS["coincidence"].build(config)
    workspace.begin("models/m", {"learner": "coincidence", "coincidence": as_dict(config)}, {})
    train(learner, *sets, workspace, "models/m", 0, LocalContext())

    found, model = load_model(workspace, "m", "coincidence")
    picture, sound = classes.draw(rng, rng.integers(14, size=400))
    clips = [VectorClip("", *pair) for pair in zip(picture, sound, strict=True)]
    score, audio, visual = found.embed(model, clips)
    best = pairs_auc(classes.best_scores(picture, sound))
    assert 0.96 < best < 1 - 0.5 / 14 + 0.01  # a sound of the same class cannot be told from the own one
    assert pairs_auc(visual @ audio.T) > 0.9 * best
    with torch.inference_mode():
        seen, heard = torch.from_numpy(visual), torch.from_numpy(audio)
        square = model.score(seen[:, None].expand(-1, 400, -1), heard.expand(400, -1, -1)).numpy()
    assert np.allclose(np.diag(square), score, atol=1e-6)
    assert pairs_auc(square) > 0.9 * best
    assert workspace.stage("models/m")["figures"]["validate_match_calibration_error"] < 0.2


def test_the_best_score_is_that_of_the_true_classes_where_there_is_no_noise() -> None:
    classes = Classes(100 * np.eye(3), 100 * np.eye(3))
    picture, sound = classes.draw(np.random.default_rng(0), np.array([0, 1, 2, 0]))
    scores = classes.best_scores(picture, sound)
    assert np.allclose(scores[0, [0, 3]], np.log(3))  # of one class: three times as likely as by chance
    assert (scores[0, 1:3] < -1000).all()
    assert pairs_auc(np.array([[1.0, 0.0], [2.0, 1.0]])) == (1 / 2 + 1 / 2) / 2  # above 0, below 2, twice


def test_a_projection_is_blind_to_scale_and_shift_of_each_number() -> None:
    torch.manual_seed(0)
    plain = Projection(ProjectionConfig(dropout=0.0), 4)
    vectors, scale, shift = torch.randn(32, 4), torch.tensor([1e-3, 1.0, 1e3, 1e5]), torch.tensor([5.0, 0.0, -1e3, 1.0])
    assert torch.allclose(plain(vectors), plain(vectors * scale + shift), atol=2e-2)
    assert torch.allclose(plain(vectors).norm(dim=1), torch.ones(32), atol=1e-5)


def test_inputs_make_projections_of_a_coincidence_learner() -> None:
    entry = LEARNERS["coincidence"]
    assert isinstance(entry.build(CoincidenceLearnerConfig(inputs=INPUTS)), ProjectionLearner)
    assert type(entry.build(CoincidenceLearnerConfig())) is CoincidenceLearner
    for wrong in (("clip.image",), ("clip", "clap.audio"), ("clip.image", "clap.audio", "a.b"), ("../x.y", "a.b")):
        with pytest.raises(ConfigError, match=r"inputs = .*: expected table\.column"):
            CoincidenceLearnerConfig(inputs=wrong)


def test_vectors_of_another_length_are_refused_with_the_clip() -> None:
    learner = ProjectionLearner(CoincidenceLearnerConfig(inputs=INPUTS, input_dims=(3, 2)))
    short = VectorClip("v1_00000000", np.zeros(3, np.float32), np.zeros(4, np.float32))
    with pytest.raises(ConfigError, match=r"v1_00000000: vectors of 3 and 4 numbers .* the model is for 3 and 2"):
        learner.embed(learner.model().eval(), [short])
