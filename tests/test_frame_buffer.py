"""What is held of a video: which frame a tick shows, when a clip is complete, and what is dropped."""

import numpy as np
import pytest

from pipeline.clip_specs import ClipSpec
from pipeline.media.frame_buffer import MAX_LEAD_S, FrameBuffer
from pipeline.media.sound_buffer import SoundBuffer

SPEC = ClipSpec(clip_s=2.0, hop_s=1.0, frame_rate_hz=2.0)  # a tick every 0.5 s, 4 ticks in a clip


def filled(*times_s: float, spec: ClipSpec = SPEC) -> FrameBuffer[float]:
    """A buffer in which each frame's value is its time."""
    buffer: FrameBuffer[float] = FrameBuffer(spec)
    for time_s in times_s:
        buffer.add(time_s, time_s)
    return buffer


def test_a_clip_shows_the_frames_of_its_own_ticks() -> None:
    buffer = filled(0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
    assert buffer.shown(0.0) == [0.0, 0.5, 1.0, 1.5]
    assert buffer.shown(1.0) == [1.0, 1.5, 2.0, 2.5]


@pytest.mark.parametrize(("time_s", "tick"), [(0.4985, 0), (0.4995, 1), (0.5, 1), (0.9, 1), (-0.3, 0)])
def test_a_frame_up_to_a_millisecond_early_is_of_the_tick_it_is_early_for(time_s: float, tick: int) -> None:
    assert filled(time_s).shown(0.0) == [None] * tick + [time_s] * (4 - tick)


def test_of_two_frames_of_one_tick_the_first_is_shown() -> None:
    assert filled(0.0, 0.1, 0.6, 0.9).shown(0.0) == [0.0, 0.6, 0.6, 0.6]


def test_a_start_between_two_ticks_begins_with_the_later_one() -> None:
    buffer = filled(0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
    assert buffer.shown(0.6) == [1.0, 1.5, 2.0, 2.5]
    assert buffer.shown(0.5 + 1e-9) == [0.5, 1.0, 1.5, 2.0]  # a start's rounding moves no frame


def test_every_tick_of_a_rate_that_no_binary_number_holds_begins_its_own_clip() -> None:
    spec = ClipSpec(clip_s=1.0, hop_s=1.0, frame_rate_hz=30.0)
    buffer: FrameBuffer[int] = FrameBuffer(spec)
    for tick in range(1000):
        buffer.add(tick / 30, tick)
    assert [buffer.shown(tick / 30)[0] for tick in range(900)] == list(range(900))


def test_a_tick_without_a_frame_shows_the_last_one_before_it_and_none_before_the_first() -> None:
    buffer = filled(0.5, 2.0)
    assert buffer.shown(0.0) == [None, 0.5, 0.5, 0.5]
    assert buffer.shown(1.0) == [0.5, 0.5, 2.0, 2.0]
    assert buffer.first() == 0.5


def test_an_empty_buffer_shows_nothing() -> None:
    buffer = filled()
    assert buffer.shown(3.0) == [None] * 4
    assert buffer.first() is None
    assert not buffer.is_complete(0.0)


@pytest.mark.parametrize(("last_s", "complete"), [(1.0, False), (1.498, False), (1.4991, True), (1.5, True)])
def test_a_clip_is_complete_once_its_last_tick_has_come(last_s: float, complete: bool) -> None:
    assert filled(0.0, last_s).is_complete(0.0) is complete


def test_sound_is_no_longer_waited_for_once_so_many_frames_have_come_however_far_their_times_jump() -> None:
    far = filled(0.0, 1e5, 2e5)
    assert not far.leads(2.0)
    buffer = filled(*(tick / 2 for tick in range(4 + round(2 * MAX_LEAD_S))))
    assert not buffer.leads(2.0)  # 240 frames from 2 s on are exactly 120 s
    buffer.add(2.0 + MAX_LEAD_S, 0.0)
    assert buffer.leads(2.0)
    assert not buffer.leads(2.5)


def test_frames_are_no_longer_waited_for_once_so_much_sound_has_come_gaps_not_counted() -> None:
    buffer = SoundBuffer()
    buffer.add(np.ones(20, np.int16))
    buffer.add(np.broadcast_to(np.int16(0), 10**9))  # takes no memory
    buffer.add(np.ones(round(10 * MAX_LEAD_S), np.int16))
    assert not buffer.leads(2.0, rate_hz=10)
    buffer.add(np.ones(1, np.int16))
    assert buffer.leads(2.0, rate_hz=10)
    assert buffer.leads(1e8 + 2.0, rate_hz=10)
    assert not buffer.leads(1e8 + 2.1, rate_hz=10)


def test_dropping_keeps_the_last_earlier_frame_for_a_tick_that_lacks_its_own() -> None:
    buffer = filled(0.0, 0.5, 1.0, 2.5)
    buffer.drop_before(2.0)  # ticks 4 to 7, of which only 5 has a frame
    assert buffer.shown(2.0) == [1.0, 2.5, 2.5, 2.5]
    assert buffer.first() == 1.0


def test_what_is_held_does_not_grow_with_the_video() -> None:
    buffer: FrameBuffer[int] = FrameBuffer(SPEC)
    for tick in range(10_000):
        buffer.add(tick / 2, tick)
        if tick >= 10:
            buffer.drop_before((tick - 3) / 2)  # of the clip that ends with this tick: 4 ticks and the one before
            assert buffer.first() == tick - 4


def test_with_an_offset_ticks_lie_later_and_the_frame_before_the_first_may_be_shown() -> None:
    spec = ClipSpec(clip_s=2.0, hop_s=2.0, frame_rate_hz=1.0, frame_offset_s=0.5)
    buffer = filled(0.0, 0.5, 1.4995, 2.6, spec=spec)
    assert buffer.shown(0.0) == [0.5, 1.4995]
    assert buffer.shown(2.0) == [2.6, 2.6]
    assert filled(0.2, 1.6, spec=spec).shown(0.0) == [0.2, 1.6]
    assert not filled(1.4, spec=spec).is_complete(0.0)
    assert filled(1.5, spec=spec).is_complete(0.0)
    buffer.drop_before(2.0)
    assert buffer.first() == 1.4995


def test_sound_is_joined_where_it_is_taken_and_dropped_where_it_is_passed() -> None:
    buffer = SoundBuffer()
    for start in (0, 10, 20):
        buffer.add(np.arange(start, start + 10, dtype=np.int16))
    assert buffer.end == 30
    assert list(buffer.span(8, 4)) == [8, 9, 10, 11]
    assert list(buffer.span(25, 100)) == [25, 26, 27, 28, 29]
    assert len(buffer.span(30, 5)) == len(buffer.span(3, 0)) == 0
    buffer.drop_before(13)
    assert list(buffer.span(13, 8)) == list(range(13, 21))
    buffer.drop_before(40)  # farther than there is
    assert (buffer.start, buffer.end) == (30, 30)
    buffer.add(np.arange(30, 50, dtype=np.int16))
    buffer.drop_before(40)
    assert list(buffer.span(40, 2)) == [40, 41]
