"""Messages as machines read them: one schema, and nothing else on stderr."""

import datetime
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from jobs.console import messages, progress
from jobs.console.logs import recording
from jobs.console.messages import VARIABLE, Level, Record, at_work, begin, say
from jobs.console.monitor import Monitor
from pipeline.storage.workspace import Workspace
from tests.helpers.command import earshot

ROOT = Path(__file__).parent.parent


@pytest.fixture
def as_json() -> Iterator[None]:
    begin(["shard", "--log-format", "json"], "shard")
    yield
    begin([], "")


def records(text: str) -> list[dict[str, Any]]:
    """Every line, checked against the schema."""
    found = [json.loads(line) for line in text.splitlines()]
    for record in found:
        assert record.keys() == Record.__annotations__.keys()
        assert datetime.datetime.fromisoformat(record["time"]).tzinfo is datetime.UTC
        assert record["level"] in get_args(Level)
        assert isinstance(record["message"], str)
        for name, kind in (("done", int), ("total", int), ("seconds_to_go", float), ("counts", dict)):
            assert isinstance(record[name], kind | None)
        for name in ("stage", "step", "part", "model"):
            assert isinstance(record[name], str | None)
    return found


@pytest.mark.usefixtures("as_json")
def test_a_message_says_when_where_and_about_what(capsys: pytest.CaptureFixture[str]) -> None:
    say("before", "warning")
    with at_work("clips/base"), at_work("reports/m/default"), at_work(step="evaluate m default"):
        say("at work", "error", part="00042")
    say("after")
    before, inside, after = records(capsys.readouterr().err)
    assert (before["level"], before["command"], before["stage"], before["model"]) == ("warning", "shard", None, None)
    assert (inside["stage"], inside["step"], inside["part"]) == ("reports/m/default", "evaluate m default", "00042")
    assert (inside["model"], inside["level"], inside["message"]) == ("m", "error", "at work")
    assert (after["stage"], after["step"]) == (None, None)


@pytest.mark.usefixtures("as_json")
def test_progress_is_counted_at_the_start_at_the_end_and_every_15_s(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with at_work("models/m"), Monitor(Workspace(str(tmp_path)), ["models/m"], "train coincidence", 100) as monitor:
        for now[0], steps in ((10.0, 10), (14.0, 10), (20.0, 20)):
            monitor.advance(steps, {"train_loss": 1 / steps}, "a note")
    start, later, end = records(capsys.readouterr().err)
    assert (start["done"], start["total"], start["seconds_to_go"], start["counts"]) == (0, 100, None, {})
    # 30 steps in the 10 s after the first result, 60 to go
    assert (later["done"], later["total"], later["seconds_to_go"]) == (40, 100, 20.0)
    assert later["counts"] == {"train_loss": 0.05}
    assert later["message"] == "train coincidence: 40 of 100, 20 s to go; a note"
    assert {name: end[name] for name in ("done", "counts")} == {name: later[name] for name in ("done", "counts")}
    assert {record["model"] for record in (start, later, end)} == {"m"}


def test_what_libraries_write_to_stderr_becomes_messages_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    with recording(["shard"]):
        begin(["--log-format=json", "shard"], "shard")
        print("one\nand \x1b[2Jtwo", file=sys.stderr)
        print("not yet", end="", file=sys.stderr)
        print("and three", file=sys.stderr)
        assert not sys.stderr.isatty()
    begin([], "")
    found = records(capsys.readouterr().err)
    assert [record["message"] for record in found] == ["one", "and \x1b[2Jtwo", "not yetand three"]
    assert {record["level"] for record in found} == {"warning"}


def test_every_command_takes_the_option_before_or_after_its_name_or_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = ["status", "--root", str(tmp_path)]
    for arguments in (
        ["--log-format", "json", *wrong],
        [*wrong, "--log-format=json"],
        [*wrong, "--log-format", "json"],
    ):
        code, out, err = earshot(*arguments)
        (record,) = records(err)
        assert (code, out, record["level"], record["command"]) == (2, "", "error", "status")
        assert "no Earshot workspace there" in record["message"]
    assert not earshot(*wrong)[2].startswith("{")
    monkeypatch.setenv(VARIABLE, "json")
    assert records(earshot(*wrong)[2])
    assert records(earshot("stauts")[2])[0]["message"].startswith("Usage: ")
    assert earshot("--log-format", "text", *wrong)[2].startswith("earshot: ")
    monkeypatch.setenv(VARIABLE, "xml")
    code, _, err = earshot(*wrong)
    assert (code, err) == (2, f"earshot: {VARIABLE} xml: expected one of text, json.\n")


def test_a_defect_is_one_message_with_its_traceback() -> None:
    program = "from jobs.cli import main; main(['status', '--root', '\\0'])"
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PATH": "", VARIABLE: "json"}, capture_output=True, text=True, cwd=ROOT
    )
    (record,) = records(done.stderr)
    assert done.returncode == 1
    assert (record["level"], record["command"]) == ("error", "status")
    assert "Traceback (most recent call last):\n" in record["message"]


def test_the_fields_are_those_that_the_docs_list() -> None:
    text = (ROOT / "docs" / "cluster.md").read_text().partition("### Logs")[2].partition("\n#")[0]
    listed = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert listed == list(Record.__annotations__)
    (example,) = [line for line in text.splitlines() if line.startswith("{")]
    records(example)


def test_stdout_stays_the_result_and_only_one_place_writes_to_stderr() -> None:
    allowed = {"jobs/console/messages.py"}
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "jobs").rglob("*.py")
        if "file=sys.stderr" in path.read_text() or "sys.stderr.write" in path.read_text()
    }
    assert found <= allowed
    assert messages.is_json() is False
