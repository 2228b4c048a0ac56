"""The patent's networks: sizes of its stem, time seen by one frame, and any number of frames."""

import pytest
import torch

from pipeline.models.small_cnn import Backbone, small_cnn
from pipeline.models.stem3d import SPECTROGRAM_LAYERS, Stem3dNet


@pytest.fixture
def net() -> Stem3dNet:
    torch.manual_seed(0)
    return Stem3dNet(width=0.25, embedding_dim=12).eval()


def test_at_full_width_the_stem_is_the_patents_and_the_embedding_is_of_512() -> None:
    net = Stem3dNet(width=1.0, embedding_dim=512)
    assert net.stem.weight.shape == (64, 3, 3, 7, 7)
    assert net.dense.out_features == 512


@pytest.mark.parametrize(("num_frames", "height", "width"), [(1, 64, 64), (5, 64, 48), (2, 33, 16)])
def test_the_grid_has_a_cell_per_16_pixels_for_any_number_of_frames(
    net: Stem3dNet, num_frames: int, height: int, width: int
) -> None:
    local, embeddings = net(torch.rand(2, num_frames, 3, height, width))
    assert local.shape == (2 * num_frames, net.local_dim, -(-height // 16), -(-width // 16))
    assert embeddings.shape == (2 * num_frames, 12)
    assert torch.isfinite(embeddings).all()


def test_a_frame_sees_its_neighbours_and_no_further(net: Stem3dNet) -> None:
    frames = torch.rand(1, 5, 3, 32, 32)
    changed = frames.clone()
    changed[:, 4] = 0
    (_, before), (_, after) = net(frames), net(changed)
    is_same = [torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert is_same == [True, True, True, False, False]


def test_clips_of_a_batch_do_not_see_each_other(net: Stem3dNet) -> None:
    frames = torch.rand(2, 3, 3, 32, 32)
    _, together = net(frames)
    _, alone = net(frames[1:])
    torch.testing.assert_close(together[3:], alone, rtol=1e-4, atol=1e-5)


def test_a_spectrogram_has_nine_convolutions_and_one_embedding_per_16_steps() -> None:
    stacks = small_cnn(SPECTROGRAM_LAYERS, 1, width=0.25)
    net = Backbone(*stacks, embedding_dim=12, input_mean=-3.0, input_std=2.0).eval()
    layers = [layer for layer in net.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.out_channels for layer in layers] == [16, 16, 16, 32, 32, 64, 64, 128, 128]  # a quarter of AVID's
    assert [layer.kernel_size[0] for layer in layers] == [7] + [3] * 8
    assert [layer.stride[0] for layer in layers] == [2, 2, 1, 2, 1, 2, 1, 1, 1]
    for length, steps in ((1, 1), (16, 1), (498, 32)):
        local, embeddings = net.features(torch.randn(2, 1, length, 64))
        assert local.shape == (2, 128, steps, 4)
        assert embeddings.shape == (2, steps, 12)


def test_depth_adds_residual_blocks_and_a_stem_of_five_frames_sees_two_on_each_side() -> None:
    torch.manual_seed(0)
    net = Stem3dNet(width=0.1, embedding_dim=6, depth=3, time_kernel=5, pads_time=False).eval()
    layers = [layer for layer in net.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert len(layers) == 4 * 3 * 2
    frames = torch.rand(1, 7, 3, 32, 32)
    _, embeddings = net(frames)
    assert embeddings.shape == (3, 6)
    frames[:, 0] = 0
    is_same = [torch.equal(a, b) for a, b in zip(net(frames)[1], embeddings, strict=True)]
    assert is_same == [False, True, True]
    # a residual block of zeros is none
    for name, parameter in net.named_parameters():
        if "block.1" in name:
            torch.nn.init.zeros_(parameter)
    images = torch.rand(2, net.local_dim, 4, 4)
    assert torch.equal(net.middle[1](images), images)
