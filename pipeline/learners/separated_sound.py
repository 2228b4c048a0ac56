"""Sound as a separator hands it over: a clip's own sound taken out of a mixture by a mask that makes mistakes.

Towers that have heard only whole soundtracks misjudge separated sources: on the demo's world the probability of sources
on and off screen fell from 0.72 and 0.33 on true mixtures to 0.52 and 0.26 on separated ones. Training on such sound
brought the share of pairs in the right order from 0.76 to 0.87 (2026-11).

Design note: the mask is the ratio of powers, which an ideal separator would find, with the faults of real ones: it is
too soft, uneven, deaf in some bands or for some time, and leaks. All of it is drawn by the clip's own generator.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.audio import db_to_gain, istft, num_samples, squared_magnitude, stft
from pipeline.clips.samples import Clip, EncodedClip
from pipeline.training.batching import ClipSet

MAX_OTHERS = 3  # sounds in the mixture beside a clip's own
WINDOW_S, HOP_S = 0.032, 0.016
LEVEL_DB = 10.0  # the clip's own sound against the sum of the others: this much louder or quieter at most
EXPONENT = (0.25, 1.0)  # of the ratio: 1 is the Wiener filter, less is softer
MAX_UNEVENNESS = 0.6  # standard deviation of the mask's natural logarithm
UNEVEN_CELLS = (16, 24)  # draws of it over the frequencies and over the time, interpolated
NUM_BANDS, DEAF_FRACTION, KEPT_BAND = 8, 0.5, 0.6  # share of sounds that lack bands, and of the bands that these keep
SHORT_FRACTION, MIN_SHORT = 0.3, 0.3  # share of sounds heard for a part of the time, and the least part
LEAK_DB = (-25.0, -10.0)  # of the rest of the mixture
MIN_POWER = 1e-10


def separate_some(
    waveform: Tensor,
    clips: ClipSet[Clip],
    others: Sequence[np.ndarray],
    fraction: float,
    rate_hz: int,
    rngs: Sequence[np.random.Generator],
    opened: Mapping[int, Clip | EncodedClip],
) -> None:
    """Change a share of sounds in place, each as one of up to MAX_OTHERS + 1 that sound together.

    Args:
        waveform: [B, T] linear amplitude.
        clips: where the other sounds are.
        others: for each row the clip numbers of other videos to draw from, one or more.
        fraction: the share.
        rate_hz: sample rate.
        rngs: B generators, one for each row; none is used if the fraction is 0.
        opened: clips of the batch by number, which are not read again.
    """
    rows = [row for row, rng in enumerate(rngs) if fraction and rng.random() < fraction]
    if not rows:
        return
    rest = torch.zeros(len(rows), waveform.shape[1])
    drawn = []
    for row in rows:
        num = min(int(rngs[row].integers(1, MAX_OTHERS + 1)), len(others[row]))
        drawn.append(rngs[row].choice(others[row], num, replace=False).tolist())
    numbers = list(dict.fromkeys(number for found in drawn for number in found))
    missing = [number for number in numbers if number not in opened]
    sounds = {**opened, **dict(zip(missing, clips.open_many(missing), strict=True))}
    for total, row, found in zip(rest, rows, drawn, strict=True):
        for number in found:
            start = int(rngs[row].integers(sounds[number].num_samples - len(total) + 1))
            total += torch.from_numpy(sounds[number].take_sound(start, len(total)))
    waveform[rows] = imitate_separation(waveform[rows], rest, rate_hz, [rngs[row] for row in rows])


def imitate_separation(own: Tensor, others: Tensor, rate_hz: int, rngs: Sequence[np.random.Generator]) -> Tensor:
    """[B, T] what a separator might make of `own` in the sum with `others`.

    Args:
        own: [B, T] linear amplitude.
        others: [B, T] other sounds, of any level: the sum's level is drawn.
        rate_hz: sample rate.
        rngs: B generators, one for each row.
    """
    window, hop = num_samples(WINDOW_S, rate_hz), num_samples(HOP_S, rate_hz)
    level = torch.tensor([db_to_gain(rng.uniform(-LEVEL_DB, LEVEL_DB)) for rng in rngs]).float()
    power, of_others = (sound.square().mean(dim=1).clamp(min=MIN_POWER) for sound in (own, others))
    gain = level * (power / of_others).sqrt()
    spectrum = stft(own, window, hop)
    noise = stft(others * gain[:, None], window, hop)
    power = squared_magnitude(spectrum) + MIN_POWER
    log_ratio = torch.log(power / (power + squared_magnitude(noise)))
    exponent, unevenness, heard, leak = (
        torch.from_numpy(np.stack(rows)).float()
        for rows in zip(*(_faults(log_ratio.shape[1], log_ratio.shape[2], rng) for rng in rngs), strict=True)
    )
    smooth = F.interpolate(unevenness.unsqueeze(1), log_ratio.shape[1:], mode="bilinear", align_corners=True).squeeze(1)
    mask = torch.exp(exponent[:, None, None] * log_ratio + smooth) * heard
    leak = leak[:, None, None]
    return istft((spectrum + noise) * (leak + (1 - leak) * mask.clamp(max=1)), window, hop, own.shape[1])


def _faults(bins: int, frames: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """One mask's exponent [], unevenness UNEVEN_CELLS, where it hears [F, L] as 0 or 1, and leak []."""
    unevenness = rng.uniform(0, MAX_UNEVENNESS) * rng.standard_normal(UNEVEN_CELLS)
    heard = np.ones((bins, frames), np.float32)
    if rng.random() < DEAF_FRACTION:
        kept = rng.random(NUM_BANDS) < KEPT_BAND
        kept[rng.integers(NUM_BANDS)] = True
        heard *= kept[np.arange(bins) * NUM_BANDS // bins, None]
    if rng.random() < SHORT_FRACTION:
        length = round(rng.uniform(MIN_SHORT, 1) * frames)
        begin = int(rng.integers(frames - length + 1))
        heard[:, :begin] = heard[:, begin + length :] = 0
    exponent, leak = rng.uniform(*EXPONENT), db_to_gain(rng.uniform(*LEAK_DB))
    return np.array(exponent), unevenness, heard, np.array(leak)
