"""Words from lips: windows and targets of a batch, what is learnt in seconds, settings and models that are refused."""

import dataclasses

import numpy as np
import pytest
import torch

from pipeline.clip_specs import ClipSpecs
from pipeline.clips.samples import Clip
from pipeline.clips.splitting import SplittingConfig
from pipeline.errors import ConfigError
from pipeline.hashing import as_dict
from pipeline.learners import LEARNERS
from pipeline.learners.augmentation import AugmentationConfig
from pipeline.learners.lipreading import LipreadingLearner
from pipeline.learners.lipreading_config import LipreadingLearnerConfig
from pipeline.learners.mouth_crops import MouthAugmentationConfig, cut_frames
from pipeline.learners.sources import complete_config, load_sets, read_stages
from pipeline.learners.word_examples import UNKNOWN, WordsConfig, number_words, window_of
from pipeline.learners.words import WordsLearner
from pipeline.models.lips import LipReadingConfig
from pipeline.storage import files
from pipeline.storage.layout import VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import step_rng
from pipeline.training.protocols import TrainingConfig
from schemas.videos import VIDEOS
from tests.helpers.features import write_spans
from tests.helpers.mouths import draw_mouths, write_speech_world

MODEL = LipReadingConfig(frame_size=16, width=0.1, depth=1, step_dim=16, branch_dim=8, clip_dim=16, dropout=0.0)
TRAINING = TrainingConfig(num_steps=10, batch_size=4)
CONFIG = LipreadingLearnerConfig(
    model=MODEL,
    task="words",
    first_model=None,
    encoder="tuned",
    words=WordsConfig(num_frames=6, training=TRAINING),
    vocabulary=("open", "shut"),
)
READ = {"splitting": as_dict(SplittingConfig())}


def write_world(workspace: Workspace) -> None:
    """A clip of 20 frames of each video, and a word in it: of two videos one says `open`."""
    write_speech_world(workspace)
    for part in workspace.parts(VIDEOS_FOLDER):
        videos = sorted(set(workspace.read("videos/speech", part, VIDEOS)["video_id"].to_pylist()))
        words = [(video, 0.3, 0.5, ("open", "shut")[number % 2]) for number, video in enumerate(videos)]
        write_spans(workspace, part, words)
    workspace.begin("spans", {}, {})


def test_the_registry_builds_the_learner_of_the_task() -> None:
    assert isinstance(LEARNERS["lipreading"].build(CONFIG), WordsLearner)
    contrast = LEARNERS["lipreading"].build(dataclasses.replace(CONFIG, task="contrast"))
    assert isinstance(contrast, LipreadingLearner)


def test_a_row_is_the_window_around_its_word_and_the_words_number(workspace: Workspace) -> None:
    write_world(workspace)
    learner = WordsLearner(dataclasses.replace(CONFIG, vocabulary=("shut",)))
    assert read_stages(learner, "", "") == ["spans", "clips/speech"]
    clips, _ = load_sets(workspace, learner, READ, ("train", "validate"), workspace.parts("clips/speech"))
    batch = learner.unpack(learner.batch(clips, step_rng(0, 0), 3, slice(None), augment=False))
    numbers = clips.draw(step_rng(0, 0), 3)
    assert batch["word"].tolist() == [
        0 if word == "shut" else UNKNOWN for word in clips.rows["word"].take(numbers).to_pylist()
    ]
    for row, clip in zip(batch["frames"], clips.read_many(numbers), strict=True):
        # the word's middle is at 0.4 s, in the middle of 20 frames: 6 of them are frames 7 to 12
        expected = torch.from_numpy(cut_frames(clip.frames[7:13], 16)) / 255
        torch.testing.assert_close(row, expected)


def test_training_decides_the_vocabulary_and_needs_a_word(workspace: Workspace) -> None:
    write_world(workspace)
    parts = workspace.parts("clips/speech")
    learner = WordsLearner(dataclasses.replace(CONFIG, vocabulary=()))
    with pytest.raises(ConfigError, match="vocabulary: none"):
        learner.model()
    assert complete_config(workspace, learner, READ, parts).vocabulary == ("open", "shut")
    for part in workspace.parts(VIDEOS_FOLDER):
        write_spans(workspace, part, [])
    with pytest.raises(ConfigError, match=r"no word lies in a kept clip of clips/speech .* with 6 frames"):
        complete_config(workspace, learner, READ, parts)


def test_words_that_differ_in_their_lips_are_learnt_and_an_unknown_one_counts_for_nothing() -> None:
    rng = np.random.default_rng(0)
    shapes = {"open": np.array([0, 0.3, 1, 1, 0.3, 0]), "shut": np.array([1, 0.7, 0, 0, 0.7, 1])}
    learner = WordsLearner(
        dataclasses.replace(CONFIG, augmentation=AugmentationConfig(), mouths=MouthAugmentationConfig(longest_mask_s=0))
    )

    def draw(count: int) -> dict[str, torch.Tensor]:
        words = rng.integers(0, 2, count)
        mouths = [draw_mouths(rng, 0.8 * shapes[CONFIG.vocabulary[word]] + 0.2 * rng.random(6), 16) for word in words]
        frames = torch.from_numpy(np.stack(mouths)).permute(0, 1, 4, 2, 3)
        return {"frames": frames / 255, "word": torch.from_numpy(words)}

    torch.manual_seed(0)
    model = learner.model().train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(30):
        optimiser.zero_grad()
        learner.loss(model, draw(16))["loss"].backward()
        optimiser.step()
    model.eval()
    held_out = draw(32)
    with torch.no_grad():
        found = learner.loss(model, held_out)
    assert found["word_accuracy"] == 1
    half = held_out["word"].where(torch.arange(32) < 16, UNKNOWN)
    with torch.no_grad():
        of_half = learner.loss(model, {"frames": held_out["frames"], "word": half})
        alone = learner.loss(model, {name: value[:16] for name, value in held_out.items()})
        none = learner.loss(model, {"frames": held_out["frames"], "word": torch.full((32,), UNKNOWN)})
    torch.testing.assert_close(of_half, alone)
    assert none["loss"] == 0


def test_the_encoder_is_that_of_the_first_model_and_another_size_or_task_is_refused(workspace: Workspace) -> None:
    first = LipreadingLearnerConfig(model=MODEL, training=TRAINING)
    torch.manual_seed(1)
    trained = LipreadingLearner(first).model()
    for name, config in {"first": first, "named": dataclasses.replace(first, task="words")}.items():
        workspace.begin(f"models/{name}", {"learner": "lipreading", "lipreading": config}, {})
    with files.building(workspace.uri("models/first", "model.pt")) as path, path.open("wb") as file:
        torch.save({"model": trained.state_dict()}, file)
    workspace.finish("models/first", content="x")
    learner = WordsLearner(dataclasses.replace(CONFIG, first_model="first"))
    assert learner.builds_on() == {"first": "lipreading"}
    model = learner.model()
    learner.initialise(model, workspace)
    for name, value in trained.lip_encoder.state_dict().items():
        assert torch.equal(model.lip_encoder.state_dict()[name], value)
    larger = dataclasses.replace(CONFIG, first_model="first", model=dataclasses.replace(MODEL, width=0.2))
    with pytest.raises(ConfigError, match=r"a model of contrast with .*width=0.1.*expected one of contrast"):
        WordsLearner(larger).initialise(WordsLearner(larger).model(), workspace)
    with pytest.raises(ConfigError, match="a model of words with"):
        WordsLearner(dataclasses.replace(CONFIG, first_model="named")).initialise(model, workspace)


def test_clips_that_are_too_short_are_refused() -> None:
    specs = ClipSpecs()
    learner = WordsLearner(dataclasses.replace(CONFIG, words=WordsConfig(num_frames=51)))
    with pytest.raises(ConfigError, match="num_frames = 51: expected at most 50"):
        learner.check_settings(specs.speech, {})
    with pytest.raises(ConfigError, match="frame_rate_hz = 1: expected 25"):
        learner.check_settings(specs.base, {})


def test_training_windows_move_a_little_and_stay_within_the_clip() -> None:
    clip = Clip("c", {}, np.arange(10, dtype=np.uint8)[:, None, None, None], {})
    config = WordsConfig(num_frames=6, shift_frames=2)

    def firsts(first: int) -> set[int]:
        windows = (window_of(clip, first, config, np.random.default_rng(seed)) for seed in range(60))
        return {int(window[0].item()) for window in windows}

    assert window_of(clip, 2, config, None)[:, 0, 0, 0].tolist() == [2, 3, 4, 5, 6, 7]
    assert firsts(2) == {0, 1, 2, 3, 4}
    assert firsts(4) == {2, 3, 4}
    assert number_words(["b", "x", "a"], ("a", "b")).tolist() == [1, UNKNOWN, 0]
