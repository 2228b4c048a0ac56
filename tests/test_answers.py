"""Answers as files that other programs read: every value as it is stored, in order, and no text as markup."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.reports.querying import query
from pipeline.storage import files
from pipeline.storage.layout import SETTINGS_FILE
from pipeline.storage.workspace import Workspace
from tests.helpers.command import earshot


@pytest.fixture
def root(workspace: Workspace) -> str:
    files.commit_bytes(workspace.uri(SETTINGS_FILE), b"{}")
    return workspace.root


VECTOR = ",".join(str(x / 4) for x in range(300))
# name: SQL, as CSV has it, as JSON has it
EXACT = {
    "big": ("9007199254740993", "9007199254740993", 9007199254740993),  # 2**53 + 1: no float64
    "total": ("(SELECT sum(x) FROM (VALUES (1), (2)) t(x))", "3", 3),
    "huge": ("170141183460469231731687303715884105727::HUGEINT", str(2**127 - 1), 2**127 - 1),
    "price": ("1.10::DECIMAL(5, 2)", "1.10", 1.1),
    "third": ("1 / 3", "0.3333333333333333", 1 / 3),
    "single": ("0.1::FLOAT", "0.1", 0.1),
    "small": ("3e-7::DOUBLE", "3e-07", 3e-7),
    "endless": ("'inf'::DOUBLE", "inf", None),
    "missing": ("NULL::BIGINT", "", None),
    "empty": ("''", '""', ""),
    "quoted": ("'a,\"b'", '"a,""b"', 'a,"b'),
    "lines": ("'a' || chr(10) || 'b'", '"a\nb"', "a\nb"),
    "foreign": ("'Grüße 音'", "Grüße 音", "Grüße 音"),
    "listed": ("[1.5::DOUBLE, NULL, 'nan'::DOUBLE]", '"[1.5,null,null]"', [1.5, None, None]),
    "packed": ("{'a': 1, 'b': [0.1::FLOAT]}", '"{""a"":1,""b"":[0.1]}"', {"a": 1, "b": [0.1]}),
    "mapped": (
        "MAP {'a': 'nan'::DOUBLE, 'b': 0.5}",
        '"{""a"":null,""b"":0.5}"',
        {"a": None, "b": 0.5},
    ),
    "nested": ("MAP {1: [0.1::FLOAT, 'inf']}", '"{""1"":[0.1,null]}"', {"1": [0.1, None]}),
    "day": ("DATE '2026-11-30'", "2026-11-30", "2026-11-30"),
    "yes": ("true", "true", True),
    "vector": ("list_transform(range(300), lambda x: x / 4)", f'"[{VECTOR}]"', [x / 4 for x in range(300)]),
}


@pytest.mark.parametrize("name", EXACT)
def test_every_value_comes_out_as_it_is_stored(root: str, name: str, tmp_path: Path) -> None:
    sql, as_csv, as_json = EXACT[name]
    select = f"SELECT {sql} AS x"
    code, out, _ = earshot("query", "--root", root, "--format", "csv", select)
    assert code == 0
    assert out == f"x\n{as_csv}\n"
    for form, rows in (("json", json.loads), ("jsonl", lambda text: [json.loads(text)])):
        code, out, _ = earshot("query", "--root", root, "--format", form, select)
        assert code == 0
        assert rows(out) == [{"x": as_json}]
    (stored,) = query(Workspace(root), select).to_pylist()
    target = tmp_path / "answer.parquet"
    assert earshot("query", "--root", root, "--out", str(target), select)[0] == 0
    assert repr(pq.read_table(target).to_pylist()) == repr([stored])


def test_many_rows_come_in_their_order(root: str) -> None:
    select = "SELECT range AS n, (range * 7919) % 100003 AS x FROM range(250000) ORDER BY x, n"
    code, out, _ = earshot("query", "--root", root, "--format", "csv", select)
    assert code == 0
    expected = sorted(range(250_000), key=lambda n: (n * 7919 % 100_003, n))
    assert [int(line.partition(",")[0]) for line in out.splitlines()[1:]] == expected


def test_markdown_is_a_table_whose_text_is_no_markup(root: str) -> None:
    select = "SELECT 12 AS n, '<b>|*a*' || chr(10) || '[x](y)' AS name, NULL::INT AS nothing"
    code, out, _ = earshot("query", "--root", root, "--format", "markdown", select)
    assert code == 0
    escaped = r"\<b\>\|\*a\* \[x\](y)"
    assert out == f"| n | name | nothing |\n| ---: | --- | ---: |\n| 12 | {escaped} |  |\n"
