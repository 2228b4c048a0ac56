"""The rows of a CSV file as text, the one way in which Earshot reads one.

Design note: Python refuses values of more than 128 kB, which a transcript in a column that nobody uses may have. Its
limit belongs to the process, so it is set before each reading, to a bound that keeps the memory of a value finite.
With the bound so high, a quote that is never closed would take the rest of the file into its value: it is refused.
"""

import csv
from collections.abc import Generator, Iterator
from pathlib import Path

MAX_VALUE = 1 << 27  # characters


def csv_rows(path: Path) -> Generator[list[str], None, None]:
    """Each row of a CSV in UTF-8, with or without a byte order mark; an empty line is an empty row.

    Raises:
        csv.Error: a value is longer than MAX_VALUE, or a quote is not closed.
        UnicodeDecodeError: the file is not UTF-8.
    """
    csv.field_size_limit(MAX_VALUE)
    is_at_end = False
    with path.open(encoding="utf-8-sig", newline="") as file:

        def lines() -> Iterator[str]:
            nonlocal is_at_end
            yield from file
            is_at_end = True
            yield ""  # a row of its own, unless a quote is open

        reader, line = csv.reader(lines()), 1
        for row in reader:
            if not is_at_end:
                yield row
            elif row:
                raise csv.Error(f"a quote in the row that begins in line {line} is never closed")
            line = reader.line_num + 1
