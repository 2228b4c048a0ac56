"""How many cores meet a deadline: each part is cut by one core, and each core cuts its parts one after another.

So a core that has time for 2.9 parts cuts 2, and more cores than parts do not help.
"""

import math
import re

from pipeline.errors import ConfigError

DURATION = re.compile("".join(rf"(?:([0-9]+(?:\.[0-9]+)?){unit})?" for unit in "dhms"))
UNITS_H = (24, 1, 1 / 60, 1 / 3600)


def parse_hours(text: str) -> float:
    """Hours of `90m`, `6h`, `2d` or `1h30m`.

    >>> parse_hours("1h30m")
    1.5

    Raises:
        ConfigError: the text has another form, or is 0.
    """
    match = DURATION.fullmatch(text.strip().lower())
    numbers = match.groups() if match else ()
    hours = sum(float(number) * unit for number, unit in zip(numbers, UNITS_H, strict=False) if number)
    if not 0 < hours < math.inf:
        raise ConfigError(f"deadline {text}: expected a time above 0, such as 90m, 6h, 2d or 1h30m.")
    return hours


def schedule(deadline_hours: float, cpu_hours: float, num_videos: int, videos_per_part: int) -> tuple[int, float]:
    """The fewest cores that cut all parts by the deadline, and the hours they take; every video counts as the mean one.

    Where a single part takes longer than the deadline: 0 cores, and the hours of a part.
    """
    num_parts = math.ceil(num_videos / videos_per_part)
    part_hours = cpu_hours / num_videos * min(videos_per_part, num_videos)
    rounds = min(num_parts, math.floor(deadline_hours / part_hours)) if part_hours else num_parts
    if not rounds:
        return 0, part_hours
    num_cores = math.ceil(num_parts / rounds)
    return num_cores, math.ceil(num_parts / num_cores) * part_hours
