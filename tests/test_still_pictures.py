"""Image files: any kind by its content, at the size of frames; what is no image is refused with ffmpeg's words."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.clip_specs import ClipSpec
from pipeline.errors import ClipError
from pipeline.media.still_pictures import image_kind, read_image

STRETCHED = ClipSpec(frame_height=32, frame_width=32)
PADDED = ClipSpec(frame_height=32, frame_width=32, fit="pad")
KINDS = {"png": "png_pipe", "jpg": "jpeg_pipe", "webp": "webp_pipe", "bmp": "bmp_pipe"}


def two_halves(path: Path) -> Path:
    """Red on the left, blue on the right, twice as wide as high."""
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, :40, 0] = pixels[:, 40:, 2] = 255
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("suffix", KINDS)
def test_an_image_is_stretched_or_padded_to_a_frame(suffix: str, tmp_path: Path) -> None:
    path = two_halves(tmp_path / f"a%03d.{suffix}")  # a pattern to ffmpeg's reader of image files
    assert image_kind(path) == KINDS[suffix]
    stretched, padded = (read_image(path, KINDS[suffix], spec).astype(int) for spec in (STRETCHED, PADDED))
    for pixels in (stretched, padded[8:24]):
        assert np.abs(pixels[2:-2, :14] - (255, 0, 0)).max() < 6
        assert np.abs(pixels[2:-2, 18:] - (0, 0, 255)).max() < 6
    assert padded[:7].max() < 6
    assert padded[25:].max() < 6


def test_the_content_says_what_an_image_is_and_not_its_name(tmp_path: Path) -> None:
    image = two_halves(tmp_path / "a.png").rename(tmp_path / "film.mp4")
    assert image_kind(image) == "png_pipe"
    sound = tmp_path / "b.png"
    sound.write_bytes(b"RIFF\x00\x00\x00\x00WAVEfmt ")
    assert image_kind(sound) is None
    (tmp_path / "empty.png").write_bytes(b"")
    assert image_kind(tmp_path / "empty.png") is None


def test_a_damaged_image_is_unreadable(tmp_path: Path) -> None:
    path = two_halves(tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ClipError) as caught:
        read_image(path, "png_pipe", STRETCHED)
    assert caught.value.reason == "unreadable"
    assert str(tmp_path) not in caught.value.detail
