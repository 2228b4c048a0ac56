"""Packets: their times are those of the file, whatever order they come in, and reading them has a limit."""

import numpy as np
import pytest
from conftest import MakeMedia

from pipeline.errors import ClipError
from pipeline.media.packets import read_packets
from tests.helpers.films import CLOCK, H264, LAVFI, TONE

REORDERED = ("-preset", "fast", "-x264-params", "bframes=2:b-adapt=0:scenecut=0")


@pytest.mark.parametrize(("suffix", "rounding_s"), [("mp4", 1e-9), ("mkv", 1e-3), ("ts", 0.03)])
def test_every_picture_has_its_own_time(suffix: str, rounding_s: float, make_media: MakeMedia) -> None:
    path = make_media(f"packets.{suffix}", *LAVFI, CLOCK, *LAVFI, TONE, *H264, *REORDERED)
    packets = list(read_packets(path, ("V:0", "a:0"), limit_s=60))
    pictures = [packet for packet in packets if packet.stream == 0]
    shown_s = [packet.shown_s for packet in pictures]
    assert shown_s != sorted(shown_s)
    np.testing.assert_allclose(sorted(shown_s), np.arange(125) / 25, atol=rounding_s)
    assert sorted(packet.decoded_s for packet in pictures) == [packet.decoded_s for packet in pictures]
    sound_s = sum(packet.duration_s for packet in packets if packet.stream == 1)
    assert sound_s == pytest.approx(5.0, abs=0.05)


def test_reading_ends_at_its_limit(make_media: MakeMedia) -> None:
    path = make_media("packets.mkv", *LAVFI, CLOCK, *LAVFI, TONE, *H264, *REORDERED)
    with pytest.raises(ClipError, match="timeout: its streams were not read within 0 s"):
        list(read_packets(path, ("V:0",), limit_s=0))
