"""TDCN++ and the on-screen classifier against arithmetic and published sizes."""

import math

import pytest
import torch
import torch.nn.functional as F

from pipeline.audio import db_to_gain
from pipeline.errors import ConfigError
from pipeline.models.bases import LearnedBasis, mixture_consistency
from pipeline.models.separator import SeparationConfig, SeparationModel, SeparationOutput, on_screen_estimate
from pipeline.models.tdcn import TDCN, TDCNConfig, TimeNorm, nearest_frames
from pipeline.models.towers import INPUT_DB, CoincidenceConfig, CoincidenceModel

TOWERS = CoincidenceConfig(width=0.25, depth=8, frame_size=32, embedding_dim=16)
BODY = TDCNConfig(bottleneck=16, hidden=24, num_repeats=2, num_dilations=3)


def tiny(**fields) -> SeparationModel:
    torch.manual_seed(0)
    fields = {"basis": "stft", "tdcn": BODY, "towers": TOWERS, **fields}
    return SeparationModel(SeparationConfig(**fields)).eval()


def clip(batch: int = 2, length: int = 4000, num_frames: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    return 0.1 * torch.randn(batch, length), torch.rand(batch, num_frames, 3, 32, 32)


def num_parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# --- the separator's body ---


def test_published_size_has_8_8_million_parameters():
    model = SeparationModel(SeparationConfig(towers=TOWERS))
    block = 2 * 256 * 512 + 2 + 3 * 512 + 512 + 2 + 4  # dense layers and scales, convolution, PReLUs, norms
    assert num_parameters(model.tdcn.blocks[0]) == block == 264_200
    expected = 32 * block + (256 * 256 + 256 + 1) + (256 * 4 * 256 + 4 * 256) + 2 * 40 * 256
    assert num_parameters(model) - num_parameters(model.classifier) == expected
    assert expected == pytest.approx(8.8e6, rel=0.005)


def test_skip_residuals_add_six_dense_layers_for_four_repeats():
    sizes = {"bottleneck": 8, "hidden": 8, "num_dilations": 1}
    with_skips = TDCN(TDCNConfig(skip_residuals=True, **sizes), in_dim=5, video_dim=None)
    without = TDCN(TDCNConfig(**sizes), in_dim=5, video_dim=None)
    assert num_parameters(with_skips) - num_parameters(without) == 6 * (8 * 8 + 8 + 1)
    assert with_skips(torch.randn(1, 5, 9)).shape == (1, 8, 9)


def test_second_dense_layer_of_block_b_starts_at_0_9_to_the_b():
    body = TDCN(BODY, in_dim=5, video_dim=None)
    scales = [block.narrow.scale.item() for block in body.blocks]
    assert scales == pytest.approx([1.0, 0.9, 0.81, 0.729, 0.6561, 0.59049])
    assert [block.conv.dilation[0] for block in body.blocks] == [1, 2, 4, 1, 2, 4]


def test_convolutions_reach_exactly_the_documented_frames(monkeypatch):
    monkeypatch.setattr(TimeNorm, "forward", lambda self, x: x)  # the norms alone see the whole clip
    body = TDCN(BODY, in_dim=5, video_dim=None)
    features = torch.randn(1, 5, 81, requires_grad=True)
    body(features)[..., 40].sum().backward()
    assert features.grad is not None
    touched = features.grad.abs().sum(dim=(0, 1)).nonzero().squeeze(1)
    assert BODY.reach == 2 * (1 + 2 + 4)
    assert (touched.min().item(), touched.max().item()) == (40 - 14, 40 + 14)
    assert 1 + 2 * TDCNConfig().reach == 2041


def test_norm_is_instance_norm_over_time_with_one_gamma_and_beta():
    norm, x = TimeNorm(), torch.randn(2, 3, 50) * 4 + 1
    norm.gamma.data.fill_(2.0)
    norm.beta.data.fill_(-1.0)
    mean, power = x.mean(dim=2, keepdim=True), x.var(dim=2, keepdim=True, unbiased=False)
    torch.testing.assert_close(norm(x), 2 * (x - mean) / torch.sqrt(power + 1e-3) - 1)


def test_block_equals_its_description_with_concatenated_video():
    body = TDCN(BODY, in_dim=5, video_dim=4)
    block = body.blocks[2]
    core, video = torch.randn(2, 16, 10), torch.randn(2, 3, 4)
    repeated = video[:, [0, 0, 0, 0, 1, 1, 2, 2, 2, 2]].clone()  # frame centres at 1/6, 1/2, 5/6 of 10 steps
    repeated[:, 3] = video[:, 1]  # 3.5 / 10 of the way is past 1/3
    repeated[:, 6] = video[:, 1]  # 6.5 / 10 is before 2/3
    torch.testing.assert_close(nearest_frames(video.transpose(1, 2), 10), repeated.transpose(1, 2))
    weight = torch.cat([block.widen.conv.weight[..., 0] * block.widen.scale, block.widen_video.weight], dim=1)
    hidden = torch.cat([core.transpose(1, 2), repeated], dim=2) @ weight.T
    hidden = block.norm1(F.prelu(hidden.transpose(1, 2), torch.tensor([0.1])))
    hidden = block.norm2(F.prelu(block.conv(hidden), torch.tensor([0.1])))
    expected = core + 0.81 * torch.einsum("oi,bil->bol", block.narrow.conv.weight[..., 0], hidden)
    torch.testing.assert_close(block(core, video), expected, atol=1e-5, rtol=1e-5)


def test_conditioned_separation_follows_the_frames():
    model = tiny(condition_on_video=True)
    mixture, frames = clip()
    assert not torch.allclose(model(mixture, frames).sources, model(mixture, 1 - frames).sources, atol=1e-7)
    with pytest.raises(ValueError, match="condition_on_video"):
        model.tdcn(torch.rand(1, model.basis.num_bins, 5))


# --- bases and mixture consistency ---


def test_learned_basis_has_the_documented_frames_and_returns_every_sample():
    basis = LearnedBasis(8, 40, 20)
    for length in (1, 39, 40, 41, 80, 16_000):
        coefficients, _ = basis.encode(torch.randn(1, length))
        assert coefficients.shape[-1] == 1 + max(0, math.ceil((length - 40) / 20))
        assert basis.decode(coefficients.unsqueeze(1), length).shape == (1, 1, length)
    assert SeparationConfig(towers=TOWERS).frame_samples == (40, 20)
    assert basis.encode(torch.randn(1, 80_000))[0].shape[-1] == 3999


@pytest.mark.parametrize("kind", ["uniform", "magsq", "predicted"])
@pytest.mark.parametrize("level", [1.0, 1e-6, 0.0])
def test_sources_add_up_to_the_mixture_also_when_silent(kind, level):
    share = torch.softmax(torch.randn(3, 4), dim=-1)
    mixture = torch.randn(3, 500)
    consistent = mixture_consistency(mixture, level * torch.randn(3, 4, 500), kind, share)
    torch.testing.assert_close(consistent.sum(dim=1), mixture, atol=1e-5, rtol=0)


def test_uniform_shares_alike_and_magsq_by_power():
    mixture, sources = torch.full((1, 2), 8.0), torch.tensor([[[1.0, 1.0], [3.0, 3.0]]])  # 4 are missing
    assert mixture_consistency(mixture, sources, "uniform")[0].tolist() == [[3.0, 3.0], [5.0, 5.0]]
    by_power = mixture_consistency(mixture, sources, "magsq")[0, :, 0]
    torch.testing.assert_close(by_power, torch.tensor([1 + 4 * 0.1, 3 + 4 * 0.9]))


# --- the whole model ---


@pytest.mark.parametrize("basis", ["learned", "stft"])
@pytest.mark.parametrize("consistency", ["uniform", "magsq", "predicted"])
def test_sources_of_the_model_add_up_to_its_mixture(basis, consistency):
    model = tiny(basis=basis, consistency=consistency, num_basis=16)
    mixture, frames = clip(length=2000)
    torch.testing.assert_close(model(mixture, frames).sources.sum(dim=1), mixture, atol=1e-6, rtol=0)
    assert model(torch.zeros_like(mixture), frames).sources.abs().max() == 0


@pytest.mark.parametrize(("length", "num_frames"), [(1, 1), (777, 1), (8001, 5)])
def test_any_length_and_any_number_of_frames_work(length, num_frames):
    mixture, frames = clip(length=length, num_frames=num_frames)
    output = tiny(num_sources=3)(mixture, frames)
    assert output.sources.shape == (2, 3, length)
    assert output.logits.shape == (2, 3)
    assert output.attention.shape == (2, 3, num_frames, 2, 2)
    torch.testing.assert_close(output.attention.sum(dim=(2, 3, 4)), torch.ones(2, 3))


def test_scaling_the_mixture_scales_the_sources_and_not_the_verdicts():
    model, (mixture, frames) = tiny(), clip()
    loud, quiet = model(mixture, frames), model(0.001 * mixture, frames)
    torch.testing.assert_close(quiet.sources * 1000, loud.sources, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(quiet.logits, loud.logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("cosine_feature", [False, True])
def test_verdicts_follow_the_sources_when_they_are_reordered(cosine_feature):
    classifier = tiny(cosine_feature=cosine_feature, tanh=True).classifier
    sources, order = 0.1 * torch.randn(2, 3, 4000), torch.tensor([2, 0, 1])
    video = classifier.visual_tower(torch.rand(2, 2, 3, 32, 32))
    logits, attention = classifier(sources, video)
    reordered = classifier(sources[:, order], video)
    torch.testing.assert_close(reordered.logits, logits[:, order])
    torch.testing.assert_close(reordered.attention, attention[:, order])


def test_a_silent_source_gets_a_verdict_that_depends_on_the_video_alone():
    classifier = tiny().classifier
    sources = 0.1 * torch.randn(1, 3, 4000)
    sources[:, 1:] = 0
    logits, _ = classifier(sources, classifier.visual_tower(torch.rand(1, 2, 3, 32, 32)))
    assert logits[0, 1].item() == pytest.approx(logits[0, 2].item(), abs=1e-6)
    assert abs(logits[0, 0] - logits[0, 1]) > 1e-4


def test_on_screen_estimate_weighs_sources_by_probability():
    sources = torch.tensor([[[1.0, 2.0], [10.0, -10.0]]])
    logits = torch.tensor([[math.log(3.0), 0.0]])  # probabilities 3/4 and 1/2
    estimate = on_screen_estimate(SeparationOutput(sources, logits, torch.empty(0)))
    torch.testing.assert_close(estimate, torch.tensor([[5.75, -3.5]]))


def test_with_loaded_towers_the_first_verdict_on_a_clip_is_its_match_logit():
    torch.manual_seed(1)
    coincidence = CoincidenceModel(TOWERS).eval()
    model = tiny(cosine_feature=True)
    model.load_towers(coincidence)
    waveform, frames = clip(length=8000)
    waveform = 0.1 * waveform / waveform.square().mean(dim=-1, keepdim=True).sqrt()
    logits, _ = model.classifier(waveform.unsqueeze(1), model.classifier.visual_tower(frames))
    torch.testing.assert_close(logits[:, 0], coincidence.match_logit(*coincidence(frames, waveform)))


def test_towers_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="towers"):
        tiny().load_towers(CoincidenceModel(CoincidenceConfig(width=0.25, depth=9, frame_size=32, embedding_dim=16)))


@pytest.mark.parametrize(("max_boost_db", "gains"), [(0.0, [1, 1, 1, 1]), (20.0, [2, 4, 5, 10])])
def test_sources_below_the_mixture_are_judged_at_its_level_or_max_boost_above_their_own(max_boost_db, gains):
    model, heard = tiny(max_boost_db=max_boost_db), []
    model.classifier.audio_tower.register_forward_pre_hook(lambda _, arguments: heard.append(arguments[0]))
    levels = torch.tensor([0.5, 0.25, 0.2, 0.05])
    model.hear(3.7 * levels[:, None].expand(1, 4, 4000))  # at whatever level the mixture is
    torch.testing.assert_close(heard[0][:, 0], levels * torch.tensor(gains) * db_to_gain(INPUT_DB))


@pytest.mark.parametrize("detach", [False, True])
def test_detached_sources_keep_the_verdicts_away_from_the_separator(detach):
    model = tiny(detach_sources_for_classifier=detach)
    model(*clip()).logits.sum().backward()
    assert (model.mask.weight.grad is None) == detach
    assert model.classifier.dense.weight.grad is not None


def test_every_parameter_gets_a_gradient():
    model = tiny(condition_on_video=True, consistency="predicted", cosine_feature=True).train()
    output = model(*clip())
    (output.sources.square().sum() + output.logits.sum() + model.classifier.contrast_scale).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_a_few_steps_reduce_the_error_on_two_tones():
    model = tiny(num_sources=2).train()
    times = torch.arange(4000) / 16_000
    references = 0.1 * torch.stack([torch.sin(2 * math.pi * hz * times) for hz in (500, 3000)]).unsqueeze(0)
    mixture, frames = references.sum(dim=1), torch.rand(1, 2, 3, 32, 32)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    errors = []
    for _ in range(25):
        error = (model(mixture, frames).sources - references).square().sum() / references.square().sum()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[0] == pytest.approx(0.5, abs=0.2)  # equal masks leave half of each tone in the other source
    assert errors[-1] < 0.1


def test_sources_stay_in_single_precision_and_add_up_under_autocast():
    mixture, frames = clip()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = tiny()(mixture, frames)
    assert output.sources.dtype == torch.float32
    torch.testing.assert_close(output.sources.sum(dim=1), mixture, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "fields", [{"num_sources": 1}, {"basis": "wavelet"}, {"consistency": "none"}, {"num_basis": 0}, {"hop_ms": 0.0}]
)
def test_config_out_of_range_is_refused(fields):
    with pytest.raises(ConfigError, match=next(iter(fields))):
        SeparationConfig(**fields)


def test_stft_has_the_published_32_and_8_ms_unless_set():
    assert SeparationConfig(basis="stft").frame_samples == (512, 128)
    assert SeparationConfig(basis="stft", hop_ms=16.0).frame_samples == (512, 256)
