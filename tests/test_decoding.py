"""Decoding: sound and picture keep their true times, colours and levels, and what is no video has a reason."""

import csv
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeMedia

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.errors import ClipError
from pipeline.media.decoding import Decoding
from pipeline.media.ffmpeg_log import MediaInfo
from pipeline.media.frame_buffer import FrameBuffer
from pipeline.media.own_sound import OwnSound
from pipeline.media.streams import MAX_SLIP_S, Frame
from tests.helpers.films import BEEP, BY_1, CLOCK, FLASH, H264, LAVFI, RATE_HZ, TONE, decode, flip_time, reason


def onset_s(sound: np.ndarray) -> float:
    """Where the sound first is louder than a tenth of its peak."""
    return float(np.flatnonzero(np.abs(sound) > 0.1 * np.abs(sound).max())[0]) / RATE_HZ


def brightness(frames: list[Frame]) -> np.ndarray:
    return np.array([frame.pixels.mean() for frame in frames])


def shown_time_s(frames: list[Frame]) -> np.ndarray:
    """What the pictures of CLOCK say: luma to RGB is (luma - 16) * 255 / 219."""
    return brightness(frames) * 219 / 255 / 40


# --- times ---


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts", "webm"])
def test_flash_and_beep_meet_within_a_frame(suffix: str, make_media: MakeMedia) -> None:
    codecs = {
        "webm": ("-c:v", "libvpx", "-b:v", "500k", "-c:a", "libvorbis"),
        "avi": ("-c:v", "mpeg4", "-c:a", "pcm_s16le"),  # AVI has no place for the times of B-frames or AAC's priming
    }.get(suffix, (*H264, "-bf", "2"))
    path = make_media(f"flash.{suffix}", *LAVFI, FLASH, *LAVFI, BEEP, *codecs)
    sound, frames, _ = decode(path)
    bright = [frame.time_s for frame in frames if frame.pixels.mean() > 128]
    assert onset_s(sound) == pytest.approx(bright[0], abs=1 / 25)
    if suffix != "ts":  # a transport stream's clock starts with its first packet, not at 0
        assert onset_s(sound) == pytest.approx(2.0, abs=0.005)
    assert len(bright) == 5


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("late_s", [0.5, 1.5])
def test_sound_that_starts_late_is_preceded_by_silence_of_that_length(
    suffix: str, late_s: float, make_media: MakeMedia
) -> None:
    path = make_media(
        f"late_{late_s}.{suffix}", *LAVFI, FLASH, "-itsoffset", str(late_s), *LAVFI, TONE, "-t", "4", *H264
    )
    sound, frames, _ = decode(path)
    assert onset_s(sound) == pytest.approx(late_s, abs=0.03)  # an AAC frame is 23 ms
    assert next(frame.time_s for frame in frames if frame.pixels.mean() > 128) == pytest.approx(2.0, abs=0.03)


def test_a_picture_that_starts_late_keeps_its_time(make_media: MakeMedia) -> None:
    path = make_media("late_picture.mkv", "-itsoffset", "1.5", *LAVFI, CLOCK, *LAVFI, TONE, *H264)
    sound, frames, _ = decode(path)
    assert onset_s(sound) < 0.03
    assert frames[0].time_s == pytest.approx(1.5, abs=0.03)
    np.testing.assert_allclose(shown_time_s(frames) + 1.5, [frame.time_s for frame in frames], atol=0.08)


def test_a_gap_in_the_sound_stays_a_gap(make_media: MakeMedia) -> None:
    holed = f"{TONE},aselect='lt(t,1)+gte(t,3)'"
    path = make_media("gap.mkv", *LAVFI, CLOCK, *LAVFI, holed, *H264, "-c:a", "pcm_s16le")
    sound, _, _ = decode(path)
    loudness = np.abs(sound[: 4 * RATE_HZ]).reshape(8, -1).mean(axis=1)  # of each half second
    assert list(loudness > loudness.max() / 2) == [True, True, False, False, False, False, True, True]


@pytest.mark.parametrize("pace", [0.9, 1.1])
def test_sound_of_another_length_than_its_time_stamps_say_does_not_slip(pace: float, make_media: MakeMedia) -> None:
    path = make_media(
        f"pace_{pace}.mkv", *LAVFI, CLOCK, *LAVFI, f"{BEEP},asetpts='PTS*{pace}'", *H264, "-c:a", "pcm_s16le"
    )
    sound, _, _ = decode(path)
    assert onset_s(sound) == pytest.approx(2.0 * pace, abs=MAX_SLIP_S)
    assert len(sound) / RATE_HZ == pytest.approx(4.0 * pace, abs=MAX_SLIP_S)


def test_an_hours_gap_is_an_hour_of_silence(make_media: MakeMedia) -> None:
    later = "+if(gte(T,2),3600/TB,0)"
    path = make_media(
        "hour.mkv", *LAVFI, f"{CLOCK},setpts='PTS{later}'", *LAVFI, f"{TONE},asetpts='PTS{later}'", *H264,
        "-fps_mode", "passthrough", "-c:a", "pcm_s16le", "-ac", "2", "-ar", "48000",
    )  # fmt: skip
    num_samples, loud, ticks = 0, [], []
    for item in Decoding(path, {BASE: BY_1}, every_picture=True):
        if isinstance(item, Frame):
            ticks.append(round(item.time_s))
        else:
            loud += list(num_samples + np.flatnonzero(np.abs(item) > 1000))
            num_samples += len(item)
    (gap,) = np.flatnonzero(np.diff(loud) > RATE_HZ)
    assert loud[gap] / RATE_HZ == pytest.approx(2.0, abs=0.024)  # the filter's blocks are of 1024 samples
    assert (loud[gap + 1] - loud[gap]) / RATE_HZ == pytest.approx(3600.0, abs=0.002)
    assert ticks == [0, 1, 3602, 3603, 3604]


@pytest.mark.parametrize("bit", [11, 12, 14])  # 2, 4 and 16 s; the bits are those of the time within a cluster of 5 s
@pytest.mark.parametrize("number", [0, 40, 60, 124])
def test_one_wrong_time_stamp_of_a_picture_costs_that_picture(bit: int, number: int, make_media: MakeMedia) -> None:
    path = make_media("stamped.mkv", *LAVFI, CLOCK, *LAVFI, TONE, *H264, "-bf", "0", "-c:a", "pcm_s16le")
    damaged = flip_time(path, track=1, number=number, bit=bit)
    (sound, frames, _), (damaged_sound, damaged_frames, _) = decode(path), decode(damaged)
    np.testing.assert_array_equal(damaged_sound, sound)
    times_s = [frame.time_s for frame in frames]
    assert [frame.time_s for frame in damaged_frames] == times_s[:number] + times_s[number + 1 :]
    _, by_second, _ = decode(damaged, BY_1)
    np.testing.assert_allclose(shown_time_s(by_second), [frame.time_s for frame in by_second], atol=0.06)
    buffer: FrameBuffer[float] = FrameBuffer(BY_1)
    for frame in by_second:
        buffer.add(frame.time_s, frame.time_s)
    np.testing.assert_allclose(buffer.shown(0.0), range(5), atol=0.05)


@pytest.mark.parametrize("bit", [6, 10, 12, 14])  # 64 ms to 16 s
@pytest.mark.parametrize("number", [0, 1, 100])
def test_one_wrong_time_stamp_of_sound_moves_nothing(bit: int, number: int, make_media: MakeMedia) -> None:
    path = make_media("stamped.mkv", *LAVFI, CLOCK, *LAVFI, TONE, *H264, "-bf", "0", "-c:a", "pcm_s16le")
    sound, (damaged, _, _) = decode(path)[0], decode(flip_time(path, track=2, number=number, bit=bit))
    # where the first packet begins, the second then says: a container's time is rounded to 1 ms
    shift = len(sound) - len(damaged)
    assert 0 <= shift <= (RATE_HZ // 1000 if number == 0 else 0)
    np.testing.assert_array_equal(damaged, sound[shift:])


@pytest.mark.parametrize("far_s", [50_000, 100_000, 1_000_000])
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_time_stamps_that_jump_far_ahead_do_not_give_silence_for_ever(
    suffix: str, far_s: int, make_media: MakeMedia
) -> None:
    later = f"+if(gte(T,2),{far_s}/TB,0)"
    path = make_media(
        f"far_{far_s}.{suffix}", *LAVFI, f"{CLOCK},setpts='PTS{later}'", *LAVFI, f"{TONE},asetpts='PTS{later}'", *H264,
        "-fps_mode", "passthrough",
    )  # fmt: skip
    decoding, sound_s, ticks = Decoding(path, {BASE: BY_1}, every_picture=True), 0.0, []
    for item in decoding:
        if isinstance(item, Frame):
            ticks.append(round(item.time_s))
        else:
            sound_s += len(item) / RATE_HZ
        assert sound_s < 5.1
    # what is there before the jump; a jump of more than 30 hours is a mistake in ffmpeg's eyes, and may be closed
    assert sound_s > 2.0
    assert ticks in ([0, 1], [0, 1, 2, 3, 4])
    if decoding.info.duration_s is not None and decoding.info.duration_s > 43200:
        assert decoding.info.detail is not None
        assert "43200 s" in decoding.info.detail


def test_nothing_is_given_beyond_the_longest_duration(make_media: MakeMedia) -> None:
    path = make_media("clock.mp4", *LAVFI, CLOCK, *LAVFI, TONE, *H264, "-bf", "2", "-g", "12")
    decoding = Decoding(path, {BASE: BY_1}, max_duration_s=2.5)
    items = list(decoding)
    assert sum(len(item) for item in items if not isinstance(item, Frame)) == pytest.approx(2.5 * RATE_HZ, abs=16)
    assert [round(item.time_s) for item in items if isinstance(item, Frame)] == [0, 1, 2]
    assert decoding.info.detail is not None
    assert "of which 2.5 s are read" in decoding.info.detail


def test_sound_whose_format_changes_on_the_way_keeps_its_time(make_media: MakeMedia, tmp_path: Path) -> None:
    stereo = make_media("film.ts", *LAVFI, FLASH, *LAVFI, f"{BEEP},aformat=channel_layouts=stereo", *H264)
    mono = make_media("break.ts", *LAVFI, FLASH, *LAVFI, BEEP, *H264, "-ar", "32000", "-output_ts_offset", "4")
    (tmp_path / "broadcast.ts").write_bytes(stereo.read_bytes() + mono.read_bytes())
    sound, frames, _ = decode(tmp_path / "broadcast.ts")
    bright_s = np.array([frame.time_s for frame in frames if frame.pixels.mean() > 128])
    assert onset_s(sound) == pytest.approx(bright_s[0], abs=1 / 25)
    again_s = 4 + onset_s(sound[4 * RATE_HZ :])
    assert again_s == pytest.approx(bright_s[bright_s > 4][0], abs=1 / 25)


@pytest.mark.parametrize(
    ("channels", "rate_hz", "num_blocks"),
    [(1, 48000, 116), (2, 44100, 0)],  # 4.95 of 5 s; ffmpeg begins with the later rate and takes up that of the packets
)
def test_of_the_files_own_sound_what_follows_a_change_of_format_is_left_out_or_all_of_it(
    channels: int, rate_hz: int, num_blocks: int, make_media: MakeMedia, tmp_path: Path
) -> None:
    def make(name: str, rate_hz: int, channels: int, *late: str) -> bytes:
        form = ("-c:a", "mp2", "-ac", str(channels), "-ar", str(rate_hz))
        return make_media(name, *LAVFI, FLASH, *LAVFI, TONE, *H264, *form, "-t", "5", *late).read_bytes()

    changed = make("mp2.ts", 48000, 2) + make(
        f"mp2_{channels}_{rate_hz}.ts", rate_hz, channels, "-output_ts_offset", "5"
    )
    (tmp_path / "broadcast.ts").write_bytes(changed)
    heard: list[OwnSound | Frame] = []
    list(Decoding(tmp_path / "broadcast.ts", {BASE: BY_1}, every_picture=True, listener=heard.append))
    assert sum(len(each.times_s) for each in heard if isinstance(each, OwnSound)) == num_blocks


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("rate_hz", [1, 5])
def test_frames_show_the_time_they_claim_one_per_tick(exact: bool, rate_hz: int, make_media: MakeMedia) -> None:
    path = make_media("clock.mp4", *LAVFI, CLOCK, *LAVFI, TONE, *H264, "-bf", "2", "-g", "12")
    spec = ClipSpec(frame_rate_hz=rate_hz, frame_height=32, frame_width=32, exact_frames=exact)
    _, frames, _ = decode(path, spec)
    times = np.array([frame.time_s for frame in frames])
    np.testing.assert_allclose(shown_time_s(frames), times, atol=0.06)
    assert list(np.floor((times + 0.001) * rate_hz)) == list(range(5 * rate_hz))
    # exact: the frame at the tick. Else a frame that others refer to: at most bf frames later.
    np.testing.assert_allclose(times, np.arange(5 * rate_hz) / rate_hz, atol=0.001 if exact else 3 / 25)


def test_frames_of_a_variable_rate_are_chosen_by_time_not_by_number(make_media: MakeMedia) -> None:
    # 25 frames in the first second, then only those at 2.0 to 2.4 and at 4.0
    chosen = "lt(t,1)+between(t,1.99,2.41)+between(t,3.99,4.01)"
    path = make_media("vfr.mp4", *LAVFI, f"{CLOCK},select='{chosen}'", *LAVFI, TONE, "-fps_mode", "vfr", *H264)
    _, frames, _ = decode(path, ClipSpec(frame_height=32, frame_width=32, exact_frames=True))
    assert [round(frame.time_s, 2) for frame in frames] == [0.0, 2.0, 4.0]
    np.testing.assert_allclose(shown_time_s(frames), [0.0, 2.0, 4.0], atol=0.06)


@pytest.mark.parametrize(
    "title", ["[Parsed_showinfo_2 @ 0x1] n: 0 pts: 0 pts_time:99", "frame:0 pts:99000000", "25x7, 3 fps"]
)
def test_a_title_cannot_pass_for_what_the_decoder_says(title: str, make_media: MakeMedia) -> None:
    clock = make_media("clock.mp4", *LAVFI, CLOCK, *LAVFI, TONE, *H264, "-bf", "2", "-g", "12")
    for number, text in enumerate([title, f"\n{title}", f"\nStream #0:0: Video: {title}\nInput #0\nOutput #0"]):
        name = f"titled_{len(title)}_{number}.mp4"
        path = make_media(name, "-i", str(clock), "-c", "copy", "-metadata", f"title={text}")
        _, frames, info = decode(path, BY_1)
        np.testing.assert_allclose([frame.time_s for frame in frames], range(5), atol=0.13)
        assert (info.video_codec, info.width, info.frame_rate_hz) == ("h264", 32, 25.0)


def tone_levels(sound: np.ndarray, rates_hz: list[int]) -> np.ndarray:
    """Amplitude of each tone in the second from 1 s on."""
    spectrum = np.abs(np.fft.rfft(sound[RATE_HZ : 2 * RATE_HZ])) / (RATE_HZ / 2)
    return spectrum[rates_hz]


def test_sound_is_resampled(make_media: MakeMedia) -> None:
    path = make_media("resampled.mkv", *LAVFI, CLOCK, *LAVFI, f"{TONE},volume=4", *H264, "-c:a", "pcm_s16le")
    sound, _, _ = decode(path)
    assert len(sound) == pytest.approx(5 * RATE_HZ, abs=2)
    assert tone_levels(sound, [1000]) == pytest.approx([0.5], rel=0.01)  # `sine` has an amplitude of 1/8


# Weights of ITU-R BS.775, table 2, to mono: the front pair at -3 dB, the surrounds at -6 dB.
DOWNMIXES = {
    "mono": {"FC": 1.0},
    "stereo": {"FL": 1.0, "FR": 1.0},
    "2.1": {"FL": 1.0, "FR": 1.0, "LFE": 0.0},
    "quad": {"FL": 0.5**0.5, "FR": 0.5**0.5, "BL": 0.5, "BR": 0.5},
    "5.1": {"FL": 0.5**0.5, "FR": 0.5**0.5, "FC": 1.0, "LFE": 0.0, "BL": 0.5, "BR": 0.5},
    "5.1(side)": {"FL": 0.5**0.5, "FR": 0.5**0.5, "FC": 1.0, "LFE": 0.0, "SL": 0.5, "SR": 0.5},
}


@pytest.mark.parametrize("codec", ["pcm_s16le", "ac3"])
@pytest.mark.parametrize("layout", DOWNMIXES)
def test_channels_are_added_with_the_weights_of_the_rule(layout: str, codec: str, make_media: MakeMedia) -> None:
    weights = np.array(list(DOWNMIXES[layout].values()))
    rates_hz = [60 if name == "LFE" else 500 * (k + 1) for k, name in enumerate(DOWNMIXES[layout])]
    tones = "|".join(f"0.5*sin(2*PI*{rate_hz}*t)" for rate_hz in rates_hz)
    path = make_media(
        f"{codec}_{layout}.mov", *LAVFI, CLOCK, *LAVFI, f"aevalsrc='{tones}':c={layout}:d=5:s=48000", *H264,
        "-c:a", codec, "-b:a", "640k",
    )  # fmt: skip
    sound, _, info = decode(path)
    assert info.audio_layout in (layout, f"{layout}(side)")  # AC-3 has no back pair
    np.testing.assert_allclose(tone_levels(sound, rates_hz), 0.5 * weights / weights.sum(), atol=0.004)


def test_channels_at_full_scale_do_not_clip(make_media: MakeMedia) -> None:
    loud = "aevalsrc='" + "|".join(["0.99*sin(2*PI*1000*t)"] * 6) + "':c=5.1:d=5:s=48000"
    path = make_media("loud.mkv", *LAVFI, CLOCK, *LAVFI, loud, *H264, "-c:a", "pcm_s16le")
    assert tone_levels(decode(path)[0], [1000, 3000]) == pytest.approx([0.99, 0.0], abs=0.002)


# --- pictures ---


def test_rotation_is_applied(make_media: MakeMedia) -> None:
    plain = make_media(
        "left_white.mp4", *LAVFI, "color=black:s=64x32:r=5:d=2,drawbox=w=32:color=white:t=fill", *LAVFI, BEEP, *H264
    )
    turned = make_media("turned.mp4", "-display_rotation", "90", "-i", str(plain), "-c", "copy")
    (_, (upright, *_), _), (_, (rotated, *_), _) = decode(plain, BY_1), decode(turned, BY_1)
    assert upright.pixels[:, :14].min() > 200 > 50 > upright.pixels[:, 18:].max()
    np.testing.assert_allclose(rotated.pixels, np.rot90(upright.pixels), atol=40)
    sizes = []
    for path in (plain, turned):
        decoding = Decoding(path, {BASE: BY_1})
        list(decoding)
        sizes.append((decoding.picture_size, decoding.picture_shape))
    assert sizes == [((64, 32), 2.0), ((32, 64), 0.5)]


COLOUR = (200, 100, 50)
STORED = {
    "ten_bits": ("mp4", "s=64x48", "-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=error"),
    "every_second_colour": ("mp4", "s=64x48", "-c:v", "libx264", "-pix_fmt", "yuv422p"),
    "full_range": ("mp4", "s=64x48", "-vf", "scale=out_range=pc", "-c:v", "libx264", "-pix_fmt", "yuvj420p"),
    "bt709": (
        "mp4", "s=64x48", "-vf", "scale=out_color_matrix=bt709", "-colorspace", "bt709", "-c:v", "libx264",
        "-pix_fmt", "yuv420p",
    ),
    "odd_sizes": ("webm", "s=161x121", "-c:v", "libvpx-vp9", "-cpu-used", "8", "-pix_fmt", "yuv420p"),
    "one_pixel": ("mp4", "s=1x1", "-c:v", "libx264", "-pix_fmt", "yuv444p"),
    "portrait_4k60": ("mp4", "s=2160x3840:r=60", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"),
}  # fmt: skip


@pytest.mark.parametrize("way", STORED)
def test_a_colour_comes_out_as_it_went_in_however_it_is_stored(way: str, make_media: MakeMedia) -> None:
    suffix, size, *arguments = STORED[way]
    colour = "color=#{:02x}{:02x}{:02x}:d=0.2:".format(*COLOUR) + size
    path = make_media(f"{way}.{suffix}", *LAVFI, colour, *LAVFI, "sine=d=0.2:sample_rate=48000", *arguments)
    _, (frame, *_), _ = decode(path, BY_1)
    np.testing.assert_allclose(frame.pixels.reshape(-1, 3), np.tile(COLOUR, (32 * 32, 1)), atol=6)


def test_pad_keeps_the_shape_that_is_shown_and_stretch_fills_the_frame(make_media: MakeMedia) -> None:
    # 32x32 pixels, each shown twice as wide as high: the picture is 2:1, and in a square half of the rows are bars
    path = make_media("wide.mp4", *LAVFI, "color=white:s=32x32:r=5:d=2,setsar=2", *LAVFI, BEEP, *H264)
    _, (stretched, *_), _ = decode(path, BY_1)
    _, (padded, *_), _ = decode(path, ClipSpec(frame_height=32, frame_width=32, fit="pad"))
    assert stretched.pixels.min() > 200
    is_white = padded.pixels.mean(axis=(1, 2)) > 128
    assert list(np.flatnonzero(is_white)) == list(range(8, 24))


def test_the_container_tells_sizes_rates_and_codecs(make_media: MakeMedia) -> None:
    path = make_media("flash.mp4", *LAVFI, FLASH, *LAVFI, BEEP, *H264, "-bf", "2")
    _, _, info = decode(path)
    assert info.duration_s == pytest.approx(4.0, abs=0.03)
    assert info == MediaInfo(
        width=64, height=48, pixel_format="yuv420p", frame_rate_hz=25.0, video_codec="h264", audio_codec="aac",
        audio_rate_hz=44100, audio_layout="mono", duration_s=info.duration_s, detail=None,
    )  # fmt: skip


def test_a_cover_picture_is_not_the_video(make_media: MakeMedia) -> None:
    cover = make_media("cover.png", *LAVFI, "color=red:s=40x40", "-frames:v", "1")
    clock = make_media("clock.mp4", *LAVFI, CLOCK, *LAVFI, TONE, *H264, "-bf", "2", "-g", "12")
    both = make_media(
        "covered.mp4", "-i", str(cover), "-i", str(clock), "-map", "0", "-map", "1", "-c", "copy",
        "-disposition:v:0", "attached_pic", "-disposition:v:1", "default",
    )  # fmt: skip
    _, frames, info = decode(both)
    assert (info.width, info.video_codec) == (32, "h264")
    np.testing.assert_allclose(shown_time_s(frames), [frame.time_s for frame in frames], atol=0.06)


def test_of_equal_sounds_and_pictures_the_first_are_taken_and_other_streams_ignored(
    make_media: MakeMedia, tmp_path: Path
) -> None:
    (tmp_path / "titles.srt").write_text("1\n00:00:00,000 --> 00:00:04,000\n<font face='x.ttf'>title</font>\n")
    (tmp_path / "font.ttf").write_bytes(os.urandom(5000))
    path = make_media(
        "extras.mkv", "-i", str(tmp_path / "titles.srt"), *LAVFI, TONE, *LAVFI, "sine=frequency=3000:d=5",
        *LAVFI, CLOCK, *LAVFI, "color=white:s=64x64:d=5",
        *(option for k in range(5) for option in ("-map", str(k))), *H264,
        "-attach", str(tmp_path / "font.ttf"), "-metadata:s:t", "mimetype=application/x-truetype-font",
    )  # fmt: skip
    sound, frames, info = decode(path, BY_1)
    chosen = "picture 3 h264 of 3 h264, 4 h264; sound 1 vorbis of 1 vorbis, 2 vorbis"
    assert (info.width, info.detail) == (32, f"streams: {chosen}")
    levels = tone_levels(sound, [1000, 3000])
    assert levels[0] > 0.1 > 0.001 > levels[1]
    np.testing.assert_allclose(shown_time_s(frames), [frame.time_s for frame in frames], atol=0.1)


# --- what is no video ---


def test_a_song_with_a_cover_has_no_video(make_media: MakeMedia) -> None:
    cover = make_media("cover.png", *LAVFI, "color=red:s=40x40", "-frames:v", "1")
    song = make_media(
        "song.mp3", *LAVFI, TONE, "-i", str(cover), "-map", "0", "-map", "1", "-c:v", "mjpeg",
        "-disposition:v", "attached_pic",
    )  # fmt: skip
    assert reason(song) == "no_video"


def test_sound_alone_has_no_video_and_a_silent_film_no_audio(make_media: MakeMedia) -> None:
    assert reason(make_media("tone.wav", *LAVFI, TONE)) == "no_video"
    assert reason(make_media("mute.mp4", *LAVFI, CLOCK, *H264)) == "no_audio"
    assert reason(make_media("mute.gif", *LAVFI, CLOCK)) == "no_audio"
    assert reason(make_media("mute.h264", *LAVFI, CLOCK, *H264)) == "no_audio"


@pytest.mark.parametrize("content", [b"", b"hello", os.urandom(5000), b"\0" * 5000, b"RIFF\xff\xff\xff\xffAVI LIST"])
def test_what_is_no_media_is_unreadable(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(content)
    assert reason(tmp_path / "x.mp4") == "unreadable"


def test_a_container_that_is_not_on_the_list_is_unreadable_and_says_so(make_media: MakeMedia) -> None:
    path = make_media("listed.nut", *LAVFI, CLOCK, *LAVFI, TONE, *H264)
    with pytest.raises(ClipError, match=r"unreadable: .*Format not on whitelist"):
        decode(path, BY_1)


def test_a_picture_larger_than_the_largest_is_unreadable(make_media: MakeMedia, tmp_path: Path) -> None:
    path = make_media("large.avi", *LAVFI, "color=s=9000x9000:r=5:d=0.2", *LAVFI, "sine=d=0.2", "-c:v", "mjpeg")
    assert reason(path) == "unreadable"
    small = make_media("small.avi", *LAVFI, "testsrc=s=64x48:r=5:d=1", *LAVFI, "sine=d=1", "-c:v", "mjpeg")
    # a JPEG's frame header: marker, length 17, precision 8, height, width
    first, *others = small.read_bytes().split(b"\xff\xc0\x00\x11\x08")
    claims = [struct.pack(">HH", 30_000, 30_000) + other[4:] for other in others]
    (tmp_path / "huge.avi").write_bytes(b"\xff\xc0\x00\x11\x08".join([first, *claims]))
    assert reason(tmp_path / "huge.avi") == "unreadable"


def test_a_file_of_a_hundred_streams_is_unreadable(make_media: MakeMedia) -> None:
    path = make_media("many.mp4", *LAVFI, CLOCK, *LAVFI, "sine=d=1", "-map", "0", *["-map", "1"] * 100, *H264)
    assert reason(path) == "unreadable"


def test_a_file_cut_before_its_index_is_unreadable_and_one_with_none_gives_what_is_there(
    make_media: MakeMedia, tmp_path: Path
) -> None:
    for name in ("busy.mp4", "busy.mkv"):
        data = make_media(name, *LAVFI, "testsrc=s=64x48:r=25:d=4", *LAVFI, BEEP, *H264, "-g", "12").read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
    assert reason(tmp_path / "busy.mp4") == "unreadable"
    sound, frames, _ = decode(tmp_path / "busy.mkv")
    assert 1 < len(sound) / RATE_HZ < 3.9
    assert 1 < frames[-1].time_s < 3.9


# --- real files ---


def manifest(folder: Path, below: str, max_bytes: int) -> list[dict[str, str]]:
    with (folder / "MANIFEST.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["path"].startswith(below)]
    return [row for row in rows if int(row["bytes"]) <= max_bytes and (folder / row["path"]).is_file()]


def test_real_videos_decode_to_the_duration_and_codec_their_manifest_states(shared_media: Path) -> None:
    rows = [
        row for row in manifest(shared_media, "videos/", 450_000) if row["has_audio"] == "yes" and row["duration_s"]
    ]
    assert len(rows) > 5
    for row in rows[:8]:
        sound, frames, info = decode(shared_media / row["path"], BY_1)
        assert info.video_codec == row["video_codec"], row["path"]
        duration_s = max(len(sound) / RATE_HZ, frames[-1].time_s)
        assert duration_s == pytest.approx(float(row["duration_s"]), abs=0.5), row["path"]
        assert len(frames) == pytest.approx(float(row["duration_s"]), abs=1.01), row["path"]


def test_odd_and_broken_files_end_as_media_or_as_a_reason_but_never_otherwise(shared_media: Path) -> None:
    reasons: dict[str, str] = {}
    for row in manifest(shared_media, "odd/", 300_000):
        try:
            sound, frames, _ = decode(shared_media / row["path"], BY_1, limit_s=20)
            reasons[row["path"]] = "decoded"
            assert len(frames) or len(sound)
        except ClipError as error:
            reasons[row["path"]] = error.reason
    assert set(reasons.values()) <= {"decoded", "no_video", "no_audio", "unreadable"}
    assert {"decoded", "no_video", "no_audio", "unreadable"} <= set(reasons.values())
