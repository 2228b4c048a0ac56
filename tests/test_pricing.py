"""Prices: a bill is arithmetic, requests are what boto3 sends, and a bad table is refused by the field's name."""

import collections
import dataclasses
import math
import tomllib
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.estimate.pricing import PIECE_BYTES, Bill, Prices, Quantities, bill, read_prices, requests
from pipeline.storage import files, s3

EXAMPLES = Path(__file__).parent.parent / "cluster" / "prices.toml"
PRICES = Prices(
    currency="EUR",
    source="a test",
    per_core_hour=0.5,
    per_gb_month=0.25,
    per_gb_read=2.0,
    per_1000_puts=10.0,
    per_1000_gets=1.0,
)
WORK = Quantities(videos=100, usable=90, hours=5, clips=1000, gigabytes=4, gigabytes_read=3, cpu_hours=8, parts=10)


def table(path: Path, changes: dict[str, str | None]) -> str:
    """The examples with fields replaced by TOML text, or left out."""
    values = {"currency": '"EUR"', "source": '"x"', "per_core_hour": "1", "per_gb_month": "1", "per_gb_read": "1"}
    values |= {"per_1000_puts": "1", "per_1000_gets": "1"}
    lines = [f"{name} = {text}" for name, text in (values | changes).items() if text is not None]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_a_bill_is_quantities_times_prices() -> None:
    # a tar of 400 MB is 48 pieces and two requests around them, beside four tables
    puts, gets = 10 * (4 + 48 + 2), 100 + 10
    assert (puts, gets) == requests(WORK)
    found = bill(WORK, PRICES)
    expected = Bill(cores=8 * 0.5, reading=3 * 2.0, requests=puts * 0.01 + gets * 0.001, storage_per_month=4 * 0.25)
    assert found == expected
    assert found.once == pytest.approx(4 + 6 + 5.4 + 0.11)


def test_what_is_not_known_is_not_billed_as_nothing() -> None:
    unknown = dataclasses.replace(WORK, cpu_hours=math.nan, gigabytes_read=math.nan)
    assert math.isnan(bill(unknown, PRICES).once)
    free = dataclasses.replace(PRICES, per_core_hour=0.0, per_gb_read=0.0)
    assert bill(unknown, free).once == bill(unknown, free).requests > 0  # whatever they are, they cost nothing
    assert bill(unknown, free).requests <= bill(WORK, PRICES).requests


def test_a_range_without_an_end_has_a_bill_without_an_end() -> None:
    endless = dataclasses.replace(WORK, gigabytes=math.inf)
    assert bill(endless, PRICES).once == bill(endless, PRICES).storage_per_month == math.inf
    free = dataclasses.replace(PRICES, per_gb_month=0.0)
    assert bill(endless, free).storage_per_month == 0


@pytest.mark.parametrize("size_bytes", [1000, PIECE_BYTES - 1, PIECE_BYTES + 1, 3 * PIECE_BYTES + 5])
def test_files_are_counted_as_many_requests_as_the_client_sends(
    size_bytes: int, s3_bucket: str, tmp_path: Path
) -> None:
    sent: collections.Counter[str] = collections.Counter()
    client = s3.client("earshot")
    client.meta.events.register("before-send.s3", lambda request, **_: sent.update([request.method]))
    uri = f"{s3_bucket}/requests/{size_bytes}"
    try:
        with files.building(uri) as path:
            path.write_bytes(bytes(size_bytes))
        written = sent.total()
        with files.local_copy(uri):
            pass
    finally:
        client.meta.events.unregister("before-send.s3")
    none = Quantities(videos=0, usable=0, hours=0, clips=0, gigabytes=0, gigabytes_read=0, cpu_hours=0, parts=0)
    tar = requests(dataclasses.replace(none, parts=1, gigabytes=size_bytes / 1e9))
    video = requests(dataclasses.replace(none, videos=1, gigabytes_read=size_bytes / 1e9))
    assert written == tar[0] - 4  # its four tables
    assert sent.total() - written == video[1]


def test_the_examples_are_a_whole_table_that_says_so() -> None:
    found = read_prices(str(EXAMPLES))
    assert "example numbers" in found.source
    assert dataclasses.asdict(found) == tomllib.loads(EXAMPLES.read_text())


def test_whole_numbers_and_tables_in_a_bucket_are_read(s3_bucket: str, tmp_path: Path) -> None:
    path = table(tmp_path / "prices.toml", {"per_core_hour": "3", "currency": '"¥"'})
    files.commit_bytes(f"{s3_bucket}/prices.toml", Path(path).read_bytes())
    found = read_prices(f"{s3_bucket}/prices.toml")
    assert found == read_prices(path)
    assert (found.per_core_hour, found.currency) == (3.0, "¥")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"per_gb_read": None}, "no field `per_gb_read`"),
        ({"per_gb_month": "-0.1"}, "per_gb_month = -0.1, expected a number, 0 or more"),
        ({"per_gb_month": "nan"}, "per_gb_month = nan"),
        ({"per_gb_month": "inf"}, "per_gb_month = inf"),
        ({"per_core_hour": "true"}, "per_core_hour = True"),
        ({"per_core_hour": '"0.1"'}, "per_core_hour = '0.1'"),
        ({"currency": "1"}, "currency = 1, expected a text"),
        ({"source": '"a\\nb"'}, "source = 'a\\nb', expected a text of one line"),
        ({"per_gpu_hour": "1"}, "unknown field `per_gpu_hour`. Known: currency, source, per_core_hour"),
        ({"per_core_hour": "1 EUR"}, "cannot be read as TOML"),
    ],
)
def test_a_bad_table_is_refused_by_the_name_of_the_field(
    changes: dict[str, str | None], says: str, tmp_path: Path
) -> None:
    path = table(tmp_path / "prices.toml", changes)
    with pytest.raises(ConfigError) as caught:
        read_prices(path)
    assert says in str(caught.value)
    assert path in str(caught.value)


def test_a_table_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for name in ("nothing.toml", "binary.toml"):
        with pytest.raises(ConfigError, match=f"{name}: cannot be read"):
            read_prices(str(tmp_path / name))
