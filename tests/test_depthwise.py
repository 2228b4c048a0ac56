"""The depthwise convolution of TDCN++ against torch's own."""

import pytest
import torch
from torch import nn

from pipeline.models.depthwise import convolve_channels


@pytest.mark.parametrize("dilation", [1, 2, 6, 7, 64])
def test_values_and_gradients_are_those_of_a_grouped_convolution(dilation: int) -> None:
    torch.manual_seed(dilation)
    layer = nn.Conv1d(5, 5, 3, padding=dilation, dilation=dilation, groups=5).double()
    x = torch.randn(2, 5, 7, dtype=torch.float64, requires_grad=True)
    assert layer.bias is not None
    weights = torch.randn(2, 5, 7, dtype=torch.float64)
    ours = convolve_channels(x, layer.weight.squeeze(1), layer.bias, dilation)
    torch.testing.assert_close(ours, layer(x))
    inputs = (x, layer.weight, layer.bias)
    found = torch.autograd.grad((ours * weights).sum(), inputs)
    torch.testing.assert_close(found, torch.autograd.grad((layer(x) * weights).sum(), inputs))
