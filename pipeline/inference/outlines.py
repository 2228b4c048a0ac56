"""A mask -> a transparent picture with its outline, which is laid over the video."""

import io

import numpy as np
from PIL import Image, ImageFilter

MAX_SIDE = 1280  # of a layer: outlines of larger pictures are scaled up
OUTLINE, RIM, TINT = (255, 214, 0, 255), (0, 0, 0, 160), (255, 214, 0, 56)  # RGBA: line, a dark line around it, inside
PART = 240  # of the shorter side: an outline is as many times thinner


def layer_size(shape: tuple[int, ...], max_side: int = MAX_SIDE) -> tuple[int, int]:
    """Both sides of the layer of a mask or a picture, in their order: its own up to `max_side`.

    >>> layer_size((1080, 1920)), layer_size((240, 320))
    ((720, 1280), (240, 320))
    """
    scale = min(1.0, max_side / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def draw_outline(mask: np.ndarray, size: tuple[int, int]) -> bytes:
    """PNG, RGBA of a height and width: the outline of a mask [H, W] bool, also along the picture's edge.

    The outline lies within the mask, a dark rim of half its width around it.
    """
    height, width = size
    inside = Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST).convert("L")
    line = max(1, round(min(size) / PART))
    padded = Image.new("L", (width + 2 * line, height + 2 * line))
    padded.paste(inside, (line, line))
    core = _cropped(padded.filter(ImageFilter.MinFilter(2 * line + 1)), line)
    rim = _cropped(padded.filter(ImageFilter.MaxFilter(2 * ((line + 1) // 2) + 1)), line)
    pixels = np.zeros((height, width, 4), np.uint8)
    for area, colour in ((rim, RIM), (np.asarray(inside) > 0, OUTLINE), (core, TINT)):
        pixels[area] = colour
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", compress_level=1)
    return file.getvalue()


def _cropped(padded: Image.Image, margin: int) -> np.ndarray:
    """[H, W] bool of a picture without its margins."""
    return np.asarray(padded)[margin:-margin, margin:-margin] > 0
