"""Mixtures of sounds: what is added up with what, and which examples have known sources."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.clips.samples import NO_FRAMES, Clip
from pipeline.errors import ConfigError
from pipeline.learners.augmentation import STRONG
from pipeline.learners.mixtures_of_sounds import SoundDrawer, SoundsConfig, list_mixtures, with_known_sources
from pipeline.models.separator import SeparationConfig

RATE_HZ, NUM_SAMPLES = 100, 200


class Sounds:
    """A set of clips of constant sounds: that of clip k is 2^k / 1024, so that a sum says what is in it."""

    def __init__(self, *clips: dict[str, Any]) -> None:
        rows = [{"mixture": None, "recording": None, "start_s": 0.0} | clip for clip in clips]
        self.rows = pa.Table.from_pylist(rows)

    def open_many(self, numbers: list[int]) -> list[Clip]:
        return [
            Clip(
                str(k), {"flac": np.full(NUM_SAMPLES, 2**k / 1024, np.float32)}, NO_FRAMES, {"sample_rate_hz": RATE_HZ}
            )
            for k in numbers
        ]


LISTED = [{"video_id": name, "mixture": "m"} for name in "abc"]
TAKES = [{"video_id": name, "recording": "r"} for name in "de"]
PLAIN = [{"video_id": "f"}, {"video_id": "f", "start_s": 5.0}, {"video_id": "g"}]
ALL = Sounds(*LISTED, *TAKES, *PLAIN)


def drawer(clips: Any = ALL, num_sources: int = 4, **config: Any) -> SoundDrawer:
    model = SeparationConfig(basis="stft", num_sources=num_sources)
    found = SoundDrawer(SoundsConfig(**config), clips, STRONG, model)
    found.rate_hz = RATE_HZ  # of the sounds here, below any that a model has
    return found


def test_sources_of_a_listed_mixture_are_added_up_and_takes_of_a_recording_are_not() -> None:
    found = [[(mixture.clips, mixture.are_known) for mixture in of] for of in list_mixtures(ALL)]
    assert found == [
        [((0, 1, 2), True)],
        [((3,), False), ((4,), False)],
        [((5,), False), ((6,), False)],
        [((7,), False)],
    ]
    assert [of[0].recording for of in list_mixtures(ALL)] == ["m", "r", "f", "g"]


def test_sources_that_begin_at_different_times_are_different_mixtures() -> None:
    later = [clip | {"start_s": 5.0} for clip in LISTED[:2]]
    (mixtures,) = list_mixtures(Sounds(*LISTED, *later))
    assert [mixture.clips for mixture in mixtures] == [(0, 1, 2), (3, 4)]


@pytest.mark.parametrize("num_mixtures", [2, 3, 4])
def test_an_example_adds_up_mixtures_of_different_recordings(num_mixtures: int) -> None:
    owner = {0: "m", 1: "m", 2: "m", 3: "r", 4: "r", 5: "f", 6: "f", 7: "g"}
    recipes = drawer(num_mixtures=num_mixtures).draw(np.random.default_rng(0), 200)
    for recipe in recipes:
        assert len({owner[of[0]] for of in recipe.mixtures}) == num_mixtures
        assert not recipe.is_supervised
    assert {number for recipe in recipes for of in recipe.mixtures for number in of} == set(range(8))


def test_references_are_the_sums_of_the_mixtures_clips() -> None:
    found = drawer()
    recipes = found.draw(np.random.default_rng(1), 20)
    batch = found.batch(recipes, slice(None), augment=False)
    assert set(batch) == {"references", "mom_weight"}
    for recipe, references in zip(recipes, batch["references"], strict=True):
        expected = [sum(2**k for k in of) / 1024 for of in recipe.mixtures]
        assert references.shape == (2, NUM_SAMPLES)
        assert (references == torch.tensor(expected)[:, None]).all()
    assert batch["mom_weight"].tolist() == [1.0] * 20


@pytest.mark.parametrize("augment", [False, True])
def test_workers_share_the_rows_of_a_batch(augment: bool) -> None:
    found = drawer(crop_s=1.5, level_db=6.0, supervised_fraction=0.5)
    recipes = found.draw(np.random.default_rng(2), 6)
    whole = found.batch(recipes, slice(None), augment)
    for name, value in found.batch(recipes, slice(1, None, 2), augment).items():
        assert torch.equal(value, whole[name][1::2]), name


def test_known_sources_add_up_to_their_mixture_also_when_augmented() -> None:
    found = drawer(supervised_fraction=1.0, crop_s=1.5, level_db=6.0)
    batch = found.batch(found.draw(np.random.default_rng(3), 8), slice(None), augment=True)
    assert batch["is_supervised"].all()
    assert batch["known"].shape == (8, 4, 150)
    torch.testing.assert_close(batch["known"].sum(dim=1), batch["references"][:, 0])
    assert not batch["references"][:, 1].any()
    assert not batch["known"][:, 3].any()  # three sources, four rows
    gain = batch["known"][:, 0, 0] * 1024  # of the sound 1 / 1024
    assert ((gain > 10 ** (-6 / 20)) & (gain < 10 ** (6 / 20))).all()
    assert len(set(gain.tolist())) == 8
    torch.testing.assert_close(batch["known"][:, 2, 0], gain * 4 / 1024)


def test_mixtures_of_more_sources_than_the_model_has_are_not_matched() -> None:
    recipes = drawer(num_sources=2, supervised_fraction=1.0).draw(np.random.default_rng(4), 20)
    assert not any(recipe.is_supervised for recipe in recipes)


def test_fewer_recordings_than_an_example_takes_are_refused() -> None:
    with pytest.raises(ConfigError, match="1 recordings in a split, expected 2 or more"):
        drawer(Sounds(*TAKES))


def test_sounds_of_another_rate_than_the_models_are_refused() -> None:
    sounds: Any = ALL
    found = SoundDrawer(SoundsConfig(), sounds, STRONG, SeparationConfig())
    with pytest.raises(ConfigError, match=r"clips.sounds.sample_rate_hz = 100.*rate_hz = 16000"):
        found.batch(found.draw(np.random.default_rng(0), 1), slice(None), augment=False)


def test_a_supervised_examples_loss_is_that_of_its_matched_sources() -> None:
    generator = torch.Generator().manual_seed(0)
    known = torch.randn(2, 4, 1000, generator=generator)
    known[:, 2:] = 0
    sources = known[:, [1, 2, 0, 3]]
    given = torch.tensor([1.5, 2.5])
    batch = {"known": known, "is_supervised": torch.tensor([True, False])}
    found = with_known_sources(given, sources, batch)
    # -30 dB for each of the two sources, -20 dB for each of the two that should be silent: losses/pit.py
    torch.testing.assert_close(found, torch.tensor([-100.0, 2.5]), atol=1e-3, rtol=0)
    assert with_known_sources(given, sources, {}) is given
