"""Pixels of what sounds <-> PNG: any PNG is read as black and white, and written with 1 bit per pixel.

Design note: a pixel counts where its grey value is above 127 of 255, by pillow's conversion to mode L. Pillow's mode 1
would dither greys, and mode P numbers a palette: both give other masks for one picture stored in two ways.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from pipeline.errors import DataError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
THRESHOLD = 127
MAX_SIDE = 4096  # pixels: 16 MB as bytes, a 64th of what pillow takes for an attack at once
MAX_BYTES = 4 * MAX_SIDE**2 + 2**20  # of a file: RGBA of that size, not compressed
# What pillow raises for a damaged picture; IndexError for a profile that ends within its name, behind the pixels.
DAMAGE = (OSError, ValueError, SyntaxError, IndexError, struct.error, zlib.error, Image.DecompressionBombError)


class MaskError(DataError):
    """A file that is no mask; the message says what was found and expected.

    Attributes:
        size: (height, width) in pixels, as far as the file states it.
    """

    def __init__(self, message: str, size: tuple[int | None, int | None] = (None, None)) -> None:
        super().__init__(message)
        self.size = size


def encode_mask(mask: np.ndarray) -> bytes:
    """[H, W] bool as a PNG of 1 bit per pixel: white where it is true."""
    file = io.BytesIO()
    Image.fromarray(mask).save(file, format="PNG")
    return file.getvalue()


def decode_mask(data: bytes) -> np.ndarray:
    """[H, W] bool of a PNG: where its grey value is above 127; what is transparent counts by its colour.

    Raises:
        MaskError: it is no whole PNG, has a side above MAX_SIDE, or is neither black nor has a pixel above 127: then
            its values mean something else, such as the numbers of classes.
    """
    if not data.startswith(SIGNATURE) or data[12:16] != b"IHDR" or len(data) < 24:
        raise MaskError(f"begins with {data[:8]!r}; expected a PNG")
    width, height = struct.unpack(">II", data[16:24])
    if not 0 < max(width, height) <= MAX_SIDE:
        raise MaskError(f"{width}x{height} pixels; expected at most {MAX_SIDE} a side")
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if picture.size != (width, height):  # pillow takes the last of several headers
                raise ValueError(f"a second header of {picture.width}x{picture.height} pixels")
            grey = np.asarray(picture.convert("L"))
    except DAMAGE as error:
        raise MaskError(f"no whole PNG ({error})", (height, width)) from error
    mask: np.ndarray = grey > THRESHOLD
    if (brightest := grey.max()) and not mask.any():
        raise MaskError(f"brightest pixel {brightest} of 255; expected black and white, or all black", (height, width))
    return mask


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """[H, W] bool of a mask of any size, by nearest neighbour: the pixel whose centre is below that of the new one."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip((height, width), mask.shape, strict=True)
    )
    return mask if mask.shape == (height, width) else mask[rows][:, columns]  # one by one: 8 times as fast
