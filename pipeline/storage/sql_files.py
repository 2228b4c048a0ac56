"""Files of tables as DuckDB's SQL reads them: the reader that a name asks for; paths, texts and names in SQL."""

from pipeline.errors import ConfigError

# By the end of a file's name: DuckDB's function, and the options that it is called with.
READERS = {
    ".csv": ("read_csv", ""),
    ".tsv": ("read_csv", ", delim = '\t'"),
    ".jsonl": ("read_json", ", format = 'newline_delimited'"),
    ".ndjson": ("read_json", ", format = 'newline_delimited'"),
    ".parquet": ("read_parquet", ""),
}
# Options by which each value stays as it is written: 007, and true below 1, are no numbers; JSON's are of type JSON.
AS_TEXT = {
    "read_csv": ", all_varchar = true, header = true",
    "read_json": ", maximum_depth = 1, sample_size = -1",
    "read_parquet": "",
}
GZIPPED = tuple(f"{suffix}.gz" for suffix in READERS if suffix != ".parquet")
TABLE_NAME = r"[a-z][a-z0-9_]{0,99}"
"""Of a view, a table or a column that a user names."""


def select_from_file(path: str, uri: str, as_text: bool = False) -> str:
    """The SELECT of all that a user's file holds.

    Args:
        path: of the file, or of its copy, on this machine.
        uri: its address, whose end says what it is.
        as_text: values of text files are not parsed, but those of JSON are distinguished.
    Raises:
        ConfigError: it ends with none of READERS and GZIPPED.
    """
    name, packed = uri.lower(), ""
    if name.endswith(GZIPPED):
        name, packed = name.removesuffix(".gz"), ", compression = 'gzip'"
    for suffix, (function, options) in READERS.items():
        if name.endswith(suffix):  # a folder `a=b` on the way to the file is no column of it
            options += f"{packed}{AS_TEXT[function] if as_text else ''}, hive_partitioning = false"
            return f"SELECT * FROM {function}({literal(as_pattern(path))}{options})"
    raise ConfigError(f"{uri}: expected a file that ends with {', '.join((*READERS, *GZIPPED))}.")


def as_pattern(path: str) -> str:
    """The pattern that fits this path alone: DuckDB takes each path for one, and `[1]` in it for a `1`.

    >>> as_pattern("/data/run[1]/a*.csv")
    '/data/run[[]1]/a[*].csv'
    """
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in path)


def literal(value: str | list[str]) -> str:
    """A text, or a list of texts, as SQL has it.

    >>> literal(["a", "b's"])
    "['a', 'b''s']"
    """
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    return "'" + value.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A name as SQL has it, whatever letters it is of: quotes in it are doubled."""
    return '"' + name.replace('"', '""') + '"'
