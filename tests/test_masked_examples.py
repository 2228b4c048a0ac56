"""Training examples of clips with masks: what is seen, heard and known in each kind of them."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import ConfigError, DataError
from pipeline.learners.augmentation import AugmentationConfig
from pipeline.learners.composed_clips import lend, paste, put_beside
from pipeline.learners.masked_examples import HEARD, ExampleDrawer, MaskedExamplesConfig
from pipeline.masks.masked_clips import MaskedClip
from pipeline.training.batching import step_rng
from tests.helpers.masked_sets import MemoryClips

NUM_FRAMES, SIDE, NUM_SAMPLES = 3, 16, 300


def clip(number: int, valid: tuple[bool, ...] = (True, True, True)) -> MaskedClip:
    """A clip of one colour, and in it a square of another one that sounds; its samples are its number."""
    frames = np.full((NUM_FRAMES, 3, SIDE, SIDE), number, np.uint8)
    masks = np.zeros((NUM_FRAMES, SIDE, SIDE), bool)
    masks[:, 2 + number : 5 + number, 4:9] = True
    known = np.array(valid)
    masks &= known[:, None, None]
    frames[masks[:, None].repeat(3, axis=1)] = 100 + number
    return MaskedClip(f"v{number}", frames, np.full(NUM_SAMPLES, number / 64, np.float32), masks, known, {})


def batch(
    clips: MemoryClips, augment: bool = True, first_only: bool = False, speed: float = 0.0, **fields: Any
) -> tuple[list[Any], dict[str, np.ndarray]]:
    """The recipes of a step of 40 examples, and their tensors as arrays."""
    drawer = ExampleDrawer(MaskedExamplesConfig(**fields), AugmentationConfig(speed=speed), clips, first_only)
    recipes = [recipe for step in range(10) for recipe in drawer.draw(step_rng(0, step), 4)]
    return recipes, {name: value.numpy() for name, value in drawer.batch(recipes, augment).items()}


def test_by_default_examples_are_the_clips_as_they_are() -> None:
    clips = MemoryClips([clip(number) for number in range(5)])
    recipes, out = batch(clips)
    assert out.keys() == {"frames", "waveform", "masks", "mask_valid"}
    for row, recipe in enumerate(recipes):
        own = clips.made[recipe.first]
        assert recipe.kind == "own"
        for name in ("frames", "waveform", "masks", "mask_valid"):
            np.testing.assert_array_equal(out[name][row], getattr(own, name))


def test_shares_of_the_kinds_are_those_of_the_config() -> None:
    clips = MemoryClips([clip(number) for number in range(8)], [[str(number)] for number in range(8)])
    config = MaskedExamplesConfig(muted_fraction=0.1, foreign_fraction=0.2, pasted_fraction=0.3, beside_fraction=0.15)
    drawer, rng = ExampleDrawer(config, AugmentationConfig(), clips), np.random.default_rng(0)
    kinds = [recipe.kind for _ in range(250) for recipe in drawer.draw(rng, 8)]
    for kind, share in (("muted", 0.1), ("foreign", 0.2), ("pasted", 0.3), ("beside", 0.15), ("own", 0.25)):
        deviation = (share * (1 - share) / len(kinds)) ** 0.5
        assert kinds.count(kind) / len(kinds) == pytest.approx(share, abs=5 * deviation)


def test_of_a_muted_clip_it_is_known_that_nothing_sounds_in_any_frame() -> None:
    clips = MemoryClips([clip(number, (True, False, False)) for number in range(4)])
    recipes, out = batch(clips, muted_fraction=1.0)
    assert not out["waveform"].any()
    assert not out["masks"].any()
    assert out["mask_valid"].all()
    np.testing.assert_array_equal(out["frames"][0], clips.made[recipes[0].first].frames)


def test_a_foreign_sound_is_of_a_video_without_a_common_category_and_masks_are_empty() -> None:
    categories = [["dog"], ["dog", "cat"], ["cat"], []]
    clips = MemoryClips([clip(number) for number in range(4)], categories)
    recipes, out = batch(clips, foreign_fraction=1.0)
    pairs = {(recipe.first, recipe.second) for recipe in recipes}
    assert pairs == {(0, 2), (2, 0), (1, None), (3, None)}
    for row, recipe in enumerate(recipes):
        assert recipe.kind == ("own" if recipe.second is None else "foreign")
        heard = recipe.first if recipe.second is None else recipe.second
        assert (out["waveform"][row] == heard / 64).all()
        assert out["masks"][row].any() == (recipe.second is None)


def test_pasted_things_are_of_other_categories_or_of_unknown_ones() -> None:
    categories = [["dog"], ["dog", "cat"], ["cat"], []]
    clips = MemoryClips([clip(number) for number in range(4)], categories)
    recipes, _ = batch(clips, pasted_fraction=1.0)
    pairs = {(recipe.first, recipe.second) for recipe in recipes}
    assert pairs == {(0, 2), (0, 3), (1, 3), (2, 0), (2, 3), (3, 0), (3, 1), (3, 2)}


def test_a_lent_sound_is_of_another_video_of_the_same_one_category_and_masks_are_where_both_sound() -> None:
    categories = [["dog"], ["dog"], ["cat"], ["dog", "cat"], ["dog", "cat"], []]
    clips = MemoryClips([clip(number) for number in range(6)], categories)
    recipes, out = batch(clips, lent_fraction=1.0)
    assert {(recipe.first, recipe.first_lender) for recipe in recipes} == {(0, 1), (1, 0)} | {
        (number, None) for number in range(2, 6)
    }
    for row, recipe in enumerate(recipes):
        heard = recipe.first if recipe.first_lender is None else recipe.first_lender
        assert (out["waveform"][row] == heard / 64).all()
        np.testing.assert_array_equal(out["frames"][row], clips.made[recipe.first].frames)
        np.testing.assert_array_equal(out["masks"][row], clips.made[recipe.first].masks)


def test_with_a_lent_sound_a_frame_is_known_unless_its_thing_may_sound_unseen() -> None:
    given = clip(1), clip(7)
    # of the clip: sounds, silent, sounds; of the lender: silent, sounds, sounds
    own, lender = (
        dataclasses.replace(each, masks=each.masks & np.array(sounds)[:, None, None])
        for each, sounds in zip(given, ([True, False, True], [False, True, True]), strict=True)
    )
    out = lend(own, lender)
    assert out.mask_valid.tolist() == [True, False, True]
    assert not out.masks[:2].any()
    np.testing.assert_array_equal(out.masks[2], given[0].masks[2])
    np.testing.assert_array_equal(out.waveform, lender.waveform)
    unknown = lend(own, dataclasses.replace(lender, mask_valid=np.array([True, True, False])))
    assert unknown.mask_valid.tolist() == [True, False, False]


def assert_sound(out: MaskedClip, heard: str) -> None:
    """Samples of clips 1 and 7 are their numbers / 64; of both the second is as loud as the first, within 3 dB."""
    low, high = {"first": (1, 1), "second": (7, 7), "both": (1 + 10**-0.15, 1 + 10**0.15)}[heard]
    assert low / 64 - 1e-6 <= out.waveform.min() == out.waveform.max() <= high / 64 + 1e-6


@pytest.mark.parametrize("heard", HEARD)
def test_two_clips_side_by_side_keep_their_halves_and_the_masks_of_what_is_heard(heard: str) -> None:
    first, second = clip(1), dataclasses.replace(clip(6, (True, False, True)), waveform=clip(7).waveform)
    arrangements = {}
    for axis in (-2, -1):
        pair = []
        for made, is_heard in ((first, heard != "second"), (second, heard != "first")):
            even, odd = np.arange(0, SIDE, 2), np.arange(1, SIDE, 2)
            wide = made.frames.astype(int)
            pictures = (wide.take(even, axis) + wide.take(odd, axis)) // 2
            pair.append((pictures, made.masks.take(odd, axis) & is_heard))
        for order in (pair, pair[::-1]):
            frames, masks = (np.concatenate(parts, axis=axis) for parts in zip(*order, strict=True))
            arrangements[frames.tobytes()] = masks
    expected = {"first": [True] * 3, "second": [True, False, True], "both": [True, False, True]}[heard]
    for seed in range(20):
        out = put_beside(first, second, heard, np.random.default_rng(seed))
        np.testing.assert_array_equal(out.masks, arrangements[out.frames.astype(int).tobytes()])
        assert_sound(out, heard)
        assert out.mask_valid.tolist() == expected


def test_clips_are_put_left_right_above_and_below() -> None:
    first, second = clip(1), clip(6)
    seen = {put_beside(first, second, "first", np.random.default_rng(seed)).frames.tobytes() for seed in range(20)}
    assert len(seen) == 4


def test_of_an_odd_number_of_pixels_the_last_is_that_beside_it() -> None:
    odd = dataclasses.replace(clip(1), frames=clip(1).frames[..., :15], masks=clip(1).masks[..., :15])
    shapes = {put_beside(odd, odd, "both", np.random.default_rng(seed)).masks.shape for seed in range(8)}
    assert shapes == {(NUM_FRAMES, SIDE, 15)}


@pytest.mark.parametrize("heard", HEARD)
def test_what_is_pasted_is_in_the_picture_and_masks_show_what_is_seen_of_those_that_are_heard(heard: str) -> None:
    first, second, places = clip(1), clip(7, (True, False, True)), set()
    for seed in range(20):
        out = paste(first, second, heard, np.random.default_rng(seed))
        pasted, own = out.frames[:, 0] == 107, out.frames[:, 0] == 101
        assert (pasted.sum(axis=(1, 2)) == np.array([15, 0, 15])).all()  # whole, where it is known
        assert (out.frames[:, 0][~pasted & ~own] == 1).all()  # nothing else of the second is
        expected = {"first": own, "second": pasted, "both": own | pasted}[heard]
        np.testing.assert_array_equal(out.masks, expected)
        assert_sound(out, heard)
        assert out.mask_valid.all()
        places.add(int(pasted[0].argmax()))
    assert len(places) > 12


def test_where_it_is_not_known_what_sounds_of_the_first_only_the_second_alone_has_masks() -> None:
    first, second = clip(1, (False, True, False)), clip(7)
    valid = {heard: paste(first, second, heard, np.random.default_rng(0)).mask_valid.tolist() for heard in HEARD}
    assert valid == {"first": [False, True, False], "second": [True] * 3, "both": [False, True, False]}


def test_with_first_masks_only_no_other_mask_changes_a_batch() -> None:
    clips = [clip(number, (False, True, True)) for number in range(4)]
    others = [
        dataclasses.replace(each, masks=each.masks & (np.arange(NUM_FRAMES) < 2)[:, None, None]) for each in clips
    ]
    fields = {"muted_fraction": 0.2, "pasted_fraction": 0.5}
    recipes, one = batch(MemoryClips(clips), first_only=True, **fields)
    _, other = batch(MemoryClips(others), first_only=True, **fields)
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], name)
    own = [row for row, recipe in enumerate(recipes) if recipe.kind == "own"]
    assert (one["mask_valid"][own] == [False, True, False]).all()
    assert not one["masks"][own][:, [0, 2]].any()


def test_a_sound_at_another_speed_keeps_its_middle() -> None:
    ramp = np.arange(NUM_SAMPLES, dtype=np.float32) - (NUM_SAMPLES - 1) / 2 + 1000
    clips = MemoryClips([dataclasses.replace(clip(number), waveform=ramp) for number in range(4)])
    _, out = batch(clips, speed=0.2)
    for played in out["waveform"]:
        assert played[NUM_SAMPLES // 2 - 1 : NUM_SAMPLES // 2 + 1].mean() == pytest.approx(1000, abs=0.01)
    slopes = out["waveform"][:, 160] - out["waveform"][:, 140]
    assert np.exp(-0.2) <= slopes.min() / 20 < 0.9
    assert 1.1 < slopes.max() / 20 <= np.exp(0.2)
    _, plain = batch(clips, augment=False, speed=0.2)
    np.testing.assert_array_equal(plain["waveform"], np.tile(ramp, (40, 1)))


def test_crops_are_drawn_for_training_only() -> None:
    clips = MemoryClips([clip(number) for number in range(4)])
    _, out = batch(clips, smallest_crop=0.5)
    assert out["crop"].shape == (40, 4)
    assert "crop" not in batch(clips, augment=False, smallest_crop=0.5)[1]


def test_a_lone_video_has_nothing_pasted() -> None:
    recipes, _ = batch(MemoryClips([clip(0)]), pasted_fraction=1.0)
    assert {recipe.kind for recipe in recipes} == {"own"}


def test_clips_of_two_sizes_are_refused_by_name() -> None:
    short = dataclasses.replace(clip(1), frames=clip(1).frames[:2])
    drawer = ExampleDrawer(MaskedExamplesConfig(), AugmentationConfig(), MemoryClips([clip(0), short]))
    with pytest.raises(DataError, match=r"v\d: \d frames of 16x16 and 300 samples, but v\d has \d frames"):
        drawer.batch(drawer.draw(step_rng(0, 0), 2), False)


def test_shares_above_one_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"= 1\.1: expected at most 1"):
        MaskedExamplesConfig(muted_fraction=0.6, pasted_fraction=0.5)


def test_rows_of_a_batch_are_those_of_the_whole() -> None:
    clips = MemoryClips([clip(number) for number in range(6)])
    config = MaskedExamplesConfig(pasted_fraction=0.4, beside_fraction=0.4, smallest_crop=0.5)
    drawer = ExampleDrawer(config, AugmentationConfig(mirror_fraction=0.5, speed=0.1), clips)
    recipes = drawer.draw(step_rng(0, 0), 6)
    whole, part = drawer.batch(recipes, True), drawer.batch(recipes[1::2], True)
    assert all(torch.equal(value, whole[name][1::2]) for name, value in part.items())
