"""Flash and beep: in the clips that are cut, sound and picture keep the offset that the file was made with.

Each file has a white flash of 0.2 s and a beep of 0.2 s. Both begin at 2 s on the clocks of their streams, and one of
the streams may begin late. Beep and flash must come out as far apart as they were made, within 5 ms.
"""

import dataclasses
import io
import json
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import soundfile
from conftest import MakeMedia

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.video_cutting import VideoCutting
from pipeline.media.decoding import Decoding
from pipeline.media.streams import Frame

SPEC = ClipSpec(clip_s=1, hop_s=1, frame_rate_hz=30, frame_height=16, frame_width=16, exact_frames=True)
CONFIG = ShardingConfig(min_rms_db=-200)  # silence is wanted here
LAVFI = ("-f", "lavfi", "-i")
NTSC = Fraction(30000, 1001)
VARIABLE = "variable"
# A variable rate: of 30 Hz, frames 0, 1, 3, 6, 10, 11, 13, 16, ...: gaps of 33, 67, 100 and 133 ms.
UNEVEN = "eq(mod(n,10),0)+eq(mod(n,10),1)+eq(mod(n,10),3)+eq(mod(n,10),6)"
BEEP = "aevalsrc='if(between(t,2,2.2),0.5*sin(2*PI*1000*t),0)':d=4:s=48000"
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", "2")
CODECS = {
    "mp4": (*H264, "-c:a", "aac"),
    "mkv": (*H264, "-c:a", "aac"),
    "ts": (*H264, "-c:a", "aac"),
    "webm": ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "500k", "-c:a", "libopus"),
    # AVI has no time stamps: neither those of B-frames nor the priming of AAC have a place
    "avi": ("-c:v", "mpeg4", "-c:a", "pcm_s16le"),
}


@dataclasses.dataclass(frozen=True)
class Source:
    """How a file is made. A positive `sound_late_s` delays the sound's stream, a negative one the picture's."""

    container: str
    rate: Fraction | str = Fraction(24)
    sound_late_s: float = 0.0

    def arguments(self) -> tuple[str, ...]:
        rate = 30 if self.rate == VARIABLE else self.rate
        # a fine time base, so that a delay is not rounded to whole frames
        flash = f"color=black:s=64x48:r={rate}:d=4,drawbox=c=white:t=fill:enable='between(t,2,2.2)',settb=1/90000"
        if self.rate == VARIABLE:
            flash += f",select='{UNEVEN}'"
        if self.container == "avi":  # only whole frames, and delays in the header: see `delay_avi`
            return (*LAVFI, flash, *LAVFI, BEEP, *CODECS["avi"], "-fps_mode", "passthrough")
        picture = ("-itsoffset", str(max(0.0, -self.sound_late_s)), *LAVFI, flash)
        sound = ("-itsoffset", str(max(0.0, self.sound_late_s)), *LAVFI, BEEP)
        ticks = ("-fps_mode", "passthrough", "-enc_time_base:v", "1/90000")
        return (*picture, *sound, *CODECS[self.container], *ticks)

    @property
    def first_white_s(self) -> float:
        """Time of the first frame at or after 2 s, on the picture's clock."""
        if self.rate == VARIABLE:
            return 2.0  # frame 60
        return float(-(-2 * Fraction(self.rate) // 1) / Fraction(self.rate))

    def __str__(self) -> str:
        return f"{self.container}_{float(self.rate) if self.rate != VARIABLE else VARIABLE:.6}_{self.sound_late_s}"


SOURCES = [
    *(Source("mp4", rate, late_s) for rate in (Fraction(24), NTSC, VARIABLE) for late_s in (0.0, 0.64, -0.3)),
    *(Source("mkv", rate, late_s) for rate, late_s in ((Fraction(24), -0.3), (NTSC, 0.64), (VARIABLE, 0.64))),
    *(Source("webm", rate, late_s) for rate, late_s in ((Fraction(24), 0.64), (NTSC, -0.3), (VARIABLE, 0.0))),
    *(
        Source("ts", rate, late_s)
        for rate, late_s in ((Fraction(24), 0.0), (NTSC, 0.64), (NTSC, -0.3), (VARIABLE, -0.3))
    ),
    *(Source("avi", rate, late_s) for rate, late_s in ((NTSC, 0.0), (Fraction(24), 0.64), (Fraction(30), -0.3))),
    Source("avi", VARIABLE),  # the muxer fills the times between with empty frames
]


def cut(path: Path, spec: ClipSpec = SPEC) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """What the clips of a file hold: [T] sound from time 0 on, and (time, brightness) of every frame."""
    video = {"video_id": "v", "uri": str(path), "size_bytes": None, "revision": None}
    video |= {"license": None, "author": None, "rights": "unknown", "rights_from": None, "split": None, "spans": None}
    sound, frames = np.zeros(round(10 * spec.sample_rate_hz)), []
    for clip in VideoCutting(video, {BASE: spec}, CONFIG):
        if clip.members is None:
            assert clip.row["outcome"] == "no_frame"  # before a late picture begins
            continue
        start = round(clip.row["start_s"] * spec.sample_rate_hz)
        samples, _ = soundfile.read(io.BytesIO(clip.members["flac"]))
        sound[start : start + len(samples)] = samples
        for k, time_s in enumerate(json.loads(clip.members["json"])["frame_times_s"]):
            frames.append((time_s, float(simplejpeg.decode_jpeg(clip.members[f"{k}.jpg"]).mean())))
    return sound, frames


def onsets_s(path: Path) -> tuple[float, float]:
    """When the beep and the flash begin."""
    sound, frames = cut(path)
    beep_s = np.flatnonzero(np.abs(sound) > 0.1 * np.abs(sound).max())[0] / SPEC.sample_rate_hz
    return float(beep_s), min(time_s for time_s, brightness in frames if brightness > 128)


def delay_avi(path: Path, sound_late_s: float) -> None:
    """Set the `dwStart` of the stream that begins late, which ffmpeg reads but never writes."""
    data = bytearray(path.read_bytes())
    stream = data.index(b"auds" if sound_late_s > 0 else b"vids")
    scale, rate = struct.unpack_from("<II", data, stream + 20)
    struct.pack_into("<I", data, stream + 28, round(abs(sound_late_s) * rate / scale))
    path.write_bytes(data)


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_flash_and_beep_keep_the_offset_they_were_made_with(source: Source, make_media: MakeMedia) -> None:
    path = make_media(f"sync_{source}.{source.container}", *source.arguments())
    if source.container == "avi":
        delay_avi(path, source.sound_late_s)
    beep_s, flash_s = onsets_s(path)
    assert beep_s - flash_s == pytest.approx(2.0 + source.sound_late_s - source.first_white_s, abs=0.005)
    if source.container != "ts":  # its clock starts with the first packet
        assert beep_s == pytest.approx(2.0 + max(0.0, source.sound_late_s), abs=0.005)


def edits(path: Path) -> dict[bytes, list[tuple[float, int]]]:
    """The edit lists of an MP4, by the kind of their track: (duration in s, where in the media; -1 is nothing)."""

    def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
        while data:
            size, kind = struct.unpack_from(">I4s", data)
            yield kind, data[8:size]
            data = data[size:]

    (moov,) = [body for kind, body in boxes(path.read_bytes()) if kind == b"moov"]
    ticks_hz = struct.unpack_from(">I", dict(boxes(moov))[b"mvhd"], 12)[0]
    found = {}
    for track in (dict(boxes(body)) for kind, body in boxes(moov) if kind == b"trak"):
        entries = dict(boxes(track[b"edts"]))[b"elst"][8:]
        lines = [struct.unpack_from(">Ii", entries, 12 * k) for k in range(len(entries) // 12)]
        found[dict(boxes(track[b"mdia"]))[b"hdlr"][8:12]] = [(length / ticks_hz, start) for length, start in lines]
    return found


def test_an_edit_list_that_begins_with_nothing_delays_its_stream(make_media: MakeMedia) -> None:
    source = Source("mp4", Fraction(24), 0.64)
    path = make_media(f"sync_{source}.mp4", *source.arguments())
    (nothing_s, place), _ = edits(path)[b"soun"]
    assert (nothing_s, place) == (pytest.approx(0.64 - 1024 / 48000, abs=0.001), -1)  # then AAC's priming plays
    beep_s, flash_s = onsets_s(path)
    assert (beep_s, flash_s) == (pytest.approx(2.64, abs=0.005), 2.0)


def test_an_edit_list_that_begins_inside_the_media_leaves_out_what_is_before(make_media: MakeMedia) -> None:
    source = Source("mp4", NTSC, 0.0)
    whole = make_media(f"sync_{source}.mp4", *source.arguments())
    path = make_media("sync_edited.mp4", "-ss", "0.7", "-i", str(whole), "-c", "copy")
    ((_, place),) = edits(path)[b"vide"]
    assert place > 0.6 * 30  # the key frame is the first: 0.7 s are there and not to be shown
    beep_s, flash_s = onsets_s(path)
    assert beep_s == pytest.approx(1.3, abs=0.005)
    assert beep_s - flash_s == pytest.approx(2.0 - source.first_white_s, abs=0.005)


def test_a_turned_picture_keeps_its_time(make_media: MakeMedia) -> None:
    source = Source("mp4", NTSC, 0.64)
    plain = make_media(f"sync_{source}.mp4", *source.arguments())
    turned = make_media("sync_turned.mp4", "-display_rotation", "90", "-i", str(plain), "-c", "copy")
    assert onsets_s(turned) == onsets_s(plain)


@pytest.mark.parametrize("container", ["mp4", "ts"])
def test_a_frame_that_stands_in_for_one_not_decoded_shows_the_time_it_states(
    container: str, make_media: MakeMedia
) -> None:
    source = Source(container, NTSC, -0.3)
    path = make_media(f"sync_{source}.{container}", *source.arguments())
    # every second picture at most is left out: the others lie 67 ms apart, half a tick is 71 ms
    sound, frames = cut(path, dataclasses.replace(SPEC, exact_frames=False, frame_rate_hz=7.0))
    beep_s = np.flatnonzero(np.abs(sound) > 0.1 * np.abs(sound).max())[0] / SPEC.sample_rate_hz
    since_s = np.array([time_s for time_s, _ in frames]) - (beep_s + source.first_white_s - 2.0 + 0.3)
    is_white = np.array([brightness for _, brightness in frames]) > 128
    unclear = np.minimum(np.abs(since_s), np.abs(since_s - 0.2)) < 0.007  # the flash's ends, as well as they are known
    np.testing.assert_array_equal(is_white[~unclear], ((since_s > 0) & (since_s < 0.2))[~unclear])
    after_tick_s = np.array([(time_s + 0.001) % (1 / 7) for time_s, _ in frames])
    assert sum(after_tick_s > 1.1 / 30) >= 3  # stand in for one that nobody refers to
    assert is_white.any()


def test_a_frame_whose_time_the_container_rounded_down_belongs_to_its_tick(make_media: MakeMedia) -> None:
    path = make_media("sync_thirds.mkv", *Source("mkv", Fraction(30)).arguments())
    spec = dataclasses.replace(SPEC, frame_rate_hz=3)
    times = [item.time_s for item in Decoding(path, {BASE: spec}) if isinstance(item, Frame)]
    assert 0.333 in times  # frame 10, which Matroska's milliseconds put before its tick at 1/3 s
    np.testing.assert_allclose(times, np.arange(12) / 3, atol=0.001)
