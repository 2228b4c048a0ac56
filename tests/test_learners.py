"""Learners: what a batch is made of, which loss reaches what, and what an untrained model's rows must obey."""

import collections
import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from conftest import World

from pipeline import storage
from pipeline.artifacts import CLIPS_FOLDER, Workspace
from pipeline.batching import ClipSet, step_rng
from pipeline.clipsets import load_split
from pipeline.config import as_dict
from pipeline.errors import ConfigError
from pipeline.learners import build, load_model
from pipeline.learners.coincidence import CoincidenceLearner, CoincidenceLearnerConfig, MemoryConfig
from pipeline.learners.common import MAX_GAP, MAX_SPEED, add_gap, augment_frames, augment_waveform, stack_waveforms
from pipeline.learners.matching import MatchingConfig
from pipeline.learners.separation import Recipe, SeparationLearner, SeparationLearnerConfig
from pipeline.models.coincidence import CoincidenceConfig
from pipeline.models.separation import SeparationConfig
from pipeline.models.tdcn import TDCNConfig
from pipeline.samples import Clip
from pipeline.splitting import SplittingConfig
from pipeline.training import LocalContext, TrainingConfig, train

RATE_HZ = 16000
TOWERS = CoincidenceConfig(trunk="plain", frame_size=32, width=0.25, embedding_dim=16)
TRAINING = TrainingConfig(num_steps=2, batch_size=3, validate_every=1, num_validation_batches=1)
MATCHING = MatchingConfig(num_batches=2, num_steps=5, num_held_out_batches=2)
COINCIDENCE = CoincidenceLearnerConfig(model=TOWERS, training=TRAINING, matching=MATCHING)
SEPARATION = SeparationLearnerConfig(
    model=SeparationConfig(
        basis="stft",
        hop_ms=16.0,
        tdcn=TDCNConfig(bottleneck=8, hidden=8, num_repeats=1, num_dilations=2),
        towers=TOWERS,
    ),
    training=TRAINING,
)


def selected(world: World, labels: list[str | None], kept: list[bool] | None = None) -> ClipSet:
    """The first clips of the train split, as a selection would give them: one label each."""
    rows = load_split(world.workspace, "train", SplittingConfig()).rows
    kept = kept or [True] * len(labels)
    columns = {"kept": pa.array(kept, pa.bool_()), "label": pa.array(labels, pa.string())}
    places = rows.take(pa.array([4 * (i % 5) + i // 5 for i in range(len(labels))]))  # a clip of each video in turn
    for name, column in columns.items():
        places = places.append_column(name, column)
    return ClipSet(world.workspace, CLIPS_FOLDER, places)


def separation(**changes: object) -> SeparationLearner:
    return SeparationLearner(dataclasses.replace(SEPARATION, **changes))


LABELS: list[str | None] = [
    "on_screen",
    "off_screen",
    None,
    "mixed",
    None,
    "on_screen",
    "off_screen",
    None,
    "quiet",
    None,
]


# --- recipes ---


def draw(learner: SeparationLearner, clips: ClipSet, count: int = 2000) -> list[Recipe]:
    return learner.draw(clips, step_rng(0), count)


def test_kinds_come_in_the_shares_that_the_config_asks_for(world: World) -> None:
    recipes = draw(separation(labelled_fraction=0.4, soff_fraction=0.25), selected(world, LABELS))
    counts = collections.Counter(recipe.kind for recipe in recipes)
    for kind, share in {"LOn": 0.2, "LOff": 0.2, "SOff": 0.15, "NOn": 0.45}.items():
        assert counts[kind] / 2000 == pytest.approx(share, abs=4 * (share * (1 - share) / 2000) ** 0.5)
    alone = sum(recipe.second is None for recipe in recipes)
    assert alone / 2000 == pytest.approx(0.2, abs=4 * (0.2 * 0.8 / 2000) ** 0.5)  # half of the labelled ones


def test_a_recipe_of_each_kind_is_what_its_kind_says(world: World) -> None:
    clips = selected(world, LABELS, kept=[i != 7 for i in range(10)])
    video = clips.video_index
    for recipe in draw(separation(), clips):
        if recipe.kind in ("LOn", "LOff"):
            assert LABELS[recipe.first] == {"LOn": "on_screen", "LOff": "off_screen"}[recipe.kind]
        else:
            assert recipe.first != 7  # not kept
            assert recipe.second is not None
        assert (video[recipe.sound] != video[recipe.first]) == (recipe.kind == "SOff")
        assert (recipe.sound == recipe.first) == (recipe.kind != "SOff")
        if recipe.second is not None:
            assert video[recipe.second] not in (video[recipe.sound], video[recipe.first])


def test_without_labels_every_example_is_an_unlabelled_mixture_of_mixtures(world: World) -> None:
    recipes = draw(separation(labelled_fraction=1.0, soff_fraction=0.5), selected(world, [None] * 10))
    assert {recipe.kind for recipe in recipes} == {"NOn", "SOff"}
    assert all(recipe.second is not None for recipe in recipes)


def test_two_videos_are_too_few_for_sound_from_elsewhere_beside_a_third(world: World) -> None:
    recipes = draw(separation(labelled_fraction=0.0, soff_fraction=1.0), selected(world, [None] * 2))
    assert {recipe.kind for recipe in recipes} == {"NOn"}


# --- batches of separation ---


def test_references_are_the_clips_own_sounds_and_a_single_mixtures_second_is_silence(world: World) -> None:
    clips, learner = selected(world, LABELS), separation(labelled_fraction=0.5, soff_fraction=0.5)
    recipes = learner.draw(clips, step_rng(3), 16)
    batch = learner.batch(clips, step_rng(3), 16, slice(None), augment=False)
    assert batch["references"].shape == (16, 2, 2 * RATE_HZ)
    assert batch["frames"].shape == (16, 2, 3, 32, 32)
    assert {recipe.kind for recipe in recipes} == {"NOn", "SOff", "LOn", "LOff"}
    for i, recipe in enumerate(recipes):
        first = torch.from_numpy(clips.read(recipe.sound).waveform / 32768).float()
        assert torch.equal(batch["references"][i, 0], first)
        if recipe.second is None:
            assert not batch["references"][i, 1].any()
        else:
            second = torch.from_numpy(clips.read(recipe.second).waveform / 32768).float()
            assert torch.equal(batch["references"][i].sum(dim=0), first + second)
        assert torch.equal(batch["frames"][i], torch.from_numpy(clips.read(recipe.first).frames / 255).float())
        assert batch["single"][i] == (recipe.second is None)
        assert batch["on_screen"][i] == (recipe.kind in ("NOn", "LOn"))


def test_a_crop_takes_sound_and_picture_of_the_same_time(world: World) -> None:
    clips, learner = selected(world, LABELS), separation(crop_frames=1)
    recipes = learner.draw(clips, step_rng(1), 16)
    batch = learner.batch(clips, step_rng(1), 16, slice(None), augment=False)
    assert batch["frames"].shape[1] == 1
    assert batch["references"].shape[2] == RATE_HZ
    places = set()
    for i, recipe in enumerate(recipes):
        whole = torch.from_numpy(clips.read(recipe.first).frames / 255).float()
        sound = torch.from_numpy(clips.read(recipe.sound).waveform / 32768).float()
        place = next(
            k for k in range(2) if torch.equal(sound[k * RATE_HZ : (k + 1) * RATE_HZ], batch["references"][i, 0])
        )
        assert torch.equal(batch["frames"][i, 0], whole[place])
        places.add(place)
    assert places == {0, 1}


def test_validation_does_not_augment_and_training_does(world: World) -> None:
    clips = selected(world, LABELS)
    for learner in (separation(), CoincidenceLearner(COINCIDENCE)):
        plain, again, varied = (
            learner.batch(clips, step_rng(2), 4, slice(None), augment=augment)["frames"]
            for augment in (False, False, True)
        )
        assert torch.equal(plain, again)
        assert not torch.equal(plain, varied)


# --- losses of separation ---


def tiny_batch(singles: list[bool], on_screen: list[bool]) -> dict[str, torch.Tensor]:
    """Noise, two seconds of it."""
    generator = torch.Generator().manual_seed(1)
    references = 0.1 * torch.randn(len(singles), 2, 2 * RATE_HZ, generator=generator)
    references[torch.tensor(singles), 1] = 0
    frames = torch.rand(len(singles), 2, 3, 32, 32, generator=generator)
    facts = {"single": torch.tensor(singles), "on_screen": torch.tensor(on_screen)}
    return {"references": references, "frames": frames, **facts}


def test_a_single_mixture_has_no_separation_loss_and_sends_no_gradient_of_it() -> None:
    torch.manual_seed(0)
    learner = separation()
    model = learner.model()
    parts = learner.loss(model, tiny_batch([True, True], [True, False]))
    assert parts["separation_db"] == 0
    parts["separation_db"].backward(retain_graph=True)
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
    parts["classification"].backward()
    assert any(p.grad is not None and p.grad.any() for p in model.classifier.parameters())


def test_single_mixtures_do_not_change_the_separation_loss_of_the_others() -> None:
    torch.manual_seed(0)
    learner = separation()
    model = learner.model().eval()
    batch = tiny_batch([False, True, False], [True, True, False])
    others = {name: value[torch.tensor([0, 2])] for name, value in batch.items()}
    together, apart = (learner.loss(model, part)["separation_db"] for part in (batch, others))
    assert together.item() == pytest.approx(apart.item(), abs=1e-4)
    assert -60 <= apart.item() <= 6.1


@pytest.mark.parametrize("kind", ["exact", "multiple_instance", "active_combinations"])
def test_off_screen_examples_teach_that_no_source_is_on_screen(kind: str) -> None:
    torch.manual_seed(0)
    learner = separation(cross_entropy=kind)
    model = learner.model().eval()
    batch = tiny_batch([False, True], [False, False])
    parts = learner.loss(model, batch)
    logits = model(batch["references"].sum(dim=1), batch["frames"]).logits
    # all labels are 0: the sum over sources of -log(1 - p), whichever the cross-entropy
    expected = torch.nn.functional.softplus(logits).sum(dim=1).mean()
    assert parts["classification"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_single_on_screen_mixture_teaches_that_every_source_is_on_screen() -> None:
    torch.manual_seed(0)
    learner = separation(cross_entropy="exact")
    model = learner.model().eval()
    batch = tiny_batch([True], [True])
    logits = model(batch["references"].sum(dim=1), batch["frames"]).logits
    expected = torch.nn.functional.softplus(-logits).sum()
    assert learner.loss(model, batch)["classification"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_loss_is_separation_plus_weighted_classification() -> None:
    torch.manual_seed(0)
    learner = separation(classification_weight=2.5)
    parts = learner.loss(learner.model(), tiny_batch([False, True], [True, False]))
    expected = parts["separation_db"] + 2.5 * parts["classification"]
    assert parts["loss"].item() == pytest.approx(expected.item(), rel=1e-6)


# --- rows of separation ---


def example(key: str, eval_set: str, second: bool) -> Clip:
    rng = np.random.default_rng(len(key))
    sounds = {"first.flac": rng.integers(-3000, 3000, 2 * RATE_HZ, dtype=np.int16)}
    if second:
        sounds["second.flac"] = rng.integers(-3000, 3000, 2 * RATE_HZ, dtype=np.int16)
    return Clip(key, sounds, rng.integers(0, 255, (2, 3, 32, 32), dtype=np.uint8), {"eval_set": eval_set})


@pytest.mark.parametrize("eval_set", ["on_single", "off_single", "on_mom", "off_mom"])
def test_rows_of_an_example_are_those_of_its_set(eval_set: str) -> None:
    torch.manual_seed(0)
    learner = separation()
    model = learner.model().eval()
    is_on, is_mom = eval_set.startswith("on"), eval_set.endswith("mom")
    rows = learner.evaluate(model, [example("a", eval_set, is_mom), example("bb", eval_set, is_mom)])
    assert [row["example_id"] for row in rows["examples"]] == ["a", "bb"]
    for row in rows["examples"]:
        assert ("osr_db" in row) == (not is_on)
        assert ("si_snr_db" in row) == ("si_snr_input_db" in row) == is_on
        assert ("si_snr_oracle_db" in row) == (eval_set == "on_mom")
        if eval_set == "on_single":
            assert row["si_snr_input_db"] == 80  # the mixture is its reference: the metric's cap
        if eval_set == "on_mom":  # two noises of one level: 0 dB, and no estimate of the assignment search is worse
            assert row["si_snr_input_db"] == pytest.approx(0, abs=0.3)
    num_sources = SEPARATION.model.num_sources
    assert [row["source"] for row in rows["sources"]] == 2 * list(range(num_sources))
    assert all(0 < row["probability"] < 1 and row["weight"] >= 0 for row in rows["sources"])
    truths = {row["on_screen"] for row in rows["sources"]}
    assert truths == {"on_single": {True}, "off_single": {False}, "off_mom": {False}}.get(eval_set, truths)


# --- coincidence ---


def test_every_row_of_a_coincidence_batch_is_of_another_video(world: World) -> None:
    clips = load_split(world.workspace, "train", SplittingConfig())
    for step in range(10):
        batch = CoincidenceLearner(COINCIDENCE).batch(clips, step_rng(0, step), 4, slice(None), augment=True)
        assert len(set(batch["video"].tolist())) == 4
        assert batch["waveform"].abs().max() <= 1
        assert 0 <= batch["frames"].min() <= batch["frames"].max() <= 1


NCE = dataclasses.replace(COINCIDENCE, objective="nce", memory=MemoryConfig(num_negatives=12))


@pytest.mark.parametrize(("draw", "shape"), [("shared", [12]), ("per_example", [3, 12])])
def test_a_batch_for_nce_names_its_clips_and_their_noise(world: World, draw: str, shape: list[int]) -> None:
    clips = load_split(world.workspace, "train", SplittingConfig())
    config = dataclasses.replace(NCE, memory=dataclasses.replace(NCE.memory, draw=draw))
    learner = CoincidenceLearner(config)
    batch = learner.batch(clips, step_rng(0), 3, slice(None), augment=True)
    assert list(batch["negatives"].shape) == shape
    assert batch["negatives"].max() < len(clips)
    assert clips.video_index[batch["clip"]].tolist() == batch["video"].tolist()
    second = learner.batch(clips, step_rng(0), 3, slice(1, None, 2), augment=True)  # what another worker draws
    wanted = batch["negatives"] if draw == "shared" else batch["negatives"][1::2]
    assert torch.equal(second["negatives"], wanted)
    assert "negatives" not in learner.batch(clips, step_rng(0), 3, slice(None), augment=False)


@pytest.mark.parametrize("directions", ["both", "visual"])
@pytest.mark.parametrize("draw", ["shared", "per_example"])
def test_nce_remembers_what_it_has_seen_and_reaches_both_towers(world: World, draw: str, directions: str) -> None:
    torch.manual_seed(0)
    clips = load_split(world.workspace, "train", SplittingConfig())
    memory = dataclasses.replace(NCE.memory, draw=draw, directions=directions)
    learner = CoincidenceLearner(dataclasses.replace(NCE, memory=memory))
    model = learner.model().train()
    bank = learner.begin(clips, 0, LocalContext())
    seen: set[int] = set()
    for step in range(4):
        batch = learner.batch(clips, step_rng(0, step), 4, slice(None), augment=True)
        parts = learner.loss(model, batch)
        (parts["loss"] / 4).backward()
        learner.after_step()
        seen |= set(batch["clip"].tolist())
        assert set(torch.nonzero(bank.filled).flatten().tolist()) == seen
        assert parts["nce"] > 0
    assert torch.isfinite(bank.log_mean_noise).tolist() == [True, directions == "both"]
    for tower in (model.visual_tower, model.audio_tower):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in tower.parameters())
    model.eval()
    assert "info_nce" in learner.loss(model, batch)  # held-out clips are in no memory


def test_coincidence_training_with_a_memory_outlives_a_kill(workspace: Workspace) -> None:
    class Killed(CoincidenceLearner):
        def loss(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            if len(steps) == 3:
                raise InterruptedError
            steps.append(0)
            return super().loss(model, batch)

    steps: list[int] = []
    training = dataclasses.replace(TRAINING, num_steps=4, validate_every=4, checkpoint_every=2)
    config = dataclasses.replace(NCE, training=training)
    sets = [load_split(workspace, split, SplittingConfig()) for split in ("train", "validate")]
    for name in ("whole", "killed"):
        workspace.begin(f"models/{name}", {"learner": "coincidence", "config": as_dict(config)}, {})
    train(CoincidenceLearner(config), *sets, workspace, "models/whole", 0, LocalContext())
    with pytest.raises(InterruptedError):
        train(Killed(config), *sets, workspace, "models/killed", 0, LocalContext())
    train(CoincidenceLearner(config), *sets, workspace, "models/killed", 0, LocalContext())
    files = [storage.read_bytes(workspace.uri("models", name, "model.pt")) for name in ("whole", "killed")]
    assert files[0] == files[1]
    figures = [workspace.stage(f"models/{name}")["figures"] for name in ("whole", "killed")]
    assert figures[0] == figures[1]
    assert figures[0]["validate_gallery"] == 3  # held-out videos
    assert {"validate_match_auc", "validate_match_calibration_error", "validate_sound_recall_at_1"} <= figures[0].keys()


def test_towers_do_not_move_while_the_match_classifier_learns(world: World) -> None:
    torch.manual_seed(0)
    learner = CoincidenceLearner(COINCIDENCE)
    model = learner.model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    sets = [load_split(world.workspace, split, SplittingConfig()) for split in ("train", "validate")]
    learner.conclude(model, *sets, 0, LocalContext())
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    layers = {f"matcher.{layer}.{kind}" for layer in ("hidden", "dense") for kind in ("weight", "bias")}
    assert moved == layers | {"match_scale", "match_bias"}


def test_scores_are_probabilities_and_embeddings_unit_vectors(world: World) -> None:
    torch.manual_seed(0)
    learner = CoincidenceLearner(COINCIDENCE)
    clips = load_split(world.workspace, "test", SplittingConfig())
    score, audio, visual = learner.embed(learner.model().eval(), [clips.read(number) for number in range(5)])
    assert score.shape == (5,)
    assert ((score > 0) & (score < 1)).all()
    for embeddings in (audio, visual):
        assert embeddings.shape == (5, 16)
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)


# --- augmentation ---


def test_a_waveform_played_at_another_speed_moves_its_pitch_by_at_most_max_speed() -> None:
    times_s = np.arange(2 * RATE_HZ) / RATE_HZ
    tone = 10_000 * np.sin(2 * np.pi * 1000 * times_s)
    pitches = []
    for seed in range(40):
        out = augment_waveform(tone, RATE_HZ // 2, RATE_HZ, np.random.default_rng(seed))
        assert out.shape == (RATE_HZ,)
        pitches.append(int(np.abs(np.fft.rfft(out)).argmax()))
    assert 1000 * np.exp(-MAX_SPEED) - 1 <= min(pitches) < 930
    assert 1070 < max(pitches) <= 1000 * np.exp(MAX_SPEED) + 1


def test_a_waveform_of_the_whole_clip_is_never_played_past_its_end() -> None:
    ramp = np.arange(1000, dtype=np.float64)
    for seed in range(20):
        out = augment_waveform(ramp, 0, 1000, np.random.default_rng(seed))
        steps = np.diff(out)
        assert (steps > 0).all()
        assert steps.max() <= 1 + 1e-3


def test_a_gap_silences_one_stretch_of_at_most_its_share_and_nothing_else() -> None:
    ones = np.ones(1000, dtype=np.int16)
    longest = 0
    for seed in range(200):
        out = add_gap(ones, np.random.default_rng(seed))
        assert out.shape == ones.shape
        silent = np.flatnonzero(out == 0)
        assert len(silent) <= round(MAX_GAP * 1000)
        assert len(silent) == 0 or silent[-1] - silent[0] + 1 == len(silent)
        longest = max(longest, len(silent))
    assert longest > 0.8 * MAX_GAP * 1000


def test_all_frames_of_a_clip_are_changed_alike_and_stay_in_range() -> None:
    frames = torch.rand(3, 1, 3, 16, 16).expand(3, 4, 3, 16, 16)
    out = augment_frames(frames, [np.random.default_rng(seed) for seed in range(3)])
    assert out.shape == frames.shape
    assert 0 <= out.min() <= out.max() <= 1
    for clip in out:
        assert all(torch.equal(clip[0], frame) for frame in clip)
    alone = augment_frames(frames[1:2], [np.random.default_rng(1)])
    assert torch.equal(alone[0], out[1])


def test_int16_becomes_amplitude_of_full_scale_one() -> None:
    samples = np.array([[-32768, 0, 16384, 32767]], dtype=np.int16)
    assert stack_waveforms(list(samples)).tolist() == [[-1.0, 0.0, 0.5, 32767 / 32768]]


# --- from a folder ---


def test_a_trained_model_is_built_again_from_what_its_folder_says(workspace: Workspace) -> None:
    clips = load_split(workspace, "train", SplittingConfig())
    learner = CoincidenceLearner(COINCIDENCE)
    workspace.begin("models/coincidence", {"learner": "coincidence", "config": as_dict(COINCIDENCE)}, {})
    with pytest.raises(ConfigError, match="not trained yet"):
        load_model(workspace, "coincidence", "coincidence")
    train(learner, clips, clips, workspace, "models/coincidence", 0, LocalContext())
    found, model = load_model(workspace, "coincidence", "coincidence")
    assert found.config == COINCIDENCE
    assert not model.training

    separating = SeparationLearner(SEPARATION)
    fresh = separating.model()
    separating.initialise(fresh, workspace)
    for tower in ("visual_tower", "audio_tower"):
        start, trained = getattr(fresh.classifier, tower).state_dict(), getattr(model, tower).state_dict()
        assert start.keys() == trained.keys()
        assert all(torch.equal(start[name], trained[name]) for name in start)


def test_a_learner_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="learner `telepathy`: expected one of coincidence, separation"):
        build("telepathy", {})


def test_a_separation_model_needs_the_coincidence_model_it_starts_from(tmp_path: Path) -> None:
    learner = SeparationLearner(SEPARATION)
    with pytest.raises(ConfigError, match="models/coincidence"):
        learner.initialise(learner.model(), Workspace(str(tmp_path)))
