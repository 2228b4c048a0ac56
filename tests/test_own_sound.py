"""The file's own sound, beside the mono one: its rate and channels, and its place on the clock."""

import struct

import numpy as np
import pytest

from pipeline.media.own_sound import BLOCK, PIECE, OwnSound, OwnSoundReader
from pipeline.media.streams import PlacedSound

MONO_HZ, OWN_HZ, PACKET = 16000, 48000, 1600


def wav(samples: np.ndarray) -> bytes:
    """As ffmpeg writes it to a pipe: lengths unknown."""
    channels = samples.shape[1]
    about = struct.pack("<HHIIHH", 1, channels, OWN_HZ, 2 * channels * OWN_HZ, 2 * channels, 16)
    return b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" + about + b"data\xff\xff\xff\xff" + samples.astype("<i2").tobytes()


def read(starts_s: list[float], size: int = 10**9) -> list[OwnSound]:
    """What comes of packets of 0.1 s that begin at these times, whose own sound counts its samples."""
    placed = PlacedSound(MONO_HZ, 1000.0)
    for start_s in starts_s:
        placed.times.append(round(start_s * MONO_HZ))
        placed.lengths.append(PACKET)
    placed.add(bytes(2 * PACKET * len(starts_s)))
    count = np.arange(len(starts_s) * PACKET * OWN_HZ // MONO_HZ)
    data = wav(np.stack([count // 256, count % 256, 0 * count], axis=1))
    reader = OwnSoundReader(placed)
    list(placed.finish())
    for begin in range(0, len(data), size):
        reader.add(data[begin : begin + size])
    return list(reader.finish())


@pytest.mark.parametrize("size", [10**9, 1000, 7])
def test_blocks_have_the_files_rate_channels_and_samples(size: int) -> None:
    (sound,) = read([0.1 * number for number in range(10)], size)
    assert sound.rate_hz == OWN_HZ
    assert sound.samples.shape == (OWN_HZ // BLOCK, BLOCK, 3)
    counted = sound.samples[..., 0].astype(int) * 256 + sound.samples[..., 1]
    np.testing.assert_array_equal(counted.ravel(), np.arange(counted.size))
    np.testing.assert_allclose(sound.times_s, np.arange(len(sound.times_s)) * BLOCK / OWN_HZ)


def test_a_gap_moves_what_follows_it() -> None:
    (sound,) = read([0.5 + 0.1 * number + 2.0 * (number >= 5) for number in range(10)])
    in_stream_s = np.arange(len(sound.times_s)) * BLOCK / OWN_HZ
    np.testing.assert_allclose(sound.times_s, 0.5 + in_stream_s + 2.0 * (in_stream_s >= 0.5))


def test_nothing_comes_before_its_place_is_known_and_few_blocks_wait() -> None:
    placed = PlacedSound(MONO_HZ, 1000.0)
    reader = OwnSoundReader(placed)
    reader.add(wav(np.zeros((OWN_HZ, 2)))[:20])
    assert list(reader.finish()) == []
    reader.add(wav(np.zeros((OWN_HZ, 2)))[20:])
    assert list(reader.finish()) == []
    placed.times.extend([0, 8000])
    placed.lengths.extend([8000, 8000])
    placed.add(bytes(2 * 16000))
    list(placed.finish())
    assert list(reader.take()) == []
    (sound,) = reader.finish()
    assert len(sound.times_s) == OWN_HZ // BLOCK


@pytest.mark.parametrize("size", [10**9, 4001])
def test_what_follows_a_change_of_format_is_left_out_and_so_is_the_piece_that_ffmpeg_lost(size: int) -> None:
    placed = PlacedSound(MONO_HZ, 1000.0)
    reader = OwnSoundReader(placed)
    before, after = 17, 40  # packets of 0.1 s; ffmpeg counts anew from the change on
    kept = before * PACKET * OWN_HZ // MONO_HZ // PIECE * PIECE
    data = wav(np.concatenate([np.ones((kept, 2)), np.zeros((after * PACKET * OWN_HZ // MONO_HZ, 2))]))
    found = []
    for number in range(before + after):
        frame = number if number < before else number - before
        placed.times.add(b"frame:%d pts:%d\n" % (frame, number * PACKET))
        placed.lengths.add(b"frame:%d pts:%d\n" % (frame, PACKET))
        placed.add(bytes(2 * PACKET))
        list(placed.take())
        if number % 5 == 4:  # the other pipe is ahead
            reader.add(data[:size])
            data = data[size:]
        found += reader.take()
    list(placed.finish())
    reader.add(data)
    found += reader.finish()
    assert sum(len(sound.times_s) for sound in found) == kept // BLOCK
    assert all((sound.samples == 1).all() for sound in found)
