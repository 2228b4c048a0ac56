"""The backbones of segmentation: sizes of their maps."""

import pytest
import torch

from pipeline.models.pyramid import pyramid


@pytest.mark.parametrize(("height", "width"), [(32, 64), (96, 96)])
def test_maps_lie_at_strides_4_to_32(height: int, width: int) -> None:
    net = pyramid("plain").eval()
    maps = net(torch.rand(2, 3, height, width))
    assert net.channels == (32, 64, 128, 256)
    for level, channels, stride in zip(maps, net.channels, (4, 8, 16, 32), strict=True):
        assert level.shape == (2, channels, height // stride, width // stride)


def test_pixels_are_standardised_by_those_of_imagenet() -> None:
    net = pyramid("plain").eval()
    grey = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    seen = []
    net.stages[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    net(grey)
    net(grey + torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
    torch.testing.assert_close(seen[0], torch.zeros(1, 3, 32, 32), rtol=0, atol=1e-6)
    torch.testing.assert_close(seen[1], torch.ones(1, 3, 32, 32), rtol=0, atol=1e-5)


def test_a_transformer_has_its_maps_at_strides_4_to_32_too() -> None:
    net = pyramid("pvt_v2_b0").eval()
    maps = net(torch.rand(1, 3, 64, 96))
    assert [tuple(level.shape) for level in maps] == [(1, 32, 16, 24), (1, 64, 8, 12), (1, 160, 4, 6), (1, 256, 2, 3)]
