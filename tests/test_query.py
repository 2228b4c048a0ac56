"""`earshot query`: what it prints is safe for a terminal, and exact for the programs that read it."""

import csv
import io
import json
import sys

import pyarrow as pa
import pytest

from jobs.query import command
from pipeline.storage import files
from pipeline.storage.layout import SETTINGS_FILE
from pipeline.storage.workspace import Workspace
from tests.helpers.command import earshot


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


NUMBERS = "SELECT unnest([512, NULL]) AS n, unnest(['nan', '0.25'])::DOUBLE AS x, unnest(['a,b', 'c'])::VARCHAR AS name"


def test_whole_numbers_stay_whole_beside_a_gap_and_no_number_is_null_in_json(root: str) -> None:
    code, out, _ = earshot("query", "--root", root, "--format", "csv", NUMBERS)
    assert code == 0
    assert list(csv.reader(io.StringIO(out))) == [["n", "x", "name"], ["512", "nan", "a,b"], ["", "0.25", "c"]]
    code, out, _ = earshot("query", "--root", root, "--format", "json", NUMBERS)
    rows = [json.loads(line, parse_constant=pytest.fail) for line in out.splitlines()]
    assert rows == [{"n": 512, "x": None, "name": "a,b"}, {"n": None, "x": 0.25, "name": "c"}]


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_key_with_escapes_moves_no_terminal_and_reaches_a_file_as_it_is(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, key = "n\x1b[1m", "a\x1b[2J\x07\u202e\x9b31m"
    monkeypatch.setattr("pipeline.storage.workspace.open_workspace", lambda root: None)
    monkeypatch.setattr("pipeline.reports.querying.query", lambda *_: pa.table({name: [key]}))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    monkeypatch.setenv("COLUMNS", "5")  # too narrow for a table: row by row
    for form in ("table", "csv", "json"):
        command("R", "SELECT 1", False, form)
        shown = capsys.readouterr().out
        assert (form == "csv" and not is_terminal) == (key in shown)
        harmless = all(letter.isprintable() or letter == "\n" for letter in shown)
        assert harmless == (form != "csv" or is_terminal), form
