"""PVT v2: attention written out, and pictures that training leaves a block out of."""

import math

import torch

from pipeline.models.pvt_v2 import Attention, Block, ConvMlp


def test_attention_weighs_the_coarse_grid_by_softmax_of_scaled_products() -> None:
    torch.manual_seed(0)
    attention = Attention(6, num_heads=2, reduction=2)
    x = torch.randn(1, 4, 6, 6)
    assert attention.sr is not None
    assert attention.norm is not None
    coarse = attention.norm(attention.sr(x.permute(0, 3, 1, 2)).flatten(2).transpose(1, 2))[0]  # [2 * 3, 6]
    query, (key, value) = attention.q(x.view(24, 6)), attention.kv(coarse).chunk(2, dim=1)
    heads = []
    for own in (slice(0, 3), slice(3, 6)):
        weights = (query[:, own] @ key[:, own].T / math.sqrt(3)).softmax(dim=1)
        heads.append(weights @ value[:, own])
    expected = attention.proj(torch.cat(heads, dim=1)).view(1, 4, 6, 6)
    torch.testing.assert_close(attention(x), expected, rtol=0, atol=1e-6)


def test_the_dense_layers_look_at_neighbours_only_inside() -> None:
    torch.manual_seed(0)
    mlp = ConvMlp(4, 8)
    x = torch.randn(1, 7, 7, 4)
    other = x.clone()
    other[0, 3, 3] += 1
    changed = (mlp(x) - mlp(other)).abs().amax(dim=3)[0] > 0
    expected = torch.zeros(7, 7, dtype=torch.bool)
    expected[2:5, 2:5] = True
    assert torch.equal(changed, expected)


def test_training_leaves_the_block_out_of_a_share_of_pictures_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    block = Block(4, 1, 1, 1, drop_path=0.25)
    x = torch.ones(4000, 1, 1, 4)
    kept = block._kept(x)[:, 0, 0, 0]
    assert set(kept.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert abs((kept == 0).float().mean() - 0.25) < 0.03  # four standard deviations
    assert torch.equal(block.eval()._kept(x), x)
