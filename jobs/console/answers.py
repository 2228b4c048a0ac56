"""Rows that a command answers with: a table for people, or text or a file that other programs read."""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jobs.console.progress import printable
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 2**20
Format = Literal["table", "csv", "json", "jsonl", "markdown", "parquet"]


def check_out(out: str | None, root: str, option: str = "--out") -> None:
    """Refuse an address within the root, where only stages write."""
    from pipeline.storage import files

    if out is not None and f"{files.absolute(out, follow_links=True)}/".startswith(
        f"{files.absolute(root, follow_links=True)}/"
    ):
        raise ConfigError(f"{option} {out}: expected a place outside the root {root}, where only stages write.")


def give(command: str, reader: "pa.RecordBatchReader", form: Format | None, out: str | None, limit: int | None) -> None:
    """Print the rows of a command, or write them to `out`; a table shows at most `limit` of them."""
    from jobs.console.tables import show
    from pipeline.reports.answers import format_of, write_answer
    from pipeline.storage import files

    if form is None:
        form = "table" if out is None else format_of(out)
    if form == "table":
        if out is not None:
            raise ConfigError(f"--out {out}: expected a --format for programs, not table, which shortens.")
        found = reader.read_all()
        show(found.column_names, [list(row.values()) for row in found.slice(0, limit).to_pylist()])
        if limit is not None and len(found) > limit:
            print(f"{len(found)} rows, the first {limit} shown. --format csv gives all.")
    elif out is not None:
        with files.building(out) as path:
            num_rows = write_answer(reader, form, path)
        print(f"{command}: {num_rows} rows -> {out}")
    elif form == "parquet":
        raise ConfigError("--format parquet is no text: give --out FILE.")
    else:
        with tempfile.TemporaryDirectory(prefix="earshot-answer-") as folder:
            path = Path(folder) / "answer"
            write_answer(reader, form, path)
            _print(path)


def _print(path: Path) -> None:
    """Print a text file; a file or a program gets what is stored, a terminal nothing that it would obey."""
    with path.open(newline="") as text:
        if sys.stdout.isatty():
            for line in text:
                print(printable(line.rstrip("\n")))
        else:
            while chunk := text.read(CHUNK):
                sys.stdout.write(chunk)
