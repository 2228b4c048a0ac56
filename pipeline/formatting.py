"""Numbers as text, in one format for the terminal, the report page and its charts; and the time, for records."""

import collections
import datetime
import difflib
from collections.abc import Iterable, Mapping

# Below each limit in hours: how many of the unit make an hour, and the unit.
TIMES = ((2 / 60, 3600, "s"), (2, 60, "min"), (72, 1, "h"))
SIZES = ((1e6, 1e3, "kB"), (1e9, 1e6, "MB"), (1e12, 1e9, "GB"))


def format_number(value: float | None, digits: int = 3) -> str:
    """Significant digits, a space between thousands; whole numbers exactly; `-` for None.

    >>> format_number(1234567), format_number(98765.4), format_number(-0.012345), format_number(98765.4, digits=6)
    ('1 234 567', '98 800', '-0.0123', '98 765.4')
    >>> format_number(0.0000123), format_number(1e20), format_number(float("nan")), format_number(None)
    ('1.23e-05', '1e+20', 'nan', '-')
    """
    if value is None:
        return "-"
    if not abs(value) < 1e15:  # not a count: also infinities and NaN
        return f"{value:.{digits}g}"
    rounded = value if value == round(value) else float(f"{value:.{digits}g}")
    text = f"{rounded:,.0f}" if rounded == round(rounded) else f"{rounded:,.{digits}g}"
    return text.replace(",", " ")


def format_counts(counts: Mapping[str, float]) -> str:
    """Counts with their names, without the zeros.

    >>> format_counts({"kept": 1141, "silent": 59, "too_short": 0})
    '1 141 kept, 59 silent'
    """
    return ", ".join(f"{format_number(count)} {name}" for name, count in counts.items() if count)


def format_figure(value: float | None, unit: str, low: float | None = None, high: float | None = None) -> str:
    """A ratio (unit "1") with three decimals, any other figure with one decimal and its unit; `-` for None.

    With its interval in brackets, where it has one.

    >>> format_figure(8.117, "dB"), format_figure(-0.04, "dB"), format_figure(0.5, "1"), format_figure(None, "dB")
    ('8.1 dB', '0.0 dB', '0.500', '-')
    >>> format_figure(8.117, "dB", 6.5, 9.96), format_figure(0.5, "1", 0.25, 0.75)
    ('8.1 dB [6.5, 10.0]', '0.500 [0.250, 0.750]')
    """
    if value is None:
        return "-"
    decimals = 3 if unit == "1" else 1
    text, *bounds = (
        f"{round(number, decimals) + 0.0:.{decimals}f}"  # -0.0 becomes 0.0
        for number in (value, low, high)
        if number is not None
    )
    interval = f" [{', '.join(bounds)}]" if bounds else ""
    return text + ("" if unit == "1" else f" {unit}") + interval


def format_difference(first: str, second: str) -> str:
    """Where two texts that look alike differ first: the characters of each, with their code points.

    >>> format_difference("Caf\\u00e9.mp4", "Cafe\\u0301.mp4")
    '`\u00e9` (U+00E9) in one and `e\u0301` (U+0065 U+0301) in the other'
    """
    edits = difflib.SequenceMatcher(None, first, second, autojunk=False).get_opcodes()
    begin, end, other_begin, other_end = next(tuple(places) for kind, *places in edits if kind != "equal")
    ends = first[begin:end], second[other_begin:other_end]
    one, other = (f"`{text}` ({' '.join(f'U+{ord(letter):04X}' for letter in text) or 'nothing'})" for text in ends)
    return f"{one} in one and {other} in the other"


def format_hours(hours: float) -> str:
    """A time in a readable unit.

    >>> [format_hours(hours) for hours in (0.01, 1.5, 5.25, 74.4)]
    ['36 s', '90 min', '5.25 h', '3.1 days']
    """
    for limit, per_hour, unit in TIMES:
        if hours < limit:
            return f"{format_number(hours * per_hour)} {unit}"
    return f"{format_number(hours / 24)} days"


def format_bytes(size_bytes: float) -> str:
    """A size in a readable decimal unit.

    >>> [format_bytes(size) for size in (512, 85_300, 4.2e9, 3e13)]
    ['0.512 kB', '85.3 kB', '4.2 GB', '30 TB']
    """
    for limit, unit_bytes, unit in SIZES:
        if size_bytes < limit:
            return f"{format_number(size_bytes / unit_bytes)} {unit}"
    return f"{format_number(size_bytes / 1e12)} TB"


def short_names(addresses: Iterable[str]) -> dict[str, str]:
    """Of each address the shortest end, in whole folders, that no other one ends with.

    >>> list(short_names(["/a/dog.mp4", "/b/dog.mp4", "/b/cat.mp4", "/b/cat.mp4"]).values())
    ['a/dog.mp4', 'b/dog.mp4', 'cat.mp4']
    """
    left = {address: address.split("/") for address in addresses}
    names: dict[str, str] = dict.fromkeys(left, "")
    length = 1
    while left:
        ends = {address: "/".join(folders[-length:]) for address, folders in left.items()}
        counts = collections.Counter(ends.values())
        done = [address for address, folders in left.items() if counts[ends[address]] == 1 or length >= len(folders)]
        for address in done:
            names[address] = ends[address]
            del left[address]
        length += 1
    return names


def format_now() -> str:
    """The time, UTC, ISO 8601, in whole seconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
