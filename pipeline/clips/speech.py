"""Where speech is heard: Silero's voice detector, from 16 kHz sound, with the weights that its wheel ships.

Design note: 32 ms blocks are judged one after the other by a network of 0.3 M weights, read as numbers from
`silero_vad_16k.safetensors` and computed here with numpy: 0.6 to 0.8 ms of CPU per second of sound, and no torch in the
worker; the GGML build of it took 40. Of 162 recordings (20 of speech; rain, saws, animals, crying, music) the share of
speech has an AUC of 0.99. WebRTC's detector, 0.1 ms, has 0.46, because it hears speech in rain and saws; pymicro-vad
has 0.98 at 12 ms. Every block is judged: of 1 924 s of recordings, half of them would give the share of a clip with
some speech with an error of 0.07, and so would stretches judged side by side after 1 s each, because the network
remembers for longer. A song is speech (0.6 to 1.0), so is a tuba; a faint voice behind a barking dog is not.
"""

import functools
import importlib.util
import json
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pipeline.errors import ConfigError
from pipeline.media.streams import FULL_SCALE

RATE_HZ, BLOCK = 16000, 512
CONTEXT = 64  # samples before a block that are heard with it
WINDOW, HOP = 256, 128
# Blocks that are encoded together, always as many: so a probability does not depend on how the sound came in pieces.
AT_ONCE = 32
MIN_PROBABILITY = 0.5
WIDTH = 128
GATES = ("new", "forget", "input", "output")
WEIGHTS = ("data", "silero_vad_16k.safetensors")


class SpeechDetector:
    """Judges the sound of one video, in order.

    Raises:
        ConfigError: the weights are not there.
    """

    def __init__(self) -> None:
        self._weights = load_weights()
        self._rest = np.zeros(0, np.int16)
        self._context: np.ndarray = np.zeros(CONTEXT, np.float32)
        self._hidden: np.ndarray = np.zeros(WIDTH, np.float32)
        # the recurrent layer's cell, and behind it its gates in the order of GATES: so two of them are one call
        self._state: np.ndarray = np.zeros(5 * WIDTH, np.float32)

    def add(self, chunk: np.ndarray) -> np.ndarray:
        """Take in sound, [n] int16 at 16 kHz; return [b] the probabilities of speech of the next blocks, 0 to 1."""
        rest = np.concatenate([self._rest, chunk])
        whole = len(rest) // (AT_ONCE * BLOCK) * AT_ONCE * BLOCK
        self._rest = rest[whole:]
        batches = rest[:whole].reshape(-1, AT_ONCE, BLOCK)
        return np.concatenate([np.zeros(0, np.float32), *map(self._judge, batches)])

    def finish(self) -> np.ndarray:
        """[b] the probabilities of the last whole blocks."""
        num_blocks = len(self._rest) // BLOCK
        return self.add(np.zeros(AT_ONCE * BLOCK - len(self._rest), np.int16))[:num_blocks]

    def _judge(self, samples: np.ndarray) -> np.ndarray:
        """[AT_ONCE] probabilities of [AT_ONCE, BLOCK] int16."""
        heard = np.empty((len(samples), CONTEXT + BLOCK + CONTEXT), np.float32)
        np.multiply(samples, np.float32(1 / FULL_SCALE), out=heard[:, CONTEXT:-CONTEXT])
        heard[0, :CONTEXT], heard[1:, :CONTEXT] = self._context, heard[:-1, BLOCK:-CONTEXT]
        heard[:, -CONTEXT:] = heard[:, -2 - CONTEXT : -2 - 2 * CONTEXT : -1]  # mirrored
        self._context = heard[-1, BLOCK:-CONTEXT]
        weights = self._weights
        hidden = np.empty((len(heard), WIDTH), np.float32)
        gates = _encode(heard, weights) @ weights["input"]
        gates += weights["gates"]
        self._follow(gates, hidden)
        return _sigmoid(np.maximum(hidden, 0) @ weights["last"] + weights["last_bias"])

    def _follow(self, gates: np.ndarray, hidden: np.ndarray) -> None:
        """Go on in the recurrent layer: [b, 4 WIDTH] what it reads -> [b, WIDTH] what it gives, into `hidden`.

        Nine calls a block on numbers that lie where they are: most of the time is that of calls.
        """
        recurrent, before, half = self._weights["hidden"], self._hidden, np.float32(0.5)
        cell, _, forget, enter, output = self._state.reshape(5, WIDTH)
        total, opened = self._state[WIDTH:], self._state[2 * WIDTH :]
        cell_and_new, forget_and_input = self._state[: 2 * WIDTH], self._state[2 * WIDTH : 4 * WIDTH]
        for of_block, after in zip(gates, hidden, strict=True):
            np.dot(before, recurrent, total)
            np.add(total, of_block, total)
            np.tanh(total, total)
            np.multiply(opened, half, opened)  # of halves, so they are sigmoids: see `load_weights`
            np.add(opened, half, opened)
            np.multiply(forget_and_input, cell_and_new, forget_and_input)
            np.add(forget, enter, cell)
            np.tanh(cell, after)
            np.multiply(after, output, after)
            before = after
        self._hidden = before


@functools.cache
def load_weights() -> dict[str, np.ndarray]:
    """The network's weights as it uses them, float32.

    Raises:
        ConfigError: the package silero-vad is not installed, or lacks the file.
    """
    found = importlib.util.find_spec("silero_vad")
    path = Path(*(found.submodule_search_locations or ())[:1], *WEIGHTS) if found else None
    if path is None or not path.is_file():
        raise ConfigError(f"speech: the package silero-vad, with {'/'.join(WEIGHTS)}, is not installed.")
    stored = _read_safetensors(path)
    layers = {name: stored[f"{name}.weight"].transpose(2, 1, 0) for name in ("conv1", "conv2", "conv3", "conv4")}
    weights = {name: np.ascontiguousarray(layer.reshape(-1, layer.shape[2])) for name, layer in layers.items()}
    weights |= {f"{name}_bias": stored[f"{name}.bias"] for name in layers}
    weights["input"] = _in_order(stored["lstm_cell.weight_ih"].T)
    weights["hidden"] = _in_order(stored["lstm_cell.weight_hh"].T)
    weights["gates"] = _in_order(stored["lstm_cell.bias_ih"] + stored["lstm_cell.bias_hh"])
    weights["last"], weights["last_bias"] = stored["final_conv.weight"][0, :, 0], stored["final_conv.bias"]
    return weights


def _in_order(stored: np.ndarray) -> np.ndarray:
    """[..., 4 WIDTH] of the gates input, forget, new, output -> in the order of GATES, half of each that is a sigmoid:
    sigmoid(x) = 0.5 + 0.5 tanh(x / 2)."""
    parts = dict(zip(("input", "forget", "new", "output"), np.split(stored, 4, axis=-1), strict=True))
    return np.concatenate([parts[name] * np.float32(1 if name == "new" else 0.5) for name in GATES], axis=-1)


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Arrays by name: the length of a JSON header in 8 bytes, the header, then little-endian numbers."""
    data = path.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    arrays = {}
    for name, about in json.loads(data[8:begin]).items():
        first, last = about["data_offsets"]
        arrays[name] = np.frombuffer(data[begin + first : begin + last], "<f4").reshape(about["shape"])
    return arrays


def _encode(heard: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """[B, WIDTH] what the recurrent layer reads, of [B, CONTEXT + BLOCK + CONTEXT] samples."""
    from scipy.fft import rfft  # takes 0.3 s: only measuring needs it

    windows = sliding_window_view(heard, WINDOW, axis=1)[:, ::HOP]
    layer = np.abs(rfft(windows * _window(), axis=2)).reshape(len(heard), -1)
    for name, step in (("conv1", 1), ("conv2", 2), ("conv3", 2), ("conv4", 1)):
        layer = _convolve(layer, weights[name], weights[f"{name}_bias"], step)
    return layer


@functools.cache
def _window() -> np.ndarray:
    """The weights of the stored transform: a periodic Hann window."""
    return np.hanning(WINDOW + 1)[:-1].astype(np.float32)


def _convolve(layer: np.ndarray, weights: np.ndarray, bias: np.ndarray, step: int) -> np.ndarray:
    """[B, ceil(T / step) D] the rectified convolution over three frames of [B, T C] with [3 C, D].

    Frame by frame of what comes out: so nothing is copied, and the first and the last one take two frames' work.
    """
    width = len(weights) // 3
    num_frames = layer.shape[1] // width
    num_out = (num_frames - 1) // step + 1
    made = np.empty((len(layer), num_out, weights.shape[1]), np.float32)
    for number in range(num_out):
        begin = number * step - 1
        first, last = max(0, begin), min(num_frames, begin + 3)
        of_frames = weights[(first - begin) * width : (last - begin) * width]
        np.matmul(layer[:, first * width : last * width], of_frames, out=made[:, number])
    made += bias
    return np.maximum(made, 0, out=made).reshape(len(layer), -1)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(0.5 * x)
