"""The coincidence model: unit embeddings, level-blind, calibrated, trainable."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from pipeline.errors import ConfigError
from pipeline.models.small_cnn import channels_last
from pipeline.models.towers import MAX_LOGIT_SCALE, CoincidenceConfig, CoincidenceModel, shared_embedding, shrink

TINY = CoincidenceConfig(width=0.25, depth=8, frame_size=64, embedding_dim=32)


@pytest.fixture
def model() -> CoincidenceModel:
    torch.manual_seed(0)
    return CoincidenceModel(TINY).eval()


@pytest.mark.parametrize(("num_frames", "length"), [(1, 300), (3, 16_000), (5, 20_001)])
def test_embeddings_have_length_1_for_any_number_of_frames_and_samples(model, num_frames, length):
    visual, audio = model(torch.rand(2, num_frames, 3, 128, 128), 0.1 * torch.randn(2, length))
    assert visual.shape == audio.shape == (2, 32)
    torch.testing.assert_close(visual.norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(audio.norm(dim=-1), torch.ones(2))


def test_loudness_does_not_change_the_embedding(model):
    waveform = 0.1 * torch.randn(2, 8000)
    torch.testing.assert_close(model.embed_waveform(0.01 * waveform), model.embed_waveform(waveform))


def test_silence_has_a_finite_embedding(model):
    assert torch.isfinite(model.embed_waveform(torch.zeros(1, 8000))).all()


def test_order_of_frames_does_not_change_the_embedding(model):
    frames = torch.rand(1, 3, 3, 64, 64)
    torch.testing.assert_close(model.embed_frames(frames.flip(1)), model.embed_frames(frames))


def test_towers_give_one_row_per_cell_and_one_embedding_per_frame(model):
    seen = model.visual_tower(torch.rand(2, 3, 3, 128, 96))
    assert model.visual_tower.cells(128, 96) == (4, 4)  # 64 x 64 pixels remain
    assert seen.local.shape == (2, 3 * 4 * 4, model.visual_tower.local_dim)
    assert seen.embeddings.shape == (2, 3, 32)


@pytest.mark.parametrize(("backbone", "step_s"), [("mobilenet", 0.32), ("small_cnn", 0.16), ("stem3d", 0.16)])
def test_an_audio_tower_gives_one_embedding_per_032_s_with_mobilenet_and_per_016_s_with_the_others(backbone, step_s):
    tower = CoincidenceModel(dataclasses.replace(TINY, backbone=backbone)).eval().audio_tower
    heard = tower(0.1 * torch.randn(2, 32_000))
    assert heard.embeddings.shape == (2, math.ceil((2.0 - 0.025 + 0.01) / step_s), 32)  # log-mel of 25 ms every 10 ms
    assert heard.local.shape == (2, math.ceil(198 / 16) * 4, tower.local_dim)  # 64 bands


def test_rows_are_ordered_by_frame_then_row_then_column(model):
    frames = torch.rand(1, 2, 3, 64, 64)
    seen = model.visual_tower(frames)
    grid, _ = model.visual_tower.net(frames[0])
    torch.testing.assert_close(seen.local[0, 16 + 4 * 2 + 3], grid[1, :, 2, 3])  # frame 1, row 2, column 3


def test_without_a_matcher_the_score_is_the_logistic_of_a_times_cosine_plus_b():
    model = CoincidenceModel(dataclasses.replace(TINY, embedding_dim=2, matcher="cosine")).eval()
    visual, audio = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])
    model.match_scale.data.fill_(4.0)
    model.match_bias.data.fill_(-1.0)
    assert model.score(visual, audio).item() == pytest.approx(1 / (1 + math.exp(-(4 * 0.6 - 1))), rel=1e-5)


@pytest.mark.parametrize("matcher", ["concat", "product"])
def test_the_score_is_that_of_a_matcher_written_out(matcher):
    model = CoincidenceModel(dataclasses.replace(TINY, embedding_dim=4, matcher=matcher)).eval()
    visual, audio = F.normalize(torch.randn(3, 4), dim=1), F.normalize(torch.randn(3, 4), dim=1)
    rows = [2 * visual, 2 * audio, 4 * visual * audio][: 3 if matcher == "product" else 2]  # sqrt(4) = 2
    layers = model.matcher
    hidden = (torch.cat(rows, dim=1) @ layers.hidden.weight.T + layers.hidden.bias).clamp_min(0)
    assert hidden.shape == (3, 128)
    expected = 1 / (1 + torch.exp(-(hidden @ layers.dense.weight[0] + layers.dense.bias)))
    torch.testing.assert_close(model.score(visual, audio), expected)


def test_a_bilinear_score_starts_as_the_cosine_over_the_temperature_and_learns_a_matrix():
    cosine = CoincidenceModel(TINY)
    model = CoincidenceModel(dataclasses.replace(TINY, score="bilinear"))
    visual, audio = F.normalize(torch.randn(3, 32), dim=1), F.normalize(torch.randn(5, 32), dim=1)
    torch.testing.assert_close(model.logits(visual, audio), cosine.logits(visual, audio))
    torch.testing.assert_close(cosine.logits(visual, audio), visual @ audio.T / 0.07)
    torch.nn.init.normal_(model.bilinear)
    expected = torch.einsum("vi,ij,aj->va", visual, model.bilinear, audio) / 0.07
    torch.testing.assert_close(model.logits(visual, audio), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(audio @ model.audio_queries(visual).T, expected.T, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(visual @ model.visual_queries(audio).T, expected, rtol=1e-4, atol=1e-4)
    model.logits(visual, audio).sum().backward()
    assert model.bilinear.grad.abs().sum() > 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.logits(visual.bfloat16(), audio.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("num_frames", [1, 5])
def test_the_patents_trunk_has_the_interface_of_the_others(num_frames):
    config = dataclasses.replace(TINY, backbone="stem3d")
    model = CoincidenceModel(config).eval()
    frames, waveform = torch.rand(2, num_frames, 3, 128, 96), 0.1 * torch.randn(2, 32_000)
    visual, audio = model(frames, waveform)
    assert visual.shape == audio.shape == (2, 32)
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in model.audio_tower.modules()) == 9
    seen = model.visual_tower(frames)
    assert model.visual_tower.cells(128, 96) == (4, 4)
    assert seen.local.shape == (2, num_frames * 16, model.visual_tower.local_dim)
    assert seen.embeddings.shape == (2, num_frames, 32)


def test_the_contrastive_loss_trains_all_but_the_match_probability():
    model = CoincidenceModel(dataclasses.replace(TINY, score="bilinear")).train()
    model.logits(*model(torch.rand(2, 1, 3, 64, 64), torch.randn(2, 4000))).square().sum().backward()
    untrained = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    layers = {f"matcher.{layer}.{kind}" for layer in ("hidden", "dense") for kind in ("weight", "bias")}
    assert untrained == {"match_scale", "match_bias"} | layers
    assert untrained == {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert untrained < set(model.state_dict())


def test_a_learned_temperature_gets_the_gradient_of_the_logits(model):
    visual, audio = F.normalize(torch.randn(3, 32), dim=1), F.normalize(torch.randn(5, 32), dim=1)
    logits = model.logits(visual, audio)
    logits.sum().backward()
    assert model.log_scale.grad.item() == pytest.approx(logits.sum().item(), rel=1e-4)  # d/dx of e^x c is e^x c


@pytest.mark.parametrize(("beyond", "bound"), [(50.0, MAX_LOGIT_SCALE), (-50.0, 1.0)])
def test_temperature_starts_as_configured_stays_bounded_and_comes_back(model, beyond, bound):
    assert model.logit_scale.item() == pytest.approx(1 / 0.07, rel=1e-5)
    model.log_scale.data.fill_(beyond)
    assert model.logit_scale.item() == pytest.approx(bound, rel=1e-5)
    assert model.log_scale.item() == beyond  # asking changes nothing
    model.train()(torch.rand(2, 1, 3, 64, 64), torch.randn(2, 4000))
    model.logit_scale.backward()
    assert model.log_scale.grad.item() == pytest.approx(bound, rel=1e-5)  # not stuck at the bound


def test_an_embedding_of_zeros_is_like_nothing_and_gets_a_bounded_gradient(model):
    rows = torch.zeros(1, 2, 32, requires_grad=True)
    logits = model.logits(shared_embedding(rows), F.normalize(torch.randn(4, 32), dim=1))
    assert logits.tolist() == [[0.0] * 4]
    logits.sum().backward()
    assert rows.grad.abs().max() < 4 / 0.07 / 1e-6  # of four rows of length 1, over the temperature, over MIN_NORM


def test_towers_are_told_apart_by_what_they_are_made_of():
    depths = [
        dataclasses.replace(TINY, backbone=backbone, depth=9) for backbone in ("mobilenet", "small_cnn", "stem3d")
    ]
    is_same = [config.towers == dataclasses.replace(config, depth=8).towers for config in depths]
    assert is_same == [False, True, True]  # only one has separable blocks
    plain = depths[1]
    for change in (
        {"width": 0.5},
        {"embedding_dim": 16},
        {"frame_size": 32},
        {"backbone": "stem3d"},
        {"rate_hz": 22_050},
    ):
        assert dataclasses.replace(plain, **change).towers != plain.towers
    assert dataclasses.replace(plain, temperature=0.1, score="bilinear", matcher="cosine").towers == plain.towers


def test_contrastive_steps_tell_four_colours_by_their_tones():
    torch.manual_seed(0)
    model = CoincidenceModel(TINY).train()
    frames = torch.eye(3).repeat(2, 1)[:4].reshape(4, 1, 3, 1, 1) * torch.tensor([1.0, 1.0, 1.0, 0.3]).reshape(
        -1, 1, 1, 1, 1
    )
    frames = (frames + 0.02 * torch.rand(4, 2, 3, 64, 64)).clamp(0, 1)
    times = torch.arange(8000) / 16_000
    waveform = torch.stack([0.1 * torch.sin(2 * math.pi * hz * times) for hz in (300, 800, 2000, 5000)])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(12):
        visual, audio = model(frames, waveform)
        loss = F.cross_entropy(model.logit_scale * visual @ audio.T, torch.arange(4))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * math.log(4)  # chance is log 4


@pytest.mark.parametrize(
    "fields",
    [
        {"rate_hz": 8000},
        {"frame_size": 8},
        {"temperature": 0.0},
        {"width": -1.0},
        {"score": "dot"},
        {"matcher": "none"},
        {"backbone": "resnet"},
    ],
)
def test_config_out_of_range_is_refused(fields):
    with pytest.raises(ConfigError, match=f"^{next(iter(fields))} = "):
        CoincidenceConfig(**fields)


@pytest.mark.parametrize("size", [(64, 64), (32, 64), (16, 8), (50, 64), (64, 63)])
def test_images_are_averaged_down_as_torch_does(size):
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(shrink(images, *size), F.adaptive_avg_pool2d(images, size))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_convolution_keeps_the_channels_of_a_pixel_side_by_side(channels):
    images, weight = torch.rand(2, channels, 8, 6), torch.rand(4, channels, 3, 3)
    ordered = channels_last(images)
    assert torch.equal(ordered, images)
    out = F.conv2d(ordered, weight)
    assert out.stride(1) == 1
    torch.testing.assert_close(out, F.conv2d(images, weight))
