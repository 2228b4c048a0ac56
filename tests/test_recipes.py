"""Recipes: read by name or from a file; what a workspace has no columns for is named."""

from pathlib import Path

import pytest

from jobs.console.recipe import with_recipe
from jobs.console.session import open_session
from jobs.filter import RECIPES
from pipeline.errors import ConfigError
from pipeline.selection.filtering import FilteringConfig
from pipeline.selection.own_rules import read_rules
from pipeline.selection.recipes import fit, read_recipe, recipe_names
from pipeline.storage.workspace import Workspace
from tests.helpers.imported import import_rows


def test_every_recipe_has_a_source_and_rules_that_hold_where_its_tables_are_imported(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    import_rows(workspace, "tags", {"music": "DOUBLE"}, {})
    import_rows(workspace, "imagebind", {"similarity": "DOUBLE"}, {})
    assert recipe_names() == list(RECIPES)
    for name in recipe_names():
        recipe = read_recipe(name)
        assert recipe.source
        assert recipe.notes
        assert len(read_rules(workspace, FilteringConfig(rules=recipe.rules).rules, are_scored=False).rules) > 0


def test_a_rule_without_its_columns_is_left_out_and_named(tmp_path: Path) -> None:
    found = fit(
        Workspace(str(tmp_path)), [*read_recipe("vggsound-pipeline").rules, "score > 0 as low"], are_scored=False
    )
    assert found.rules == ["speech_fraction <= 0.1 as speech"]
    first, second = found.left_out
    assert first.startswith("tags.music <= 0.3 as music: column tags.music at character 1: there is none.")
    assert second.startswith("score > 0 as low: ")
    assert "nothing there yet" in second


def test_a_recipe_comes_before_the_rules_of_the_session_and_says_what_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = open_session(str(tmp_path), "tiny", ["filtering.rules=motion > 0 as still"])
    changed = with_recipe(session, "vggsound-pipeline", None)
    assert changed.config.filtering.rules == ("speech_fraction <= 0.1 as speech", "motion > 0 as still")
    assert with_recipe(changed, "vggsound-pipeline", None).config == changed.config
    assert (
        "recipe vggsound-pipeline: left out, tags.music <= 0.3 as music: column tags.music" in capsys.readouterr().out
    )
    with pytest.raises(ConfigError, match="recipe v-aura: none of its 1 rules can be applied"):
        with_recipe(session, "v-aura", None)


def test_a_rule_that_is_wrong_anywhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="function random"):
        fit(Workspace(str(tmp_path)), ["motion > random() as x"], are_scored=False)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, "cannot be read as TOML"),
        ("rules = [", "cannot be read as TOML"),
        ("rules = 'motion > 0 as still'", "rules = motion > 0 as still: expected text"),
        ("notes = []", "rules: not given"),
        ("rules = []\nlimits = 3", "limits: no such field"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(text: str | None, found: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=f"mine.toml: .*{found}"):
        read_recipe(str(path))


def test_a_name_that_is_none_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"recipe v-aure: expected one of .*\.toml file.* Did you mean v-aura\?"):
        read_recipe("v-aure")
