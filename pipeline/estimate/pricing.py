"""Prices of cores, reading and storage: a table (TOML) that the user can edit."""

import tomllib

from pydantic import NonNegativeFloat

from pipeline.config import config_dataclass
from pipeline.errors import ConfigError, DataError
from pipeline.storage import files


@config_dataclass
class Prices:
    """The fields of a price table, in its currency; 0 for what is not paid."""

    currency: str
    """Printed with every amount."""
    source: str
    """Where the numbers come from, and their date."""
    per_core_hour: NonNegativeFloat
    """One core for one hour."""
    per_gb_read: NonNegativeFloat
    """One GB (10^9 bytes) of video read: from another region, or out of a bucket."""
    per_gb_month: NonNegativeFloat
    """One GB of clips stored for a month."""


def read_prices(uri: str) -> Prices:
    """A price table.

    Raises:
        ConfigError: no such file, no TOML, or a field that is missing, unknown, not a number, or below 0.
    """
    try:
        return Prices(**tomllib.loads(files.read_bytes(uri).decode()))
    except (DataError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{uri}: cannot be read as TOML ({error}). Copy cluster/prices.toml to start.") from error
    except ConfigError as error:
        raise ConfigError(
            f"{uri}: {error} cluster/prices.toml is a valid table; 0 is for what you do not pay."
        ) from error
