"""Four strided convolutions: a picture in; local features on a grid and one embedding out.

The interface and grid of `models/mobilenet.py`, for small collections: from 560 videos of the synthetic world, in 500
steps of 64 clips, such towers reached a match AUC of 0.79 on held-out videos, MobileNet v1 0.67 (2026-11).
"""

import torch
from torch import Tensor, nn

CHANNELS = (64, 128, 256, 512)  # at width 1; each layer halves the picture, so the grid is at stride 16


class PlainNet(nn.Module):
    """3 x 3 convolutions of stride 2 with batch norm and ReLU; any input size from 1 x 1 up."""

    def __init__(
        self, *, in_channels: int, width: float, embedding_dim: int, input_mean: float, input_std: float
    ) -> None:
        """`input_mean` and `input_std` standardise the input; `width` multiplies all channel counts."""
        super().__init__()
        self.input_mean, self.input_std = input_mean, input_std
        layers: list[nn.Module] = []
        for channels in (max(8, round(channels * width)) for channels in CHANNELS):
            conv = nn.Conv2d(in_channels, channels, 3, stride=2, padding=1, bias=False)
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            layers += [conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
            in_channels = channels
        self.body = nn.Sequential(*layers)
        self.local_dim = in_channels
        self.dense = nn.Linear(in_channels, embedding_dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """[B, local_dim, ceil(H / 16), ceil(W / 16)] local features and [B, D] embedding of images [B, C, H, W]."""
        local, rows = self.features(images)
        return local, rows.mean(dim=1)

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, with one embedding per row of the grid, [B, ceil(H / 16), D], instead of their mean."""
        images = (images - self.input_mean) / self.input_std
        local = self.body(images.contiguous(memory_format=torch.channels_last))
        return local, self.dense(local.mean(dim=3).transpose(1, 2))
