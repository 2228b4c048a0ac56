"""What is measured of a video while it is decoded, once for all clip specs that share the decoding, and asked for by
clip: its speech, its own channels, its shots.

Design note: the blocks and pictures of a clip are those that lie within it, and it waits until all of them have come.
So its row depends neither on what is cut beside it nor on how fast the decoder is.
"""

import math
from typing import Any

import numpy as np

from pipeline.clips.channels import ChannelMeter
from pipeline.clips.shots import ShotMeter
from pipeline.clips.speech import BLOCK, MIN_PROBABILITY, RATE_HZ, SpeechDetector
from pipeline.media.own_sound import OwnSound
from pipeline.media.streams import Frame

BLOCK_S = BLOCK / RATE_HZ
SLACK = 1e-6  # of a block


class Meters:
    """Measures of one decoding.

    Args:
        sample_rate_hz: of the mono sound. Speech is found at 16 kHz alone.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._detector = SpeechDetector() if sample_rate_hz == RATE_HZ else None
        self._is_speech = np.zeros(0, np.bool_)
        self._num_dropped = 0  # blocks of speech
        self._channels, self.shots = ChannelMeter(), ShotMeter()
        self._is_over = False

    def add(self, item: OwnSound | Frame) -> None:
        """Take in blocks of the file's own sound, or a small picture."""
        if isinstance(item, OwnSound):
            self._channels.add(item)
        else:
            self.shots.add(item)

    def add_sound(self, chunk: np.ndarray) -> None:
        """Take in mono sound, [n] int16."""
        if self._detector is not None:
            self._add_speech(self._detector.add(chunk))

    def finish(self) -> None:
        """Nothing more comes."""
        self._is_over = True
        self.shots.finish()
        if self._detector is not None:
            self._add_speech(self._detector.finish())

    def is_known(self, end_s: float, with_shots: bool) -> bool:
        """Whether nothing that comes later changes the levels of a clip that ends at `end_s`, or its cuts."""
        if self._is_over:
            return True
        speech_s = (self._num_dropped + len(self._is_speech)) * BLOCK_S
        is_heard = self._detector is None or speech_s > end_s - BLOCK_S
        is_seen = not with_shots or self.shots.last_s >= end_s
        return is_heard and is_seen and self._channels.is_known(end_s)

    def levels(self, start_s: float, end_s: float) -> dict[str, Any]:
        """Of a clip, by field of `schemas.clips.CLIPS`; what cannot be measured is missing."""
        first, last = math.ceil(start_s / BLOCK_S - SLACK), math.floor(end_s / BLOCK_S + SLACK)
        heard = self._is_speech[max(0, first - self._num_dropped) : max(0, last - self._num_dropped)]
        speech = {"speech_fraction": float(heard.mean())} if len(heard) else {}
        return speech | self._channels.levels(start_s, end_s)

    def drop_before(self, start_s: float) -> None:
        """Drop what no clip from `start_s` on needs."""
        self._channels.drop_before(start_s)
        self.shots.drop_before(start_s)
        num_passed = min(len(self._is_speech), max(0, math.floor(min(start_s, 1e9) / BLOCK_S) - self._num_dropped))
        self._is_speech = self._is_speech[num_passed:]
        self._num_dropped += num_passed

    def _add_speech(self, probabilities: np.ndarray) -> None:
        self._is_speech = np.concatenate([self._is_speech, probabilities >= MIN_PROBABILITY])
