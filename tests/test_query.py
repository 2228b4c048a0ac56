"""`earshot query`: what it prints is safe for a terminal, and exact for the programs that read it."""

import csv
import io
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.cli import main
from pipeline.storage import files
from pipeline.storage.layout import SETTINGS_FILE
from pipeline.storage.tombstones import write_tombstone
from pipeline.storage.workspace import Workspace
from tests.helpers.command import earshot
from tests.helpers.imported import import_rows


@pytest.fixture
def root(workspace: Workspace) -> str:
    files.commit_bytes(workspace.uri(SETTINGS_FILE), b"{}")
    return workspace.root


def test_a_name_moves_no_cursor_and_a_column_is_no_markup(root: str) -> None:
    code, out, err = earshot("query", "--root", root, """SELECT 'a' || chr(27) || ']0;b' AS "[/a]", 1 AS "x[0]" """)
    assert (code, err) == (0, "")
    assert "a?]0;b" in out
    assert "[/a]" in out
    assert "x[0]" in out
    code, _, err = earshot("query", "--root", root, 'SELECT nothing AS "\x1b[31m"')
    assert (code, "\x1b" in err) == (2, False)


def test_a_wrong_column_is_answered_with_those_of_imported_tables_too(root: str) -> None:
    import_rows(Workspace(root), "peav", {"similarity": "DOUBLE"}, {})
    code, _, err = earshot("query", "--root", root, "SELECT simlarity FROM peav")
    assert (code, "peav: clip_id, similarity" in err, "videos: " in err) == (2, True, True)


NUMBERS = "SELECT unnest([512, NULL]) AS n, unnest(['nan', '0.25'])::DOUBLE AS x, unnest(['a,b', 'c'])::VARCHAR AS name"


def test_whole_numbers_stay_whole_beside_a_gap_and_no_number_is_null_in_json(root: str) -> None:
    code, out, _ = earshot("query", "--root", root, "--format", "csv", NUMBERS)
    assert code == 0
    assert list(csv.reader(io.StringIO(out))) == [["n", "x", "name"], ["512", "nan", "a,b"], ["", "0.25", "c"]]
    code, out, _ = earshot("query", "--root", root, "--format", "json", NUMBERS)
    rows = json.loads(out, parse_constant=pytest.fail)
    assert rows == [{"n": 512, "x": None, "name": "a,b"}, {"n": None, "x": 0.25, "name": "c"}]


def test_sql_comes_from_a_file_or_standard_input(root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "q.sql"
    file.write_text("SELECT 1 AS a;\n")
    assert earshot("query", "--root", root, "--format", "csv", "--file", str(file))[:2] == (0, "a\n1\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO("SELECT 2 AS a"))
    assert earshot("query", "--root", root, "--format", "csv", "--file", "-")[:2] == (0, "a\n2\n")
    code, _, err = earshot("query", "--root", root, "--file", str(tmp_path / "gone.sql"))
    assert (code, "gone.sql" in err) == (2, True)
    code, _, err = earshot("query", "--root", root, "--file", str(file), "SELECT 1")
    assert (code, "expected one of them" in err) == (2, True)


def test_a_file_of_ones_own_is_a_view_beside_the_others(root: str, tmp_path: Path) -> None:
    votes = tmp_path / "vo'tes[1].csv"
    votes.write_text("clip,stars\na,5\nb,3\n")
    pq.write_table(pa.table({"clip": ["b", "c"], "n": [7, 8]}), tmp_path / "more.parquet")
    own = ("--table", f"votes={votes}", "--table", f"more={tmp_path}/more.parquet")
    select = "SELECT clip, stars, n FROM votes FULL JOIN more USING (clip) ORDER BY 1"
    assert earshot("query", "--root", root, *own, "--format", "csv", select)[:2] == (
        0,
        "clip,stars,n\na,5,\nb,3,7\nc,,8\n",
    )
    code, _, err = earshot("query", "--root", root, *own, f"SELECT * FROM read_csv('{tmp_path}/vo*.csv')")
    assert code == 2, err  # by its name alone, not by a pattern that would read others too
    for given, said in (
        (f"clips={votes}", "no view of the workspace"),
        (f"median_interval={votes}", "no view of the workspace"),
        (f"order={votes}", "no word of SQL"),
        (f"x y={votes}", "a name of its own"),
        (f"x={tmp_path}/gone.csv", "no such file"),
        (f"x={tmp_path}/q.xlsx", "ends with .csv"),
        ("x", "expected NAME=FILE"),
    ):
        code, _, err = earshot("query", "--root", root, "--table", given, "SELECT 1")
        assert (code, said in err) == (2, True), err


def test_an_answer_goes_to_a_file_whole_or_not_at_all_and_not_into_the_root(root: str, tmp_path: Path) -> None:
    target = tmp_path / "answer.json"
    code, out, _ = earshot("query", "--root", root, "--out", str(target), "SELECT 1 AS a")
    assert (code, out) == (0, f"query: 1 rows -> {target}\n")
    assert json.loads(target.read_text()) == [{"a": 1}]
    code, _, err = earshot("query", "--root", root, "--out", str(target), "SELECT error('no')")
    assert (code, json.loads(target.read_text())) == (2, [{"a": 1}]), err
    assert sorted(path.name for path in tmp_path.iterdir() if "answer" in path.name) == ["answer.json"]
    for out_file, said in (
        (f"{root}/tables/videos/x.csv", "outside the root"),
        (f"{tmp_path}/x.xlsx", "ends with .csv"),
    ):
        code, _, err = earshot("query", "--root", root, "--out", out_file, "SELECT 1")
        assert (code, said in err) == (2, True), err
    code, _, err = earshot("query", "--root", root, "--format", "parquet", "SELECT 1")
    assert (code, "give --out" in err) == (2, True)


def test_the_list_of_columns_and_a_plan_are_printed_as_asked(root: str) -> None:
    code, out, _ = earshot("query", "--root", root, "--columns", "--format", "json")
    assert code == 0
    listed = {(row["view"], row["column"]) for row in json.loads(out)}
    assert {("videos", "license"), ("pairs", "other"), ("best_by_metric", "num_models")} <= listed
    code, out, _ = earshot("query", "--root", root, "--explain", "SELECT count(*) FROM clips WHERE rms_db < -30")
    assert (code, "rms_db" in out) == (0, True)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_key_with_escapes_moves_no_terminal_and_reaches_a_file_as_it_is(
    root: str, is_terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, key = "n\x1b[1m", "a\x1b[2J\x07\u202e\x9b31m"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    monkeypatch.setenv("COLUMNS", "5")  # too narrow for a table: row by row
    letters = " || ".join(f"chr({ord(letter)})" for letter in key)
    for form in ("table", "csv", "json", "jsonl", "markdown"):
        assert main(["query", "--root", root, "--format", form, f'SELECT {letters} AS "{name}"']) == 0
        shown = capsys.readouterr().out
        assert (form == "csv" and not is_terminal) == (key in shown)
        if not is_terminal and form == "json":
            assert json.loads(shown) == [{name: key}]
        harmless = all(letter.isprintable() or letter == "\n" for letter in shown)
        assert harmless or (form in ("csv", "json", "jsonl") and not is_terminal), form


def test_while_a_takedown_is_open_an_answer_is_shown_with_a_warning_and_no_file_is_written(
    root: str, tmp_path: Path
) -> None:
    write_tombstone(Workspace(root), "00000", {"reason": "asked to", "begun": "2026-11-30", "videos": [{}, {}]})
    code, said, err = earshot("query", "--root", root, "--format", "csv", "SELECT 1 AS a")
    assert (code, said) == (0, "a\n1\n")
    assert "a takedown of 2 videos began at 2026-11-30 and has not ended. `earshot takedown --root" in err
    out = tmp_path / "a.csv"
    code, said, err = earshot("query", "--root", root, "--out", str(out), "SELECT 1 AS a")
    assert (code, said, out.exists()) == (2, "", False)
    assert "a takedown of 2 videos" in err
    assert "`earshot takedown --root" in err
