"""Pictures -> maps at strides 4, 8, 16 and 32, coarser ones with more channels: the backbones of segmentation.

`plain` is for small collections and small machines. All see pixels standardised by the mean and deviation of ImageNet.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.models.pvt_v2 import pvt_v2
from pipeline.models.resnet import resnet50
from pipeline.models.small_cnn import channels_last, conv

PyramidName = Literal["plain", "resnet50", "pvt_v2_b0", "pvt_v2_b1", "pvt_v2_b2", "pvt_v2_b3", "pvt_v2_b4", "pvt_v2_b5"]
STRIDES = (4, 8, 16, 32)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
PLAIN_CHANNELS = (16, 32, 64, 128, 256)  # at strides 2 to 32


class Pyramid(nn.Module):
    """Four stages on standardised pictures; `channels` are those of their maps, the finest first."""

    mean: Tensor
    std: Tensor

    def __init__(self, stages: Iterable[nn.Module], channels: tuple[int, ...]) -> None:
        """`stages` follow each other: the first leads from a picture to stride 4, each other one to twice that."""
        super().__init__()
        self.channels = channels
        self.stages = nn.ModuleList(stages)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps [N, C_i, H / s, W / s] at strides s = 4, 8, 16, 32 of images [N, 3, H, W], RGB in [0, 1].

        H and W are multiples of 32.
        """
        x = channels_last((images - self.mean) / self.std)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def pyramid(name: PyramidName) -> Pyramid:
    """The backbone of that name, with random weights; `public_weights.load_backbone` gives it others."""
    if name == "resnet50":
        return Pyramid(*resnet50())
    if name != "plain":
        return Pyramid(*pvt_v2(name))
    stages = [nn.Sequential(conv(*pair, stride=2), conv(pair[1], pair[1])) for pair in pairwise(PLAIN_CHANNELS)]
    stages[0].insert(0, conv(3, PLAIN_CHANNELS[0], stride=2))
    return Pyramid(stages, PLAIN_CHANNELS[1:])
