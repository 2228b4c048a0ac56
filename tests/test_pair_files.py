"""Tables of pairs: the same pairs of CSV, JSON lines and Parquet, and rows that cannot be right."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ConfigError
from pipeline.storage.pair_files import Pair, read_pairs

CSV = """id,picture,sound,picture_start_s,match
007,a.mp4,s3://bucket/b.wav,1.5,1
8,/media/"c.png",d.mp4,,0
9,a.mp4,"e, f.wav",0,
"""
JSONL = """{"id": "007", "picture": "a.mp4", "sound": "s3://bucket/b.wav", "picture_start_s": 1.5, "match": true}
{"picture": "/media/\\"c.png\\"", "sound": "d.mp4", "match": false}
{"picture": "a.mp4", "sound": "e, f.wav", "picture_start_s": 0}
"""


def test_one_table_in_three_forms_is_one_list_of_pairs(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(
        CSV.replace('"c.png"', '""c.png""').replace('/media/""c.png""', '"/media/""c.png"""')
    )
    (tmp_path / "p.jsonl").write_text(JSONL)
    columns = {
        "picture": ["a.mp4", '/media/"c.png"', "a.mp4"],
        "sound": ["s3://bucket/b.wav", "d.mp4", "e, f.wav"],
        "picture_start_s": [1.5, None, 0.0],
        "match": pa.array([1, 0, None], pa.int8()),
    }
    pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    expected = [
        Pair(f"{tmp_path}/a.mp4", "s3://bucket/b.wav", 1.5, None, 1),
        Pair('/media/"c.png"', f"{tmp_path}/d.mp4", None, None, 0),
        Pair(f"{tmp_path}/a.mp4", f"{tmp_path}/e, f.wav", 0.0, None, None),
    ]
    for name in ("p.csv", "p.jsonl", "p.parquet"):
        assert read_pairs(f"{tmp_path}/{name}") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("picture,sound,match\na,b,1\na,b,2\n", r"row 2: match = '2', expected 0, 1 or nothing"),
        ("picture,sound,sound_start_s\na,b,-1\n", r"row 1: sound_start_s = '-1', expected seconds"),
        ("picture,sound,sound_start_s\na,b,nan\n", "row 1: sound_start_s = 'nan'"),
        ("pictures,sound\na,b\n", "columns pictures, sound: expected picture too. Did you mean pictures"),
        ("picture,sound\n", "no rows, expected one pair or more"),
        ("", "columns column0: expected picture too"),
    ],
)
def test_a_table_that_cannot_be_right_is_refused_with_its_row(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_pairs(str(path))


def test_values_stay_as_they_are_written(tmp_path: Path) -> None:
    """A name of digits is no number, and JSON may say 1 in one row and true in the next."""
    (tmp_path / "p.jsonl").write_text(
        '{"picture": "007", "sound": "2026-01-02T03:04:05Z", "match": 1}\n'
        '{"picture": "DEADBEEF-0000-0000-0000-000000000000", "sound": null, "match": true}\n'
        '{"picture": "c", "sound": " d ", "match": "0", "sound_start_s": "0.5"}\n'
    )
    (tmp_path / "p.tsv").write_text("picture\tsound\n007\t1.50\n")
    (tmp_path / "p.csv.gz").write_bytes(gzip.compress(b"picture,sound\n007,1.50\n"))
    assert read_pairs(f"{tmp_path}/p.jsonl", lambda names: names) == [
        Pair("007", "2026-01-02T03:04:05Z", match=1),
        Pair("DEADBEEF-0000-0000-0000-000000000000", "", match=1),
        Pair("c", f"{tmp_path}/d", sound_start_s=0.5, match=0),
    ]
    for name in ("p.tsv", "p.csv.gz"):
        assert read_pairs(f"{tmp_path}/{name}", lambda names: names) == [Pair("007", "1.50")]


def test_a_name_with_a_start_is_an_address_and_one_without_a_known_clip(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("picture,sound,sound_start_s\na,a,0\nb,a,\n")
    here = str(tmp_path)
    assert read_pairs(f"{here}/p.csv", lambda names: names & {"a"}) == [
        Pair("a", f"{here}/a", sound_start_s=0.0),
        Pair(f"{here}/b", "a"),
    ]


def test_no_table_and_no_file_are_refused(tmp_path: Path) -> None:
    for name, message in (("p.txt", "expected a file that ends with"), ("p.parquet", "no such file")):
        with pytest.raises(ConfigError, match=message):
            read_pairs(f"{tmp_path}/{name}")
    (tmp_path / "p.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ConfigError, match="not a readable table"):
        read_pairs(f"{tmp_path}/p.parquet")
