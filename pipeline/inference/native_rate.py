"""Sources at the model's rate -> the video's own sound, shared out among tracks at its own rate, in all its channels.

In each bin of an STFT of 32 ms with a hop of about 8 ms, a source's gain is the real number that brings the model's
mixture X closest to its source S, Re(S X*) / |X|^2, limited to [0, 1] and scaled so that the gains of all sources have
the sum 1. The same gains then apply to every channel of the native sound. So the tracks of all sources add up to it,
whatever the model did, and stereo keeps its places.

The frames of both STFTs have their centres at the same times. Above CUTOFF of half the model's rate, where its
resampling filter begins, the gain is that of the octave below, weighted by the mixture's power. Neighbouring windows'
gains are cross-faded in the half clip that they share.

Design note: the gains are cross-faded and not the waveforms, because gains with the sum 1 keep it when they are mixed,
and because a sum over sources (what is on screen) does not depend on their order, which may change between windows.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.audio import overlap_add

HOP_S = 0.008
HOPS = 4  # per window; root-Hann windows before and after then have squares of the sum 2 at every sample
CUTOFF = 15 / 16  # of half the model's rate: 7.5 kHz of 8
QUIET = 1e-8  # of the window's mean power per bin: what is 80 dB below it is shared out equally
BLOCK_FRAMES = 128  # 1 s at a time bounds the memory of many channels and tracks


@dataclass(frozen=True, slots=True)
class Grid:
    """The frames of both STFTs: frame l is centred at the time l * hop / rate."""

    rate_hz: int
    """Of the native sound."""
    model_rate_hz: int

    @property
    def hop(self) -> int:
        """Native samples between frames: a multiple of 8 near HOP_S, so that a frame's FFT is fast."""
        return max(8, 8 * round(self.rate_hz * HOP_S / 8))

    @property
    def model_window(self) -> int:
        """Samples per frame at the model's rate."""
        return HOPS * round(self.model_rate_hz * HOP_S)

    def frames(self, start: int, length: int) -> range:
        """The frames whose centres lie in `length` samples from `start` on, both at the model's rate."""
        first, last = (-(-at * self.rate_hz // (self.model_rate_hz * self.hop)) for at in (start, start + length))
        return range(first, last)

    def centres(self, frames: range) -> np.ndarray:
        """[L] the frames' centres in samples at the model's rate, rounded: by 31 us at most."""
        return np.rint(np.array(frames) * (self.hop * self.model_rate_hz / self.rate_hz)).astype(np.int64)


def source_gains(mixture: np.ndarray, sources: np.ndarray, centres: np.ndarray, grid: Grid) -> np.ndarray:
    """[S, L, F] float32 gains in [0, 1] of the sources, of sum 1 over S; F are the bins of the model's rate.

    Args:
        mixture: [n] at the model's rate.
        sources: [S, n] whose sum is the mixture.
        centres: [L] centres of the frames, in samples from the first of the mixture.
        grid: rates and frames.
    """
    window = grid.model_window
    tracks = torch.from_numpy(np.concatenate([mixture[None], sources]))
    padded = torch.nn.functional.pad(tracks, (window // 2, window))
    frames = padded[:, torch.from_numpy(centres)[:, None] + torch.arange(window)]
    spectrum = torch.fft.rfft(frames * torch.hann_window(window).sqrt())
    whole, parts = spectrum[0], spectrum[1:]
    power = whole.real.square() + whole.imag.square()
    quiet = QUIET * power.mean() + torch.finfo(torch.float32).tiny
    inner = parts.real * whole.real + parts.imag * whole.imag
    gains = ((inner + quiet / len(parts)) / (power + quiet)).clamp(0, 1)
    gains /= gains.sum(dim=0, keepdim=True).clamp_min(1e-3)
    if grid.rate_hz > grid.model_rate_hz:
        cutoff = int(CUTOFF * (window // 2))
        band = slice(cutoff // 2, cutoff)
        weights = power[:, band] + quiet
        above = (gains[..., band] * weights).sum(dim=-1) / weights.sum(dim=-1)
        gains[..., cutoff:] = above[..., None]
    return gains.numpy()


def stitch(parts: Iterable[tuple[range, np.ndarray]], overlap: int) -> Iterator[np.ndarray]:
    """Blocks [P, L, F] of the whole sound's gains, in order and without gaps.

    From one window to the next the gains cross-fade over `overlap` frames. The last window may begin less than that
    after the one before it; its cross-fade begins where that of a regular window would.

    Args:
        parts: of each window its frames and their gains [P, L, F].
        overlap: frames that regular windows share.
    """
    held: np.ndarray | None = None  # the end of the window before: still to be faded
    position = 0
    for frames, gains in parts:
        if held is not None and frames.start > position:  # by a frame, where half a clip is no whole number of them
            yield held[:, : frames.start - position]
            held, position = held[:, frames.start - position :], frames.start
        new = gains[:, position - frames.start :]
        if held is not None:
            shared = min(held.shape[1], new.shape[1])
            rise = cross_fade(shared)[:, None].astype(np.float32)
            new = np.concatenate([held[:, :shared] * (1 - rise) + new[:, :shared] * rise, new[:, shared:]], axis=1)
        done = max(0, new.shape[1] - overlap)
        if done:
            yield new[:, :done]
        held = new[:, done:]
        position += done
    if held is not None and held.shape[1]:
        yield held


def cross_fade(length: int) -> np.ndarray:
    """[length] weights that rise from 0 to 1; the falling ones are 1 minus these, which are these reversed.

    >>> cross_fade(2).round(3).tolist()
    [0.146, 0.854]
    """
    return np.sin(np.pi / 2 * (np.arange(length) + 0.5) / length) ** 2


def apply_gains(
    sound: Iterable[np.ndarray], gains: Iterable[np.ndarray], grid: Grid
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of the whole native sound [n, C] and of its tracks [P, n, C], in order and without gaps.

    Sound after the last frame keeps that frame's gains.

    Args:
        sound: chunks [n, C] float32 at the native rate.
        gains: blocks [P, L, F] of each track's gains, from frame 0 on; read to their end.
        grid: rates and frames.
    """
    blocks, reader = iter(gains), _Reader(sound)
    hop, lead = grid.hop, (HOPS - 1) * grid.hop
    taper = torch.hann_window(HOPS * hop).sqrt()
    low, share = _native_bins(grid)
    held: Tensor | None = None  # [C, lead] sound from the start of the next frame on
    tail: Tensor | float = 0.0  # [P, C, lead] sum of the frames so far in the same time
    position = -lead  # of that time; frame -1 begins so long before the sound
    for block in _from_before_the_first_on(blocks):
        length = block.shape[1] * hop
        fresh = reader.read(length)
        signal = torch.cat([torch.zeros(len(fresh), lead) if held is None else held, fresh], dim=1)
        spectrum = torch.fft.rfft(signal.unfold(-1, HOPS * hop, hop) * taper)  # [C, L, bins]
        at_model = torch.from_numpy(np.ascontiguousarray(block))
        gain = at_model[..., low] * (1 - share) + at_model[..., low + 1] * share  # [P, L, bins]
        frames = torch.fft.irfft(spectrum * gain[:, None], n=HOPS * hop) * (taper / 2)
        summed = overlap_add(frames, hop)
        summed[..., :lead] += tail
        held, tail = signal[:, length:], summed[..., length:]
        first, last = max(0, -position), min(length, reader.end - position)
        if last > first:
            yield signal[:, first:last].T.numpy(), summed[..., first:last].transpose(1, 2).numpy()
        position += length
        if position >= reader.end:
            break
    for _ in blocks:
        pass


def _from_before_the_first_on(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Gains of the frames from -1 on, without end: the first frame's before it, the last one's after it."""
    last: np.ndarray | None = None
    for block in blocks:
        if last is None:
            yield block[:, :1]
        for start in range(0, block.shape[1], BLOCK_FRAMES):
            yield block[:, start : start + BLOCK_FRAMES]
        last = block[:, -1:]
    while last is not None:
        yield np.repeat(last, BLOCK_FRAMES, axis=1)


def _native_bins(grid: Grid) -> tuple[Tensor, Tensor]:
    """[bins] the model's bin below each native one, and [bins] float32 how far it is on the way to the next."""
    num_bins, window = grid.model_window // 2 + 1, HOPS * grid.hop
    frequencies_hz = np.arange(window // 2 + 1) * (grid.rate_hz / window)
    places = np.minimum(frequencies_hz * (grid.model_window / grid.model_rate_hz), num_bins - 1)
    low = np.minimum(places.astype(np.int64), num_bins - 2)
    return torch.from_numpy(low), torch.from_numpy((places - low).astype(np.float32))


class _Reader:
    """Sound by number of samples instead of chunk by chunk; a long gap, a view of one zero, is never held whole."""

    def __init__(self, sound: Iterable[np.ndarray]) -> None:
        self._chunks = iter(sound)
        self._rest = next(self._chunks)
        self._read = 0
        self.end: float = math.inf
        """Samples in all: known once they have been read."""

    def read(self, length: int) -> Tensor:
        """[C, length] the next samples, and zeros after the end."""
        pieces, missing = [self._rest[:0]], length
        while missing:
            if not len(self._rest):
                following = next(self._chunks, None)
                if following is None:
                    break
                self._rest = following
            pieces.append(self._rest[:missing])
            self._rest = self._rest[missing:]
            missing -= len(pieces[-1])
        self._read += length - missing
        if missing:
            self.end = self._read
        joined = torch.from_numpy(np.concatenate(pieces).T.copy())
        return torch.nn.functional.pad(joined, (0, missing))
