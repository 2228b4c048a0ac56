"""ResNet-50: where a block strides, and what it adds."""

import torch

from pipeline.models.resnet import Bottleneck


def test_a_block_strides_in_its_middle_convolution_and_adds_its_input() -> None:
    block = Bottleneck(8, 4, stride=2)
    assert [layer.stride for layer in (block.conv1, block.conv2, block.conv3)] == [(1, 1), (2, 2), (1, 1)]
    same = Bottleneck(16, 4, stride=1).eval()
    assert same.downsample is None
    torch.nn.init.zeros_(same.bn3.weight)
    x = torch.randn(2, 16, 5, 5)
    assert torch.equal(same(x), torch.relu(x))
