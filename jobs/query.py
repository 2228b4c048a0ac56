"""Answers of SQL queries over the workspace's tables: for a terminal, or as a file that other programs read."""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from jobs.console.options import ReadRoot
from jobs.console.progress import printable
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

MAX_ROWS = 50
CHUNK = 2**20
Format = Literal["table", "csv", "json", "jsonl", "markdown", "parquet"]


def command(
    root: ReadRoot,
    sql: Annotated[str | None, typer.Argument(help="One SELECT, in DuckDB's SQL, over the views of --columns.")] = None,
    file: Annotated[
        str | None, typer.Option(help="File with the SELECT in place of SQL; - for standard input.")
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="Your own .csv, .tsv or .parquet as a further view. Repeatable."),
    ] = None,
    columns: Annotated[bool, typer.Option("--columns", help="List every view's columns, units and meaning.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show how it would be answered; run nothing.")] = False,
    format: Annotated[
        Format | None,
        typer.Option(help="table shows 50 rows, the others give all. Default: by the name of --out; else table."),
    ] = None,
    out: Annotated[str | None, typer.Option(help="File or s3:// address to write the answer to.")] = None,
) -> None:
    """Answer an SQL query over the tables of a workspace.

    Reads the tables that the query names; --columns lists their columns. Writes nothing but --out. Beside DuckDB's own
    functions there are median_interval(x, video_id) and mean_interval(x, video_id): a figure with its 95 % interval.

    Example: earshot query --root my_workspace "SELECT eval_set, median(si_snr_db) FROM examples GROUP BY 1"
    """
    from pipeline.reports.querying import describe_table, stream
    from pipeline.reports.querying import explain as plan
    from pipeline.storage.workspace import open_workspace

    workspace = open_workspace(root)
    text = _read_sql(sql, file)
    if columns or text is None:
        _give(describe_table(workspace).to_reader(), format, out, None)
        if not columns:
            raise ConfigError("earshot query: no SQL given. Above are the views; see `earshot query --help`.")
        return
    own = dict(_own_table(given) for given in table or [])
    if explain:
        print(plan(workspace, text, own))
        return
    _check_out(out, workspace.root)
    with stream(workspace, text, own) as reader:
        _give(reader, format, out, MAX_ROWS)


def _read_sql(sql: str | None, file: str | None) -> str | None:
    """The SQL of the argument, a file or standard input; None if none is given."""
    if sql is not None and file is not None:
        raise ConfigError("earshot query: SQL and --file: expected one of them.")
    if file is None:
        return sql
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--file {file}: {error}. Expected a text file with one SELECT.") from error


def _own_table(given: str) -> tuple[str, str]:
    """Name and address of NAME=FILE."""
    name, equals, uri = given.partition("=")
    if not equals:
        raise ConfigError(f"--table {given}: expected NAME=FILE, such as --table votes=votes.csv.")
    return name, uri


def _check_out(out: str | None, root: str) -> None:
    """Refuse an address within the root, where only stages write."""
    from pipeline.storage import files

    if out is not None and f"{files.absolute(out)}/".startswith(f"{files.absolute(root)}/"):
        raise ConfigError(f"--out {out}: expected a place outside the root {root}, where only stages write.")


def _give(reader: "pa.RecordBatchReader", form: Format | None, out: str | None, limit: int | None) -> None:
    """Print the answer, or write it to `out`; a table shows at most `limit` rows."""
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
        print(f"query: {num_rows} rows -> {out}")
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
