"""Pooling of a grid of cells by the mean of their powers."""

import pytest
import torch

from pipeline.models.small_cnn import pool
from pipeline.models.towers import CoincidenceConfig, CoincidenceModel

CELLS = torch.tensor([[[[1.0, 2.0], [3.0, 0.0]], [[5.0, 5.0], [5.0, 5.0]]]])  # [1, 2, 2, 2]


@pytest.mark.parametrize(
    ("power", "expected"),
    [
        (1.0, [1.5, 5.0]),
        (2.0, [(14 / 4) ** 0.5, 5.0]),
        (3.0, [(36 / 4) ** (1 / 3), 5.0]),
        (4.0, [(98 / 4) ** (1 / 4), 5.0]),
    ],
)
def test_cells_are_pooled_by_the_mean_of_their_powers(power: float, expected: list[float]) -> None:
    torch.testing.assert_close(pool(CELLS, power), torch.tensor([expected]), rtol=1e-4, atol=0)


@pytest.mark.parametrize("power", [1.5, 3.0, 4.0])
@pytest.mark.parametrize("value", [0.0, 1e6])
def test_the_gradient_is_finite_where_nothing_is_found_and_where_features_are_huge(power: float, value: float) -> None:
    cells = torch.full((1, 3, 2, 2), value, requires_grad=True)
    pooled = pool(cells, power)
    pooled.sum().backward()
    assert cells.grad is not None
    assert torch.isfinite(pooled).all()
    assert torch.isfinite(cells.grad).all()


def test_low_precision_does_not_reach_the_powers() -> None:
    cells = torch.full((1, 1, 2, 2), 200.0)
    with torch.autocast("cpu", dtype=torch.float16):
        assert pool(cells.half(), 3.0).item() == pytest.approx(200.0, rel=1e-3)  # 200^3 is infinite in half precision


@pytest.mark.parametrize("backbone", ["small_cnn", "mobilenet", "stem3d"])
def test_every_backbone_of_frames_pools_and_that_of_sound_does_not(backbone: str) -> None:
    torch.manual_seed(0)
    plain, pooled = (
        CoincidenceModel(
            CoincidenceConfig(backbone=backbone, width=0.1, embedding_dim=8, frame_size=32, frame_pooling=power)
        ).eval()
        for power in (1.0, 3.0)
    )
    pooled.load_state_dict(plain.state_dict())
    frames, waveform = torch.rand(2, 3, 3, 64, 64), 0.1 * torch.randn(2, 16_000)
    assert not torch.allclose(plain.embed_frames(frames), pooled.embed_frames(frames), atol=1e-5)
    torch.testing.assert_close(plain.embed_waveform(waveform), pooled.embed_waveform(waveform))


def test_towers_of_another_pooling_are_other_towers() -> None:
    """So that a separation model does not start from them without a word."""
    assert CoincidenceConfig(frame_pooling=3.0).towers != CoincidenceConfig().towers
    assert "frame_pooling" not in CoincidenceConfig().towers  # models of before that field compare equal
