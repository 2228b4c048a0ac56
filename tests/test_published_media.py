"""Pictures and sounds of strangers: read alike in every form, damaged ones refused, short sounds filled by windows."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from pipeline.errors import ClipError
from pipeline.ingest.published_media import decode_picture, fill_sound, fit_picture, read_file, read_sound
from tests.helpers.avsbench_trees import write_wav

RATE_HZ = 16000
PICTURE = np.zeros((20, 30, 3), np.uint8)
PICTURE[5:12, 8:25] = (200, 200, 200)


def encoded(picture: Image.Image, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    picture.save(file, form)
    return file.getvalue()


def test_a_picture_is_read_alike_in_every_mode() -> None:
    rgb = Image.fromarray(PICTURE)
    palette = rgb.convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    transparent = rgb.copy()
    transparent.putalpha(0)
    for picture in (rgb, rgb.convert("L"), palette, transparent):
        assert np.array_equal(decode_picture(encoded(picture), "a.png"), PICTURE), picture.mode


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_picture_that_ends_early_is_refused_wherever_it_ends(form: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8))
    data = encoded(noise, form)
    for end in [*range(0, 60, 3), *range(60, len(data) - 20, 97)]:
        with pytest.raises(ClipError, match=r"unreadable: x\.png: no whole PNG or JPEG"):
            decode_picture(data[:end], "x.png")


def test_a_picture_of_another_kind_or_beyond_the_bound_is_refused() -> None:
    for data in (encoded(Image.fromarray(PICTURE), "GIF"), encoded(Image.fromarray(PICTURE), "WEBP"), b"%!PS-Adobe"):
        with pytest.raises(ClipError, match="no whole PNG or JPEG"):
            decode_picture(data, "x.png")
    with pytest.raises(ClipError, match="4097x1 pixels, expected at most 4096 a side"):
        decode_picture(encoded(Image.new("1", (4097, 1))), "x.png")
    header = b"IHDR" + struct.pack(">IIBBBBB", 40000, 20000, 1, 0, 0, 0, 0)  # 800 million pixels
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    with pytest.raises(ClipError, match=r"unreadable: x\.png"):
        decode_picture(bomb + encoded(Image.fromarray(PICTURE))[33:], "x.png")


def test_a_colour_profile_that_breaks_off_behind_the_pixels_is_refused() -> None:
    data, profile = encoded(Image.fromarray(PICTURE)), b"iCCPname\0"
    chunk = struct.pack(">I", 5) + profile + struct.pack(">I", zlib.crc32(profile))
    with pytest.raises(ClipError, match=r"unreadable: x\.png: no whole PNG or JPEG"):
        decode_picture(data[:-12] + chunk + data[-12:], "x.png")


def test_a_file_beyond_the_bound_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(11))
    assert read_file(tmp_path / "a", 11) == bytes(11)
    with pytest.raises(ClipError, match="a: more than 10 bytes"):
        read_file(tmp_path / "a", 10)
    with pytest.raises(ClipError, match="unreadable: b: cannot be read"):
        read_file(tmp_path / "b")


def test_a_picture_of_another_size_fills_the_frame() -> None:
    assert fit_picture(PICTURE, 20, 30) is PICTURE
    grown = fit_picture(PICTURE, 40, 60)
    assert grown.shape == (40, 60, 3)
    assert (grown[18, 30] == 200).all()
    assert not grown[:6].any()


def tone(rate_hz: int, hz: float = 440.0, seconds: float = 1.0) -> np.ndarray:
    return np.rint(8000 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.int16)


def read(path: Path, seconds: float = 1.0) -> np.ndarray:
    return read_sound(path, path.read_bytes(), seconds, RATE_HZ)


def test_samples_at_the_clips_rate_stay_as_they_are_and_channels_are_averaged(tmp_path: Path) -> None:
    write_wav(tmp_path / "mono.wav", tone(RATE_HZ, seconds=1.5))
    assert np.array_equal(read(tmp_path / "mono.wav"), tone(RATE_HZ))
    both = np.stack([tone(RATE_HZ), np.zeros(RATE_HZ, np.int16)], axis=1)
    soundfile.write(tmp_path / "stereo.wav", both, RATE_HZ, subtype="PCM_16")
    assert np.array_equal(read(tmp_path / "stereo.wav"), np.rint(tone(RATE_HZ) / 2).astype(np.int16))


@pytest.mark.parametrize(("rate_hz", "subtype"), [(44100, "PCM_16"), (16000, "PCM_24"), (16000, "FLOAT")])
def test_another_rate_or_form_gives_the_same_tone(tmp_path: Path, rate_hz: int, subtype: str) -> None:
    soundfile.write(tmp_path / "a.wav", tone(rate_hz, seconds=1.2) / 32768, rate_hz, subtype=subtype)
    found = read(tmp_path / "a.wav").astype(float)
    assert len(found) == RATE_HZ
    assert np.abs(found - tone(RATE_HZ))[100:-100].max() < 80  # 1 % of its peak


def test_a_sound_that_is_none_is_refused(tmp_path: Path) -> None:
    write_wav(tmp_path / "empty.wav", tone(RATE_HZ)[:0])
    (tmp_path / "text.wav").write_text("no wav")
    (tmp_path / "list.wav").write_text("#EXTM3U\nfile:///etc/hostname\n")
    write_wav(tmp_path / "long.wav", tone(RATE_HZ))
    data = (tmp_path / "long.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(data[:30])
    (tmp_path / "far.wav").write_bytes(data[:12] + b"LIST\xff\xff\xff\x7f" + data[12:])  # a chunk beyond the file
    for name in ("empty", "text", "list", "cut", "far"):
        with pytest.raises(ClipError, match=r"no_audio|unreadable"):
            read(tmp_path / f"{name}.wav")


def test_a_wav_that_claims_more_than_it_holds_gives_what_is_there(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", tone(RATE_HZ))
    data = bytearray((tmp_path / "a.wav").read_bytes()[:-1001])  # within a sample
    data[40:44] = b"\xf0\xff\xff\x7f"
    (tmp_path / "a.wav").write_bytes(data)
    assert np.array_equal(read(tmp_path / "a.wav"), tone(RATE_HZ)[: RATE_HZ - 501])


@pytest.mark.parametrize(("seconds", "num_windows"), [(5.0, 5), (10.0, 10)])
def test_each_window_that_a_short_sound_lacks_is_its_last_whole_one(seconds: float, num_windows: int) -> None:
    rng, window, total = np.random.default_rng(0), 15360, round(seconds * RATE_HZ)
    for num_whole in range(1, num_windows + 1):
        for spare in (240, 15360 + 239):  # VGGish's last frame of a window ends 240 samples behind it
            count = num_whole * window + spare
            if count > total:
                continue
            samples = rng.integers(1, 1000, count).astype(np.int16)
            filled = fill_sound(samples, seconds, RATE_HZ)
            assert len(filled) == total
            kept = count if num_whole == num_windows else num_whole * window
            assert np.array_equal(filled[:kept], samples[:kept])
            for number in range(num_whole, num_windows):
                of_window = filled[number * window : (number + 1) * window]
                assert np.array_equal(of_window, samples[(num_whole - 1) * window : num_whole * window])
            assert not filled[max(kept, num_windows * window) :].any()


def test_a_sound_without_a_whole_window_is_too_short() -> None:
    with pytest.raises(ClipError, match=r"short_audio: 0\.975 s of sound, expected at least 0\.975 s"):
        fill_sound(np.ones(15360 + 239, np.int16), 5.0, RATE_HZ)
    assert len(fill_sound(np.ones(15360 + 240, np.int16), 5.0, RATE_HZ)) == 80000
