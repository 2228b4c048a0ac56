"""ResNet-50: bottleneck blocks of three convolutions (He et al. 2016, arXiv:1512.03385), without its classifier.

The stride is in the middle convolution, as in the public weights of torchvision, whose names the layers have; below the
stem and the stages, `PUBLIC_NAMES` maps them.
"""

import torch
from torch import Tensor, nn

EXPANSION = 4
STEM_CHANNELS = 64
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # (width inside the blocks, how many of them)
PUBLIC_NAMES = {
    "conv1.": "stages.0.0.",
    "bn1.": "stages.0.1.",
    "layer1.": "stages.0.4.",
    "layer2.": "stages.1.",
    "layer3.": "stages.2.",
    "layer4.": "stages.3.",
}
"""Beginning of a name in a public checkpoint -> in a `Pyramid`; the classifier `fc.` has no place."""


class Bottleneck(nn.Module):
    """relu(x + three convolutions of x), 1 x 1, 3 x 3 with the stride, 1 x 1, each with batch norm."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        out_channels = EXPANSION * width
        self.conv1, self.bn1 = _conv(in_channels, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = _conv(width, out_channels, 1), nn.BatchNorm2d(out_channels)
        self.downsample: nn.Sequential | None = None
        if stride > 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(_conv(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """[N, 4 width, H / stride, W / stride] of x [N, C, H, W]."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


def resnet50() -> tuple[list[nn.Module], tuple[int, ...]]:
    """The four stages of a `Pyramid`, and the channels of their maps."""
    stages: list[nn.Module] = []
    in_channels = STEM_CHANNELS
    for number, (width, num_blocks) in enumerate(STAGES):
        blocks = [Bottleneck(in_channels, width, stride=2 if number else 1)]
        in_channels = EXPANSION * width
        blocks += [Bottleneck(in_channels, width, stride=1) for _ in range(num_blocks - 1)]
        stages.append(nn.Sequential(*blocks))
    stem = (_conv(3, STEM_CHANNELS, 7, 2), nn.BatchNorm2d(STEM_CHANNELS), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1))
    stages[0] = nn.Sequential(*stem, stages[0])
    return stages, tuple(EXPANSION * width for width, _ in STAGES)


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    layer = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
