"""Stems as files: 24-bit FLAC, or WAV where FLAC cannot hold the sound."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

PCM24 = 2**23  # full scale of 24 bits
FLAC_CHANNELS, FLAC_RATE_HZ = 8, 655_350
STEP_HZ = 65_535  # above, FLAC's header holds multiples of 10 Hz
READ_SAMPLES = 2**16


def kind_of(rate_hz: int, num_channels: int) -> str:
    """flac, or wav where the rate or the number of channels is more than FLAC holds.

    >>> kind_of(44_100, 6), kind_of(44_100, 9), kind_of(96_001, 1)
    ('flac', 'wav', 'wav')
    """
    holds_rate = rate_hz <= STEP_HZ or (rate_hz <= FLAC_RATE_HZ and rate_hz % 10 == 0)
    return "flac" if num_channels <= FLAC_CHANNELS and holds_rate else "wav"


class SoundFile:
    """A sound that is being written; what is beyond full scale is limited to it."""

    def __init__(self, path: Path, rate_hz: int, num_channels: int) -> None:
        # RF64 is WAV without its limit of 4 GB
        form = {"flac": "FLAC", "wav": "RF64"}[kind_of(rate_hz, num_channels)]
        self._file = soundfile.SoundFile(path, "w", rate_hz, num_channels, format=form, subtype="PCM_24")
        self.num_samples = self.num_limited = 0
        self.sum_of_squares = 0.0

    def write(self, block: np.ndarray) -> None:
        """Append [n, C], full scale 1."""
        scaled = np.rint(block.astype(np.float64) * PCM24)
        limited = np.clip(scaled, -PCM24, PCM24 - 1)
        self.num_samples += len(block)
        self.num_limited += int((scaled - limited > 1).sum() + (limited - scaled > 1).sum())
        self.sum_of_squares += float(np.square(block, dtype=np.float64).sum())
        self._file.write(limited.astype(np.int32) << 8)  # soundfile takes the upper 24 of 32 bits

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


@contextlib.contextmanager
def writing(paths: list[Path], rate_hz: int, num_channels: int) -> Iterator[list[SoundFile]]:
    """Sounds to write to, finished when the block ends.

    Raises:
        OSError: the disk is full, or another failure to write.
    """
    try:
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(contextlib.closing(SoundFile(path, rate_hz, num_channels))) for path in paths]
    except soundfile.LibsndfileError as error:
        raise OSError(f"a sound cannot be written: {error}") from error


def read_together(paths: list[Path]) -> Iterator[np.ndarray]:
    """Blocks [P, n, C] float32 of sounds of one length."""
    with contextlib.ExitStack() as stack:
        sounds = [stack.enter_context(soundfile.SoundFile(path)) for path in paths]
        while len((blocks := [sound.read(READ_SAMPLES, "float32", always_2d=True) for sound in sounds])[0]):
            yield np.stack(blocks)
