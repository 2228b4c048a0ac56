"""The command line before any command: what it imports, how it lists commands, and what a typo gets."""

import functools
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import NoCredentialsError

from cluster.faults import PartError, StartError, UnsharedError
from jobs.cli import COMMANDS, main
from jobs.console import exit_codes, progress
from jobs.console.exit_codes import PartialError
from jobs.console.lazy_commands import load
from pipeline.errors import ConfigError, DataError

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "ray", "sklearn", "pandas", "scipy", "duckdb", "boto3", "botocore", "pyarrow", "numpy"}


TYPOS = (
    [],
    ["--help"],
    ["fitler"],
    *([name, "--help"] for name in COMMANDS),
    ["shard", "--colection", "x"],
    ["shard", "--collection", "x", "--root", "r", "--retry", "tiemout"],
    ["train", "separatoin", "--root", "r"],
    ["filter", "--root", "r", "--preset", "bsae"],
    ["mix", "--root", "r", "--name", "../x"],
)


def test_help_and_typos_import_no_heavy_library() -> None:
    program = f"import sys, jobs.cli; print(*(jobs.cli.main(a) for a in {TYPOS}), 'loaded', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=120,
        check=True,
    )
    codes, _, loaded = done.stdout.splitlines()[-1].partition(" loaded ")
    assert codes.split() == ["2", "0", "2", *("0" for _ in COMMANDS), "2", "2", "2", "2", "2"]
    assert "jobs.train" in loaded.split()
    assert not HEAVY & set(loaded.split())
    near = (" --collection", " timeout?", " separation?", " base?")  # in the order of the typos
    assert all(name in done.stderr for name in near), done.stderr


@pytest.mark.parametrize(
    ("error", "before_work", "after_work"),
    [
        (ConfigError("settings"), 2, 1),
        (ConnectionError("--address h:1: nothing there"), 2, 1),
        (StartError("Ray did not start on this machine"), 1, 1),
        (UnsharedError("root /ws"), 2, 1),
        (NoCredentialsError(), 2, 1),  # of an object store: wrong from the start, or lost on the way
        (DataError("damaged"), 1, 1),
        (PartError("00001", UnsharedError("node b")), 1, 1),
        (PartialError("5 of 20 videos are rejected"), 3, 3),
        (KeyboardInterrupt(), 130, 130),
    ],
)
def test_the_exit_code_tells_a_scheduler_what_to_do(
    error: BaseException,
    before_work: int,
    after_work: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(root: str, is_work_done: bool) -> None:
        if is_work_done:
            exit_codes.note_work()
        raise error

    for is_work_done, code in ((True, after_work), (False, before_work)):
        monkeypatch.setattr(
            "pipeline.storage.workspace.open_workspace",
            functools.partial(fail, is_work_done=is_work_done),
        )
        assert main(["query", "--root", "R", "SELECT 1"]) == code
        assert capsys.readouterr().err.startswith("earshot: ")


def test_the_exit_codes_are_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = "".join(capsys.readouterr().out.split())  # lines break at hyphens too
    assert "".join(exit_codes.HELP.split()) in shown


def test_every_command_is_a_module_of_jobs_and_every_module_is_a_command() -> None:
    modules = {path.stem for path in (ROOT / "jobs").glob("*.py")} - {"cli", "__init__"}
    assert modules == set(COMMANDS)


def test_the_list_of_commands_shows_every_line_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["--help"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    for name, line in COMMANDS.items():
        assert any(shown.startswith(f"{name} ") and shown.endswith(line) for shown in lines), name


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"earshot {importlib.metadata.version('earshot')}\n"


def test_quiet_may_come_before_or_after_the_command_and_ends_with_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_slowly(root: str) -> None:
        with progress.progress_bar("step", 1):
            raise ConfigError(f"root {root}: none.")

    monkeypatch.setattr("pipeline.storage.workspace.open_workspace", open_slowly)
    report = ["report", "--root", "nowhere"]
    for arguments, lines in ((["-q", *report], 0), ([*report, "-q"], 0), (report, 1)):
        assert main(arguments) == 2
        said = capsys.readouterr().err.splitlines()
        assert said == [*["step: 0 of 1"][:lines], "earshot: root nowhere: none."]


def test_help_names_what_is_typed_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--root FOLDER" in shown
    assert "--format <table|csv|json|jsonl|markdown|parquet>" in shown
    assert "<str>" not in shown


def test_a_misspelt_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fitler"]) == 2
    assert "No such command 'fitler'. Did you mean 'filter'?" in capsys.readouterr().err


def float_options() -> list[tuple[str, str]]:
    """Every option of a number that need not be whole, with its command."""
    return [
        (name, parameter.opts[0])
        for name in COMMANDS
        for parameter in load(name).params
        if parameter.type_descriptor.annotation is float
    ]


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "-NaN"])
def test_every_option_of_a_number_refuses_what_is_none(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = float_options()
    assert {("serve", "--max-s"), ("world", "--duration-s")} < set(found)
    for name, option in found:
        assert main([name, f"{option}={number}"]) == exit_codes.REFUSED
        assert option in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-1", "1e999"])
def test_serve_refuses_limits_that_let_nothing_or_everything_pass(
    number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in ("--max-s", "--max-work-s"):
        assert main(["serve", "--root", "r", f"{option}={number}"]) == exit_codes.REFUSED
        assert option in capsys.readouterr().err
