"""Prices: a bad table is refused by the name of the field, the examples say that they are examples."""

import dataclasses
import tomllib
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.estimate.pricing import read_prices
from pipeline.storage import files

EXAMPLES = Path(__file__).parent.parent / "cluster" / "prices.toml"


def price_table(path: Path, changes: dict[str, str | None]) -> str:
    """A table of ones with fields replaced by TOML text, or left out."""
    values = {"currency": '"EUR"', "source": '"x"', "per_core_hour": "1", "per_gb_month": "1", "per_gb_read": "1"}
    lines = [f"{name} = {text}" for name, text in (values | changes).items() if text is not None]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_the_examples_are_a_whole_table_that_says_so() -> None:
    found = read_prices(str(EXAMPLES))
    assert "example numbers" in found.source
    assert dataclasses.asdict(found) == tomllib.loads(EXAMPLES.read_text())


def test_whole_numbers_and_tables_in_a_bucket_are_read(s3_bucket: str, tmp_path: Path) -> None:
    path = price_table(tmp_path / "prices.toml", {"per_core_hour": "3", "currency": '"¥"'})
    files.commit_bytes(f"{s3_bucket}/prices.toml", Path(path).read_bytes())
    found = read_prices(f"{s3_bucket}/prices.toml")
    assert found == read_prices(path)
    assert (found.per_core_hour, found.currency) == (3.0, "¥")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"per_gb_read": None}, "per_gb_read: not given, expected a value"),
        ({"per_gb_month": "-0.1"}, "per_gb_month = -0.1: expected 0"),
        ({"per_gb_month": "nan"}, "per_gb_month = nan"),
        ({"per_gb_month": "inf"}, "per_gb_month = inf"),
        ({"per_core_hour": "true"}, "per_core_hour = true: expected a number"),
        ({"per_core_hour": '"0.1"'}, "per_core_hour = 0.1: expected a number"),
        ({"currency": "1"}, "currency = 1: expected text"),
        ({"per_gpu_hour": "1"}, "per_gpu_hour: no such field"),
        ({"per_core_hour": "1 EUR"}, "cannot be read as TOML"),
    ],
)
def test_a_bad_table_is_refused_by_the_name_of_the_field(
    changes: dict[str, str | None], says: str, tmp_path: Path
) -> None:
    path = price_table(tmp_path / "prices.toml", changes)
    with pytest.raises(ConfigError) as caught:
        read_prices(path)
    assert says in str(caught.value)
    assert path in str(caught.value)


def test_a_table_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for name in ("nothing.toml", "binary.toml"):
        with pytest.raises(ConfigError, match=f"{name}: cannot be read"):
            read_prices(str(tmp_path / name))
