"""Prices of cores, reading and storage: a table (TOML) that the user can edit."""

import dataclasses
import math
import tomllib

from pipeline.errors import ConfigError, DataError
from pipeline.storage import files


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Prices:
    """The fields of a price table, in its currency."""

    currency: str
    """Printed with every amount."""
    source: str
    """Where the numbers come from, and their date."""
    per_core_hour: float
    """One core for one hour."""
    per_gb_read: float
    """One GB (10^9 bytes) of video read: from another region, or out of a bucket."""
    per_gb_month: float
    """One GB of clips stored for a month."""


def read_prices(uri: str) -> Prices:
    """A price table.

    Raises:
        ConfigError: no such file, no TOML, or a field that is missing, unknown, not a number, or below 0.
    """
    try:
        values = tomllib.loads(files.read_bytes(uri).decode())
    except (DataError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"{uri}: cannot be read as TOML ({error}). Start from a copy of cluster/prices.toml."
        ) from error
    kinds = {field.name: field.type for field in dataclasses.fields(Prices)}
    for name in values.keys() ^ kinds.keys():
        raise ConfigError(
            f"{uri}: {'unknown' if name in values else 'no'} field `{name}`. Expected: {', '.join(kinds)}."
        )
    for name, value in values.items():
        if kinds[name] is str and not isinstance(value, str):
            raise ConfigError(f"{uri}: {name} = {value!r}, expected a text.")
        if kinds[name] is float and not (type(value) in (int, float) and 0 <= value < math.inf):
            raise ConfigError(f"{uri}: {name} = {value!r}, expected a number, 0 or more.")
    return Prices(**values)
