"""The commands that make a stage again: each parses, and together they give the settings that the stages had."""

import dataclasses
import shlex

import pytest

from jobs.console.lazy_commands import load
from jobs.console.overrides import override
from jobs.console.presets import preset
from jobs.console.rebuilding import rebuild_commands
from jobs.console.session import Session, open_session
from pipeline.errors import ConfigError
from pipeline.hashing import as_dict
from pipeline.storage.workspace import Workspace

ROOT_SETTINGS = ["clips.base.hop_s=2", "coincidence.training.num_steps=7"]
OF_SELECTION = ["filtering.min_score=0.9", "filtering.licenses=CC BY 4.0,it's mine"]
STAGES = ("clips/base", "models/other", "scores/other", "selections/s", "materialized/s")


@pytest.fixture
def session(tmp_path) -> Session:
    """A root of the preset `base` with settings of its own, and a selection with others."""
    workspace = Workspace(str(tmp_path / "root"))
    session = open_session(workspace.root, "base", ROOT_SETTINGS, 4)
    config = session.config
    with session.begin("clips/base", {"clips": {"base": config.clips.base}}, {}, needs_ray=False):
        pass
    inputs = {"clips/base": "x"}
    coincidence = {"learner": "coincidence", "coincidence": config.coincidence, "seed": 9}
    workspace.begin("models/other", coincidence, inputs)
    workspace.begin("scores/other", {}, {"models/other": "x"})
    settings = {
        name: getattr(override(config, OF_SELECTION), name) for name in ("filtering", "duplicates", "splitting")
    }
    workspace.begin("selections/s", settings, {"scores/other": "x"})
    workspace.begin("materialized/s", {"materializing": config.materializing, "seed": 4}, {"selections/s": "x"})
    return open_session(workspace.root)


def options(line: str, name: str) -> list[str]:
    words = shlex.split(line)
    return [words[i + 1] for i, word in enumerate(words) if word == name]


def test_the_first_command_begins_a_root_with_the_same_settings_and_the_others_have_their_own(session: Session) -> None:
    lines = rebuild_commands(session, map(session.workspace.stage, STAGES))
    assert [line.split()[1] for line in lines] == ["shard", "train", "score", "filter", "materialize"]
    for line in lines:
        _, name, *words = shlex.split(line)
        load(name).make_context(name, words)
    first, train, _, select, _ = lines
    assert (options(first, "--preset"), options(first, "--seed")) == (["base"], ["4"])
    again = override(preset("base"), options(first, "--set"))
    assert again == session.config
    assert (options(train, "--name"), options(train, "--seed")) == (["other"], ["9"])
    assert options(select, "--model") == ["other"]
    chosen = override(again, options(select, "--set"))
    assert as_dict(chosen.filtering) == session.workspace.stage("selections/s")["settings"]["filtering"]
    assert all("--set" not in line for line in lines[1:3])


def test_a_stage_that_no_command_makes_is_an_error(session: Session) -> None:
    with pytest.raises(ConfigError, match="stage dreams/x: no command is known"):
        rebuild_commands(dataclasses.replace(session), [{"stage": "dreams/x", "settings": {}, "inputs": {}}])


def test_a_table_of_a_scorer_is_made_by_its_class_and_its_arguments_again(session: Session) -> None:
    settings = {"spec": "base", "columns": {"x": "DOUBLE"}, "scorer": "own.module:Own"}
    session.workspace.begin("imported/own", settings | {"arguments": {"weights": "it's.pt"}}, {"clips/base": "x"})
    session.workspace.begin("imported/peav", {"spec": "base", "columns": {"x": "DOUBLE"}}, {"clips/base": "x"})
    records = map(session.workspace.stage, ("clips/base", "imported/own", "imported/peav"))
    _, scored, taken_in = rebuild_commands(session, records)
    for line in (scored, taken_in):
        _, name, *words = shlex.split(line)
        load(name).make_context(name, words)
    assert [*map(options, [scored] * 3, ("--scorer", "--name", "--with"))] == [
        ["own.module:Own"],
        ["own"],
        ["weights=it's.pt"],
    ]
    assert taken_in.startswith("earshot import --name peav FILE")
