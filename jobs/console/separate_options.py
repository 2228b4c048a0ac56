"""What is typed after the options of `separate`, as numbers."""

import re

from pipeline.errors import ConfigError
from pipeline.inference.choosing import Choice, Region, Span

MAX_GAIN_DB = 60.0
NUMBER = r"(\d+(?:\.\d+)?)"


def parse_gain(text: str) -> float:
    """The linear gain of a level.

    >>> parse_gain("0dB"), parse_gain("-20 dB"), parse_gain("-inf")
    (1.0, 0.1, 0.0)
    """
    found = re.fullmatch(r"([+-]?\d+(?:\.\d+)?|-inf) ?(?:dB)?", text, re.IGNORECASE)
    if not found or float(found[1]) > MAX_GAIN_DB:
        raise ConfigError(f"gain {text}: expected decibels up to {MAX_GAIN_DB:g}, such as 0dB, -60dB or -inf.")
    return float(10 ** (float(found[1]) / 20))


def parse_region(text: str) -> Region:
    """A region of the picture.

    >>> parse_region("320,0,320,360")
    Region(x=320.0, y=0.0, width=320.0, height=360.0)
    """
    found = re.fullmatch(",".join([NUMBER] * 4), text.replace(" ", ""))
    if not found or not float(found[3]) or not float(found[4]):
        raise ConfigError(
            f"--region {text}: expected x,y,w,h in pixels from the picture's upper left corner, such as 0,0,320,240."
        )
    return Region(*map(float, found.groups()))


def parse_point(text: str) -> Region:
    """A point of the picture.

    >>> parse_point("160,120")
    Region(x=160.0, y=120.0, width=0.0, height=0.0)
    """
    found = re.fullmatch(f"{NUMBER},{NUMBER}", text.replace(" ", ""))
    if not found:
        raise ConfigError(f"--at {text}: expected x,y in pixels from the picture's upper left corner, such as 160,120.")
    return Region(*map(float, found.groups()))


def parse_span(text: str) -> Span:
    """Seconds of a video.

    >>> parse_span("+6.3-7.0")
    Span(start_s=6.3, end_s=7.0)
    """
    found = re.fullmatch(rf"\+?{NUMBER}-{NUMBER}", text.replace(" ", ""))
    if not found or float(found[1]) >= float(found[2]):
        raise ConfigError(f"--span {text}: expected the seconds from which and to which it sounds, such as +6.3-7.0.")
    return Span(*map(float, found.groups()))


def parse_choice(threshold: float | None, region: str | None, at: str | None, spans: list[str]) -> Choice:
    """What is kept of a sound.

    Raises:
        ConfigError: a text means nothing, or two options exclude each other.
    """
    if region is not None and at is not None:
        raise ConfigError("--region and --at both say where. Give one of them.")
    if spans and (region is not None or at is not None or threshold is not None):
        raise ConfigError("--span chooses sources whatever the picture shows. Drop --region, --at and --threshold.")
    place = parse_region(region) if region is not None else parse_point(at) if at is not None else None
    return Choice(threshold=threshold, region=place, spans=tuple(map(parse_span, spans)))
