"""From maps at strides 4 to 32 to one mask: dilated convolutions, and a decoder from the coarsest map to the finest.

The panoptic-like decoder of AVS (Zhou et al. 2022, arXiv:2207.05042) with the layers of its released code: no batch
norm, convolutions that dilate by 3, 6, 12 and 18 and are summed, and residual units whose sum takes up the rectified
input, because the released ReLU works in place.
"""

import functools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DILATIONS = (3, 6, 12, 18)


class DilatedSum(nn.Module):
    """The sum of four 3 x 3 convolutions of different dilation, to `out_channels`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        layers = [nn.Conv2d(in_channels, out_channels, 3, padding=gap, dilation=gap) for gap in DILATIONS]
        for layer in layers:
            nn.init.normal_(layer.weight, std=0.01)
        self.convs = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        """[N, out_channels, H, W] of x [N, in_channels, H, W]."""
        side = max(x.shape[-2:])
        layers = [layer for layer in self.convs if isinstance(layer, nn.Conv2d)]
        outputs = [layer(x) for layer in layers if layer.dilation[0] < side]
        centres = [layer for layer in layers if layer.dilation[0] >= side]  # their other taps lie outside the map
        if centres:
            weight, bias = (_sum([getattr(layer, name) for layer in centres]) for name in ("weight", "bias"))
            outputs.append(F.conv2d(x, weight[:, :, 1:2, 1:2], bias))
        return _sum(outputs)


class ResidualUnit(nn.Module):
    """r + conv(relu(conv(r))) with r = relu(x)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] of x [N, C, H, W]."""
        rectified = torch.relu(x)
        return rectified + self.second(torch.relu(self.first(rectified)))


class MaskDecoder(nn.Module):
    """Maps of one width -> logits of a mask, from the coarsest map to the finest."""

    def __init__(self, channels: int) -> None:
        """`channels`: of each map; the head has half and an eighth of them, 128 and 32 of the published 256."""
        super().__init__()
        self.skips = nn.ModuleList(ResidualUnit(channels) for _ in range(3))
        self.paths = nn.ModuleList(ResidualUnit(channels) for _ in range(4))
        hidden = max(8, channels // 8)
        self.head = nn.ModuleList(
            [
                nn.Conv2d(channels, channels // 2, 3, padding=1),
                nn.Conv2d(channels // 2, hidden, 3, padding=1),
                nn.Conv2d(hidden, 1, 1),
            ]
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits [N, H, W] of maps [N, C, H / s, W / s] with s = 4, 8, 16, 32, H and W multiples of 32."""
        *finer, x = maps
        x = _double(self.paths[3](x), align_corners=True)
        for level in (2, 1, 0):
            x = x + self.skips[level](finer[level])
            x = _double(self.paths[level](x), align_corners=True)
        narrow, hidden, last = self.head
        return last(torch.relu(hidden(_double(narrow(x), align_corners=False)))).squeeze(1)


def _sum(tensors: Sequence[Tensor]) -> Tensor:
    return functools.reduce(torch.add, tensors)


def _double(x: Tensor, align_corners: bool) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=align_corners)
