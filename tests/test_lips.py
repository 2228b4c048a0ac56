"""Encoders of lips and speech: sizes, and what an embedding of the short scale sees, to a frame and to a sample."""

import dataclasses

import pytest
import torch

from pipeline.models.adversaries import AdversariesConfig
from pipeline.models.lips import (
    INPUT_DB,
    LipEncoder,
    LipReadingConfig,
    LipReadingModel,
    SpeechEncoder,
    speech_coefficients,
)

SMALL = LipReadingConfig(frame_size=24, width=0.1, depth=1, step_dim=6, branch_dim=4, clip_dim=5)
NOBODY = AdversariesConfig(identity_weight=0.0, modality_weight=0.0)


@pytest.fixture
def model() -> LipReadingModel:
    torch.manual_seed(0)
    return LipReadingModel(SMALL, NOBODY).eval()


def test_the_published_size_has_as_many_convolutions_as_resnet_18() -> None:
    encoder = LipEncoder(LipReadingConfig())
    layers = [layer for layer in encoder.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.out_channels for layer in layers] == [64] * 4 + [128] * 4 + [256] * 4 + [512] * 4
    assert encoder.net.stem.weight.shape == (64, 3, 5, 7, 7)


@pytest.mark.parametrize("num_frames", [1, 5, 12])
def test_both_modalities_have_an_embedding_for_each_frame_and_one_for_the_clip(
    model: LipReadingModel, num_frames: int
) -> None:
    for embedded in (
        model.lips(torch.rand(2, num_frames, 3, 24, 24)),
        model.speech(torch.randn(2, 4 * num_frames, 13)),
    ):
        assert embedded.steps.shape == embedded.features.shape == (2, num_frames, 6)
        assert embedded.tracks.shape == (2, num_frames, 5)
        assert embedded.clip.shape == (2, 5)
        torch.testing.assert_close(embedded.steps.norm(dim=-1), torch.ones(2, num_frames))
        torch.testing.assert_close(embedded.clip.norm(dim=-1), torch.ones(2))


def test_lips_at_a_frame_are_of_the_five_frames_around_it() -> None:
    torch.manual_seed(0)
    encoder = LipEncoder(SMALL).eval()
    frames = torch.rand(1, 9, 3, 24, 24)
    changed = frames.clone()
    changed[:, 4] = 0
    differs = (encoder(frames) != encoder(changed)).any(dim=-1)[0]
    assert differs.tolist() == [False] * 2 + [True] * 5 + [False] * 2


def test_speech_at_a_frame_is_of_the_twenty_frames_of_mfcc_around_it() -> None:
    torch.manual_seed(0)
    encoder = SpeechEncoder(SMALL).double().eval()
    coefficients = torch.randn(1, 36, 13, dtype=torch.float64, requires_grad=True)
    for frame in (2, 4):
        (gradient,) = torch.autograd.grad(encoder(coefficients)[0, frame].sum(), coefficients)
        reached = gradient[0].abs().sum(dim=1).nonzero().flatten()
        assert (reached[0].item(), reached[-1].item()) == (4 * (frame - 2), 4 * (frame + 3) - 1)


def test_beyond_its_ends_a_clip_stands_still() -> None:
    torch.manual_seed(0)
    lips, speech = LipEncoder(SMALL).eval(), SpeechEncoder(SMALL).eval()
    still = torch.rand(1, 1, 3, 24, 24).expand(1, 6, -1, -1, -1)
    hum = torch.randn(1, 1, 13).expand(1, 24, -1)
    for rows in (lips(still)[0], speech(hum)[0]):
        torch.testing.assert_close(rows, rows[:1].expand_as(rows))  # what does not move is the same at every time


def test_features_of_both_modalities_are_standardised_so_that_their_means_say_nothing(model: LipReadingModel) -> None:
    lips = model.train().lips(torch.rand(3, 7, 3, 24, 24)).features
    speech = model.speech(5 + 3 * torch.randn(3, 28, 13)).features
    for features in (lips, speech):
        flat = features.flatten(0, 1)
        torch.testing.assert_close(flat.mean(dim=0), torch.zeros(6), rtol=0, atol=1e-4)
        torch.testing.assert_close(flat.var(dim=0, unbiased=False), torch.ones(6), rtol=0.05, atol=0)


def test_without_an_output_norm_encoders_end_in_their_dense_layers() -> None:
    model = LipReadingModel(dataclasses.replace(SMALL, output_norm="none"), NOBODY)
    for encoder, dense in (
        (model.lip_encoder, model.lip_encoder.net.dense),
        (model.speech_encoder, model.speech_encoder.dense),
    ):
        torch.nn.init.zeros_(dense.weight)
        torch.nn.init.ones_(dense.bias)
        assert not list(encoder.norm.parameters()) + list(encoder.norm.buffers())
    assert (model.lips(torch.rand(2, 5, 3, 24, 24)).features == 1).all()
    assert (model.speech(torch.randn(2, 20, 13)).features == 1).all()


def test_the_level_of_a_clip_does_not_matter_and_a_gain_after_it_does() -> None:
    sound = torch.randn(2, 640 * 3 + 240, generator=torch.Generator().manual_seed(0))
    sound *= 10 ** (INPUT_DB / 20)
    usual = speech_coefficients(sound)
    assert usual.shape == (2, 12, 13)
    torch.testing.assert_close(speech_coefficients(0.01 * sound), usual, rtol=0, atol=1e-3)
    louder = speech_coefficients(sound, torch.tensor([0.0, 20.0]))
    torch.testing.assert_close(louder[0], usual[0])
    # 20 dB is a factor of 100 in energy
    torch.testing.assert_close(louder[1, :, 0], usual[1, :, 0] + torch.tensor(100.0).log(), rtol=0, atol=1e-3)


def test_the_last_15_ms_may_be_missing_and_nothing_else() -> None:
    sound = torch.randn(1, 640 * 4 + 240)
    padded = torch.cat([sound[:, :-240], torch.zeros(1, 240)], dim=1)
    torch.testing.assert_close(speech_coefficients(sound[:, :-240]), speech_coefficients(padded), rtol=0, atol=1e-3)
    for length in (640 * 4 + 100, 240, 0):
        with pytest.raises(ValueError, match="expected 640 samples for each frame"):
            speech_coefficients(torch.zeros(1, length))


def test_without_a_long_scale_a_clip_is_the_mean_of_its_short_one() -> None:
    model = LipReadingModel(SMALL, NOBODY, has_long=False).eval()
    assert not [name for name, _ in model.named_parameters() if "tcn" in name]
    embedded = model.speech(torch.randn(2, 20, 13))
    mean = embedded.features.mean(dim=1)
    torch.testing.assert_close(embedded.clip, mean / mean.norm(dim=1, keepdim=True))
