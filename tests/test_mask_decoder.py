"""The heads and the decoder of segmentation against sums written out, and their published sizes."""

import pytest
import torch
import torch.nn.functional as F

from pipeline.models.mask_decoder import DilatedSum, MaskDecoder, ResidualUnit


def num_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_four_convolutions_dilate_by_3_6_12_and_18_and_are_summed() -> None:
    torch.manual_seed(0)
    heads = DilatedSum(1, 1)
    for layer in heads.convs:
        torch.nn.init.zeros_(layer.bias)
    impulse = torch.zeros(1, 1, 41, 41)
    impulse[0, 0, 20, 20] = 1
    response = heads(impulse)[0, 0].detach()
    places = {(20 + d * row, 20 + d * column) for d in (3, 6, 12, 18) for row in (-1, 0, 1) for column in (-1, 0, 1)}
    assert {tuple(place) for place in response.nonzero().tolist()} == places
    centre = sum(layer.weight[0, 0, 1, 1] for layer in heads.convs)
    torch.testing.assert_close(response[20, 20], centre.detach())
    assert 0.008 < torch.cat([layer.weight.flatten() for layer in DilatedSum(16, 16).convs]).std() < 0.012


@pytest.mark.parametrize(("height", "width"), [(2, 3), (4, 4), (4, 9), (14, 7), (20, 20)])
def test_on_a_small_map_it_is_the_sum_of_its_convolutions_with_their_gradients(height: int, width: int) -> None:
    torch.manual_seed(0)
    heads, x = DilatedSum(3, 2).double(), torch.randn(2, 3, height, width, dtype=torch.float64, requires_grad=True)
    weigh = torch.randn(2, 2, height, width, dtype=torch.float64)
    found, expected = heads(x), sum(layer(x) for layer in heads.convs)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    of = [x, *heads.parameters()]
    for ours, plain in zip(*(torch.autograd.grad((y * weigh).sum(), of) for y in (found, expected)), strict=True):
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-12)


def test_a_residual_unit_adds_to_what_it_rectified() -> None:
    unit = ResidualUnit(2)
    torch.nn.init.zeros_(unit.second.weight)
    torch.nn.init.zeros_(unit.second.bias)
    x = torch.randn(1, 2, 5, 5)
    assert torch.equal(unit(x), x.clamp_min(0))


def test_a_residual_unit_rectifies_between_its_convolutions() -> None:
    unit = ResidualUnit(1)
    for layer, sign in ((unit.first, -1.0), (unit.second, 1.0)):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
        layer.weight.data[0, 0, 1, 1] = sign
    x = torch.rand(1, 1, 4, 4)
    assert torch.equal(unit(x), x)  # x + relu(-x)


def test_the_decoder_has_the_published_parameters() -> None:
    conv = 256 * 256 * 9 + 256
    head = (256 * 128 * 9 + 128) + (128 * 32 * 9 + 32) + (32 + 1)
    # the released code builds a unit for a skip that its coarsest path does not have: two convolutions more, unused
    assert num_parameters(MaskDecoder(256)) == 7 * 2 * conv + head


def test_every_level_reaches_the_mask_and_the_coarsest_one_all_of_it() -> None:
    torch.manual_seed(0)
    decoder = MaskDecoder(8)
    maps = [torch.randn(1, 8, 64 // stride, 96 // stride, requires_grad=True) for stride in (4, 8, 16, 32)]
    logits = decoder(maps)
    assert logits.shape == (1, 64, 96)
    for gradient in torch.autograd.grad(logits.sum(), maps):
        assert gradient.abs().max() > 0
    coarse = maps[-1].detach().clone()
    coarse += 1
    changed = decoder([*maps[:-1], coarse]) - logits
    assert (changed != 0).all()


def test_a_constant_map_gives_a_constant_mask_but_for_the_border() -> None:
    decoder = MaskDecoder(8)
    logits = decoder([torch.ones(1, 8, 512 // stride, 512 // stride) for stride in (4, 8, 16, 32)])
    inner = logits[0, 224:288, 224:288]
    torch.testing.assert_close(inner, inner.mean().expand(64, 64), rtol=0, atol=1e-5)
    assert F.relu(logits).isfinite().all()
