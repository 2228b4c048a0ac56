"""TPAVI in its linear form against the map of N x N, and what it is before training."""

import pytest
import torch
from torch import Tensor

from pipeline.models.tpavi import TPAVI
from tests.helpers.square_tpavi import square_tpavi

SIZES = [(2, 5, 6, 4), (1, 1, 3, 3), (3, 2, 1, 1), (1, 7, 2, 5)]


def block(channels: int = 12, inter_channels: int = 6, audio_dim: int = 9) -> TPAVI:
    """A block whose batch norm lets the exchange through."""
    torch.manual_seed(0)
    tpavi = TPAVI(channels, inter_channels, audio_dim).double()
    torch.nn.init.normal_(tpavi.batch_norm.weight)
    torch.nn.init.normal_(tpavi.batch_norm.bias)
    return tpavi


def inputs(clips: int, frames: int, height: int, width: int, channels: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    visual = torch.randn(clips, frames, channels, height, width, generator=generator, dtype=torch.float64)
    return visual, torch.randn(clips, frames, 9, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("size", SIZES)
def test_the_linear_form_is_that_of_the_whole_map_with_its_gradients(size: tuple[int, int, int, int]) -> None:
    tpavi = block()
    visual, audio = inputs(*size)
    visual.requires_grad_()
    found = []
    for form in (tpavi, lambda visual, audio: square_tpavi(tpavi, visual, audio)):
        mixed, sound = form(visual, audio)
        loss = (mixed * torch.linspace(-1, 1, mixed.numel(), dtype=torch.float64).view_as(mixed)).sum() + sound.sum()
        found.append((mixed, sound, *torch.autograd.grad(loss, [visual, *tpavi.parameters()])))
    for linear, square in zip(*found, strict=True):
        torch.testing.assert_close(linear, square, rtol=0, atol=1e-10)


def test_in_single_precision_it_is_within_1e_4_of_the_largest_value() -> None:
    tpavi = block(64, 32)
    visual, audio = inputs(2, 5, 14, 14, channels=64)
    expected, _ = square_tpavi(tpavi, visual, audio)
    mixed, _ = tpavi.float()(visual.float(), audio.float())
    assert (mixed - expected).abs().max() < 1e-4 * expected.abs().max()


def test_before_training_it_is_the_layer_norm_of_the_map() -> None:
    tpavi = TPAVI(12, 6, 9).double()
    visual, audio = inputs(2, 3, 4, 5)
    mixed, sound = tpavi(visual, audio)
    centred = visual - visual.mean(dim=2, keepdim=True)
    norm = centred / (centred.square().mean(dim=2, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(mixed, norm, rtol=0, atol=1e-12)
    assert torch.equal(sound, tpavi.align_channel(audio))


def test_after_one_step_the_exchange_begins_and_then_all_of_its_layers_learn() -> None:
    tpavi = TPAVI(12, 6, 9).double()
    optimizer = torch.optim.SGD(tpavi.parameters(), lr=0.1)
    visual, audio = inputs(2, 3, 4, 5)
    target = torch.randn(visual.shape, dtype=torch.float64)
    for _ in range(2):
        optimizer.zero_grad()
        (tpavi(visual, audio)[0] - target).square().mean().backward()
        optimizer.step()
    assert tpavi.batch_norm.weight.abs().max() > 0
    for name, parameter in tpavi.named_parameters():
        if name != "mu.bias":  # the batch norm takes a constant away
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


def test_the_sound_of_one_second_reaches_the_places_of_all_seconds() -> None:
    tpavi = block().eval()
    visual, audio = inputs(1, 4, 2, 2)
    other = audio.clone()
    other[0, 3] += 1
    changed = (tpavi(visual, audio)[0] - tpavi(visual, other)[0]).abs().amax(dim=(2, 3, 4))
    assert (changed > 1e-6).all()


def test_the_map_on_request_is_the_one_that_the_exchange_multiplies_with() -> None:
    tpavi = block()
    visual, audio = inputs(1, 3, 2, 4)
    alpha = tpavi.attention_map(visual[0], audio[0])
    assert alpha.shape == (3, 2, 4, 3, 2, 4)
    seen = tpavi.g(visual[0].permute(0, 2, 3, 1)).flatten(0, 2)
    taken = tpavi.mu(alpha.reshape(24, 24) @ seen)
    bare = TPAVI(12, 6, 9).double()
    bare.load_state_dict(tpavi.state_dict())
    torch.nn.init.ones_(bare.batch_norm.weight)
    torch.nn.init.zeros_(bare.batch_norm.bias)
    mixed, _ = bare(visual, audio)
    norm = torch.nn.functional.batch_norm(taken, None, None, training=True)
    expected = bare.layer_norm(visual[0].permute(0, 2, 3, 1).flatten(0, 2) + norm)
    torch.testing.assert_close(mixed[0].permute(0, 2, 3, 1).flatten(0, 2), expected, rtol=0, atol=1e-10)


def test_under_autocast_the_exchange_of_sums_stays_in_single_precision() -> None:
    tpavi = block().float()
    visual, audio = (values.float() for values in inputs(2, 5, 6, 6))
    expected, _ = tpavi(visual, audio)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = tpavi(visual, audio)
    assert (found - expected).abs().max() < 0.1 * expected.abs().max()


def test_in_half_precision_the_sum_over_a_large_map_does_not_overflow() -> None:
    tpavi = block().float()
    visual, audio = (values.float() for values in inputs(1, 2, 40, 40))
    visual += 50  # 1 600 times 50 is above the largest number of fp16
    expected, _ = tpavi(visual, audio)
    with torch.autocast("cpu", torch.float16):
        found, _ = tpavi(visual.half(), audio)
    assert (found - expected).abs().max() < 0.1 * expected.abs().max()
