"""How many cores meet a deadline: parts are cut whole, one after another on each core.

So a core that has time for 2.9 parts cuts 2, more cores than parts do not help, and a part that takes longer than the
deadline needs smaller parts.
"""

import math
import re

from pipeline.errors import ConfigError

DURATION = re.compile("".join(rf"(?:([0-9]+(?:\.[0-9]+)?){unit})?" for unit in "dhms"))
UNITS_H = (24, 1, 1 / 60, 1 / 3600)
# Where parts must become smaller, each core gets this many one after another, so that a late one delays little.
ROUNDS = 4


def parse_hours(text: str) -> float:
    """Hours of `90m`, `6h`, `2d` or `1h30m`.

    >>> parse_hours("1h30m")
    1.5

    Raises:
        ConfigError: it is not of this form, or 0.
    """
    match = DURATION.fullmatch(text.strip().lower())
    numbers = match.groups() if match else ()
    hours = sum(float(number) * unit for number, unit in zip(numbers, UNITS_H, strict=False) if number)
    if not hours:
        raise ConfigError(f"--deadline {text}: expected a time such as 90m, 6h, 2d or 1h30m.")
    return hours


def schedule(deadline_hours: float, cpu_hours: float, num_videos: int, videos_per_part: int) -> tuple[int, float]:
    """The fewest cores that cut all parts by the deadline, and the hours they take.

    Every video counts as the mean one. No core at all, and the hours of one part: a part alone takes longer.
    """
    num_parts = math.ceil(num_videos / videos_per_part)
    part_hours = cpu_hours / num_videos * min(videos_per_part, num_videos)
    rounds = min(num_parts, math.floor(deadline_hours / part_hours)) if part_hours else num_parts
    if not rounds:
        return 0, part_hours
    num_cores = math.ceil(num_parts / rounds)
    return num_cores, math.ceil(num_parts / num_cores) * part_hours


def advise(deadline_hours: float, cpu_hours: float, num_videos: int, videos_per_part: int) -> str:
    """The cores that meet a deadline, in words; where parts are too large for it, the size that is not."""
    num_cores, hours = schedule(deadline_hours, cpu_hours, num_videos, videos_per_part)
    if num_cores:
        return f"{format_cores(num_cores)}, in {format_hours(hours)}."
    fitting = math.floor(deadline_hours / (cpu_hours / num_videos))
    if not fitting:
        return f"cannot be met: one video takes {format_hours(cpu_hours / num_videos)}, and one core cuts it."
    smaller = max(1, fitting // ROUNDS)
    fewest, wall_hours = schedule(deadline_hours, cpu_hours, num_videos, smaller)
    return (
        f"cannot be met: one core cuts a part, and a part of {min(videos_per_part, num_videos)} videos takes "
        f"{format_hours(hours)}. With --set collecting.videos_per_part={smaller}: {format_cores(fewest)}, in "
        f"{format_hours(wall_hours)}."
    )


def format_cores(num_cores: int) -> str:
    """`1 core`, `12 cores`."""
    return f"{num_cores} core{'s' * (num_cores != 1)}"


def format_hours(hours: float) -> str:
    """A time in its own unit: `36 s`, `90 min`, `5.2 h`, `3.1 days`."""
    for limit_hours, per_hour, unit in ((2 / 60, 3600, "s"), (2, 60, "min"), (72, 1, "h")):
        if hours < limit_hours:
            return f"{hours * per_hour:.2g} {unit}"
    return f"{hours / 24:.3g} days"
