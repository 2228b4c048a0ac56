"""Means per second: of the frames' local features by reshaping, of the sound's rows by the time they share."""

import pytest
import torch

from pipeline.audio import level_gain
from pipeline.models.segment_features import overlaps, segment_features
from pipeline.models.towers import INPUT_DB, CoincidenceConfig, CoincidenceModel

RATE_HZ = 16_000


@pytest.mark.parametrize(("step_s", "num_steps", "num_segments"), [(0.16, 63, 10), (0.32, 32, 10), (0.32, 7, 2)])
def test_the_mean_over_a_second_of_what_grows_with_time_is_its_value_in_the_middle(
    step_s: float, num_steps: int, num_segments: int
) -> None:
    shares = overlaps(num_steps, step_s, num_segments)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(num_segments, dtype=torch.float64))
    begins = torch.arange(num_steps, dtype=torch.float64) * step_s
    # a thousand instants of each second, each with the number of the step that it is in
    for second, row in enumerate(shares):
        instants = second + (torch.arange(1_000, dtype=torch.float64) + 0.5) / 1_000
        steps = torch.bucketize(instants, begins, right=True) - 1
        counted = torch.bincount(steps.clamp_max(num_steps - 1), minlength=num_steps) / 1_000
        torch.testing.assert_close(row, counted.double(), atol=2e-3, rtol=0)


def test_a_step_longer_than_a_second_counts_whole_in_each() -> None:
    torch.testing.assert_close(overlaps(2, 1.5, 3).float(), torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]))


@pytest.mark.parametrize("backbone", ["small_cnn", "mobilenet", "stem3d"])
def test_features_are_means_of_what_the_towers_give_for_one_clip(backbone: str) -> None:
    torch.manual_seed(0)
    model = CoincidenceModel(CoincidenceConfig(backbone=backbone, frame_size=32, width=0.25, embedding_dim=8)).eval()
    frames, waveform = torch.rand(2, 6, 3, 40, 32), 0.01 * torch.randn(2, 2 * RATE_HZ)
    with torch.no_grad():
        visual, audio = segment_features(model, frames, waveform, num_segments=2)
        for clip in range(2):
            local = model.visual_tower(frames[clip : clip + 1]).local[0]  # 6 frames of 2 x 2 cells
            for second in range(2):
                for cell in range(4):
                    rows = [local[4 * frame + cell] for frame in range(3 * second, 3 * second + 3)]
                    torch.testing.assert_close(visual[clip, second, cell], sum(rows) / 3)
            levelled = waveform[clip : clip + 1] * level_gain(waveform[clip : clip + 1], INPUT_DB)
            rows = model.audio_tower(levelled).embeddings[0]
            step = model.audio_tower.step_s
            assert len(rows) == {0.16: 13, 0.32: 7}[step]  # 198 windows of 25 ms every 10 ms, in steps of 16 or 32
            first = rows[: int(1 / step)].sum(dim=0) * step + rows[int(1 / step)] * (1 - int(1 / step) * step)
            torch.testing.assert_close(audio[clip, 0], first)
    assert visual.shape == (2, 2, 4, model.visual_tower.local_dim)
    assert audio.shape == (2, 2, 8)


def test_a_quiet_second_stays_quieter_than_a_loud_one() -> None:
    torch.manual_seed(0)
    model = CoincidenceModel(CoincidenceConfig(backbone="small_cnn", frame_size=32, width=0.25, embedding_dim=8)).eval()
    waveform = torch.randn(1, 2 * RATE_HZ) * torch.tensor([0.001, 0.1]).repeat_interleave(RATE_HZ)
    frames = torch.rand(1, 2, 3, 32, 32)
    with torch.no_grad():
        once = segment_features(model, frames, waveform, 2)[1]
        louder = segment_features(model, frames, 4 * waveform, 2)[1]
        apart = segment_features(model, frames, waveform.view(2, -1).flip(0).reshape(1, -1), 2)[1]
    torch.testing.assert_close(once, louder, atol=1e-4, rtol=1e-4)
    assert (once[0, 0] - once[0, 1]).abs().max() > 4 * (once[0, 0] - apart[0, 1]).abs().max()
