"""Separation models whose answer is known, and a workspace with a small model of random weights."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from pipeline.clip_specs import ClipSpec, ClipSpecs
from pipeline.learners.separation_config import SeparationLearnerConfig
from pipeline.models.separator import SeparationConfig, SeparationModel, SeparationOutput
from pipeline.models.tdcn import TDCNConfig
from pipeline.models.towers import CoincidenceConfig
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, SETTINGS_FILE
from pipeline.storage.workspace import Workspace

SPEC = ClipSpec(frame_height=32, frame_width=32)
SPLIT_HZ = 1000
SMALL = SeparationConfig(
    basis="stft",
    tdcn=TDCNConfig(bottleneck=8, hidden=8, num_repeats=1, num_dilations=2),
    towers=CoincidenceConfig(backbone="small_cnn", frame_size=32, width=0.25, embedding_dim=16),
)


class BandSplit(nn.Module):
    """Two sources: what is below SPLIT_HZ, looked for in the left half of the picture, and the rest, in the right half.

    Args:
        logits: of the low and of the high source.
        order: of the sources in each call: "kept", or "turned" round in every second one.
    """

    def __init__(self, logits: Sequence[float] = (20.0, -20.0), order: str = "kept") -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))
        self.order, self.batch_sizes = order, list[int]()

    def forward(self, mixture: torch.Tensor, frames: torch.Tensor) -> SeparationOutput:
        assert frames.shape == (len(mixture), SPEC.num_frames, 3, SPEC.frame_height, SPEC.frame_width)
        self.batch_sizes.append(len(mixture))
        spectrum = torch.fft.rfft(mixture)
        spectrum[:, SPLIT_HZ * mixture.shape[1] // SPEC.sample_rate_hz :] = 0
        low = torch.fft.irfft(spectrum, n=mixture.shape[1])
        attention = torch.zeros(len(mixture), 2, SPEC.num_frames, 4, 4)
        attention[:, 0, :, :, :2] = attention[:, 1, :, :, 2:] = 1 / (8 * SPEC.num_frames)
        found = [torch.stack([low, mixture - low], dim=1), self.logits.expand(len(mixture), 2), attention]
        is_turned = self.order == "turned" and len(self.batch_sizes) % 2 == 0
        return SeparationOutput(*(each.flip(1) if is_turned else each for each in found))


def random_model() -> SeparationModel:
    """A small separation model with random weights, always the same."""
    torch.manual_seed(0)
    return SeparationModel(SMALL).eval()


def workspace_with_model(folder: Path, audio_from: str = "selection") -> Workspace:
    """A workspace that holds nothing but `random_model` as models/separation, for clips of SPEC.

    With audio_from="sounds" it is one of phase audio, for clips of `sounds`.
    """
    workspace = Workspace(str(folder))
    files.commit_bytes(workspace.uri(SETTINGS_FILE), b"{}")
    of_sounds = audio_from == "sounds"
    workspace.begin("clips/sounds" if of_sounds else CLIPS_FOLDER, {"clips": ClipSpecs(base=SPEC)}, {})
    phase = {"phase": "audio", "audio_from": "sounds"} if of_sounds else {}
    settings = {"learner": "separation", "separation": SeparationLearnerConfig(model=SMALL, **phase)}
    workspace.begin("models/separation", settings, {})
    with files.building(workspace.uri("models/separation", "model.pt")) as path, path.open("wb") as file:
        torch.save({"model": random_model().state_dict()}, file)
    workspace.finish("models/separation", content="0")
    return workspace
