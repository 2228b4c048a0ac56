"""The windows of a video: they cover its sound, and have the frames of their time."""

from collections.abc import Iterator

import numpy as np
import pytest

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.errors import ClipError
from pipeline.inference.windows import windows
from pipeline.media.streams import Frame

SMALL = ClipSpec(clip_s=1.0, hop_s=1.0, sample_rate_hz=8, frame_rate_hz=4.0, frame_height=2, frame_width=2)


def sound_and_frames(num_samples: int, rate_hz: int = 8, frame_rate_hz: int = 4) -> list[np.ndarray | Frame]:
    """Sample i has the value i; the frame of tick k shows k. Sound first, as a badly interleaved file gives it."""
    sound = np.arange(num_samples, dtype=np.int16)
    ticks = range(num_samples * frame_rate_hz // rate_hz + 1)
    frames = [Frame(BASE, k / frame_rate_hz, np.full((2, 2, 3), k, np.uint8)) for k in ticks]
    return [sound[:5], sound[5:], *frames]


@pytest.mark.parametrize("num_samples", [3, 8, 9, 12, 13, 16, 31])
def test_windows_cover_the_sound_and_end_with_it(num_samples: int) -> None:
    cut = list(windows(sound_and_frames(num_samples), SMALL))
    starts = [window.start for window in cut]
    expected = sorted({*range(0, max(1, num_samples - 8), 4), max(0, num_samples - 8)})
    assert starts == expected
    for window in cut:
        np.testing.assert_array_equal(window.sound * 32768, np.arange(window.start, min(num_samples, window.start + 8)))


def test_a_window_has_the_frames_whose_ticks_lie_within_it() -> None:
    cut = list(windows(sound_and_frames(13), SMALL))
    # two samples per tick: samples 5 to 12 hold the ticks 3 to 6, at the samples 6, 8, 10 and 12
    assert [window.start for window in cut] == [0, 4, 5]
    shown = [window.frames[:, 0, 0, 0].tolist() for window in cut]
    assert shown == [[0, 1, 2, 3], [2, 3, 4, 5], [3, 4, 5, 6]]


def test_the_last_frame_stands_in_for_those_that_do_not_come() -> None:
    items = sound_and_frames(16)[:-5]  # sound for 8 ticks, frames 0 to 3
    shown = [window.frames[:, 0, 0, 0].tolist() for window in windows(items, SMALL)]
    assert shown == [[0, 1, 2, 3], [2, 3, 3, 3], [3, 3, 3, 3]]


@pytest.mark.parametrize(
    ("num_samples", "expected"),
    [
        (1, [0]),
        (32, [0]),
        (33, [0]),  # a tenth of a second or less is left out, here 1 of 16 samples
        (34, [0, 16]),
        (48, [0, 16]),
        (64, [0, 32]),
        (66, [0, 32, 48]),
        (110, [0, 32, 64, 80]),
    ],
)
def test_windows_in_a_row_end_with_one_that_ends_on_a_whole_second(num_samples: int, expected: list[int]) -> None:
    spec = ClipSpec(clip_s=2.0, hop_s=2.0, sample_rate_hz=16, frame_rate_hz=1.0, frame_height=2, frame_width=2)
    cut = list(windows(sound_and_frames(num_samples, 16, 1), spec, hop=32, grid=16))
    assert [window.start for window in cut] == expected
    for window in cut:
        np.testing.assert_array_equal(
            window.sound * 32768, np.arange(window.start, min(num_samples, window.start + 32))
        )


def test_windows_come_while_the_video_is_still_being_decoded() -> None:
    def endless() -> Iterator[np.ndarray | Frame]:
        for second in range(10_000):
            yield np.zeros(8, np.int16)
            yield from (Frame(BASE, second + k / 4, np.zeros((2, 2, 3), np.uint8)) for k in range(4))

    assert next(windows(endless(), SMALL)).start == 0


def test_a_video_without_a_single_sample_is_no_audio() -> None:
    with pytest.raises(ClipError) as caught:
        list(windows(sound_and_frames(0)[2:], SMALL))
    assert caught.value.reason == "no_audio"
