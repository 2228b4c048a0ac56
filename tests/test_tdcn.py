"""TDCN++ against arithmetic and a straightforward implementation of the released network."""

import pytest
import torch
from torch import Tensor, nn

from pipeline.config import from_dict
from pipeline.hashing import as_dict
from pipeline.models.tdcn import TDCN, TDCNConfig, TimeNorm, batched_time_norm, nearest_frames
from tests.helpers.plain_tdcn import PlainTDCN

BODY = TDCNConfig(bottleneck=16, hidden=24, num_repeats=2, num_dilations=3)


def num_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def shaken(config: TDCNConfig, video_dim: int | None = None) -> TDCN:
    """A network whose slopes, scales, gammas, betas and biases differ from how they start."""
    torch.manual_seed(0)
    tdcn = TDCN(config, in_dim=5, video_dim=video_dim)
    with torch.no_grad():
        for parameter in tdcn.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return tdcn


@pytest.mark.parametrize("video_dim", [None, 4])
@pytest.mark.parametrize(("num_repeats", "skip_residuals"), [(2, False), (1, True), (4, True)])
def test_network_equals_the_straightforward_one(num_repeats: int, skip_residuals: bool, video_dim: int | None) -> None:
    config = TDCNConfig(bottleneck=6, hidden=7, num_repeats=num_repeats, num_dilations=3, skip_residuals=skip_residuals)
    tdcn = shaken(config, video_dim).double()
    plain = PlainTDCN(tdcn)
    features = torch.randn(2, 5, 40, dtype=torch.float64, requires_grad=True)
    video = None if video_dim is None else torch.randn(2, 3, video_dim, dtype=torch.float64)
    expected, found = plain(features, video), tdcn(features, video)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    slopes = torch.randn_like(expected)
    gradients = [torch.autograd.grad((output * slopes).sum(), features)[0] for output in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-9)


def test_a_block_has_264_200_parameters_at_the_published_size() -> None:
    tdcn = TDCN(TDCNConfig(), in_dim=256, video_dim=None)
    assert num_parameters(tdcn.blocks[0]) == 2 * 256 * 512 + 2 + 3 * 512 + 512 + 2 + 4 == 264_200
    assert num_parameters(tdcn) == 32 * 264_200 + 256 * 256 + 256 + 1


def test_skip_residuals_join_every_repeat_to_all_later_ones() -> None:
    sizes = {"bottleneck": 8, "hidden": 8, "num_dilations": 1}
    with_skips = TDCN(TDCNConfig(skip_residuals=True, **sizes), in_dim=5, video_dim=None)
    without = TDCN(TDCNConfig(**sizes), in_dim=5, video_dim=None)
    assert list(with_skips.skips) == ["0-1", "0-2", "0-3", "1-2", "1-3", "2-3"]
    assert num_parameters(with_skips) - num_parameters(without) == 6 * (8 * 8 + 8 + 1)
    for skip in with_skips.skips.values():
        assert skip.scale.item() == 1
        assert skip.conv.bias.abs().max() == 0
        assert skip.conv.weight.abs().max() <= (6 / (8 + 8)) ** 0.5  # Glorot's bound
    assert with_skips(torch.randn(1, 5, 9)).shape == (1, 8, 9)
    published = TDCN(TDCNConfig(skip_residuals=True), in_dim=256, video_dim=None)
    assert num_parameters(published.skips) == 6 * (256 * 256 + 256 + 1)  # 0.39 million


def test_second_dense_layer_of_block_b_starts_at_0_9_to_the_b() -> None:
    body = TDCN(BODY, in_dim=5, video_dim=None)
    scales = [block.narrow.scale.item() for block in body.blocks]
    assert scales == pytest.approx([1.0, 0.9, 0.81, 0.729, 0.6561, 0.59049])
    assert [block.conv.dilation[0] for block in body.blocks] == [1, 2, 4, 1, 2, 4]
    assert all(block.act1.weight.item() == block.act2.weight.item() == pytest.approx(0.1) for block in body.blocks)


@pytest.mark.parametrize(("config", "reach"), [(BODY, 2 * (1 + 2 + 4)), (TDCNConfig(bottleneck=2, hidden=2), 1020)])
def test_convolutions_reach_exactly_the_documented_frames(
    monkeypatch: pytest.MonkeyPatch, config: TDCNConfig, reach: int
) -> None:
    monkeypatch.setattr(TimeNorm, "forward", lambda self, x: x)  # the norms alone see the whole clip
    body = TDCN(config, in_dim=5, video_dim=None).double()
    for block in body.blocks:
        nn.init.ones_(block.conv.weight)  # so that no path to the last frame vanishes
    features = torch.randn(1, 5, 2 * reach + 11, dtype=torch.float64, requires_grad=True)
    body(features)[..., reach + 5].sum().backward()
    assert features.grad is not None
    touched = features.grad.abs().sum(dim=(0, 1)).nonzero().squeeze(1)
    assert config.reach == reach
    assert (touched.min().item(), touched.max().item()) == (5, 2 * reach + 5)
    assert 1 + 2 * TDCNConfig().reach == 2041


def test_video_is_of_the_frame_whose_time_it_is() -> None:
    video = torch.randn(2, 3, 4)
    repeated = video[
        :, [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
    ]  # steps' middles at 0.5, 1.5, .. of 10; frames change at 3.3, 6.7
    torch.testing.assert_close(nearest_frames(video.transpose(1, 2), 10), repeated.transpose(1, 2))


# --- the norm over time ---


def instance_norm(x: Tensor, gamma: float, beta: float) -> Tensor:
    mean, power = x.mean(dim=2, keepdim=True), x.var(dim=2, keepdim=True, unbiased=False)
    return gamma * (x - mean) / torch.sqrt(power + 1e-3) + beta


def norm_of(gamma: float, beta: float) -> TimeNorm:
    norm = TimeNorm()
    norm.gamma.data.fill_(gamma)
    norm.beta.data.fill_(beta)
    return norm


@pytest.mark.parametrize("length", [1, 2, 50])
def test_both_norms_are_instance_norm_over_time_with_one_gamma_and_beta(length: int) -> None:
    norm, x = norm_of(2.0, -1.0), (torch.randn(2, 3, length) * 4 + 1).requires_grad_()
    slopes, results = torch.randn(2, 3, length), []
    for output in (instance_norm(x, 2.0, -1.0), norm(x), batched_time_norm(x, norm.gamma, norm.beta)):
        results.append((output, torch.autograd.grad((output * slopes).sum(), x)[0]))
    for output, gradient in results[1:]:
        torch.testing.assert_close(output, results[0][0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(gradient, results[0][1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("which", ["of a CPU", "of a GPU"])
def test_a_bf16_input_is_normed_by_fp32_statistics_and_nothing_as_large_is_kept_in_fp32(which: str) -> None:
    norm = norm_of(1.5, 0.25)
    x = (torch.randn(2, 3, 4000) + 30).bfloat16().requires_grad_()  # bf16 statistics would miss the variance
    saved: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with torch.autocast("cpu", torch.bfloat16), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = norm(x) if which == "of a CPU" else batched_time_norm(x, norm.gamma, norm.beta)
    assert output.dtype == torch.bfloat16
    expected = instance_norm(x.detach().float(), 1.5, 0.25)
    torch.testing.assert_close(output.float(), expected, rtol=2**-8, atol=2**-8)  # one rounding
    assert any(tensor.dtype == torch.float32 for tensor in saved)
    assert max(tensor.numel() for tensor in saved if tensor.dtype == torch.float32) <= 2 * 3
    output.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("video_dim", [None, 4])
def test_activations_between_layers_stay_bf16_under_autocast(video_dim: int | None) -> None:
    tdcn, features = shaken(BODY, video_dim), torch.randn(2, 5, 400)
    video = None if video_dim is None else torch.randn(2, 3, video_dim)
    seen: dict[str, torch.dtype] = {}
    for name, module in tdcn.named_modules():
        module.register_forward_hook(lambda _, inputs, output, name=name: seen.update({name: output.dtype}))
    full = tdcn(features, video)
    seen.clear()
    with torch.autocast("cpu", torch.bfloat16):
        half = tdcn(features, video)
    assert set(seen.values()) == {torch.bfloat16}
    assert {"blocks.0.norm1", "blocks.5.act2", "first", "blocks.3.widen"} <= seen.keys()
    error = (half.float() - full).norm() / full.norm()
    assert error < 6 * 4 * 2**-8  # six blocks of four roundings each


# --- checkpointed blocks ---


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("video_dim", [None, 4])
def test_gradients_of_checkpointed_blocks_are_the_same_bit_for_bit(video_dim: int | None, autocast: bool) -> None:
    features = torch.randn(2, 5, 100)
    video = None if video_dim is None else torch.randn(2, 3, video_dim)
    found, kept = [], []
    for checkpoint_blocks in (False, True):
        sizes = {"bottleneck": 16, "hidden": 64, "num_repeats": 2, "num_dilations": 3, "skip_residuals": True}
        tdcn = shaken(TDCNConfig(**sizes, checkpoint_blocks=checkpoint_blocks), video_dim)
        held: list[int] = []

        def keep(tensor: Tensor, held: list[int] = held) -> Tensor:
            held.append(tensor.nbytes)
            return tensor

        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                output = tdcn(features, video)
            kept.append(sum(held))
            output.float().square().sum().backward()
        found.append([output, *(parameter.grad for parameter in tdcn.parameters())])
    assert all(torch.equal(plain, checkpointed) for plain, checkpointed in zip(*found, strict=True))
    assert kept[1] < kept[0] / 4


def test_checkpointing_is_no_other_model() -> None:
    config = TDCNConfig(checkpoint_blocks=True)
    assert config == TDCNConfig()  # the weights of one fit the other
    older = {name: value for name, value in as_dict(config).items() if name != "checkpoint_blocks"}
    assert not from_dict(TDCNConfig, older).checkpoint_blocks
    with torch.no_grad():
        TDCN(TDCNConfig(bottleneck=2, hidden=2, checkpoint_blocks=True), in_dim=5, video_dim=None)(torch.randn(1, 5, 9))
