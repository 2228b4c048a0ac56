"""The separation learner: what a recipe mixes, which loss reaches what, and what any model's rows must obey."""

import collections
import dataclasses
import math

import numpy as np
import pyarrow as pa
import pytest
import torch
from conftest import World

from pipeline.clips.samples import Clip
from pipeline.clips.splitting import SplittingConfig
from pipeline.learners.separation import Recipe, SeparationLearner, SeparationLearnerConfig
from pipeline.models.separator import SeparationConfig, SeparationOutput
from pipeline.models.tdcn import TDCNConfig
from pipeline.models.towers import CoincidenceConfig
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.training.batching import ClipSet, step_rng
from tests.helpers.clips import load_split

RATE_HZ = 16000
SEPARATION = SeparationLearnerConfig(
    model=SeparationConfig(
        basis="stft",
        hop_ms=16.0,
        tdcn=TDCNConfig(bottleneck=8, hidden=8, num_repeats=1, num_dilations=2),
        towers=CoincidenceConfig(backbone="small_cnn", frame_size=32, width=0.25, embedding_dim=16),
    ),
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
    learner = separation(labelled_fraction=0.4, loff_fraction=0.3, soff_fraction=0.25)
    recipes = draw(learner, selected(world, LABELS))
    counts = collections.Counter(recipe.kind for recipe in recipes)
    for kind, share in {"LOn": 0.28, "LOff": 0.12, "SOff": 0.15, "NOn": 0.45}.items():
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


# --- batches ---


def test_references_are_the_clips_own_sounds_and_a_single_mixtures_second_is_silence(world: World) -> None:
    clips, learner = selected(world, LABELS), separation(labelled_fraction=0.5, soff_fraction=0.5)
    recipes = learner.draw(clips, step_rng(3), 16)
    batch = learner.batch(clips, step_rng(3), 16, slice(None), augment=False)
    assert batch["references"].shape == (16, 2, 2 * RATE_HZ)
    assert batch["frames"].shape == (16, 2, 3, 32, 32)
    assert {recipe.kind for recipe in recipes} == {"NOn", "SOff", "LOn", "LOff"}
    for i, recipe in enumerate(recipes):
        first = torch.from_numpy(clips.read(recipe.sound).waveform)
        assert torch.equal(batch["references"][i, 0], first)
        if recipe.second is None:
            assert not batch["references"][i, 1].any()
        else:
            second = torch.from_numpy(clips.read(recipe.second).waveform)
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
        sound = torch.from_numpy(clips.read(recipe.sound).waveform)
        place = next(
            k for k in range(2) if torch.equal(sound[k * RATE_HZ : (k + 1) * RATE_HZ], batch["references"][i, 0])
        )
        assert torch.equal(batch["frames"][i, 0], whole[place])
        places.add(place)
    assert places == {0, 1}


def test_validation_does_not_augment_and_training_does(world: World) -> None:
    clips = selected(world, LABELS)
    plain, again, varied = (
        separation().batch(clips, step_rng(2), 4, slice(None), augment=augment)["frames"]
        for augment in (False, False, True)
    )
    assert torch.equal(plain, again)
    assert not torch.equal(plain, varied)


# --- losses ---


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


@pytest.mark.parametrize(("weigh_by_power", "expected"), [(False, 2 + 1), (True, 2 * 0.2 + 1 * 1.8)])
def test_a_verdict_counts_by_its_sources_share_of_the_power_where_that_is_asked_for(
    weigh_by_power: bool, expected: float
) -> None:
    learner = separation(weigh_by_power=weigh_by_power)
    sources = torch.tensor([0.1, 0.3])[None, :, None].expand(1, 2, 1000)  # powers of 1 to 9: 0.2 and 1.8 of their mean
    logits = torch.tensor([[math.log(3), 0.0]])  # -log(1 - p) of p = 3/4 and 1/2, in log 2: 2 and 1
    batch = {"references": sources, "frames": torch.empty(0)}
    batch |= {"single": torch.tensor([True]), "on_screen": torch.tensor([False])}
    parts = learner.loss(lambda *_: SeparationOutput(sources, logits, torch.empty(0)), batch)
    assert parts["classification"].item() == pytest.approx(expected * math.log(2), rel=1e-5)


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


# --- rows ---


def example(key: str, eval_set: str, second: bool) -> Clip:
    rng = np.random.default_rng(len(key))
    sounds = {"first.flac": rng.uniform(-0.1, 0.1, 2 * RATE_HZ).astype(np.float32)}
    if second:
        sounds["second.flac"] = rng.uniform(-0.1, 0.1, 2 * RATE_HZ).astype(np.float32)
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
