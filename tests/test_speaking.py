"""Who speaks: agreement at a face's own offset, against that at others, and the threshold between own and other."""

import pytest
import torch

from pipeline.metrics.speaking import best_threshold, name_speaker, second_scores, shifted_cosines

NAN = float("nan")


def test_cosines_are_those_of_each_frame_with_what_is_heard_before_and_after() -> None:
    rng = torch.Generator().manual_seed(0)
    lips, speech = torch.randn(6, 5, generator=rng), torch.randn(10, 5, generator=rng)
    speech[:2] = NAN  # the video begins with the first lips
    found = shifted_cosines(3 * lips, speech)
    assert found.shape == (6, 5)
    for frame in range(6):
        for offset in range(-2, 3):
            one, other = lips[frame], speech[frame + 2 + offset]
            expected = (one @ other) / (one.norm() * other.norm())
            torch.testing.assert_close(found[frame, 2 + offset], expected, equal_nan=True)
    assert int(found.isnan().sum()) == 3  # two offsets of the first frame, one of the second
    with pytest.raises(ValueError, match=r"lips \[6, 5\], speech \[9, 5\]"):
        shifted_cosines(lips, speech[1:])


def test_a_second_counts_by_how_far_the_own_offset_stands_out() -> None:
    cosines = torch.tensor([[0.1, 0.2, 0.9], [0.5, 0.5, 0.5], [NAN, 0.3, 0.4], [NAN, NAN, NAN]])
    expected = torch.tensor([0.7, 0.0, 0.1, NAN])  # torch's median of two is the lower one
    torch.testing.assert_close(second_scores(cosines, 1), expected, equal_nan=True)
    assert second_scores(cosines, -1)[2].isnan()


def test_without_a_face_nobody_speaks() -> None:
    assert name_speaker(torch.empty(0, 3), 0.0).tolist() == [-1, -1, -1]
    assert name_speaker(torch.tensor([[0.3, NAN]]), 0.3).tolist() == [0, -1]


def test_the_threshold_parts_own_from_other_best_and_silent_faces_do_not_draw_it_down() -> None:
    own, other = torch.tensor([0.4, 0.5, 0.6, 0.7]), torch.tensor([0.0, 0.05, 0.1, 0.2])
    assert best_threshold(own, other) == (0.3, 0.0)
    silent = torch.cat([own, torch.tensor([0.01, 0.02, 0.03, 0.04])])  # half of the clips are of faces that are silent
    assert best_threshold(silent, other) == (0.3, 0.25)
    # one of four others taken costs as much as one of four own missed: the lower threshold
    assert best_threshold(own, torch.tensor([0.0, 0.05, 0.1, 0.45])) == (0.25, 0.125)
    assert best_threshold(torch.zeros(3), torch.zeros(3))[1] == 0.5  # nothing tells them apart
    with pytest.raises(ValueError, match="0 scores with their own sound"):
        best_threshold(own[:0], other)
