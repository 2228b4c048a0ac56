"""The columns of a collection's table that say whether a video may be used for training.

A column is known by its name, whatever its case and whether its words are joined by `-`, `_` or spaces. An opt-out is
a refusal where it is true, and says nothing where it is false: who did not object has not agreed.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from pipeline.errors import ConfigError
from pipeline.rights.statements import Statement
from pipeline.rights.usage_headers import read_content_usage, read_reservation, read_robots_tag
from schemas.videos import Rights

TRUE, FALSE = ("1", "true", "yes", "y", "t"), ("0", "false", "no", "n", "f")


def find_columns(header: Iterable[str]) -> list[str]:
    """Those names of a table's columns that are of READERS."""
    return [name for name in header if _plain(name) in READERS]


def read_columns(row: Mapping[str, Any], columns: Iterable[str], where: str) -> list[Statement]:
    """What a row says in columns that `find_columns` gave; an empty value says nothing.

    Raises:
        ConfigError: a value of the column `rights` or of an opt-out that is none: it may be a refusal in other words.
    """
    found = []
    for name in columns:
        value = row[name]
        value = value.decode(errors="replace") if isinstance(value, bytes) else value
        if value is None or value != value or not str(value).strip():
            continue
        rights = READERS[_plain(name)](str(value).strip(), name, where)
        found.append(
            Statement(rights, f"column {name}") if rights else Statement("unknown", f"column {name}, not readable")
        )
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-\s]", "_", name.strip().lower())


def _stated(value: str, name: str, where: str) -> Rights:
    plain = _plain(value)
    for rights in get_args(Rights):
        if plain == rights:
            return rights
    raise ConfigError(
        f"{where}: {name} `{value[:80]}`, expected one of {', '.join(get_args(Rights))}. Give the column another name "
        "if it says something else."
    )


def _opt_out(value: str, name: str, where: str) -> Rights:
    if value.lower() in (*TRUE, *FALSE):
        return "no_train" if value.lower() in TRUE else "unknown"
    raise ConfigError(f"{where}: {name} `{value[:80]}`, expected true or false.")


def _of_header(read: Callable[[str], Rights | None]) -> Callable[[str, str, str], Rights | None]:
    return lambda value, name, where: read(value)


# By the name of a column, in the order in which of several refusals one is named.
READERS: Mapping[str, Callable[[str, str, str], Rights | None]] = {
    "rights": _stated,
    **dict.fromkeys(("opt_out", "opted_out", "optout", "no_train", "noai"), _opt_out),
    "content_usage": _of_header(read_content_usage),
    "x_robots_tag": _of_header(read_robots_tag),
    "tdm_reservation": _of_header(read_reservation),
}
