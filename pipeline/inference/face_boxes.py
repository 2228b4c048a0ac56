"""Faces of a video and which of them speaks -> transparent pictures that are laid over it: a box with a number each."""

import io
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from pipeline.inference.outlines import layer_size

SPEAKING, SILENT, RIM = (255, 214, 0, 255), (235, 235, 235, 255), (0, 0, 0, 180)  # RGBA
PART = 160  # of the shorter side: a line is as many times thinner
TEXT_PART = 16  # the same of the height of letters
MAX_SIDE = 640  # of a layer: it is scaled up to larger pictures
COUNT, FACE = struct.Struct("<H"), struct.Struct("<Iffff")


class FaceBox(NamedTuple):
    """A face in a picture."""

    face: int
    left: float
    top: float
    right: float
    bottom: float


def write_boxes(file: BinaryIO, boxes: list[FaceBox]) -> None:
    """Append the boxes of one tick."""
    file.write(COUNT.pack(len(boxes)))
    for box in boxes:
        file.write(FACE.pack(*box))


def read_boxes(path: Path) -> Iterator[list[FaceBox]]:
    """The boxes of each tick, one after the other."""
    with path.open("rb") as file:
        while header := file.read(COUNT.size):
            (count,) = COUNT.unpack(header)
            yield [FaceBox(*FACE.unpack(file.read(FACE.size))) for _ in range(count)]


def draw_boxes(boxes: list[FaceBox], speaking: int | None, size: tuple[int, int]) -> bytes:
    """PNG, RGBA: boxes, given as shares of the picture's sides, each with its number; the speaking one marked.

    Args:
        boxes: of one picture.
        speaking: the face that speaks, if any.
        size: width and height of the layer.
    """
    width, height = size
    layer = Image.new("RGBA", size)
    draw = ImageDraw.Draw(layer)
    line = max(1, round(min(size) / PART))
    font = ImageFont.load_default(max(10, round(min(size) / TEXT_PART)))
    for box in sorted(boxes, key=lambda box: box.face == speaking):  # the speaking one over the others
        is_speaking = box.face == speaking
        colour, thick = (SPEAKING, 2 * line) if is_speaking else (SILENT, line)
        corners = (box.left * width, box.top * height, box.right * width - 1, box.bottom * height - 1)
        left, top, right, bottom = (round(each) for each in corners)
        if right < left or bottom < top:
            continue
        draw.rectangle((left - line, top - line, right + line, bottom + line), outline=RIM, width=thick + 2 * line)
        draw.rectangle((left, top, right, bottom), outline=colour, width=thick)
        text = f"{box.face} speaks" if is_speaking else str(box.face)
        place = max(0, left), max(0, top)
        draw.rectangle(draw.textbbox(place, text, font=font, anchor="lt"), fill=RIM)
        draw.text(place, text, font=font, fill=colour, anchor="lt")
    file = io.BytesIO()
    layer.save(file, format="PNG", compress_level=1)
    return file.getvalue()


def write_layers(
    boxes: Path,
    layers: Path,
    area: tuple[float, float, float, float],
    picture: tuple[int, int],
    speaking: Sequence[int | None],
    rate_hz: int,
) -> None:
    """Write the layer of each tick, one after the other.

    Args:
        boxes: what `write_boxes` wrote, as shares of the sides of a square around the picture.
        layers: where the PNGs go.
        area: left, top, right and bottom of the picture in the square.
        picture: its width and height in pixels.
        speaking: the face that speaks in each second.
        rate_hz: ticks in a second.
    """
    size = layer_size(picture, MAX_SIDE)
    left, top, right, bottom = area
    with layers.open("wb") as file:
        for tick, found in enumerate(read_boxes(boxes)):
            inside = [
                box._replace(
                    left=(box.left - left) / (right - left),
                    top=(box.top - top) / (bottom - top),
                    right=(box.right - left) / (right - left),
                    bottom=(box.bottom - top) / (bottom - top),
                )
                for box in found
            ]
            second = tick // rate_hz
            file.write(draw_boxes(inside, speaking[second] if second < len(speaking) else None, size))
