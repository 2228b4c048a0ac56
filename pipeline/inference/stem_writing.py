"""Blocks of sound and of its tracks -> files: sources, and the stems that are mixed of them."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.inference.choosing import Span
from pipeline.inference.sound_files import PCM24, writing

LARGEST = 1 - 1 / PCM24  # sample that 24 bits hold; the smallest is -1
Blocks = Iterator[tuple[np.ndarray, np.ndarray]]
"""A sound [n, C], and tracks [P, n, C] or one of them [n, C]."""


def with_sources_written(blocks: Blocks, path_of: Callable[[int], Path], rate_hz: int) -> Blocks:
    """The sound and its first track; the other tracks are written on the way.

    Args:
        blocks: sound and tracks.
        path_of: 1, 2, ... -> where a source is written.
        rate_hz: sample rate.
    """
    first = next(blocks)
    paths = [path_of(number) for number in range(1, len(first[1]))]
    with writing(paths, rate_hz, first[0].shape[1]) as sounds:
        for native, tracks in itertools.chain([first], blocks):
            for sound, track in zip(sounds, tracks[1:], strict=True):
                sound.write(track)
            yield native, tracks[0]


def write_sources(
    blocks: Blocks, path_of: Callable[[int], Path], rate_hz: int, spans: Sequence[Span]
) -> tuple[list[Path], np.ndarray]:
    """Write every track; return the files, and [2, P] each track's mean power in the spans and in all.

    Args:
        blocks: sound and tracks.
        path_of: 1, 2, ... -> where a source is written.
        rate_hz: sample rate.
        spans: seconds of the sound.
    """
    first = next(blocks)
    paths = [path_of(number) for number in range(1, len(first[1]) + 1)]
    energies, position, num_inside = np.zeros((2, len(paths))), 0, 0
    with writing(paths, rate_hz, first[0].shape[1]) as sounds:
        for native, tracks in itertools.chain([first], blocks):
            for sound, track in zip(sounds, tracks, strict=True):
                sound.write(track)
            time_s = np.arange(position, position + len(native)) / rate_hz
            inside = np.zeros(len(native), bool)
            for span in spans:
                inside |= (time_s >= span.start_s) & (time_s < span.end_s)
            power = np.square(tracks, dtype=np.float64).mean(axis=2)
            energies += power[:, inside].sum(axis=1), power.sum(axis=1)
            position += len(native)
            num_inside += int(inside.sum())
    return paths, energies / np.array([[max(1, num_inside)], [max(1, position)]])


def write_stems(
    blocks: Blocks, paths: list[Path], rate_hz: int, num_channels: int, remix: tuple[float, float] | None
) -> tuple[float | None, int]:
    """Write what is kept of a sound, the rest of it and, with a remix, the sum of both with its gains.

    Where one of the two is beyond full scale, the other takes the excess, so that they still add up to the sound.

    Args:
        blocks: sound and what is kept of it.
        paths: two files, or three with a remix.
        rate_hz: sample rate.
        num_channels: C.
        remix: linear gains of what is kept and of the rest.
    Returns:
        Power of what is kept over that of both, None if both are silent; and how many samples were beyond full scale.
    """
    kept_gain, rest_gain = remix or (1.0, 1.0)
    with writing(paths, rate_hz, num_channels) as sounds:
        for native, kept in blocks:
            # within full scale, and the rest too; impossible only where the sound is beyond twice full scale
            kept = np.clip(kept, np.maximum(-1, native - LARGEST), np.minimum(LARGEST, native + 1))
            rest = native - kept
            stems = (kept, rest, kept_gain * kept + rest_gain * rest)
            for sound, stem in zip(sounds, stems, strict=False):
                sound.write(stem)
    powers = [sound.sum_of_squares for sound in sounds[:2]]
    return (powers[0] / sum(powers) if sum(powers) else None), sum(sound.num_limited for sound in sounds)
