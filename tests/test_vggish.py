"""VGGish: its log-mel against numpy, its patches, and the order in which it reads its grid."""

import numpy as np
import pytest
import torch

from pipeline.models import vggish as vggish_module
from pipeline.models.vggish import VGGish, patches


def numpy_log_mel(waveform: np.ndarray) -> np.ndarray:
    """[L, 64] ln(mel magnitude + 0.01), row by row and band by band in double precision."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    edges = np.linspace(1127 * np.log(1 + 125 / 700), 1127 * np.log(1 + 7500 / 700), 66)
    mels = 1127 * np.log(1 + np.arange(257) * 16_000 / 512 / 700)
    bands = np.stack([np.interp(mels, edges[band : band + 3], [0, 1, 0]) for band in range(64)], axis=1)
    rows = range(0, len(waveform) - 399, 160)
    return np.stack(
        [np.log(np.abs(np.fft.rfft(waveform[row : row + 400] * window, 512)) @ bands + 0.01) for row in rows]
    )


def sound(seconds: float) -> np.ndarray:
    """A sound with loud, quiet and silent parts."""
    rng = np.random.default_rng([0, 5])
    waveform = 0.3 * rng.normal(size=round(16_000 * seconds))
    waveform[len(waveform) // 3 :] *= 0.01
    waveform[-4000:] = 0
    return waveform.astype(np.float32)


def test_patches_are_the_log_mel_of_an_independent_form_cut_every_96_frames() -> None:
    waveform = sound(5.0)
    expected = numpy_log_mel(waveform.astype(np.float64))[:480].reshape(5, 96, 64)
    found = patches(torch.from_numpy(waveform).unsqueeze(0), 5)
    assert found.shape == (1, 5, 96, 64)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-5)


def test_a_short_sound_repeats_its_last_patch() -> None:
    waveform = torch.from_numpy(sound(2.5)).unsqueeze(0)  # 248 frames: two patches
    found = patches(waveform, 5)
    assert torch.equal(found[:, :2], patches(waveform, 2))
    for place in (2, 3, 4):
        assert torch.equal(found[:, place], found[:, 1])
    assert not torch.equal(found[:, 0], found[:, 1])


def test_less_than_a_patch_is_padded_with_silence() -> None:
    found = patches(torch.full((1, 100), 0.1), 3)
    assert found.shape == (1, 3, 96, 64)
    torch.testing.assert_close(found[0, :, 1:], torch.full((3, 95, 64), float(np.log(0.01))))
    assert (found[0, :, 0] > np.log(0.01)).any()


def test_its_grid_is_read_by_time_then_frequency_then_channel_and_nothing_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vggish_module, "HIDDEN_DIM", 16)
    torch.manual_seed(0)
    net = VGGish()
    mels = torch.randn(1, 2, 96, 64)
    grid = net.features(mels.view(2, 1, 96, 64)).view(2, 512, 6, 4)
    first, second, third = (layer for layer in net.embeddings if isinstance(layer, torch.nn.Linear))
    weight = first.weight.view(16, 6, 4, 512)
    hidden = torch.relu(torch.einsum("nctf,otfc->no", grid, weight) + first.bias)
    expected = torch.relu(third(torch.relu(second(hidden)))).view(1, 2, 128)
    found = net.embed(mels)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert not found.requires_grad
    assert not any(parameter.requires_grad for parameter in net.parameters())


def test_a_frame_hears_its_own_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vggish_module, "HIDDEN_DIM", 16)
    torch.manual_seed(0)
    net, waveform = VGGish(), torch.from_numpy(sound(5.0)).unsqueeze(0)
    other = waveform.clone()
    other[:, 32_000:44_000] = 0  # 2 to 2.75 s: within the third patch, 1.92 to 2.88 s
    changed = (net(waveform, 5) - net(other, 5)).abs().amax(dim=2)[0] > 0
    assert changed.tolist() == [False, False, True, False, False]
