"""What `earshot plan` prints: an estimate as the rows of a table, its prices, and the cores that meet a deadline."""

import math

from pipeline.estimate.deadlines import schedule
from pipeline.estimate.estimating import Estimate
from pipeline.estimate.pricing import Prices
from pipeline.formatting import format_bytes, format_hours, format_number

GB = 1e9
ROWS = (
    ("videos", "videos", format_number),
    ("usable videos", "usable_videos", format_number),
    ("length of video", "video_hours", format_hours),
    ("size of video files", "read_bytes", format_bytes),
    ("clips", "clips", format_number),
    ("size of clips", "tar_bytes", format_bytes),
    ("parts", "parts", format_number),
    ("CPU time", "cpu_hours", format_hours),
)


def table(found: Estimate, took: dict[str, float], prices: Prices) -> list[list[str]]:
    """Label, estimate, range and any actual figure of each quantity, and of the cost of each that has a price."""
    costs = (
        ("for cores", "cpu_hours", prices.per_core_hour),
        ("for reading", "read_bytes", prices.per_gb_read / GB),
        ("per month of storage", "tar_bytes", prices.per_gb_month / GB),
    )
    priced = [(f"{prices.currency} {what}", name, format_number, price) for what, name, price in costs if price]
    cells = []
    for label, name, text, scale in [*((*row, 1.0) for row in ROWS), *priced]:
        value, low, high = (text(scale * end) for end in found.ranges[name])
        span = f"{low} or more" if math.isinf(found.ranges[name].high) else f"{low} to {high}" if low != high else ""
        reached = [text(scale * took[name]) if name in took else "-"] if took else []
        cells.append([label, value, span, *reached])
    return cells


def deadline_note(deadline_hours: float, found: Estimate, videos_per_part: int) -> str:
    """The cores that meet a deadline at the upper end of the CPU time."""
    cpu_hours, num_videos = found.ranges["cpu_hours"].high, round(found.ranges["videos"].value)
    if math.isinf(cpu_hours):
        return "unknown, because so small a sample gives no upper end of the CPU time. Use a larger --sample."
    num_cores, hours = schedule(deadline_hours, cpu_hours, num_videos, videos_per_part)
    if num_cores:
        return f"{num_cores} or more cores; {num_cores} take up to {format_hours(hours)}."
    return (
        f"cannot be met: one core cuts a part, and a part of {min(videos_per_part, num_videos)} videos takes up to "
        f"{format_hours(hours)}. Lower collecting.videos_per_part."
    )
