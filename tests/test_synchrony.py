"""A sound that is moved by some frames is found to be late by them, with confidence where it stands out alone."""

import doctest

import pytest
import torch

from pipeline.metrics import synchrony
from pipeline.metrics.synchrony import found_offset, offset_scores


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def moved(steps: torch.Tensor, frames: int) -> torch.Tensor:
    """What is heard in frame t is what was heard in frame t - frames before: later for frames above 0."""
    later = noise(*steps.shape) * 0
    num_frames = steps.shape[-2]
    for t in range(num_frames):
        if 0 <= t - frames < num_frames:
            later[..., t, :] = steps[..., t - frames, :]
    return later


def test_scores_are_mean_cosines_of_the_frames_that_have_both() -> None:
    lips = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    speech = torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    half = 0.5**0.5
    expected = [
        0.0,  # lips 2 with speech 0
        (1 + half) / 2,  # lips 1 with speech 0, lips 2 with speech 1
        (0 + half + 1) / 3,
        (half + 0) / 2,  # lips 0 with speech 1, lips 1 with speech 2
        1.0,  # lips 0 with speech 2
    ]
    assert offset_scores(lips, speech, 2).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("frames", range(-10, 11))
def test_a_sound_that_is_moved_is_found_where_it_is(frames: int) -> None:
    lips = noise(2, 50, 32)
    found, confidence = found_offset(offset_scores(lips, moved(lips, frames), 10))
    assert found.tolist() == [frames, frames]
    # the frames that have both are equal: cosine 1; cosines of other frames have a mean near 0
    assert confidence.tolist() == pytest.approx([1, 1], abs=0.1)


def test_scores_of_a_batch_are_those_of_its_clips_and_do_not_depend_on_lengths_of_vectors() -> None:
    lips, speech = noise(3, 20, 8), noise(4, 20, 8)[1:]
    together = offset_scores(lips, speech, 5)
    for clip in range(3):
        torch.testing.assert_close(together[clip], offset_scores(lips[clip], 7 * speech[clip], 5))


def test_scores_that_say_nothing_find_no_offset_with_no_confidence() -> None:
    frames, confidence = found_offset(torch.zeros(4, 21))
    assert frames.tolist() == [0] * 4
    assert confidence.tolist() == [0] * 4


@pytest.mark.parametrize(("shape", "most"), [((10, 4), 10), ((10, 4), -1), ((10,), 1)])
def test_offsets_without_a_frame_are_refused(shape: tuple[int, ...], most: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        offset_scores(torch.zeros(shape), torch.zeros(shape), most)
    with pytest.raises(ValueError, match="odd number"):
        found_offset(torch.zeros(4))


def test_examples_in_docstrings_run() -> None:
    result = doctest.testmod(synchrony)
    assert result.attempted > 0
    assert result.failed == 0
