"""Files as SQL reads them: the one that a path names, whatever letters it has, by the reader that its end asks for."""

import gzip
from pathlib import Path

import duckdb
import pytest

from pipeline.errors import ConfigError
from pipeline.storage.sql_files import literal, quoted, select_from_file


@pytest.mark.parametrize("name", ["a*b.csv", "a?b.csv", "a[X]b.csv", "[a]*.csv", "it's.csv", "a]b.csv", "a{X,Y}b.csv"])
def test_a_path_is_the_file_of_that_name_and_no_pattern(tmp_path: Path, name: str) -> None:
    for other in ("aXb.csv", "aYb.csv", "a.csv", name):
        (tmp_path / other).write_text(f'file\n"{other}"\n')
    found = duckdb.sql(select_from_file(str(tmp_path / name), name)).fetchall()
    assert found == [(name,)]


def test_the_end_of_the_address_says_how_the_copy_is_read(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for uri, text in (("s3://b/a.CSV", "x\n1\n"), ("/a.tsv", "x\ty\n1\t2\n"), ("a.ndjson", '{"x": 1}\n')):
        for address, data in ((uri, text.encode()), (f"{uri}.gz", gzip.compress(text.encode()))):
            copy.write_bytes(data)
            assert duckdb.sql(select_from_file(str(copy), address)).fetchall()[0][0] == 1, address
    with pytest.raises(ConfigError, match=r"x\.xlsx: expected a file that ends with \.csv, .*\.jsonl\.gz"):
        select_from_file(str(copy), "x.xlsx")
    with pytest.raises(ConfigError, match=r"x\.parquet\.gz"):  # Parquet is packed within
        select_from_file(str(copy), "x.parquet.gz")


def test_texts_and_names_reach_sql_as_they_are() -> None:
    odd = """it's "quoted" [*] \\ ;--"""
    relation = duckdb.sql(f"SELECT {literal(odd)} AS {quoted(odd)}, {literal([odd, ''])} AS list")
    assert (relation.columns[0], relation.fetchall()) == (odd, [(odd, [odd, ""])])
