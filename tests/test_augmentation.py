"""Augmentation: how far speed, gaps, shifts and colours may go, and that what belongs together is changed alike."""

import dataclasses

import numpy as np
import pytest
import torch

from jobs.console.presets import preset
from pipeline.clips.samples import NO_FRAMES, Clip
from pipeline.learners.augmentation import (
    STRONG,
    AugmentationConfig,
    add_gap,
    augment_waveform,
    draw_crop,
    pack_frames,
    stack_frames,
    unpack_frames,
)

RATE_HZ = 16000
SPEED = AugmentationConfig(speed=STRONG.speed)


def clips(seed: int = 0) -> np.ndarray:
    """Frames of three clips, those of one all alike."""
    return np.random.default_rng(seed).integers(256, size=(3, 1, 3, 16, 16), dtype=np.uint8).repeat(4, axis=1)


def generators(count: int = 3) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in range(count)]


def sounding(samples: np.ndarray) -> Clip:
    return Clip("sound", {"flac": samples}, NO_FRAMES, {})


def augment_frames(frames: list[np.ndarray], config: AugmentationConfig) -> torch.Tensor:
    return unpack_frames(pack_frames(frames, config, generators(len(frames))))["frames"]


def test_a_waveform_played_at_another_speed_moves_its_pitch_by_at_most_max_speed() -> None:
    times_s = np.arange(2 * RATE_HZ) / RATE_HZ
    tone = 0.3 * np.sin(2 * np.pi * 1000 * times_s)
    pitches = []
    for seed in range(40):
        out = augment_waveform(sounding(tone), RATE_HZ // 2, RATE_HZ, SPEED, np.random.default_rng(seed))
        assert out.shape == (RATE_HZ,)
        pitches.append(int(np.abs(np.fft.rfft(out)).argmax()))
    assert 1000 * np.exp(-SPEED.speed) - 1 <= min(pitches) < 930
    assert 1070 < max(pitches) <= 1000 * np.exp(SPEED.speed) + 1


def test_a_whole_clip_is_played_faster_as_well_as_slower_and_is_silent_where_it_is_over() -> None:
    ramp = np.arange(1.0, 1001.0)  # a sample's value is its place, and 0 is silence
    speeds = []
    for seed in range(40):
        out = augment_waveform(sounding(ramp), 0, 1000, SPEED, np.random.default_rng(seed))
        heard = np.flatnonzero(out)
        assert len(heard) == heard[-1] - heard[0] + 1
        steps = np.diff(out[heard])
        assert np.ptp(steps) < 1e-3
        speeds.append(steps.mean())
        assert len(heard) == pytest.approx(min(1000, 999 / steps.mean()), abs=2)  # all of it, if it is faster
        assert out[heard].min() >= 1
    assert 1 / 1.17 < min(speeds) < 0.9
    assert 1.1 < max(speeds) < 1.17


@pytest.mark.parametrize(("start", "length"), [(300, 400), (600, 400), (0, 1000)])
def test_speed_interpolates_as_numpy_does(start: int, length: int) -> None:
    sound = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        speed = np.exp(rng.uniform(-SPEED.speed, SPEED.speed))
        last = 1000 - length * speed
        places = (min(start, last) if last >= 0 else rng.uniform(last, 0)) + speed * np.arange(length)
        outside = 0.0 if last < 0 else None
        expected = np.interp(places, np.arange(1000), sound, left=outside, right=outside)
        out = augment_waveform(sounding(sound), start, length, SPEED, np.random.default_rng(seed))
        np.testing.assert_allclose(out, expected, atol=1e-6)


def test_a_gap_silences_one_stretch_of_at_most_its_share_and_nothing_else() -> None:
    ones = np.ones(1000, dtype=np.float32)
    longest = 0
    for seed in range(200):
        out = add_gap(ones, 0.15, np.random.default_rng(seed))
        assert out.shape == ones.shape
        silent = np.flatnonzero(out == 0)
        assert len(silent) <= 150
        assert len(silent) == 0 or silent[-1] - silent[0] + 1 == len(silent)
        longest = max(longest, len(silent))
    assert longest > 0.8 * 150


def test_all_frames_of_a_clip_are_changed_alike_and_stay_in_range() -> None:
    frames = clips()
    out = augment_frames(list(frames), STRONG)
    assert out.shape == frames.shape
    assert 0 <= out.min() <= out.max() <= 1
    for clip in out:
        assert all(torch.equal(clip[0], frame) for frame in clip)
    alone = unpack_frames(pack_frames(list(frames[1:2]), STRONG, generators()[1:2]))["frames"]
    assert torch.equal(alone[0], out[1])


def test_unpacked_frames_are_those_that_numpy_mirrors_shifts_and_recolours_one_by_one() -> None:
    frames = list(np.random.default_rng(4).integers(256, size=(12, 2, 3, 16, 24), dtype=np.uint8))
    packed = pack_frames(frames, STRONG, generators(12))
    assert packed["frames"].dtype == torch.uint8
    seen = set()
    pictures = unpack_frames(packed)["frames"]
    for clip, layout, gain, out in zip(frames, packed["layout"], packed["gain"], pictures, strict=True):
        *order, down, right, mirrored = layout.tolist()
        seen.add((down > 0, right > 0, mirrored, *order))
        moved = np.roll(clip[:, order, :, :: -1 if mirrored else 1], (down, right), axis=(2, 3))
        expected = np.minimum(moved * (gain.numpy()[:, None, None] / 255), 1)
        np.testing.assert_allclose(out.numpy(), expected, rtol=1e-6)
    assert len(seen) > 6


def test_pairs_of_frames_are_unpacked_as_each_of_them() -> None:
    frames = list(np.random.default_rng(5).integers(256, size=(4, 2, 3, 8, 8), dtype=np.uint8))
    packed = pack_frames(frames, STRONG, generators(4))
    pairs = unpack_frames({name: value.unflatten(0, (2, 2)) for name, value in packed.items()})
    assert pairs.keys() == {"frames"}
    assert torch.equal(pairs["frames"].flatten(0, 1), unpack_frames(packed)["frames"])
    waveforms = {"waveform": torch.ones(2)}
    assert unpack_frames(waveforms) == waveforms


def test_masks_are_mirrored_and_shifted_as_their_frames() -> None:
    masks = (np.random.default_rng(6).random((8, 2, 16, 24)) < 0.5).astype(np.uint8)
    frames = list(200 * masks[:, :, None].repeat(3, axis=2))  # white where the mask is
    packed = pack_frames(frames, dataclasses.replace(STRONG, shift=0.3), generators(8))
    out = unpack_frames(packed | {"masks": torch.from_numpy(masks)})
    assert out["masks"].dtype == torch.uint8
    assert torch.equal(out["masks"].bool(), out["frames"][:, :, 1] > 0)
    assert (out["masks"].numpy() != masks).any(axis=(1, 2, 3)).sum() > 5


def test_a_crop_fills_the_frame_with_its_part_of_picture_and_mask() -> None:
    height, width, crop = 32, 48, [0.25, 0.125, 0.5, 0.75]
    down, across = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
    plane = (4 * down + 2 * across).astype(np.uint8)  # whole numbers, and linear: interpolation is exact
    masks = torch.from_numpy((np.random.default_rng(7).random((1, 2, height, width)) < 0.5).astype(np.uint8))
    packed = pack_frames([np.broadcast_to(plane, (2, 3, height, width))])
    out = unpack_frames(packed | {"masks": masks, "crop": torch.tensor([crop])})
    from_y, from_x = crop[0] * height + down * crop[2], crop[1] * width + across * crop[3]
    np.testing.assert_allclose(out["frames"][0, 1, 2], (4 * from_y + 2 * from_x) / 255, atol=1e-5)
    nearest = masks[0][:, from_y.astype(int), from_x.astype(int)]
    assert torch.equal(out["masks"][0], nearest)
    assert out.keys() == {"frames", "masks"}


def test_crops_lie_in_the_frame_and_have_at_least_the_smallest_area() -> None:
    crops = np.array([draw_crop(0.4, rng) for rng in generators(400)])
    areas, ends = crops[:, 2] * crops[:, 3], crops[:, :2] + crops[:, 2:]
    assert crops.min() >= 0
    assert ends.max() <= 1
    assert 0.4 * 0.75 <= areas.min() < 0.45  # a side that would be longer than the frame's is cut
    assert areas.max() > 0.9
    assert np.ptp(crops[:, 2] / crops[:, 3]) > 0.4


def test_without_a_setting_nothing_is_changed() -> None:
    frames, sound = list(clips()), np.random.default_rng(0).standard_normal(900).astype(np.float32)
    assert pack_frames(frames, AugmentationConfig(), generators()).keys() == {"frames"}
    assert torch.equal(augment_frames(frames, AugmentationConfig()), stack_frames(frames))
    out = augment_waveform(sounding(sound), 100, 500, AugmentationConfig(), np.random.default_rng(0))
    assert np.array_equal(out, sound[100:600])


def test_each_setting_changes_what_its_name_says() -> None:
    frames = list(clips())
    plain = stack_frames(frames)

    def changed(**settings: object) -> torch.Tensor:
        return augment_frames(frames, AugmentationConfig(**settings))

    assert torch.equal(changed(mirror_fraction=1.0), plain.flip(-1))
    assert torch.equal(changed(swap_channels=True).sort(dim=2).values, plain.sort(dim=2).values)
    assert not torch.equal(changed(swap_channels=True), plain)
    shifted = changed(shift=0.25)
    assert torch.equal(shifted.flatten(3).sort(dim=3).values, plain.flatten(3).sort(dim=3).values)
    gain = changed(colour_gain=0.5)[plain > 0] / plain[plain > 0]
    assert gain.min() >= 0.499
    assert gain.max() <= 1.501


@pytest.mark.parametrize("name", ["base", "contrastive"])
@pytest.mark.parametrize("learner", ["coincidence", "separation"])
def test_published_presets_vary_nothing(name: str, learner: str) -> None:
    assert getattr(preset(name), learner).augmentation == AugmentationConfig()


def test_tiny_varies_both_learners_alike_but_for_gaps() -> None:
    config = preset("tiny")
    assert config.coincidence.augmentation == STRONG
    assert config.separation.augmentation == dataclasses.replace(STRONG, gap=0.0)
