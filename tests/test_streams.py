"""How the times of pictures and packets are trusted: one that does not fit those around it is left out."""

import numpy as np

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.media.streams import PlacedSound, TimedFrames


def given(*times_s: float, end_s: float = 0.0) -> list[float]:
    """Which of frames with these times are given, as whole milliseconds."""
    frames = TimedFrames(BASE, ClipSpec(frame_height=1, frame_width=1), end_s=100.0)
    frames.add(bytes(3 * len(times_s)))
    frames.times.add(b"".join(b"frame:0 pts:%d\nk=v\n" % round(time_s * 1e6) for time_s in times_s))
    return [frame.time_s for frame in [*frames.take(), *frames.finish(end_s)]]


def test_a_picture_later_than_those_after_it_or_earlier_than_those_around_it_is_left_out() -> None:
    assert given(0, 1, 2, 3) == [0, 1, 2, 3]
    assert given(0, 1, 32, 3, 4) == [0, 1, 3, 4]
    assert given(0, 1, 2, 0.5, 3, 4) == [0, 1, 2, 3, 4]
    assert given(0, 1, 2, 1.5, 3, 4) == [0, 1, 2, 3, 4]
    assert given(32, 1, 2, 3) == [1, 2, 3]
    assert given(0, 99, 98, 1, 2) == [0, 1, 2]
    assert given(0, 1, 200, 2, 300, 3) == [0, 1, 2, 3]  # beyond the end of all
    assert given(0, 1, 50, 51, 52) == [0, 1, 50, 51, 52]  # a pause


def test_the_last_picture_may_not_lie_far_beyond_all_else() -> None:
    assert given(0, 1, 50) == [0, 1]
    assert given(0, 1, 50, end_s=49.5) == [0, 1, 50]
    assert given(0, 1, 1.9) == [0, 1, 1.9]
    assert given(50) == [50]  # nothing contradicts it


def placed(*packets: tuple[int | None, int], end_s: float = 1000.0) -> list[int]:
    """Where packets (time, length) of a sound of 100 Hz come to lie: the number of each sample's packet, from 1."""
    sound = PlacedSound(100, end_s)
    for number, (time, length) in enumerate(packets, 1):
        sound.add(np.full(length, number, "<i2").tobytes())
        sound.times.add(f"frame:0 pts:{'NOPTS' if time is None else time}\nk=v\n".encode())
        sound.lengths.add(b"frame:0 pts:%d\nk=v\n" % length)
    return np.concatenate([*sound.take(), *sound.finish(), np.zeros(0, np.int16)]).tolist()


def test_a_packet_is_placed_by_its_time_if_the_next_one_confirms_it() -> None:
    one, two, three = [1] * 10, [2] * 10, [3] * 10
    assert placed((0, 10), (10, 10), (20, 10)) == one + two + three
    assert placed((0, 10), (40, 10), (50, 10)) == one + [0] * 30 + two + three
    assert placed((0, 10), (3000, 10), (20, 10)) == one + two + three
    assert placed((0, 10), (-500, 10), (20, 10)) == one + two + three
    assert placed((0, 10), (None, 10), (20, 10)) == one + two + three
    assert placed((0, 10), (40, 10), (80, 10), (90, 10)) == one + [0] * 30 + two + [0] * 30 + three + [4] * 10
    assert placed((0, 10), (10, 10), (5000, 10)) == one + two + three  # the last, which none confirms
    assert placed((0, 20), (8, 20), (28, 20)) == [1] * 20 + [2] * 8 + [3] * 20  # they overlap


def test_the_first_packet_begins_where_it_says_or_where_the_second_says() -> None:
    assert placed((7, 10), (17, 10)) == [0] * 7 + [1] * 10 + [2] * 10
    assert placed((-4, 10), (6, 10)) == [1] * 6 + [2] * 10
    assert placed((900, 10), (12, 10)) == [0] * 2 + [1] * 10 + [2] * 10
    assert placed((None, 10), (12, 10)) == [0] * 2 + [1] * 10 + [2] * 10
    assert placed((None, 10), (None, 10)) == [1] * 10 + [2] * 10
    assert placed((7, 10)) == [0] * 7 + [1] * 10


def test_sound_beyond_the_end_is_left_out_and_a_long_gap_takes_no_memory() -> None:
    assert placed((0, 10), (95, 10), (105, 10), end_s=1.0) == [1] * 10 + [0] * 85 + [2] * 5
    sound = PlacedSound(100, 1e9)
    sound.add(bytes(2 * 30))
    sound.times.extend((0, 10**10, 10**10 + 10))
    sound.lengths.extend((10, 10, 10))
    assert [len(chunk) for chunk in sound.finish()] == [10, 10**10 - 10, 20]
