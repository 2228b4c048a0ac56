"""The voice detector against its makers' own network, and on speech that no file is needed for."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.clips import speech
from pipeline.clips.speech import BLOCK, RATE_HZ, SpeechDetector
from pipeline.errors import ConfigError
from tests.helpers.voices import voice

WEIGHTS = Path("data") / "silero_vad_16k.safetensors"


def judge(samples: np.ndarray, pieces: int = 1) -> np.ndarray:
    detector = SpeechDetector()
    probabilities = [detector.add(piece) for piece in np.array_split(samples, pieces)]
    return np.concatenate([*probabilities, detector.finish()])


def test_each_blocks_probability_is_that_of_the_network_as_its_makers_describe_it() -> None:
    """Block by block with torch, as in silero_vad/tinygrad_model.py."""
    rng = np.random.default_rng(1)
    samples = np.concatenate([voice(2.0), np.round(3000 * rng.standard_normal(RATE_HZ)).astype(np.int16)])
    found = importlib.util.find_spec("silero_vad")
    assert found is not None
    stored = {
        name: torch.tensor(of) for name, of in speech._read_safetensors(Path(found.origin).parent / WEIGHTS).items()
    }
    rnn = torch.nn.LSTMCell(128, 128)
    rnn.load_state_dict({name.removeprefix("lstm_cell."): of for name, of in stored.items() if "lstm_cell" in name})
    sound = torch.from_numpy(np.pad(samples, (64, 0)).astype(np.float32) / 32768)
    expected, state = [], None
    for begin in range(0, len(samples) - BLOCK + 1, BLOCK):
        layer = torch.nn.functional.pad(sound[None, None, begin : begin + 64 + BLOCK], (0, 64), "reflect")
        layer = torch.nn.functional.conv1d(layer, stored["stft_conv.weight"], stride=128)
        layer = (layer[:, :129] ** 2 + layer[:, 129:] ** 2).sqrt()
        for name, stride in (("conv1", 1), ("conv2", 2), ("conv3", 2), ("conv4", 1)):
            weight, bias = stored[f"{name}.weight"], stored[f"{name}.bias"]
            layer = torch.nn.functional.conv1d(layer, weight, bias, stride, padding=1).relu()
        with torch.no_grad():
            state = rnn(layer[..., 0], state)
        last = state[0].relu() @ stored["final_conv.weight"][0] + stored["final_conv.bias"]
        expected.append(float(last.sigmoid()))
    assert judge(samples) == pytest.approx(np.array(expected), abs=1e-4)


def test_a_voice_is_speech_and_noise_and_tones_are_not() -> None:
    time_s = np.arange(4 * RATE_HZ) / RATE_HZ
    noise = 3000 * np.random.default_rng(0).standard_normal(len(time_s))
    for sound in (noise, 8000 * np.sin(2 * np.pi * 440 * time_s), 0 * time_s):
        assert np.mean(judge(np.round(sound).astype(np.int16)) > 0.5) < 0.1
    assert np.mean(judge(voice(4.0)) > 0.5) > 0.5


def test_probabilities_do_not_depend_on_how_the_sound_comes() -> None:
    samples = voice(3.3)
    whole = judge(samples)
    assert len(whole) == len(samples) // BLOCK
    np.testing.assert_array_equal(judge(samples, pieces=23), whole)


def test_weights_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "WEIGHTS", ("data", "gone.safetensors"))
    with pytest.raises(ConfigError, match=r"silero-vad, with data/gone.safetensors, is not installed"):
        speech.load_weights.__wrapped__()
