"""`data:` addresses: what is decoded from them is what went in."""

import base64
import io

import numpy as np
import simplejpeg
import soundfile

from pipeline.reports.inline_media import MAX_SIDE, data_address, picture_address, sound_address


def content(address: str, kind: str) -> bytes:
    head, _, data = address.partition(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(data)


def test_bytes_come_back() -> None:
    assert content(data_address("image/png", b"\x00\xff<"), "image/png") == b"\x00\xff<"


def test_a_picture_comes_back_thinned_to_the_largest_side() -> None:
    picture = np.zeros((30, 2 * MAX_SIDE + 1, 3), np.uint8)
    picture[:, :300] = (200, 40, 40)
    found = simplejpeg.decode_jpeg(content(picture_address(picture), "image/jpeg"), colorspace="RGB")
    assert found.shape == (10, (2 * MAX_SIDE + 1 + 2) // 3, 3)
    assert np.abs(found[5, 20].astype(int) - (200, 40, 40)).max() < 12


def test_a_sound_comes_back_to_16_bits_and_clipped() -> None:
    waveform = np.array([0.0, 0.5, -0.25, 2.0, -3.0])
    found, rate_hz = soundfile.read(io.BytesIO(content(sound_address(waveform, 8000), "audio/flac")))
    assert rate_hz == 8000
    np.testing.assert_allclose(found, np.clip(waveform, -1, 1), atol=2**-15)
