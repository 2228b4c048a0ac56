"""The command line before any command: what it imports, how it lists commands, and what a typo gets."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.cli import COMMANDS, main

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


def test_quiet_may_come_before_or_after_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["-q", "report", "--root", "nowhere"], ["report", "--root", "nowhere", "-q"]):
        assert main(arguments) == 2
        assert "root nowhere: no Earshot workspace there. Make one" in capsys.readouterr().err


def test_help_names_what_is_typed_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--root FOLDER" in shown
    assert "--format <table|csv|json>" in shown
    assert "<str>" not in shown


def test_a_misspelt_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fitler"]) == 2
    assert "No such command 'fitler'. Did you mean 'filter'?" in capsys.readouterr().err
