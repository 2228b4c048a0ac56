"""A scorer: PE-AV (Meta, arXiv:2512.19687) -> how alike a clip's sound and picture are, by its own embeddings.

    hf download facebook/pe-av-small-16-frame --local-dir pe-av
    earshot score --root my_workspace --scorer pe_av:PeAv --with weights=pe-av --name peav

It needs the packages transformers (5.0 or later), timm and torchvision, and a folder with the weights, which are
Apache-2.0. None of it comes with Earshot, and nothing is downloaded here: what is missing is said. PE-AV was trained on
sound at 48 kHz and on 16 frames or more of a video; clips of the spec `base` have 16 kHz and a frame per second, so cut
some with more for its best. Tried with transformers 5.24 and a small PE-AV of random weights.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.signal import resample_poly

import earshot

RATE_HZ = 48_000
NEEDED = ("config.json", "model.safetensors or its index")


class PeAv:
    """What `earshot score --scorer` makes once per worker, and calls with batches of clips."""

    columns = {"similarity": "DOUBLE"}  # noqa: RUF012  the vectors too, where they are wanted: "sound": "FLOAT[1024]"
    batch_size = 8

    @classmethod
    def check(cls, weights: str) -> None:
        """Say what is missing, before any work begins."""
        try:
            from transformers import PeAudioVideoModel, PeAudioVideoProcessor  # noqa: F401
        except ImportError as error:
            raise ImportError(f"{error}. PE-AV needs: pip install 'transformers>=5' timm torchvision") from error
        folder = Path(weights)
        if not (folder / "config.json").is_file() or not list(folder.glob("model*.safetensors*")):
            raise FileNotFoundError(f"{weights}: expected a folder with {' and '.join(NEEDED)}")

    def __init__(self, device: str, weights: str) -> None:
        self.check(weights)
        from transformers import PeAudioVideoModel, PeAudioVideoProcessor

        folder = Path(weights).absolute()
        own: dict[str, Any] = {"local_files_only": True}
        self.device = device
        self.processor = PeAudioVideoProcessor.from_pretrained(folder, **own)
        # safetensors hold numbers alone: no pickle is read
        self.model = PeAudioVideoModel.from_pretrained(folder, use_safetensors=True, **own).eval().to(device)

    @torch.inference_mode()
    def __call__(self, clips: list[earshot.Clip]) -> list[dict[str, Any]]:
        """The cosine of both embeddings, for each clip."""
        sounds = [resampled(clip.waveform, clip.facts["sample_rate_hz"]) for clip in clips]
        pictures = [torch.from_numpy(np.array(clip.frames)) for clip in clips]
        heard = self.processor.feature_extractor(sounds, sampling_rate=RATE_HZ, return_tensors="pt")
        seen = self.processor.video_processor(pictures, return_tensors="pt")
        found = self.model(**heard.to(self.device), **seen.to(self.device))
        similarity = F.cosine_similarity(found.audio_embeds.float(), found.video_embeds.float())
        return [{"similarity": value} for value in similarity.tolist()]


def resampled(waveform: np.ndarray, rate_hz: int) -> np.ndarray:
    """[T] at RATE_HZ, by a polyphase filter."""
    common = math.gcd(RATE_HZ, rate_hz)
    made: np.ndarray = resample_poly(waveform, RATE_HZ // common, rate_hz // common).astype(np.float32)
    return made
