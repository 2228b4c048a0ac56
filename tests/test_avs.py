"""The segmentation network: shapes for any number and size of frames, and what its sound reaches."""

import dataclasses
from typing import Literal

import pytest
import torch

from pipeline.errors import ConfigError
from pipeline.models.avs import AVSConfig, AVSModel
from pipeline.models.towers import CoincidenceConfig

TOWERS = CoincidenceConfig(backbone="small_cnn", width=0.1, embedding_dim=16)
SMALL = AVSConfig(backbone="plain", frame_size=64, channels=16, inter_channels=8, audio="tower", towers=TOWERS)


def build(config: AVSConfig = SMALL) -> AVSModel:
    """A network whose fusions let the sound through."""
    torch.manual_seed(0)
    model = AVSModel(config)
    for fusion in model.fusions:
        torch.nn.init.ones_(fusion.batch_norm.weight)
    return model.eval()


def clips(frames: int = 3, height: int = 64, width: int = 64, clips: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    waveform = 0.1 * torch.randn(clips, 16_000 * frames, generator=generator)
    return torch.rand(clips, frames, 3, height, width, generator=generator), waveform


def tone(waveform: torch.Tensor) -> torch.Tensor:
    """500 Hz in place of each waveform [B, T], at its level."""
    wave = torch.sin(2 * torch.pi * 500 * torch.arange(waveform.shape[1]) / 16_000)
    return wave * (2 * waveform.square().mean(dim=1, keepdim=True)).sqrt()


@pytest.mark.parametrize(("frames", "height", "width"), [(3, 64, 64), (1, 48, 90), (7, 100, 33)])
def test_masks_have_the_size_and_number_of_the_frames(frames: int, height: int, width: int) -> None:
    output = build()(*clips(frames, height, width))
    assert output.logits.shape == (2, frames, height, width)
    assert [tuple(level.shape) for level in output.maps] == [(2, frames, 16, size, size) for size in (16, 8, 4, 2)]
    assert [tuple(sound.shape) for sound in output.sounds] == [(2, frames, 16)] * 4


def test_a_clip_is_the_same_in_any_batch() -> None:
    model, (frames, waveform) = build(), clips()
    together = model(frames, waveform).logits
    for clip in range(2):
        alone = model(frames[clip : clip + 1], waveform[clip : clip + 1]).logits[0]
        torch.testing.assert_close(together[clip], alone, rtol=0, atol=1e-5)


def test_the_sound_moves_the_mask_and_its_level_does_not() -> None:
    model, (frames, waveform) = build(), clips()
    logits = model(frames, waveform).logits
    torch.testing.assert_close(model(frames, 0.1 * waveform).logits, logits, rtol=0, atol=1e-5)
    assert (model(frames, tone(waveform)).logits - logits).abs().max() > 1e-3


def test_without_fusion_the_sound_is_not_heard_and_there_is_nothing_to_map() -> None:
    model, (frames, waveform) = build(dataclasses.replace(SMALL, fusion="none")), clips()
    output = model(frames, waveform)
    assert torch.equal(model(frames, waveform.flip(0)).logits, output.logits)
    assert (output.maps, output.sounds) == ([], [])
    assert model.sound is None


def test_each_frame_hears_the_sound_of_its_own_span_of_time() -> None:
    sound = build().sound
    assert sound is not None
    _, waveform = clips(frames=4)
    other = waveform.clone()
    other[:, 16_000:32_000] = tone(waveform[:, 16_000:32_000])  # of the same level
    changed = (sound(waveform, 4) - sound(other, 4)).abs().amax(dim=(0, 2))
    assert changed[1] > 100 * changed[3]


@pytest.mark.parametrize(("exchange", "is_reached"), [("clip", True), ("frame", False)])
def test_the_sound_of_another_second_reaches_a_frame_only_in_an_exchange_over_the_clip(
    exchange: Literal["clip", "frame"], is_reached: bool
) -> None:
    model, (frames, waveform) = build(dataclasses.replace(SMALL, exchange=exchange)), clips(frames=4)
    other = waveform.clone()
    other[:, 16_000:32_000] = tone(waveform[:, 16_000:32_000])  # of the same level
    changed = (model(frames, waveform).logits - model(frames, other).logits).abs().amax(dim=(0, 2, 3))
    assert changed[1] > 1e-4
    assert (changed[3] > changed[1] / 100) == is_reached


def test_every_parameter_learns_after_the_first_step() -> None:
    model = build().train()
    output = model(*clips())
    output.logits.square().mean().backward()
    silent = [name for name, value in model.named_parameters() if value.grad is None]
    assert not silent


@pytest.mark.parametrize("change", [{"frame_size": 100}, {"frame_size": 0}, {"channels": 12}, {"backbone": "vgg"}])
def test_sizes_that_the_network_cannot_have_are_refused_by_name(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        dataclasses.replace(SMALL, **change)


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize(
    ("backbone", "channels"), [("resnet50", (256, 512, 1024, 2048)), ("pvt_v2_b5", (64, 128, 320, 512))]
)
def test_the_released_network_has_its_shapes_and_numbers_of_parameters(
    backbone: str, channels: tuple[int, ...]
) -> None:
    model = AVSModel(AVSConfig(backbone=backbone)).eval()
    seen = []
    model.pyramid.register_forward_hook(lambda _, inputs, maps: seen.extend(maps))
    with torch.inference_mode():
        output = model(torch.rand(1, 1, 3, 224, 224), torch.zeros(1, 16_000))
    counts = {name: sum(parameter.numel() for parameter in part.parameters()) for name, part in model.named_children()}
    assert counts["pyramid"] == {"resnet50": 23_508_032, "pvt_v2_b5": 81_443_008}[backbone]
    assert counts["narrow"] == sum(4 * (9 * channel * 256 + 256) for channel in channels)
    tpavi = (128 * 256 + 256) + 3 * (256 * 128 + 128) + (128 * 256 + 256) + 2 * 256 + 2 * 256
    assert counts["fusions"] == 4 * tpavi
    assert counts["sound"] == 72_141_184
    sizes = (56, 28, 14, 7)
    assert [tuple(level.shape) for level in seen] == [(1, c, s, s) for c, s in zip(channels, sizes, strict=True)]
    assert [tuple(level.shape) for level in output.maps] == [(1, 1, 256, size, size) for size in sizes]
    assert [tuple(sound.shape) for sound in output.sounds] == [(1, 1, 256)] * 4
    assert output.logits.shape == (1, 1, 224, 224)
