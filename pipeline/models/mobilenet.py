"""MobileNet v1: a picture in; local features on a grid and one embedding out (Howard et al. 2017, arXiv:1704.04861).

Frames and log-mel spectrograms are both pictures to it. The grid is the stage at stride 16 (8 x 8 cells for 128 x 128
pixels), where cells are still local enough to say *where*; the embedding comes from the last stage, at stride 32.

Batch norm is torch's, with a scale and eps 1e-5. YAMNet, the team's public MobileNet on log-mels, has eps 1e-4 and no
scale: the same functions, because the next layer's weights can take a scale up, and no text says what frames had.
"""

from torch import nn

from pipeline.models.small_cnn import Stack, conv, scaled

STAGES = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2))  # (channels at width 1, stride), then the repeats
TOP_STAGES = ((1024, 2), (1024, 1))
MIN_DEPTH, MAX_DEPTH = len(STAGES) + len(TOP_STAGES), 13


def mobilenet(in_channels: int, width: float, depth: int) -> tuple[Stack, Stack]:
    """Body and top of a `Backbone`: depthwise separable convolutions with batch norm and ReLU.

    Args:
        in_channels: 3 for RGB frames, 1 for a spectrogram.
        width: multiplier on all channel counts: half the width is a quarter of the arithmetic and of the weights.
        depth: separable blocks, 8 to 13: fewer drop repeats of the 512-channel block, at unchanged strides.
    """
    channels = scaled(32, width)
    stem: list[nn.Module] = [conv(in_channels, channels, kernel=3, stride=2)]
    body = _stack(stem, channels, STAGES + ((512, 1),) * (depth - MIN_DEPTH), width)
    return body, _stack([], body[1], TOP_STAGES, width)


def _stack(layers: list[nn.Module], channels: int, stages: tuple[tuple[int, int], ...], width: float) -> Stack:
    """The layers followed by one separable block per stage, and the channels that come out."""
    for out_channels, stride in stages:
        layers.append(conv(channels, channels, kernel=3, stride=stride, groups=channels))
        layers.append(conv(channels, scaled(out_channels, width), kernel=1))
        channels = scaled(out_channels, width)
    return nn.Sequential(*layers), channels
