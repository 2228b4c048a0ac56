"""The separator, its bases and the on-screen classifier against arithmetic and published sizes."""

import math

import pytest
import torch

from pipeline.audio import db_to_gain
from pipeline.errors import ConfigError
from pipeline.models.bases import LearnedBasis, mixture_consistency
from pipeline.models.separator import SeparationConfig, SeparationModel, SeparationOutput, on_screen_estimate
from pipeline.models.tdcn import TDCNConfig
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


@pytest.mark.parametrize(("num_sources", "millions"), [(2, 8.7), (4, 8.8), (8, 9.1), (16, 9.6)])
def test_published_sizes_have_8_8_million_parameters_for_4_sources_and_9_1_for_8(num_sources, millions):
    model = SeparationModel(SeparationConfig(num_sources=num_sources, towers=TOWERS))
    block = 2 * 256 * 512 + 2 + 3 * 512 + 512 + 2 + 4  # dense layers and scales, convolution, PReLUs, norms
    assert num_parameters(model.tdcn.blocks[0]) == block == 264_200
    masks = 256 * num_sources * 256 + num_sources * 256
    expected = 32 * block + (256 * 256 + 256 + 1) + masks + 2 * 40 * 256
    assert num_parameters(model) - num_parameters(model.classifier) == expected
    assert expected == pytest.approx(millions * 1e6, abs=5e4)


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
