"""Span files: what each row says, whatever the file's form; and rows that cannot be right, by their number."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ConfigError
from pipeline.hashing import hash_bytes
from pipeline.labels.span_files import read_spans

HEADER = "video,start_s,end_s,category"


def read(*spans: Path) -> list[tuple]:
    names = ("video", "start_s", "end_s", "category", "file")
    return [tuple(row[name] for name in names) for row in read_spans([str(path) for path in spans]).table.to_pylist()]


def refusal(*spans: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_spans([str(path) for path in spans])
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\n007,0.5,2,bark\nb,0,0,\n",
        "Category, video ,note,END_S,start_s\r\nbark, 007,x,2.0,5e-1\r\n ,b,,0,0\r\n",
        f"\ufeff{HEADER}\n007,.5,2,bark\n\nb,0,0.0,\n",
    ],
)
def test_a_table_says_the_same_in_any_spelling(text: str, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_bytes(text.encode())
    assert read(tmp_path / "e.csv") == [("007", 0.5, 2.0, "bark", "e.csv"), ("b", 0.0, 0.0, "", "e.csv")]


def test_a_parquet_file_says_the_same_as_the_csv(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text(f"{HEADER}\na,0.5,2,bark\nb,0,0,\n")
    columns = {"video": ["a", "b"], "start_s": [0.5, 0.0], "end_s": [2, 0], "category": ["bark", None]}
    pq.write_table(pa.table(columns), tmp_path / "e.parquet")
    assert [row[:4] for row in read(tmp_path / "e.parquet")] == [row[:4] for row in read(tmp_path / "e.csv")]


@pytest.mark.parametrize("header", ["", "Category&VideoID&Quality&Start&End\n"])
def test_aves_annotations_are_read_with_and_without_their_header(header: str, tmp_path: Path) -> None:
    lines = "Church bell&RUhOCu3LNXM&good&0&10\nMale speech, man speaking&-J2WJaG1Dd4&good&1&4\nBark&x&good&0&0\n"
    (tmp_path / "Annotations.txt").write_text(header + lines)
    assert [row[:4] for row in read(tmp_path / "Annotations.txt")] == [
        ("RUhOCu3LNXM", 0.0, 10.0, "Church bell"),
        ("-J2WJaG1Dd4", 1.0, 4.0, "Male speech, man speaking"),
        ("x", 0.0, 0.0, "Bark"),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("video,start_s,end_s\na,0,1\n", "columns video, start_s, end_s; expected video, start_s, end_s, category"),
        ("", "columns none; expected"),
        (f"{HEADER}\n", "no rows, expected one span or more"),
        (f"{HEADER},video\na,0,1,b,a\n", "2 columns are named video"),
        (f"{HEADER}\n,0,1,bark\n", "row 1: video = '', expected the name of a video"),
        (f"{HEADER}\na,0,1,bark\na,,1,bark\n", "row 2: start_s = '', expected seconds, 0 or more"),
        (f"{HEADER}\na,0,inf,bark\n", "row 1: end_s = 'inf', expected seconds"),
        (f"{HEADER}\na,-1,2,bark\n", "row 1: start_s = '-1', expected seconds"),
        (f"{HEADER}\na,3,2,bark\n", "row 1: start_s = '3', end_s = '2', expected the end after the start"),
        (f"{HEADER}\na,2,2,bark\n", "row 1: start_s = '2', end_s = '2', expected the end after the start"),
        (f"{HEADER}\na,0,2,\n", "row 1: category = '', expected what is seen and heard"),
        ("Bark&a&good&0&1\nBark&a&good&0\n", "row 2: 'Bark&a&good&0', expected Category&VideoID&Quality&Start&End"),
        ("Bark&&good&0&1\n", "row 1: 'Bark&&good&0&1', expected Category&VideoID"),
        ("Bark&a&good&0&x\n", "row 1: start '0', end 'x', expected seconds"),
        ("Bark&a&good&4&4\n", "row 1: start 4, end 4, expected the end after the start"),
        ("Bark&a&good&4&3\n", "row 1: start 4, end 3, expected the end after the start"),
        ("Bark&\udce9&good&0&3\n", "cannot be read"),
    ],
)
def test_a_wrong_span_file_is_refused_by_what_is_where(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_bytes(text.encode(errors="surrogateescape"))
    output = refusal(tmp_path / "e.csv")
    assert says in output
    assert output.startswith(f"spans file {tmp_path / 'e.csv'}")


def test_files_are_found_by_patterns_and_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text(f"{HEADER}\na,0,1,bark\n")
    two.write_text(f"{HEADER}\na,0,1,bell\n")
    found = read_spans([str(two), str(tmp_path / "*.csv")])
    assert found.table["category"].to_pylist() == ["bark", "bell"]
    assert found.contents == {path.name: hash_bytes(path.read_bytes()) for path in (one, two)}
    assert "spans file" in refusal(tmp_path / "no*.csv")
