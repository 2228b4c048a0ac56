"""Pictures and sounds as `data:` addresses, so that a page needs no other file."""

import base64

import numpy as np
import simplejpeg

from pipeline.clips.samples import encode_flac

QUALITY = 85
MAX_SIDE = 512  # pixels: a larger picture is shown by each second, third, ... pixel


def data_address(kind: str, data: bytes) -> str:
    """The address that is a file of this media type, such as image/jpeg."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def picture_address(picture: np.ndarray) -> str:
    """The address of a picture [H, W, 3] uint8 RGB, as JPEG."""
    step = -(-max(picture.shape[:2]) // MAX_SIDE)
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(picture[::step, ::step]), quality=QUALITY)
    return data_address("image/jpeg", data)


def sound_address(waveform: np.ndarray, rate_hz: int) -> str:
    """The address of a sound [T], linear amplitude, as FLAC; what exceeds [-1, 1] is clipped."""
    return data_address("audio/flac", encode_flac(np.clip(waveform, -1.0, 1.0 - 2.0**-15), rate_hz))
