"""Recipes: read by name or from a file; what a workspace has no columns for is named."""

import dataclasses
from pathlib import Path

import pytest

from jobs.console.recipe import with_recipe
from jobs.console.session import open_session
from jobs.filter import RECIPES
from pipeline.clip_specs import ClipSpec
from pipeline.errors import ConfigError
from pipeline.selection.filtering import REASONS, FilteringConfig
from pipeline.selection.own_rules import read_rules
from pipeline.selection.recipes import fit, read_recipe, recipe_names
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
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
        assert (
            len(read_rules(workspace, FilteringConfig(rules=recipe.rules).rules, are_scored=False, taken=REASONS).rules)
            > 0
        )


def test_a_rule_without_its_columns_is_left_out_and_named(tmp_path: Path) -> None:
    found = fit(
        Workspace(str(tmp_path)), [*read_recipe("vggsound-pipeline").rules, "score > 0 as low"], are_scored=False
    )
    assert found.rules == ["speech_fraction <= 0.1 as speech"]
    first, second = found.left_out
    assert first.startswith("tags.music <= 0.3 as music: column tags.music at character 1: there is none.")
    assert second.startswith("score > 0 as low: ")
    assert "nothing there yet" in second


def test_a_rule_about_what_no_clip_has_is_left_out_and_named(workspace: Workspace) -> None:
    rules = list(read_recipe("hunyuanvideo-foley").rules)
    ignoring = {"clips": {"base": dataclasses.asdict(ClipSpec())}}
    workspace.begin(CLIPS_FOLDER, ignoring, {})
    found = fit(workspace, rules, are_scored=False)
    (cuts,) = (text for text in found.left_out if text.startswith("num_cuts = 0 as scene_cut: "))
    assert "null for every clip, because clips.base.at_cuts is ignore" in cuts
    assert "num_cuts = 0 as scene_cut" not in found.rules


def test_a_column_without_a_value_in_any_part_is_named(workspace: Workspace) -> None:
    clips = [clip for part in workspace.parts(CLIPS_FOLDER) for clip in _clip_ids(workspace, part)]
    import_rows(workspace, "empty", {"x": "DOUBLE"}, {})
    import_rows(workspace, "nulls", {"x": "DOUBLE"}, dict.fromkeys(clips, (None,)))
    import_rows(workspace, "late", {"x": "DOUBLE"}, {clips[-1]: (1.0,)})
    rules = ["empty.x > 0 as a", "nulls.x > 0 as b", "late.x > 0 as c", "num_frames > 0 AND nulls.x > 0 as d"]
    found = fit(workspace, rules, are_scored=False)
    assert found.rules == ["late.x > 0 as c"]
    assert found.left_out == [
        "empty.x > 0 as a: column empty.x is null for every clip.",
        "nulls.x > 0 as b: column nulls.x is null for every clip.",
        "num_frames > 0 AND nulls.x > 0 as d: column nulls.x is null for every clip.",
    ]


def _clip_ids(workspace: Workspace, part: str) -> list[str]:
    return workspace.read(CLIPS_FOLDER, part, CLIPS, ["clip_id"])["clip_id"].to_pylist()


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
