"""What to type about an error: commands that exist, options that the command has, and roots with spaces."""

import copy
import inspect
import shlex

import pytest

from cluster.faults import PartError
from jobs.cli import COMMANDS
from jobs.console.lazy_commands import load
from jobs.console.remedies import COMMAND_FOR, explain
from pipeline.errors import ConfigError, DataError


def missing(folder: str, root: str = "ws", **facts: str) -> str:
    return explain(ConfigError(f"{folder}: nothing there yet.", "missing", stage=folder, root=root, **facts), "run")


def test_missing_work_is_named_with_the_command_that_makes_it() -> None:
    expected = "scores/nope: nothing there yet. Run `earshot score --model nope --root ws` first."
    assert missing("scores/nope") == expected
    assert "`earshot train separation --name m --root ws`" in missing("models/m", learner="separation")
    features = missing("features/events/coincidence")
    assert "`earshot features --clips events --name coincidence --root ws`" in features
    assert "`earshot run --collection COLLECTION --root ws`" in missing("")
    assert "`earshot ingest ave FOLDER --root ws`" in missing("features/events/ave")
    assert "`earshot features --clips events --name mine --root ws`" in missing("features/events/mine")


def test_a_root_with_a_space_is_quoted() -> None:
    command = missing("scores/c", "/my films/ws").split("`")[1]
    assert shlex.split(command) == ["earshot", "score", "--model", "c", "--root", "/my films/ws"]


@pytest.mark.parametrize("folder", COMMAND_FOR)
def test_a_suggested_command_exists_and_has_its_options(folder: str) -> None:
    _, name, *words = missing(folder if folder.count("/") else f"{folder}/x").split("`")[1].split()
    assert name in COMMANDS
    known = {option for parameter in load(name).params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize(
    ("folder", "command", "option"),
    [
        ("selections/s", "filter", "--name"),
        ("scores/c", "score", "--model"),
        ("clips/base", "shard", "--root"),
        ("selections/default", "run", "--root"),  # run has no --name
        ("scores/coincidence", "demo", "--root"),
    ],
)
def test_a_refusal_names_an_option_that_the_command_has(folder: str, command: str, option: str) -> None:
    error = ConfigError("it holds other work.", "refused", stage=folder, root="ws")
    assert f"it holds other work. Use another {option}, or " in explain(error, command)
    assert f"{option[2:]}" in inspect.signature(load(command).callback).parameters


def test_a_model_that_others_were_made_from_is_named_with_the_command_that_lists_them() -> None:
    error = ConfigError("it would be made anew.", "stale", stage="models/c", root="my ws")
    assert explain(error, "train").endswith("first: `earshot clean --from models/c --root 'my ws'` lists them.")


def test_a_selection_with_undecided_clips_is_named_with_the_command_that_decides() -> None:
    error = DataError("selections/s: 3 clips.", "undecided", stage="selections/s", root="my ws")
    expected = "3 clips. Run `earshot filter --name s --root 'my ws'` again, then materialize what it keeps."
    assert explain(error, "card").endswith(expected)


def test_the_remedy_survives_the_way_from_a_worker_and_is_found_below_a_part() -> None:
    error = copy.copy(DataError("x: cannot be reached.", "media"))  # as pickle: by its __reduce__
    assert explain(PartError("00001", error), "shard").endswith(
        "x: cannot be reached. Give --media, a folder or prefix with a copy of these files."
    )
    assert explain(DataError("x: damaged."), "shard") == "x: damaged."
