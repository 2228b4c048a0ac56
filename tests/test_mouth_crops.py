"""Crops of mouths: places and sizes, windows of sound to a sample, masked time."""

import numpy as np
import pytest
import torch

from pipeline.clips.samples import Clip
from pipeline.learners.mouth_crops import cut_frames, cut_middle, draw_mask, mask_frames, take_window, used_frames


def test_a_crop_is_88_of_96_pixels_where_its_corner_says() -> None:
    rows, columns = np.mgrid[:96, :96]
    frames = np.stack([rows, columns, 0 * rows]).astype(np.uint8)[None]
    for corner, (top, left) in {(0.5, 0.5): (4, 4), (0.0, 1.0): (0, 8)}.items():
        crop = cut_frames(frames, 88, corner)
        assert crop.shape == (1, 3, 88, 88)
        assert (crop[0, 0, 0, 0], crop[0, 1, 0, 0]) == (top, left)
    # at half of the size, a pixel is the mean of those that it covers
    half = cut_frames(frames, 44)[0]
    np.testing.assert_allclose(half[0, :, 0], 4 + 2 * np.arange(44) + 0.5, atol=1)


def test_the_middle_of_a_tensor_is_that_of_arrays() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 3, 96, 96), dtype=np.uint8)
    expected = np.stack([cut_frames(clip, 48) for clip in frames])
    found = cut_middle(torch.from_numpy(frames), 48)
    np.testing.assert_allclose(255 * found.numpy(), expected, atol=1e-3)


def clip_of(num_frames: int) -> Clip:
    frames = np.arange(num_frames, dtype=np.uint8)[:, None, None, None].repeat(3, 1)
    sound = np.arange(640 * num_frames, dtype=np.float32)
    return Clip("k", {"flac": sound}, frames, {})


def test_a_window_has_the_sound_of_its_frames_and_15_ms_more() -> None:
    frames, sound = take_window(clip_of(10), 2, 5)
    assert frames[:, 0, 0, 0].tolist() == [2, 3, 4, 5, 6]
    assert len(sound) == 640 * 5 + 240
    assert (sound[0], sound[-1]) == (640 * 2, 640 * 7 + 239)


def test_after_the_end_of_a_clip_there_are_zeros() -> None:
    _, sound = take_window(clip_of(10), 0, 10)
    assert len(sound) == 6640
    assert sound[6399] == 6399
    assert not sound[6400:].any()


def test_masks_are_up_to_the_longest_and_lie_anywhere() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_mask(20, 4, rng) for _ in range(500)]
    assert {end - begin for begin, end in drawn} == {0, 1, 2, 3, 4}
    assert min(begin for begin, _ in drawn) == 0
    assert max(end for _, end in drawn) == 20
    assert {draw_mask(20, 0, rng) for _ in range(5)} <= {(place, place) for place in range(21)}


def test_masked_frames_are_the_mean_and_the_others_as_they_were() -> None:
    frames = torch.rand(2, 6, 3, 4, 4)
    masked = mask_frames(frames, torch.tensor([[1, 3], [4, 4]]))
    torch.testing.assert_close(masked[0, 1:3], frames[0].mean(dim=0).expand(2, -1, -1, -1))
    assert torch.equal(masked[0, 3:], frames[0, 3:])
    assert torch.equal(masked[0, 0], frames[0, 0])
    assert torch.equal(masked[1], frames[1])


@pytest.mark.parametrize(
    ("mask", "unused"), [((5, 5), ()), ((5, 6), (3, 4, 5, 6, 7)), ((0, 2), (2, 3)), ((9, 12), (7, 8, 9))]
)
def test_a_frame_is_used_if_all_five_of_its_frames_are_seen(mask: tuple[int, int], unused: tuple[int, ...]) -> None:
    found = used_frames(torch.tensor([mask]), 12)[0]
    assert found.nonzero().flatten().tolist() == [time for time in range(2, 10) if time not in unused]
