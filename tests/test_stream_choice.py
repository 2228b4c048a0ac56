"""Which streams are decoded: a picture and a sound that belong together, and how channels without places are heard."""

import os
import re
import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import MakeMedia

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.clips.cutting import CutClip, ShardingConfig
from pipeline.clips.video_cutting import VideoCutting
from pipeline.errors import ClipError
from pipeline.media.decoding import Decoding
from pipeline.media.muxing import Track, write_mp4s
from pipeline.media.stream_choice import DOWNMIX, FIRST, ListedStream, downmix_of
from pipeline.media.streams import Frame
from tests.helpers.cutting import listed
from tests.helpers.films import BEEP, BY_1, CLOCK, FLASH, H264, LAVFI, RATE_HZ, decode

WHITE = "color=white:s=32x32:r=25:d=0.04"


def tone(frequency_hz: int, duration_s: float = 5.0) -> tuple[str, ...]:
    return (*LAVFI, f"sine=frequency={frequency_hz}:sample_rate=44100:duration={duration_s}")


def heard_hz(sound: np.ndarray) -> int:
    """The loudest frequency in the second from 1 s on."""
    return int(np.abs(np.fft.rfft(sound[RATE_HZ : 2 * RATE_HZ])).argmax())


def maps(*streams: str) -> tuple[str, ...]:
    return tuple(word for stream in streams for word in ("-map", stream))


def broadcast(make_media: MakeMedia) -> Path:
    """A radio programme, then a television programme."""
    return make_media(
        "two_programmes.ts", *tone(440), *LAVFI, CLOCK, *tone(1000), *maps("0", "1", "2"), *H264,
        "-program", "title=Radio:st=0", "-program", "title=TV:st=1:st=2",
    )  # fmt: skip


def test_a_picture_has_the_sound_of_its_own_programme(make_media: MakeMedia) -> None:
    sound, frames, info = decode(broadcast(make_media), BY_1)
    assert heard_hz(sound) == 1000
    assert len(frames) >= 5
    assert info.detail == "streams: picture 1 h264 of 1 h264; sound 2 mp2 of 0 mp2, 2 mp2"


def test_a_name_that_is_no_utf8_is_a_name_like_others(make_media: MakeMedia, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/v\xff.ts"))
    shutil.copy(broadcast(make_media), path)
    sound, frames, info = decode(path, BY_1)
    assert (heard_hz(sound), len(frames)) == (1000, len(decode(broadcast(make_media), BY_1)[1]))
    soundfile.write(tmp_path / "sound.flac", np.zeros(5 * RATE_HZ), RATE_HZ)
    made = Path(os.fsdecode(os.fsencode(tmp_path) + b"/w\xff.mp4"))
    decoding = Decoding(path, {BASE: BY_1})
    assert list(decoding)
    assert write_mp4s(path, decoding.choice, [Track(tmp_path / "sound.flac", "flac", RATE_HZ, 1)], [made], limit_s=60)
    assert decode(made, BY_1)[2].video_codec == info.video_codec == "h264"


def test_what_is_written_has_the_picture_that_is_decoded(make_media: MakeMedia, tmp_path: Path) -> None:
    path = thumbnail_first(make_media)
    decoding = Decoding(path, {BASE: BY_1})
    assert list(decoding)
    assert decoding.choice.picture == "1"
    soundfile.write(tmp_path / "sound.flac", np.zeros(5 * RATE_HZ), RATE_HZ)
    assert write_mp4s(
        path, decoding.choice, [Track(tmp_path / "sound.flac", "flac", RATE_HZ, 1)], [tmp_path / "made.mp4"], limit_s=60
    )
    assert decode(tmp_path / "made.mp4", BY_1)[2].video_codec == "h264"


def thumbnail_first(make_media: MakeMedia) -> Path:
    return make_media(
        "thumbnail_first.mp4", *LAVFI, WHITE, *LAVFI, CLOCK, *tone(1000), *maps("0", "1", "2"), *H264,
        "-c:v:0", "mjpeg", "-pix_fmt:v:0", "yuvj420p", "-disposition:v:1", "0",
    )  # fmt: skip


def test_a_single_picture_that_no_flag_marks_is_not_the_film(make_media: MakeMedia) -> None:
    _, frames, info = decode(thumbnail_first(make_media), BY_1)
    assert info.video_codec == "h264"
    assert frames[0].pixels.mean() < 10  # CLOCK begins dark
    assert info.detail == "streams: picture 1 h264 of 0 mjpeg, 1 h264; sound 2 aac of 2 aac"


@pytest.mark.parametrize(("still_hz", "film_hz", "chosen"), [("1/10", 25, 1), ("1", 25, 1), ("1", 5, 0)])
def test_pictures_ten_times_as_rare_as_the_films_are_not_the_film_though_they_last(
    still_hz: str, film_hz: int, chosen: int, make_media: MakeMedia
) -> None:
    flags = ("-c:v:0", "mjpeg", "-pix_fmt:v:0", "yuvj420p", "-disposition:v:1", "0")
    stills, film = f"color=white:s=32x32:r={still_hz}:d=40", f"color=black:s=32x32:r={film_hz}:d=40"
    path = make_media(
        f"chapters_{film_hz}_{len(still_hz)}.mp4", *LAVFI, stills, *LAVFI, film, *tone(1000, 40.0),
        *maps("0", "1", "2"), *H264, *flags,
    )  # fmt: skip
    decoding = Decoding(path, {BASE: BY_1}, every_picture=True)
    first = next(item for item in decoding if isinstance(item, Frame))
    assert decoding.choice.picture == str(chosen)
    assert (first.pixels.mean() < 10) == bool(chosen)


@pytest.mark.parametrize(
    ("dispositions", "hz"),
    [
        (("0", "0"), 500),
        (("0", "default"), 2000),
        (("comment", "0"), 2000),
        (("visual_impaired", "0"), 2000),
        (("default+hearing_impaired", "0"), 2000),
        (("default", "comment"), 500),
    ],
)
def test_of_two_sounds_the_main_one_is_heard(dispositions: tuple[str, str], hz: int, make_media: MakeMedia) -> None:
    flags = [word for k, flag in enumerate(dispositions) for word in (f"-disposition:a:{k}", flag)]
    path = make_media(
        f"two_sounds_{'_'.join(dispositions)}.mkv", *LAVFI, CLOCK, *tone(500), *tone(2000), *maps("0", "1", "2"), *H264,
        *flags,
    )  # fmt: skip
    assert heard_hz(decode(path, BY_1)[0]) == hz


def test_a_sound_of_a_second_is_not_taken_before_one_that_lasts(make_media: MakeMedia) -> None:
    path = make_media("short_sound_first.mkv", *LAVFI, CLOCK, *tone(500, 1.0), *tone(2000), *maps("0", "1", "2"), *H264)
    assert heard_hz(decode(path, BY_1)[0]) == 2000


def test_usual_files_have_no_choice(make_media: MakeMedia) -> None:
    path = make_media("usual.mkv", *LAVFI, CLOCK, *tone(1000), *H264)
    assert decode(path, BY_1)[2].detail is None


# --- streams without a decoder ---


def hide(path: Path, made: Path, entry: bytes, config: bytes, code: bytes, hidden: Sequence[int]) -> Path:
    """A copy of an mp4 in which some of the tracks with a sample entry, by number, claim to be of another codec."""
    data = path.read_bytes()
    start = data.index(b"stsd")
    tracks = data[start:]
    for word, other in ((entry, code), (config, b"free")):
        first, *rest = tracks.split(word)
        tracks = first + b"".join((other if k in hidden else word) + after for k, after in enumerate(rest))
    made.write_bytes(data[:start] + tracks)
    return made


def hide_sounds(path: Path, made: Path, hidden: Sequence[int]) -> Path:
    return hide(path, made, b"mp4a", b"esds", b"apac", hidden)


@pytest.mark.parametrize(
    ("tones", "default", "hidden", "heard"),
    [
        ((500, 2000), 0, [0], 1),
        ((500, 600, 2000), 0, [0, 1], 2),
        ((500, 2000, 600), 0, [0], 1),
        ((2000, 500), 1, [1], 0),  # the first can be decoded, the one that is chosen cannot
    ],
)
def test_a_sound_that_no_decoder_knows_gives_way_to_one_that_can_be_heard(
    tones: tuple[int, ...], default: int, hidden: list[int], heard: int, make_media: MakeMedia, tmp_path: Path
) -> None:
    words = [word for hz in tones for word in tone(hz)]
    flags = [word for k in range(len(tones)) for word in (f"-disposition:a:{k}", "default" if k == default else "0")]
    streams = maps(*map(str, range(1 + len(tones))))
    name = f"sounds_{'_'.join(map(str, tones))}.mp4"
    path = make_media(name, *LAVFI, CLOCK, *words, *streams, *H264, *flags)
    sound, frames, info = decode(hide_sounds(path, tmp_path / "hidden.mp4", hidden), BY_1)
    assert heard_hz(sound) == 2000
    assert len(frames) == 5
    codecs = ["apple_apac" if k in hidden else "aac" for k in range(len(tones))]
    of_sounds = ", ".join(f"{1 + k} {codec}" for k, codec in enumerate(codecs))
    chosen = f"streams: picture 0 h264 of 0 h264; sound {1 + heard} aac of {of_sounds}"
    assert (info.audio_codec, info.detail) == ("aac", f"{chosen}; no decoder for apple_apac")


def test_a_picture_of_an_unknown_codec_gives_way_to_one_that_can_be_seen(make_media: MakeMedia, tmp_path: Path) -> None:
    streams = maps("0", "1", "2")
    path = make_media("films.mp4", *LAVFI, "color=white:s=32x32:r=25:d=5", *LAVFI, CLOCK, *tone(1000), *streams, *H264)
    _, frames, info = decode(hide(path, tmp_path / "hidden.mp4", b"avc1", b"avcC", b"zzzz", [0]), BY_1)
    assert frames[0].pixels.mean() < 10  # CLOCK begins dark
    assert info.detail == "streams: picture 1 h264 of 0 none, 1 h264; sound 2 aac of 2 aac; no decoder for none"


def test_where_no_stream_can_be_decoded_the_reason_names_the_codec(make_media: MakeMedia, tmp_path: Path) -> None:
    path = make_media("one_sound.mp4", *LAVFI, CLOCK, *tone(1000), *H264)
    for made, codec in (
        (hide_sounds(path, tmp_path / "sound.mp4", [0]), "apple_apac"),
        (hide(path, tmp_path / "picture.mp4", b"avc1", b"avcC", b"zzzz", [0]), "none"),
    ):
        with pytest.raises(ClipError, match=f"unreadable: .*no decoder found for: {codec}"):
            decode(made, BY_1)


# --- channels without places ---


@pytest.mark.parametrize("num_channels", [9, 11, 17, 32])
def test_channels_without_a_layout_are_heard_as_their_mean(num_channels: int, make_media: MakeMedia) -> None:
    tones = "|".join(f"0.9*sin(2*PI*{100 * (k + 1)}*t)" for k in range(num_channels))
    path = make_media(
        f"channels_{num_channels}.mkv", *LAVFI, CLOCK, *LAVFI, f"aevalsrc='{tones}':d=5:s=48000", *H264, "-c:a",
        "pcm_s16le",
    )  # fmt: skip
    sound, _, info = decode(path, BY_1)
    assert info.audio_layout == f"{num_channels} channels"
    spectrum = np.abs(np.fft.rfft(sound[RATE_HZ : 2 * RATE_HZ])) / (RATE_HZ / 2)
    np.testing.assert_allclose(spectrum[100 : 100 * num_channels + 1 : 100], 0.9 / num_channels, atol=0.002)


@pytest.mark.parametrize(
    ("layout", "downmix"),
    [
        ("stereo", DOWNMIX),
        ("5.1(side)", DOWNMIX),
        ("2 channels (FC+LFE)", DOWNMIX),
        ("1 channels (LFE)", "mono|c0<c0"),
        ("2 channels (AUX0+AUX1)", "mono|c0<c0+c1"),
        ("9 channels", "mono|c0<c0+c1+c2+c3+c4+c5+c6+c7+c8"),
    ],
)
def test_only_a_sound_whose_channels_have_no_known_place_is_their_mean(layout: str, downmix: str) -> None:
    assert downmix_of(ListedStream(0, "Audio", "pcm_s16le", f", 48000 Hz, {layout}, s16, 768 kb/s")) == downmix
    assert FIRST.downmix == DOWNMIX


# --- joined pieces ---


@pytest.mark.parametrize(
    "offsets_s",
    [
        (0, 4, 8),
        (0, 8, 16),
        (0, 0, 0),
        (100, 0, 50),
        (8, 6, 4),  # each begins before the one before has ended
        (95437, 95441, 95445),  # the clock of 33 bits at 90 kHz begins anew at 95443.7 s, amid the second piece
    ],
)
def test_pieces_of_a_broadcast_are_joined_without_holes(
    offsets_s: tuple[int, ...], make_media: MakeMedia, tmp_path: Path
) -> None:
    pieces = [
        make_media(f"piece_{at_s}.ts", *LAVFI, FLASH, *LAVFI, BEEP, *H264, "-g", "25", "-output_ts_offset", str(at_s))
        for at_s in offsets_s
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    sound, frames, _ = decode(path)
    assert len(sound) / RATE_HZ == pytest.approx(12.0, abs=0.1)
    assert len(frames) == 300
    is_white = np.array([frame.pixels.mean() > 128 for frame in frames])
    flashes_s = [frames[k].time_s for k in np.flatnonzero(np.diff(is_white.astype(int)) == 1) + 1]
    assert flashes_s == pytest.approx([2, 6, 10], abs=0.1)
    for flash_s in flashes_s:
        assert np.abs(sound[round((flash_s - 0.5) * RATE_HZ) : round((flash_s - 0.04) * RATE_HZ)]).max() < 0.1
        assert np.abs(sound[round((flash_s + 0.04) * RATE_HZ) : round((flash_s + 0.1) * RATE_HZ)]).max() > 0.4
    assert clip_starts_s(path) == list(range(11))


def clip_starts_s(path: Path) -> list[float]:
    """Starts of the clips of 2 s that a file's sound and picture fill, silent ones included."""
    spec = ClipSpec(clip_s=2.0, frame_height=32, frame_width=32)
    clips = [clip for clip in VideoCutting(listed(path), {BASE: spec}, ShardingConfig()) if isinstance(clip, CutClip)]
    # where clocks jump ahead, the container claims to be longer, and a clip after the end is planned: short of audio
    return [clip.row["start_s"] for clip in clips if clip.row["outcome"] in ("kept", "silent")]


def test_a_broadcast_whose_clock_begins_anew_stays_in_time(make_media: MakeMedia) -> None:
    at_s = 2**33 / 90_000 - 1.4 - 2.5  # ffmpeg's muxer adds 1.4 s: after 2.5 s of 4 the 33 bits are full
    path = make_media("wrap.ts", *LAVFI, FLASH, *LAVFI, BEEP, *H264, "-bf", "2", "-output_ts_offset", f"{at_s:.3f}")
    stamps = picture_stamps(path.read_bytes())
    assert len(stamps) == 100
    assert min(stamps) < 2**20
    assert max(stamps) > 2**33 - 2**20
    sound, frames, _ = decode(path)
    assert len(frames) == 100
    (flash_s,) = [b.time_s for a, b in pairwise(frames) if a.pixels.mean() < 128 < b.pixels.mean()]
    assert flash_s == pytest.approx(2.0, abs=0.1)
    assert np.flatnonzero(np.abs(sound) > 0.1)[0] / RATE_HZ == pytest.approx(flash_s, abs=0.04)
    assert clip_starts_s(path) == [0, 1, 2]


def picture_stamps(data: bytes) -> list[int]:
    """Times of showing of an MPEG-TS's pictures: 33 bits in 5 bytes, with marker bits between."""
    starts = [found.end() for found in re.finditer(rb"\x00\x00\x01\xe0..[\x80-\xbf][\x80-\xff].", data, re.DOTALL)]
    found = [data[start : start + 5] for start in starts]
    return [(b[0] & 14) << 29 | b[1] << 22 | (b[2] & 254) << 14 | b[3] << 7 | b[4] >> 1 for b in found]


@pytest.mark.parametrize("chosen", ["not(mod(n,50))", "lt(t,1)+gt(t,3)"])
def test_a_hole_between_the_pictures_of_a_broadcast_stays(chosen: str, make_media: MakeMedia) -> None:
    path = make_media(
        f"holes_{len(chosen)}.ts", *LAVFI, f"{CLOCK},select='{chosen}'", *tone(1000), *H264, "-fps_mode", "vfr"
    )
    sound, frames, _ = decode(path)
    shown_s = [frame.pixels.mean() * 219 / 255 / 40 for frame in frames]
    np.testing.assert_allclose(shown_s, [frame.time_s for frame in frames], atol=0.1)
    assert len(sound) / RATE_HZ == pytest.approx(5.0, abs=0.1)
