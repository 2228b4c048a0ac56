"""MobileNet v1: a picture in; local features on a grid and one embedding out (Howard et al. 2017, arXiv:1704.04861).

Frames and log-mel spectrograms are both pictures to it. The grid is the stage at stride 16 (8 x 8 cells for 128 x 128
pixels), where cells are still local enough to say *where*; the embedding comes from the last stage, at stride 32.

Batch norm is torch's, with a scale and eps 1e-5. YAMNet, the team's public MobileNet on log-mels, has eps 1e-4 and no
scale: the same functions, because the next layer's weights can take a scale up, and no text says what frames had.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.config import Count, Positive, config_dataclass
from pipeline.models.small_cnn import conv, scaled

STAGES = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2))  # (channels at width 1, stride), then the repeats
TOP_STAGES = ((1024, 2), (1024, 1))
MAX_DEPTH = 13
Width = Annotated[float, Field(gt=0, le=4)]
Depth = Annotated[int, Field(ge=len(STAGES) + len(TOP_STAGES), le=MAX_DEPTH)]


@config_dataclass
class MobileNetConfig:
    """The network's shape and the range of its input."""

    in_channels: Count = 3
    """3 for RGB frames, 1 for a spectrogram."""
    width: Width = 1.0
    """Multiplier on all channel counts: half the width is a quarter of the arithmetic and of the weights."""
    depth: Depth = MAX_DEPTH
    """Separable blocks, 8 to 13: fewer drop repeats of the 512-channel block, at unchanged strides."""
    embedding_dim: Count = 128
    """Size of the embedding."""
    input_mean: float = 0.5
    """Subtracted from the input; the default fits pixels in [0, 1]."""
    input_std: Positive = 0.25
    """Divides the input after that."""


class MobileNet(nn.Module):
    """Depthwise separable convolutions with batch norm and ReLU; any input size from 1 x 1 up."""

    def __init__(self, config: MobileNetConfig) -> None:
        super().__init__()
        self.config = config
        channels = scaled(32, config.width)
        stem: list[nn.Module] = [conv(config.in_channels, channels, kernel=3, stride=2)]
        repeats = ((512, 1),) * (config.depth - len(STAGES) - len(TOP_STAGES))
        self.body, self.local_dim = _stack(stem, channels, STAGES + repeats, config.width)
        self.top, top_dim = _stack([], self.local_dim, TOP_STAGES, config.width)
        self.dense = nn.Linear(top_dim, config.embedding_dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Local features and embedding of each picture.

        Args:
            images: [B, in_channels, H, W] in the range that input_mean and input_std standardise; [0, 1] by default.
        Returns:
            [B, local_dim, ceil(H / 16), ceil(W / 16)] local features, all >= 0, and [B, D] embedding, not normalised.
        """
        local, rows = self.features(images)
        return local, rows.mean(dim=1)

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, with one embedding per row of the last stage, [B, ceil(H / 32), D], instead of their mean."""
        images = (images - self.config.input_mean) / self.config.input_std
        local = self.body(images.contiguous(memory_format=torch.channels_last))
        return local, self.dense(self.top(local).mean(dim=3).transpose(1, 2))


def _stack(
    layers: list[nn.Module], channels: int, stages: tuple[tuple[int, int], ...], width: float
) -> tuple[nn.Module, int]:
    """The layers followed by one separable block per stage, and the channels that come out."""
    for out_channels, stride in stages:
        layers.append(conv(channels, channels, kernel=3, stride=stride, groups=channels))
        layers.append(conv(channels, scaled(out_channels, width), kernel=1))
        channels = scaled(out_channels, width)
    return nn.Sequential(*layers), channels
