"""A stack of convolutions: a picture in; local features on a grid and one embedding out.

`Backbone` holds the layers of `small_cnn` or of `models/mobilenet.py`. SMALL_CNN_LAYERS are for small collections: from
560 videos of the synthetic world, in 500 steps of 64 clips, such towers reached a match AUC of 0.79 on held-out videos,
MobileNet v1 0.67 (2026-11). `models/stem3d.py` has the layers of the patent's audio network.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

SMALL_CNN_LAYERS = ((64, 3, 2), (128, 3, 2), (256, 3, 2), (512, 3, 2))
"""(channels at width 1, kernel, stride) of each; the strides multiply to that of the grid, 16."""
MIN_CELL = 1e-4  # keeps the gradient of `pool` finite where all cells are 0
Stack = tuple[nn.Sequential, int]
"""Layers, and the channels that come out of them."""


class Backbone(nn.Module):
    """Layers up to the grid, layers above it, and a dense layer; any input size from 1 x 1 up."""

    def __init__(
        self,
        body: Stack,
        top: Stack,
        *,
        embedding_dim: int,
        input_mean: float,
        input_std: float,
        pooling_power: float = 1.0,
    ) -> None:
        """`body` leads to the grid at stride 16, `top` above it; mean and std standardise the input; see `pool`."""
        super().__init__()
        self.input_mean, self.input_std, self.pooling_power = input_mean, input_std, pooling_power
        self.body, self.local_dim = body
        self.top, top_dim = top
        self.dense = nn.Linear(top_dim, embedding_dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Local features and embedding of each picture.

        Args:
            images: [B, C, H, W] in the range that `input_mean` and `input_std` standardise.
        Returns:
            [B, local_dim, ceil(H / 16), ceil(W / 16)] local features, all >= 0, and [B, D] embedding, not normalised.
        """
        local = self._grid(images)
        return local, self.dense(pool(self.top(local), self.pooling_power))

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, with one embedding per row of the last layer, [B, rows, D], each by the mean of its cells.

        There are ceil(H / 16) rows, or ceil(H / 32) below a `top` of stride 2.
        """
        local = self._grid(images)
        return local, self.dense(self.top(local).mean(dim=3).transpose(1, 2))

    def _grid(self, images: Tensor) -> Tensor:
        grid: Tensor = self.body(channels_last((images - self.input_mean).div_(self.input_std)))
        return grid


def pool(cells: Tensor, power: float) -> Tensor:
    """[B, C] of the cells [B, C, h, w], all >= 0: their mean, or its generalisation (mean of x^power)^(1 / power).

    GeM, Radenovic et al. 2018, arXiv:1711.02512: 1 is the mean, and the larger the power, the nearer to the maximum.
    """
    if power == 1:
        return cells.mean(dim=(2, 3))
    with torch.autocast(cells.device.type, enabled=False):
        return cells.float().clamp(min=MIN_CELL).pow(power).mean(dim=(2, 3)).pow(1 / power)


def channels_last(images: Tensor) -> Tensor:
    """Images [B, C, H, W] with a pixel's channels side by side in memory, as convolutions on a CPU want them.

    `contiguous` leaves those of one channel as they are, because both orders are the same. Their strides then say
    otherwise: layers would keep channels apart, and the first one, with norm and gradient, takes half as long again.
    """
    if images.shape[1] == 1:
        return images.contiguous().squeeze(1).unsqueeze(-1).movedim(-1, 1)
    return images.contiguous(memory_format=torch.channels_last)


def small_cnn(layers: Iterable[tuple[int, int, int]], in_channels: int, width: float) -> tuple[Stack, Stack]:
    """Body and (empty) top of a `Backbone`: `layers` as SMALL_CNN_LAYERS, whose channels `width` multiplies."""
    body: list[nn.Module] = []
    for channels, kernel, stride in layers:
        body += conv(in_channels, scaled(channels, width), kernel=kernel, stride=stride)
        in_channels = scaled(channels, width)
    return (nn.Sequential(*body), in_channels), (nn.Sequential(), in_channels)


def conv(in_channels: int, out_channels: int, *, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm and ReLU: ceil(H / stride) rows out of H."""
    layer = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # the default would fade to nothing in 27 layers
    return nn.Sequential(layer, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


def scaled(channels: int, width: float) -> int:
    """Channels at this width, a multiple of 8 so that vector instructions stay full."""
    return max(8, 8 * round(channels * width / 8))
