"""Short and long contrast against sums written out, and what is compared with what."""

import math

import pytest
import torch

from pipeline.losses.dual_contrast import long_contrast, short_contrast


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=-1)


def log_softmax_by_hand(own: float, others: list[float]) -> float:
    return -math.log(math.exp(own) / (math.exp(own) + sum(math.exp(other) for other in others)))


@pytest.mark.parametrize("both", [True, False])
def test_short_contrast_is_the_sum_written_out(both: bool) -> None:
    num_clips, num_frames, near, scale = 2, 6, 3, 4.0
    lips, speech = unit(num_clips, num_frames, 5), unit(num_clips, num_frames, 5, seed=1)
    is_used = torch.ones(num_clips, num_frames, dtype=torch.bool)
    is_used[0, 4] = is_used[1, 0] = False
    used = [(clip, time) for clip in range(num_clips) for time in range(num_frames) if is_used[clip, time]]
    losses = []
    for first, second in [(lips, speech), (speech, lips)][: 1 + both]:
        for clip, time in used:
            own = scale * float(first[clip, time] @ second[clip, time])
            others = [
                scale * float(first[clip, time] @ second[other])
                for other in used
                if other[0] != clip or abs(other[1] - time) >= near
            ]
            losses.append(log_softmax_by_hand(own, others))
    found = short_contrast(lips, speech, torch.tensor(scale), is_used, near=near, both=both)
    assert found.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


@pytest.mark.parametrize("both", [True, False])
def test_long_contrast_leaves_other_clips_of_the_video_out(both: bool) -> None:
    lips, speech, videos = unit(4, 5), unit(4, 5, seed=1), [3, 1, 3, 2]
    losses = []
    for first, second in [(lips, speech), (speech, lips)][: 1 + both]:
        for i in range(4):
            others = [2.0 * float(first[i] @ second[j]) for j in range(4) if videos[j] != videos[i]]
            losses.append(log_softmax_by_hand(2.0 * float(first[i] @ second[i]), others))
    found = long_contrast(lips, speech, torch.tensor(2.0), torch.tensor(videos), both=both)
    assert found.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_near_times_of_a_clip_send_no_gradient_and_others_do() -> None:
    lips, speech = unit(2, 9, 4), unit(2, 9, 4, seed=1).requires_grad_()
    is_used = torch.zeros(2, 9, dtype=torch.bool)
    # lips of clip 0 at frame 4, against the sounds of both clips
    for time, is_compared in ((4, True), (5, False), (6, False), (7, True)):
        is_used[:] = False
        is_used[0, 4] = is_used[0, time] = True
        (gradient,) = torch.autograd.grad(short_contrast(lips, speech, torch.tensor(1.0), is_used, both=False), speech)
        # alone with itself, or with what is not compared, nothing is left to choose
        assert bool(gradient.any()) == (is_compared and time != 4)


def test_without_a_frame_that_is_used_the_loss_is_0_and_has_a_gradient() -> None:
    lips = unit(2, 3, 4).requires_grad_()
    loss = short_contrast(lips, lips, torch.tensor(1.0), torch.zeros(2, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert not lips.grad.any()


def test_equal_embeddings_cost_the_logarithm_of_the_choice() -> None:
    same = torch.nn.functional.normalize(torch.ones(2, 4, 3), dim=-1)
    is_used = torch.ones(2, 4, dtype=torch.bool)
    # frames 0 and 3 have one distant time of their clip, 1 and 2 none; the other clip has 4: 6 and 5 to choose from
    expected = (math.log(6) + math.log(5)) / 2
    assert short_contrast(same, same, torch.tensor(9.0), is_used).item() == pytest.approx(expected, rel=1e-5)
    assert long_contrast(same[:, 0], same[:, 0], torch.tensor(9.0), torch.arange(2)).item() == pytest.approx(
        math.log(2)
    )


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \[B, T, D\] twice"):
        short_contrast(unit(2, 3, 4), unit(2, 4, 4), torch.tensor(1.0), torch.ones(2, 3, dtype=torch.bool))
