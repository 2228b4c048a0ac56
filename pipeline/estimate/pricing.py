"""What work costs: quantities times the prices of a table (TOML) that the user can edit.

The requests are counted as if everything lay in a bucket, from what cutting reads and writes there: that is a price's
business, and a price may be 0.
"""

import dataclasses
import math
import tomllib
from typing import Any

from pipeline.errors import ConfigError, DataError
from pipeline.storage import files

GB = 1e9
# boto3 writes larger files in pieces of this size, one request each.
PIECE_BYTES = 8 * 2**20
# Beside its tar, a part writes its rows of collection/, clips/, videos/ and usage/.
TABLES_PER_PART = 4


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Prices:
    """The fields of a price table, in its currency."""

    currency: str
    """Printed behind every amount."""
    source: str
    """Where the numbers come from, and of when."""
    per_core_hour: float
    """One core for one hour."""
    per_gb_month: float
    """One GB stored for a month."""
    per_gb_read: float
    """One GB of video read: from another region, or out of a bucket."""
    per_1000_puts: float
    """A thousand requests that write."""
    per_1000_gets: float
    """A thousand requests that read."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Quantities:
    """What cutting a collection takes and gives; NaN where it is not known."""

    videos: float
    usable: float
    """Videos that give at least one clip."""
    hours: float
    """Of video."""
    clips: float
    """Kept ones."""
    gigabytes: float
    """Of tars."""
    gigabytes_read: float
    """Of video files."""
    cpu_hours: float
    parts: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Bill:
    """What quantities cost, by what is paid for."""

    cores: float
    reading: float
    requests: float
    storage_per_month: float

    @property
    def once(self) -> float:
        """All but the storage."""
        return self.cores + self.reading + self.requests


def bill(quantities: Quantities, prices: Prices) -> Bill:
    """The price of cutting, and of keeping its tars for a month."""
    puts, gets = requests(quantities)
    return Bill(
        cores=_cost(quantities.cpu_hours, prices.per_core_hour),
        reading=_cost(quantities.gigabytes_read, prices.per_gb_read),
        requests=_cost(puts / 1000, prices.per_1000_puts) + _cost(gets / 1000, prices.per_1000_gets),
        storage_per_month=_cost(quantities.gigabytes, prices.per_gb_month),
    )


def _cost(quantity: float, price: float) -> float:
    """Nothing where the price is 0, also if the quantity is not known or has no end."""
    return quantity * price if price else 0.0


def requests(quantities: Quantities) -> tuple[float, float]:
    """Requests that write and that read, taking every part for as large as the mean.

    Writing: the part's tables, and its tar: one request, or above PIECE_BYTES one per piece and two around them.
    Reading: every video as one stream, and the part's rows of collection/.
    """
    pieces = quantities.gigabytes * GB / max(1, quantities.parts) / PIECE_BYTES
    per_tar = math.ceil(pieces) + 2 if 1 < pieces < math.inf else max(1, pieces)
    return quantities.parts * (TABLES_PER_PART + per_tar), quantities.videos + quantities.parts


def read_prices(uri: str) -> Prices:
    """A price table.

    Raises:
        ConfigError: no such file, no TOML, or a field that is missing, unknown, not a number, or below 0.
    """
    try:
        values = tomllib.loads(files.read_bytes(uri).decode())
    except (DataError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"--prices {uri}: cannot be read as TOML ({error}). Start from a copy of cluster/prices.toml."
        ) from error
    kinds = {field.name: field.type for field in dataclasses.fields(Prices)}
    for name in values.keys() - kinds.keys():
        raise ConfigError(f"--prices {uri}: unknown field `{name}`. Known: {', '.join(kinds)}.")
    return Prices(**{name: _value(values, name, kind, uri) for name, kind in kinds.items()})


def _value(values: dict[str, Any], name: str, kind: Any, uri: str) -> Any:
    if name not in values:
        raise ConfigError(f"--prices {uri}: no field `{name}`. Add it; 0 is what you do not pay for.")
    value = values[name]
    if kind is str:
        if isinstance(value, str) and value.isprintable():
            return value
        raise ConfigError(f"--prices {uri}: {name} = {value!r}, expected a text of one line.")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ConfigError(f"--prices {uri}: {name} = {value!r}, expected a number, 0 or more.")
    return float(value)
