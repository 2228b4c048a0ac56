"""Mixtures of mixtures: what a recipe of each kind mixes, and what its tensors hold."""

import collections

import pyarrow as pa
import pytest
import torch
from conftest import World

from pipeline.clips.splitting import SplittingConfig
from pipeline.learners.augmentation import STRONG, unpack_frames
from pipeline.learners.mixtures_of_mixtures import MixtureDrawer, MixturesConfig, Recipe
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.training.batching import ClipSet, step_rng
from tests.helpers.clips import load_split

RATE_HZ = 16000


def selected(world: World, labels: list[str | None], kept: list[bool] | None = None) -> ClipSet:
    """The first clips of the train split, as a selection would give them: one label each."""
    rows = load_split(world.workspace, "train", SplittingConfig()).rows
    kept = kept or [True] * len(labels)
    columns = {"kept": pa.array(kept, pa.bool_()), "label": pa.array(labels, pa.string())}
    places = rows.take(pa.array([4 * (i % 5) + i // 5 for i in range(len(labels))]))  # a clip of each video in turn
    for name, column in columns.items():
        places = places.append_column(name, column)
    return ClipSet(world.workspace, CLIPS_FOLDER, places)


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


def drawer(clips: ClipSet, **changes: object) -> MixtureDrawer:
    return MixtureDrawer(MixturesConfig(**changes), clips, STRONG)


def draw(of: MixtureDrawer, count: int = 2000) -> list[Recipe]:
    return of.draw(step_rng(0), count)


def test_kinds_come_in_the_shares_that_the_config_asks_for(world: World) -> None:
    shares = {"labelled_fraction": 0.4, "loff_fraction": 0.3, "soff_fraction": 0.25}
    recipes = draw(drawer(selected(world, LABELS), **shares))
    counts = collections.Counter(recipe.kind for recipe in recipes)
    for kind, share in {"LOn": 0.28, "LOff": 0.12, "SOff": 0.15, "NOn": 0.45}.items():
        assert counts[kind] / 2000 == pytest.approx(share, abs=4 * (share * (1 - share) / 2000) ** 0.5)
    alone = sum(recipe.second is None for recipe in recipes)
    assert alone / 2000 == pytest.approx(0.2, abs=4 * (0.2 * 0.8 / 2000) ** 0.5)  # half of the labelled ones


def test_a_recipe_of_each_kind_is_what_its_kind_says(world: World) -> None:
    clips = selected(world, LABELS, kept=[i != 7 for i in range(10)])
    video = clips.video_index
    for recipe in draw(drawer(clips)):
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
    recipes = draw(drawer(selected(world, [None] * 10), labelled_fraction=1.0, soff_fraction=0.5))
    assert {recipe.kind for recipe in recipes} == {"NOn", "SOff"}
    assert all(recipe.second is not None for recipe in recipes)


def test_two_videos_are_too_few_for_sound_from_elsewhere_beside_a_third(world: World) -> None:
    recipes = draw(drawer(selected(world, [None] * 2), labelled_fraction=0.0, soff_fraction=1.0))
    assert {recipe.kind for recipe in recipes} == {"NOn"}


# --- batches ---


def frames_of(clips: ClipSet, number: int) -> torch.Tensor:
    return torch.from_numpy(clips.read(number).frames / 255).float()


def test_references_are_the_clips_own_sounds_and_a_single_mixtures_second_is_silence(world: World) -> None:
    clips = selected(world, LABELS)
    of = drawer(clips, labelled_fraction=0.5, soff_fraction=0.5)
    recipes = of.draw(step_rng(3), 16)
    batch = unpack_frames(of.batch(recipes, slice(None), augment=False))
    assert batch["references"].shape == (16, 2, 2 * RATE_HZ)
    assert batch["frames"].shape == (16, 2, 2, 3, 32, 32)
    num_moms = sum(recipe.second is not None for recipe in recipes)
    assert {recipe.kind for recipe in recipes} == {"NOn", "SOff", "LOn", "LOff"}
    for i, recipe in enumerate(recipes):
        first = torch.from_numpy(clips.read(recipe.sound).waveform)
        assert torch.equal(batch["references"][i, 0], first)
        if recipe.second is None:
            assert not batch["references"][i, 1].any()
            assert not batch["frames"][i, 1].any()
            assert batch["video"][i, 1] == -1
            assert batch["mom_weight"][i] == 0
        else:
            assert torch.equal(batch["frames"][i, 1], frames_of(clips, recipe.second))
            assert batch["video"][i, 1] == clips.video_index[recipe.second]
            assert batch["on_screen"][i, 1] == (LABELS[recipe.second] != "off_screen")
            assert batch["mom_weight"][i] == pytest.approx(16 / num_moms)  # the mean over rows is one over these
            second = torch.from_numpy(clips.read(recipe.second).waveform)
            assert torch.equal(batch["references"][i].sum(dim=0), first + second)
        assert torch.equal(batch["frames"][i, 0], frames_of(clips, recipe.first))
        assert batch["video"][i, 0] == clips.video_index[recipe.first]
        assert batch["on_screen"][i, 0] == (recipe.kind in ("NOn", "LOn"))


def test_a_crop_takes_sound_and_picture_of_the_same_time(world: World) -> None:
    clips = selected(world, LABELS)
    of = drawer(clips, crop_frames=1)
    recipes = of.draw(step_rng(1), 16)
    batch = unpack_frames(of.batch(recipes, slice(None), augment=False))
    assert batch["frames"].shape[2] == 1
    assert batch["references"].shape[2] == RATE_HZ
    places = set()
    for i, recipe in enumerate(recipes):
        whole = torch.from_numpy(clips.read(recipe.first).frames / 255).float()
        sound = torch.from_numpy(clips.read(recipe.sound).waveform)
        place = next(
            k for k in range(2) if torch.equal(sound[k * RATE_HZ : (k + 1) * RATE_HZ], batch["references"][i, 0])
        )
        assert torch.equal(batch["frames"][i, 0, 0], whole[place])
        places.add(place)
    assert places == {0, 1}


def test_rows_are_those_of_the_whole_batch(world: World) -> None:
    of = drawer(selected(world, LABELS))
    recipes = of.draw(step_rng(4), 6)
    whole, odd = (of.batch(recipes, rows, augment=True) for rows in (slice(None), slice(1, None, 2)))
    for name, value in odd.items():
        assert torch.equal(value, whole[name][1::2]), name


def test_whole_clips_are_whole_and_audio_alone_has_no_frames(world: World) -> None:
    of = drawer(selected(world, LABELS), crop_frames=1)
    recipes = of.draw(step_rng(5), 3)
    assert of.batch(recipes, slice(None), augment=False, whole=True)["references"].shape[2] == 2 * RATE_HZ
    of.with_frames = False
    assert of.batch(recipes, slice(None), augment=False).keys() == {"references", "mom_weight"}


def test_validation_does_not_augment_and_training_does(world: World) -> None:
    of = drawer(selected(world, LABELS))
    recipes = of.draw(step_rng(2), 4)
    plain, again, varied = (
        unpack_frames(of.batch(recipes, slice(None), augment=augment))["frames"] for augment in (False, False, True)
    )
    assert torch.equal(plain, again)
    assert not torch.equal(plain, varied)
