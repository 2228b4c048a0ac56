"""The scorers that docs/scorer.md shows: one runs from a file of weights, one says what it lacks."""

import pickle
import runpy
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.clips.samples import Clip
from pipeline.errors import ConfigError
from pipeline.outside.scorers import ScorerClass, checked, declared_columns

FOLDER = Path(__file__).parent.parent / "docs" / "scorers"


@pytest.fixture(autouse=True)
def own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


def clips(count: int, rate_hz: int = 16_000) -> list[Clip]:
    rng = np.random.default_rng(7)
    return [
        Clip(
            f"c{number}",
            {"flac": rng.uniform(-0.5, 0.5, 2 * rate_hz).astype(np.float32)},
            rng.integers(0, 256, (2, 3, 32, 32), np.uint8),
            {"sample_rate_hz": rate_hz},
        )
        for number in range(count)
    ]


def test_two_towers_gives_the_cosine_of_its_vectors_alone_and_in_a_batch(tmp_path: Path) -> None:
    weights = tmp_path / "two_towers.pt"
    torch.manual_seed(0)
    towers = runpy.run_path(str(FOLDER / "two_towers.py"))["Towers"]()
    torch.save(towers.state_dict(), weights)
    scorer = ScorerClass("two_towers:TwoTowers", str(FOLDER), {"weights": str(weights)})
    columns, score, three = declared_columns(scorer.load(), scorer.name), scorer.make("cpu"), clips(3)
    rows = checked(score(three), three, columns, scorer.name)
    layer = {name: value.numpy() for name, value in towers.state_dict().items()}
    for clip, row in zip(three, rows, strict=True):
        power = np.abs(np.fft.rfft(clip.waveform)) ** 2
        edges = [(i * len(power) // 64, -(-(i + 1) * len(power) // 64)) for i in range(64)]
        levels = np.log10([power[first:end].mean() + 1e-6 for first, end in edges])
        colours = clip.frames.mean(0).reshape(3, 8, 4, 8, 4).mean((2, 4)).ravel() / 255
        heard = layer["sound.weight"] @ levels + layer["sound.bias"]
        seen = layer["picture.weight"] @ colours + layer["picture.bias"]
        heard, seen = heard / np.linalg.norm(heard), seen / np.linalg.norm(seen)
        np.testing.assert_allclose(row["sound"], heard, atol=1e-4)
        np.testing.assert_allclose(row["picture"], seen, atol=1e-4)
        assert row["similarity"] == pytest.approx(float(heard @ seen), abs=1e-4)
    with pytest.raises(ValueError, match="a sound at 8000 Hz, expected 16000"):
        score(clips(1, 8000))


def test_a_file_of_weights_that_would_run_code_is_refused(tmp_path: Path) -> None:
    weights, trace = tmp_path / "evil.pt", tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple:
            return Path.touch, (trace,)

    weights.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ConfigError, match=r"cannot be made .*Weights only load failed"):
        ScorerClass("two_towers:TwoTowers", str(FOLDER), {"weights": str(weights)}).make("cpu")
    assert not trace.exists()


def test_pe_av_says_what_is_missing_the_package_or_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = ScorerClass("pe_av:PeAv", str(FOLDER), {"weights": str(tmp_path)})
    assert declared_columns(scorer.load(), scorer.name) == {"similarity": "DOUBLE"}
    monkeypatch.setitem(sys.modules, "transformers", None)
    for use in (scorer.check, lambda: scorer.make("cpu")):
        with pytest.raises(
            ConfigError, match=r"transformers.*PE-AV needs: pip install 'transformers>=5' timm torchvision"
        ):
            use()
    package = types.ModuleType("transformers")
    vars(package).update(PeAudioVideoModel=None, PeAudioVideoProcessor=None)
    monkeypatch.setitem(sys.modules, "transformers", package)
    with pytest.raises(ConfigError, match=r"expected a folder with config\.json and model\.safetensors"):
        scorer.make("cpu")


def test_pe_av_hears_a_tone_at_its_own_rate() -> None:
    resampled = runpy.run_path(str(FOLDER / "pe_av.py"))["resampled"]
    tone = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000).astype(np.float32)
    expected = np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)
    np.testing.assert_allclose(resampled(tone, 16_000)[3000:-3000], expected[3000:-3000], atol=2e-3)
