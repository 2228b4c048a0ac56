"""A mask is the same pixels whatever mode its PNG has, and a file that is none is refused by what it is."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pipeline.masks.mask_pictures import MAX_SIDE, MaskError, decode_mask, encode_mask, resize_mask


@pytest.fixture
def pixels() -> np.ndarray:
    mask = np.random.default_rng(0).random((13, 21)) < 0.4
    assert 0 < mask.sum() < mask.size
    return mask


def png(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format="PNG", **options)
    return file.getvalue()


def in_mode(pixels: np.ndarray, mode: str) -> Image.Image:
    grey = Image.fromarray(pixels.astype(np.uint8) * 255)
    if mode != "P":
        return grey.convert(mode)
    palette = Image.fromarray(pixels.astype(np.uint8))  # numbers 0 and 1 of a palette: black and white
    palette.putpalette([0, 0, 0, 255, 255, 255])
    return palette


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P", "I;16"])
def test_one_picture_reads_alike_in_every_mode(mode: str, pixels: np.ndarray) -> None:
    deep = Image.fromarray(pixels.astype(np.uint16) * 65535)
    data = png(deep if mode == "I;16" else in_mode(pixels, mode))
    with Image.open(io.BytesIO(data)) as stored:
        assert stored.mode == mode
    np.testing.assert_array_equal(decode_mask(data), pixels)


def test_greys_are_cut_at_127_and_never_dithered() -> None:
    grey = np.tile(np.arange(256, dtype=np.uint8), (3, 1))
    np.testing.assert_array_equal(decode_mask(png(Image.fromarray(grey))), grey > 127)


def test_what_is_written_reads_back_with_one_bit_per_pixel(pixels: np.ndarray) -> None:
    for mask in (pixels, np.zeros((5, 9), bool), np.ones((1, 1), bool)):
        data = encode_mask(mask)
        assert data[24] == 1  # IHDR: bit depth
        np.testing.assert_array_equal(decode_mask(data), mask)
        assert data == encode_mask(mask.copy(order="F"))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bomb(side: int) -> bytes:
    """A small PNG of `side` pixels a side, all of one value."""
    lines = zlib.compress(bytes((side // 8 + 1) * side))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


def test_a_mask_of_the_largest_size_reads_and_a_larger_one_is_refused_before_it_takes_memory() -> None:
    assert decode_mask(bomb(MAX_SIDE)).shape == (MAX_SIDE, MAX_SIDE)
    with pytest.raises(MaskError, match="4104x4104 pixels; expected at most 4096 a side"):
        decode_mask(bomb(MAX_SIDE + 8))
    huge = bytearray(bomb(8))
    huge[16:24] = struct.pack(">II", 2**31 - 1, 2**31 - 1)
    with pytest.raises(MaskError, match="2147483647x2147483647"):
        decode_mask(bytes(huge))


def test_a_text_that_unpacks_to_far_more_than_it_is_costs_no_memory(pixels: np.ndarray) -> None:
    data = png(in_mode(pixels, "L"))
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**23)))
    begin = 8 + 25  # after IHDR
    with pytest.raises(MaskError, match=r"no whole PNG \(.*(text|Decompressed)") as caught:
        decode_mask(data[:begin] + text + data[begin:])
    assert caught.value.size == (13, 21)


@pytest.mark.parametrize("side", [MAX_SIDE + 8, 40_000])
def test_a_second_header_cannot_make_the_picture_larger_than_the_first_says(side: int) -> None:
    data = bomb(8)
    large = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    with pytest.raises(MaskError, match="no whole PNG") as caught:
        decode_mask(data[:33] + large + data[33:])
    assert caught.value.size == (8, 8)


def test_a_colour_profile_that_breaks_off_behind_the_pixels_is_refused(pixels: np.ndarray) -> None:
    data = png(in_mode(pixels, "L"))
    with pytest.raises(MaskError, match="no whole PNG"):
        decode_mask(data[:-12] + chunk(b"iCCP", b"name\0") + data[-12:])


@pytest.mark.parametrize("length", [0, 7, 20, 40, -60])
def test_a_file_that_breaks_off_is_refused(length: int, pixels: np.ndarray) -> None:
    data = png(in_mode(pixels, "L"), compress_level=0)
    with pytest.raises(MaskError, match=r"expected a PNG|no whole PNG"):
        decode_mask(data[:length])


def test_damage_in_any_byte_gives_a_mask_or_a_refusal(pixels: np.ndarray) -> None:
    data = png(in_mode(pixels, "P"))
    rng = np.random.default_rng(1)
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= int(rng.integers(1, 256))
        with contextlib.suppress(MaskError):
            assert decode_mask(bytes(damaged)).ndim == 2


def test_no_picture_a_picture_of_another_kind_and_numbers_of_classes_are_refused(pixels: np.ndarray) -> None:
    jpeg = io.BytesIO()
    in_mode(pixels, "L").save(jpeg, format="JPEG")
    for data in (b"no picture", jpeg.getvalue()):
        with pytest.raises(MaskError, match=r"begins with .*; expected a PNG"):
            decode_mask(data)
    with pytest.raises(MaskError, match="brightest pixel 1 of 255; expected black and white, or all black") as caught:
        decode_mask(png(Image.fromarray(pixels.astype(np.uint8))))
    assert caught.value.size == (13, 21)
    assert not decode_mask(png(Image.fromarray(np.zeros((4, 4), np.uint8)))).any()


@pytest.mark.parametrize("size", [(26, 42), (13, 21), (5, 7), (39, 63), (1, 1)])
def test_a_resized_mask_is_that_of_pillows_nearest_neighbour(size: tuple[int, int], pixels: np.ndarray) -> None:
    expected = Image.fromarray(pixels).resize(size[::-1], Image.Resampling.NEAREST)
    np.testing.assert_array_equal(resize_mask(pixels, *size), np.asarray(expected))
