"""CSV rows: values of any sane size, and a quote that swallows no row."""

import csv
from pathlib import Path

import pytest

from pipeline.collection import csv_rows as module
from pipeline.collection.csv_rows import csv_rows


def rows_of(path: Path, text: str) -> list[list[str]]:
    path.write_bytes(text.encode())
    return list(csv_rows(path))


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r"])
def test_rows_are_those_of_the_file_whatever_its_last_line_ends_in(end: str, tmp_path: Path) -> None:
    rows = [["a", "b"], [], ['"quoted"', "two\nlines, one value"], ["", "x" * 200_000]]
    text = f'a,b\n\n"""quoted""","two\nlines, one value"\n,{"x" * 200_000}{end}'
    assert rows_of(tmp_path / "rows.csv", text) == rows
    assert rows_of(tmp_path / "rows.csv", f"\ufeff{text}") == rows
    assert rows_of(tmp_path / "rows.csv", f'{text}\n"quoted","at the end"{end}')[-1] == ["quoted", "at the end"]


@pytest.mark.parametrize("text", ["", "\ufeff"])
def test_an_empty_file_has_no_row(text: str, tmp_path: Path) -> None:
    assert rows_of(tmp_path / "rows.csv", text) == []


@pytest.mark.parametrize("after", ["", "\n", "\nd,e\n" * 1000])
def test_a_quote_that_is_never_closed_is_refused_where_its_row_begins(after: str, tmp_path: Path) -> None:
    with pytest.raises(csv.Error, match="in the row that begins in line 4 is never closed"):
        rows_of(tmp_path / "rows.csv", f'a,b\n"one\ntwo",c\nd,"{after}')


def test_a_value_above_the_bound_is_refused_and_one_at_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_VALUE", 1000)
    assert rows_of(tmp_path / "rows.csv", "x" * 1000) == [["x" * 1000]]
    with pytest.raises(csv.Error, match="field larger than field limit"):
        rows_of(tmp_path / "rows.csv", "x" * 1001)


def test_readings_that_take_turns_share_the_limit_of_the_process(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(f"a\n{'x' * 200_000}\n")
    csv.field_size_limit(131_072)
    one, two = csv_rows(tmp_path / "rows.csv"), csv_rows(tmp_path / "rows.csv")
    assert next(one) == next(two) == ["a"]
    assert list(one) == list(two) == [["x" * 200_000]]
