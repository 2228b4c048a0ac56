"""Shapes and size of MobileNet v1."""

import pytest
import torch

from pipeline.errors import ConfigError
from pipeline.models.mobilenet import MAX_DEPTH, mobilenet
from pipeline.models.small_cnn import Backbone
from pipeline.models.towers import CoincidenceConfig


def backbone(in_channels: int = 3, width: float = 1.0, depth: int = MAX_DEPTH, embedding_dim: int = 128) -> Backbone:
    stacks = mobilenet(in_channels, width, depth)
    return Backbone(*stacks, embedding_dim=embedding_dim, input_mean=0.5, input_std=0.25)


def test_width_1_has_the_published_3_2_million_parameters_without_the_head():
    model = backbone()
    blocks = [(32, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512)] + [(512, 512)] * 5
    blocks += [(512, 1024), (1024, 1024)]
    expected = 3 * 32 * 9 + 2 * 32 + sum(9 * i + 2 * i + i * o + 2 * o for i, o in blocks)
    counted = sum(p.numel() for name, p in model.named_parameters() if not name.startswith("dense"))
    assert counted == expected == 3_206_976


def test_128_pixels_give_8_by_8_cells_of_512_features():
    model = backbone().eval()
    local, embedding = model(torch.rand(2, 3, 128, 128))
    assert local.shape == (2, 512, 8, 8)
    assert embedding.shape == (2, 128)


@pytest.mark.parametrize("size", [(1, 1), (13, 64), (198, 64), (33, 17)])
def test_any_size_of_spectrogram_goes_through(size):
    model = backbone(in_channels=1, width=0.25, depth=8, embedding_dim=16).eval()
    local, embedding = model(torch.randn(2, 1, *size))
    assert local.shape == (2, model.local_dim, -(-size[0] // 16), -(-size[1] // 16))
    assert embedding.shape == (2, 16)


def test_embedding_is_the_mean_over_rows():
    model = backbone(width=0.25, depth=8).eval()
    images = torch.rand(2, 3, 96, 64)
    _, rows = model.features(images)
    assert rows.shape == (2, 3, 128)
    torch.testing.assert_close(model(images)[1], rows.mean(dim=1))


def test_a_cell_sees_its_own_corner_and_not_the_far_one():
    model = backbone(width=0.25, depth=8).eval()
    images = torch.rand(1, 3, 256, 256, requires_grad=True)
    model.features(images)[0][0, :, 0, 0].sum().backward()
    assert images.grad is not None
    assert images.grad[..., :16, :16].abs().sum() > 0
    assert images.grad[..., 128:, 128:].abs().sum() == 0


@pytest.mark.parametrize("fields", [{"depth": 7}, {"depth": 14}, {"width": 0.0}, {"embedding_dim": 0}])
def test_config_out_of_range_is_refused(fields):
    with pytest.raises(ConfigError, match=f"^{next(iter(fields))} = "):
        CoincidenceConfig(**fields)
